"""Picks a channel, one of its keys, and the model's name there.

Inside retry, so that each attempt picks again; outside conversion, which depends on the channel.
Needs `model`; writes `route`. Channels in `attempts` are left out.
For a caller whose group is "auto" the groups are walked in their order: the first that has a channel left.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import ClassVar

from asgi_gateway.dialects import CHAT_DIALECTS, TOKEN_COUNTS
from asgi_gateway.dialects.contract import Operation
from asgi_gateway.directory import Catalogue, CatalogueHolder
from asgi_gateway.errors import NoChannelAvailable
from asgi_gateway.exchange import SCOPE_KEY, Exchange, Route
from asgi_gateway.middleware.candidates import candidate_groups
from asgi_gateway.middleware.entry import enter
from asgi_gateway.policies.selection import ChannelTable, choose_among
from asgi_gateway.providers import PROVIDERS
from asgi_gateway.providers.contract import Provider
from asgi_gateway.storage.records import Channel, Secret
from asgi_gateway.types import ASGIApp, Receive, Scope, Send

__all__ = ["ChannelRoutingMiddleware"]

ROUTES = 4096
"""How many are kept, so that a request need not make its own."""

NO_KEY = Secret("")
"""For channels whose upstream wants none."""


class ChannelRoutingMiddleware:
    """Group and model to one channel. Give a `directory`, or `channels` that never change.

    `draw` gives numbers in [0, 1), for the weighted choice.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"model"})
    uses_after: ClassVar[frozenset[str]] = frozenset()
    writes: ClassVar[frozenset[str]] = frozenset({"route"})

    def __init__(
        self,
        app: ASGIApp,
        *,
        directory: CatalogueHolder | None = None,
        channels: Sequence[Channel] = (),
        draw: Callable[[], float] = random.random,
    ) -> None:
        self.app = app
        self.directory = directory
        numbered = (
            channel if channel.id else replace(channel, id=-number) for number, channel in enumerate(channels, 1)
        )
        self._fixed = Catalogue(channels=ChannelTable(numbered))
        self.draw = draw
        self._routes: dict[tuple[int, str, str, str, Operation], tuple[Channel, tuple[Route, ...]]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange: Exchange | None = scope.get(SCOPE_KEY)
        if exchange is None:
            await enter(self, self.app, scope, receive, send)
            return
        catalogue = self._fixed if self.directory is None else self.directory.catalogue
        exchange.route = self._route(exchange, catalogue)
        await self.app(scope, receive, send)

    def _route(self, exchange: Exchange, catalogue: Catalogue) -> Route:
        assert exchange.model is not None  # `compose` checked that somebody writes it
        model = exchange.model.resolved
        groups = candidate_groups(exchange, catalogue)
        tried = {attempt.channel.id for attempt in exchange.attempts}
        while True:
            found = choose_among(catalogue.channels, groups=groups, model=model, tried=tried, random=self.draw)
            if found is None:
                raise NoChannelAvailable(f"No channel is available for the model `{exchange.model.asked}`.")
            group, channel = found
            route = self._through(channel, group, exchange, model)
            if route is not None:
                return route
            tried.add(channel.id)

    def _through(self, channel: Channel, group: str, exchange: Exchange, model: str) -> Route | None:
        """The way through this channel by one of its keys, None when it does not speak what is needed."""
        place = (channel.id, group, model, exchange.dialect.name, exchange.operation)
        kept = self._routes.get(place)
        if kept is None or kept[0] is not channel:  # channels are replaced when they change
            if len(self._routes) >= ROUTES:
                self._routes.clear()
            kept = self._routes[place] = (channel, _routes(channel, group, exchange, model))
        routes = kept[1]
        if len(routes) > 1:
            return routes[min(int(self.draw() * len(routes)), len(routes) - 1)]
        return routes[0] if routes else None


def _routes(channel: Channel, group: str, exchange: Exchange, model: str) -> tuple[Route, ...]:
    """The ways through a channel, one for each key; none when it does not speak what is needed."""
    provider = PROVIDERS.get(channel.provider)
    upstream_model = _mapped(model, channel)
    dialect = None if provider is None else _spoken(provider, channel, exchange, upstream_model)
    if provider is None or dialect is None:
        return ()
    return tuple(
        Route(channel=channel, key=key, upstream_model=upstream_model, provider=provider, dialect=dialect, group=group)
        for key in channel.keys or (NO_KEY,)
    )


def _spoken(provider: Provider, channel: Channel, exchange: Exchange, model: str) -> str | None:
    """The dialect to speak with a channel: the caller's own if it can be, else the first that it can be converted to.

    A channel's `dialects` restrict what its upstream speaks for chat; its provider's order decides among them.
    """
    asked = exchange.dialect.name
    offered = provider.dialects_for(model)
    if exchange.operation is Operation.TOKEN_COUNT:
        # Whoever does not count as the caller asks is asked in its own way, or not at all (`counting`).
        return next((name for name in (asked, *TOKEN_COUNTS, *CHAT_DIALECTS) if name in offered), None)
    if exchange.operation is not Operation.CHAT:
        return asked if asked in offered else None
    spoken = [name for name in offered if not channel.dialects or name in channel.dialects]
    if asked in spoken:
        return asked
    if asked not in CHAT_DIALECTS:
        return None
    return next((name for name in spoken if name in CHAT_DIALECTS), None)


def _mapped(model: str, channel: Channel) -> str:
    """The model's name at this channel, through a chain of mappings; a cycle (`check` finds it) ends at its start."""
    seen: set[str] = set()
    while model in channel.model_mapping and model not in seen:
        seen.add(model)
        model = channel.model_mapping[model]
    return model
