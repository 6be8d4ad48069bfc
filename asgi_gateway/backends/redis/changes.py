"""Messages that something was changed, so that every node looks at once and not at its next turn.

A message says nothing but that: whoever hears it asks the database what is new.
Nothing rests on messages alone. Those that were missed are made up for by the look at each turn, and a subscription
that stands again counts as one.
"""

import asyncio
from collections.abc import Callable
from random import uniform

from asgi_gateway.backends.redis.client import Away, RedisClient

__all__ = ["Changes"]

TELLING = 0.5
"""Seconds that a message may take: no request waits for it."""

PULSE = 2.0
"""Seconds of silence after which the server is asked whether it is there; as many later it counts as away."""

PAUSE, LONGEST = 0.1, 5.0
"""Seconds before the next attempt to subscribe: the first, and the longest."""


class Changes:
    """Tells and hears changes on one pub/sub channel, between `open` and `close`."""

    def __init__(self, client: RedisClient) -> None:
        self._client = client
        self._channel = ""
        self._telling: asyncio.Task[None] | None = None
        self._again = False
        self._listening: asyncio.Task[None] | None = None

    def open(self, channel: str) -> None:
        """Begin to tell what changes."""
        self._channel = channel

    def tell(self) -> None:
        """Tell everybody, soon; changes in the meantime share one message."""
        self._again = True
        if self._telling is None or self._telling.done():
            self._telling = asyncio.create_task(self._tell(), name="asgi_gateway tells changes")

    def listen(self, heard: Callable[[], None]) -> None:
        """Call `heard` at each change, whoever made it, and each time that the subscription stands anew."""
        if self._listening is None:
            self._listening = asyncio.create_task(self._listen(heard), name="asgi_gateway hears changes")

    async def close(self) -> None:
        """Stop listening, and let the last message go out."""
        if self._listening is not None:
            self._listening.cancel()
            await asyncio.wait([self._listening])
            self._listening = None
        if self._telling is not None:
            await asyncio.wait([self._telling])
            self._telling = None

    async def _tell(self) -> None:
        while self._again:
            self._again = False
            try:
                await self._client.run(lambda redis: redis.publish(self._channel, b"changed"), TELLING)
            except Away:
                return  # it was said; the others see the change at their next look

    async def _listen(self, heard: Callable[[], None]) -> None:
        pause = PAUSE
        while True:
            subscription = _Subscription(self._client, self._channel, heard)
            try:
                await subscription.follow()
            except Exception as error:  # noqa: BLE001 - whatever the library raises must not end the listening
                if subscription.stood:
                    pause = PAUSE
                self._client.breaker.failed(self._client.reason_of(error), certain=subscription.stood)
            await asyncio.sleep(uniform(pause / 2, pause))
            pause = min(2 * pause, LONGEST)


class _Subscription:
    """One connection that hears messages until it breaks. `stood`: whether it ever did."""

    def __init__(self, client: RedisClient, channel: str, heard: Callable[[], None]) -> None:
        self.stood = False
        self._client = client
        self._channel = channel
        self._heard = heard
        self._pubsub = client.redis.pubsub()

    async def follow(self) -> None:
        """Hear. Raises when the connection breaks, or the server does not answer."""
        try:
            async with asyncio.timeout(PULSE):
                await self._pubsub.subscribe(self._channel)
            silent = False
            while True:
                message = await self._pubsub.get_message(timeout=PULSE)
                if message is not None:
                    silent = False
                    self._take(message["type"])
                elif silent:
                    raise TimeoutError("no sign of life")
                else:
                    silent = True
                    await self._pubsub.ping()
        finally:
            await self._pubsub.aclose()  # type: ignore[no-untyped-call]  # the library's own gap

    def _take(self, kind: str) -> None:
        if kind == "subscribe":
            self.stood = True
            self._client.breaker.succeeded()
        if kind in ("subscribe", "message"):
            self._heard()
