"""Tokens that upstreams want in the place of a key: fetched when needed, kept until shortly before they expire.

Follows RFC 6749, section 5.1 and 5.2, for the answer of a token endpoint. It is reached by the relay's own transport,
so that a channel's proxy holds for it, too.
One fetch at a time for each grant, whoever waits for it; a caller who leaves does not stop it. A token that is about to
expire is renewed while it is still used.
"""

import asyncio
import logging
import re
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import msgspec
from msgspec import Struct

from asgi_gateway.errors import Fault, MalformedUpstream, UpstreamError
from asgi_gateway.providers import parse_base_url
from asgi_gateway.providers.contract import Grant
from asgi_gateway.relay.transport import Transport, UpstreamRequest
from asgi_gateway.storage.records import Timeouts

__all__ = ["Grants"]

logger = logging.getLogger("asgi_gateway")

KEPT = 1024
"""Tokens; beyond them the oldest is dropped."""

ANSWER_LIMIT = 1 << 16
"""Bytes of an answer."""

EARLY = 60.0
"""Seconds before its end at which a token is renewed."""

USUAL_LIFE = 300.0
"""Seconds, for an answer that does not say how long its token lives."""

LONGEST_LIFE = 86_400.0

TIMEOUTS = Timeouts(connect=5.0, plain=10.0, total=15.0)

HEADERS = ((b"content-type", b"application/x-www-form-urlencoded"), (b"accept", b"application/json"))

SENDABLE = re.compile(r"[\x21-\x7e]+")


class _Token(Struct, frozen=True):
    value: bytes
    renew: float
    expires: float


class Grants:
    """The tokens of one relay. `clock` tells seconds since the epoch."""

    def __init__(self, transport: Transport, *, clock: Callable[[], float] = time.time) -> None:
        self._transport = transport
        self._clock = clock
        self._tokens: dict[str, _Token] = {}
        self._fetches: dict[str, asyncio.Task[_Token]] = {}

    async def token(self, grant: Grant, proxy: str = "") -> bytes:
        """A token that is good now.

        Raises `UpstreamError` when there is none to be had: the fault is the channel's.
        """
        kept = self._tokens.get(grant.name)
        now = self._clock()
        if kept is not None and now < kept.renew:
            return kept.value
        fetch = self._fetches.get(grant.name)
        if fetch is None:
            fetch = self._fetches[grant.name] = asyncio.ensure_future(self._fetch(grant, proxy))
            fetch.add_done_callback(lambda done: self._ended(grant, done))
        if kept is not None and now < kept.expires:
            return kept.value
        return (await asyncio.shield(fetch)).value

    def forget(self, grant: Grant) -> None:
        """The upstream refused the token: fetch another one next time."""
        self._tokens.pop(grant.name, None)

    async def close(self) -> None:
        """Stop what is being fetched."""
        fetches = list(self._fetches.values())
        for fetch in fetches:
            fetch.cancel()
        await asyncio.gather(*fetches, return_exceptions=True)

    def _ended(self, grant: Grant, fetch: "asyncio.Task[_Token]") -> None:
        self._fetches.pop(grant.name, None)
        if fetch.cancelled():
            return
        failure = fetch.exception()
        if failure is not None:  # whoever waits gets it, too; a renewal ahead of time has nobody who waits
            logger.warning("no token for the grant %s: %s", grant.name, failure)
            return
        self._tokens.pop(grant.name, None)
        if len(self._tokens) >= KEPT:
            del self._tokens[next(iter(self._tokens))]
        self._tokens[grant.name] = fetch.result()

    async def _fetch(self, grant: Grant, proxy: str) -> _Token:
        now = self._clock()
        request = _request(grant, now, proxy)
        try:
            response = await self._transport.send(request)
            try:
                body = bytearray()
                while len(body) < ANSWER_LIMIT and (chunk := await response.read()):
                    body += chunk
            finally:
                response.close()
            return _read(response.status, bytes(body), now)
        except UpstreamError as failure:
            failure.fault = Fault.CHANNEL
            raise


def _request(grant: Grant, now: float, proxy: str) -> UpstreamRequest:
    try:
        address = parse_base_url(grant.url)
        form = grant.form(now)
    except (ValueError, TypeError) as mistake:
        raise _no_token(None) from mistake
    return UpstreamRequest(
        method="POST",
        origin=address.origin,
        target=(address.path + (address.version or "")).encode("ascii"),
        headers=HEADERS,
        body=urlencode(form).encode("ascii"),
        stream=False,
        timeouts=TIMEOUTS,
        proxy=proxy,
    )


def _read(status: int, body: bytes, now: float) -> _Token:
    try:
        answer: Any = msgspec.json.decode(body)
    except (ValueError, RecursionError):
        answer = None
    if not isinstance(answer, dict):
        answer = {}
    if status != 200:
        reason = answer.get("error")  # a short word; the description beside it may name accounts
        raise _no_token(status, reason if isinstance(reason, str) and reason.isidentifier() else "")
    value = answer.get("access_token")
    if not isinstance(value, str) or not SENDABLE.fullmatch(value):
        raise MalformedUpstream("The sign-in for the channel answered without a token.", original_status=status)
    life = _life(answer.get("expires_in"))
    return _Token(value.encode("ascii"), now + life - min(EARLY, life / 2), now + life)


def _life(stated: Any) -> float:
    if isinstance(stated, str) and stated.isdecimal() and len(stated) < 10:  # some servers quote it
        stated = int(stated)
    if isinstance(stated, bool) or not isinstance(stated, int | float) or not stated > 0:
        return USUAL_LIFE
    return min(float(stated), LONGEST_LIFE)


def _no_token(status: int | None, reason: str = "") -> UpstreamError:
    said = f" ({reason})" if reason else ""
    return UpstreamError(
        f"The sign-in for the channel was refused{said}.",
        fault=Fault.CHANNEL,
        original_status=status,
        code="upstream_auth",
    )
