"""What is kept of an answer for the turns that follow it: seals of thinking, and conversations that go on by an id.

Records belong to one user, are bounded, and expire. An answer is good though they could not be kept.
"""

import logging
from collections.abc import Sequence

from asgi_gateway.canonical import Keeper, Keepsake
from asgi_gateway.dialects.openai_responses import history
from asgi_gateway.errors import ServiceUnavailable
from asgi_gateway.exchange import Exchange
from asgi_gateway.storage.protocols import Cache

__all__ = ["Keeping", "Recalling", "kept_records", "prefix_of"]

logger = logging.getLogger("asgi_gateway")

KEPT_FOR = 7 * 86_400.0
"""Seconds that seals are kept for a conversation to come back."""


def prefix_of(exchange: Exchange) -> str:
    """What the keys of a user's records begin with: nobody reads what another's conversation held."""
    caller = exchange.caller
    return f"user {caller.user.id if caller is not None else 0}: "


async def kept_records(cache: Cache, prefix: str, ids: Sequence[str]) -> dict[str, Keepsake]:
    """What the ids of ours in a conversation stand for, as far as it is still known, and can be reached."""
    try:
        found = await cache.get([prefix + id for id in ids])
    except ServiceUnavailable as reason:
        logger.warning("seals of thinking could not be looked up: %s", reason)
        return {}
    return {id: Keepsake.unpack(found[prefix + id]) for id in ids if prefix + id in found}


class Keeping:
    """Stores the seals of one answer."""

    __slots__ = ("_cache", "_prefix")

    def __init__(self, cache: Cache, prefix: str) -> None:
        self._cache = cache
        self._prefix = prefix

    async def __call__(self, keeper: Keeper) -> None:
        values = {self._prefix + id: record.pack() for id, record in keeper.records.items()}
        try:
            await self._cache.put(values, KEPT_FOR)
        except ServiceUnavailable as reason:
            # The answer is good without it: the next turn misses its thinking, and says so.
            logger.warning("seals of thinking were not kept: %s", reason)


class Recalling:
    """The conversation of one request of Responses: what came before it, and what it becomes."""

    __slots__ = ("_body", "_cache", "_prefix", "_seconds")

    def __init__(self, cache: Cache, seconds: float, prefix: str) -> None:
        self._cache = cache
        self._seconds = seconds
        self._prefix = prefix
        self._body = b""

    async def continued(self, body: bytes) -> bytes:
        """The request with what came before it. Raises `InvalidRequest` when nobody remembers that."""
        previous = history.previous_of(body)
        if previous is not None:
            key = self._prefix + previous[:128]
            items = (await self._cache.get([key])).get(key)
            if items is None:
                raise history.not_found(previous)
            body = history.continued(body, items)
        self._body = body
        return body

    async def __call__(self, answer: bytes) -> None:
        """Keep the conversation up to this answer."""
        whole = history.remembered(self._body, answer)
        if whole is None:
            return  # too long: who goes on from it is told that it is not found
        try:
            await self._cache.put({self._prefix + whole.id[:128]: whole.items}, self._seconds)
        except ServiceUnavailable as reason:
            logger.warning("a conversation was not kept: %s", reason)
