"""A client of Redis whose every command has a deadline, and that stops asking a server that is away."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import parse_qs, unquote, urlsplit

from asgi_gateway.backends.redis.breaker import Breaker

if TYPE_CHECKING:
    from redis.asyncio import Redis

__all__ = ["Away", "RedisClient"]

T = TypeVar("T")

CONNECTIONS = 32
"""Commands under way at once; further ones wait for their turn, within their deadline."""


class Away(Exception):
    """Redis did not answer in time, or is not asked because it is away. It never leaves this package."""


class RedisClient:
    """One server of a URL: "redis://host:6379/0", "rediss://…" (TLS) or "unix:///path?db=0".

    `deadline` in seconds holds for each command, the connection that it may need included.
    Nothing connects before the first command. For one event loop, between `open` and `close`.
    """

    def __init__(self, url: str, *, deadline: float, breaker: Breaker | None = None) -> None:
        self.breaker = breaker or Breaker("Redis")
        self.deadline = deadline
        self._url = url
        self._redis: Redis | None = None
        self._room: asyncio.Semaphore | None = None

    def __repr__(self) -> str:
        return f"RedisClient({urlsplit(self._url).scheme}://…)"

    def open(self) -> None:
        """Make the client. Raises `ValueError` where the extra is not installed, or the URL is none."""
        try:
            from redis.asyncio import Redis
            from redis.asyncio.retry import Retry
            from redis.backoff import NoBackoff
        except ImportError:
            raise ValueError("storage.redis: the extra is missing: pip install 'asgi-gateway[redis]'") from None
        self._room = asyncio.Semaphore(CONNECTIONS)
        self._redis = Redis.from_url(
            self._url,
            protocol=2,
            socket_connect_timeout=None,  # the deadline of the command holds
            socket_timeout=None,
            retry=Retry(NoBackoff(), 0),
        )

    async def close(self) -> None:
        """Disconnect."""
        redis, self._redis = self._redis, None
        if redis is not None:
            await redis.aclose()

    @property
    def redis(self) -> "Redis":
        """The client of the library. Raises `Away` while it is not open."""
        if self._redis is None:
            raise Away("not open")
        return self._redis

    async def run(self, command: "Callable[[Redis], Awaitable[T]]", deadline: float | None = None) -> T:
        """Run one command. Raises `Away` when there is no answer within the deadline, or Redis is not asked."""
        redis, room = self.redis, self._room
        assert room is not None
        if not self.breaker.admits():
            raise Away("not asked")
        asked = False
        try:
            async with asyncio.timeout(self.deadline if deadline is None else deadline), room:
                asked = True
                answer = await command(redis)
        except Exception as error:  # whatever the library raises: Redis must cost no request
            if asked:
                self.breaker.failed(self.reason_of(error))
            else:
                self.breaker.abandoned()  # too many wait: that says nothing of Redis
            raise Away(type(error).__name__) from error
        except BaseException:  # cancelled: that says nothing of Redis, and goes on
            self.breaker.abandoned()
            raise
        self.breaker.succeeded()
        return answer

    def reason_of(self, error: Exception) -> str:
        """What may be told of a failure: its kind and text, without the password."""
        text = str(error)
        for password in self._passwords():
            text = text.replace(password, "***")
        return f"{type(error).__name__}: {text}" if text else type(error).__name__

    def _passwords(self) -> set[str]:
        parts = urlsplit(self._url)
        given = [parts.password or "", *parse_qs(parts.query).get("password", ())]
        return {text for each in given if each for text in (each, unquote(each))}
