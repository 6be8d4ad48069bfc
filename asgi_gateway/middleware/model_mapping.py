"""Finds the model asked for: reads its name, resolves aliases and suffixes, and checks that the caller may use it.

A suffix that asks for reasoning is cut off where no channel serves the caller a model of the whole name.

Inside the body, outside limits and quota: both count by the real model's name.
Needs `body`; writes `outline`, `model`, `reasoning`.
"""

from collections.abc import Sequence
from typing import ClassVar
from urllib.parse import parse_qs

from asgi_gateway.directory import CatalogueHolder
from asgi_gateway.errors import InvalidRequest, ModelNotFound, PermissionDenied
from asgi_gateway.exchange import SCOPE_KEY, Exchange, ModelChoice
from asgi_gateway.middleware.candidates import candidate_groups
from asgi_gateway.middleware.entry import enter
from asgi_gateway.policies.selection import ChannelTable
from asgi_gateway.policies.suffixes import DEFAULT_SUFFIXES, ReasoningSuffix, cut
from asgi_gateway.types import ASGIApp, Receive, Scope, Send

__all__ = ["ModelMappingMiddleware"]


class ModelMappingMiddleware:
    """From the name asked for to the model.

    Without a `directory` any model is known, and only `aliases` are resolved. `suffixes` are tried in their order.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"body"})
    uses_after: ClassVar[frozenset[str]] = frozenset()
    writes: ClassVar[frozenset[str]] = frozenset({"outline", "model", "reasoning"})

    def __init__(
        self,
        app: ASGIApp,
        *,
        directory: CatalogueHolder | None = None,
        aliases: dict[str, str] | None = None,
        suffixes: Sequence[ReasoningSuffix] = DEFAULT_SUFFIXES,
    ) -> None:
        self.app = app
        self.suffixes = suffixes
        self.directory = directory
        self.aliases = aliases or {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange: Exchange | None = scope.get(SCOPE_KEY)
        if exchange is None:
            await enter(self, self.app, scope, receive, send)
            return
        if exchange.body is not None:
            exchange.outline = exchange.dialect.outline(await exchange.body.bytes(), exchange.target)
            asked = exchange.outline.model
        else:
            asked = _model_in_query(scope)
        resolved = self._resolve(asked)
        if self.directory is not None:
            resolved = self._without_suffix(exchange, self.directory.catalogue.channels, asked, resolved)
        exchange.model = ModelChoice(asked, resolved)
        self._check(exchange, exchange.model)
        await self.app(scope, receive, send)

    def _resolve(self, asked: str) -> str:
        resolved = self.aliases.get(asked)
        if resolved is None and self.directory is not None:
            resolved = self.directory.catalogue.aliases.get(asked)
        return asked if resolved is None else resolved

    def _without_suffix(self, exchange: Exchange, channels: ChannelTable, asked: str, resolved: str) -> str:
        """The model's name, its suffix cut off where that leads to a model; writes what the suffix asks for."""
        caller = exchange.caller
        groups = (caller.groups or (caller.group,)) if caller is not None else ("default",)
        exchange.reasoning = None
        if any(channels.serves(group, resolved) for group in groups):
            return resolved
        max_output = exchange.outline.max_output if exchange.outline is not None else None
        for name in dict.fromkeys((resolved, asked)):
            found = cut(name, self.suffixes, max_output=max_output)
            if found is not None and channels.knows(base := self._resolve(found[0])):
                exchange.reasoning = found[1]
                return base
        return resolved

    def _check(self, exchange: Exchange, model: ModelChoice) -> None:
        caller = exchange.caller
        catalogue = self.directory.catalogue if self.directory is not None else None
        if catalogue is not None and not catalogue.channels.knows(model.resolved):
            raise ModelNotFound(
                f"The model `{model.asked}` does not exist or you do not have access to it.", param="model"
            )
        if caller is None:
            return
        allowed = [caller.models]
        if catalogue is not None and not caller.groups:
            allowed.append(catalogue.group(caller.group).models)
        if caller.groups and not candidate_groups(exchange, catalogue):
            raise _not_allowed(model)
        for models in allowed:
            # A right may name the alias or the model behind it.
            if models and model.asked not in models and model.resolved not in models:
                raise _not_allowed(model)


def _not_allowed(model: ModelChoice) -> PermissionDenied:
    return PermissionDenied(f"You may not use the model `{model.asked}`.", code="model_not_allowed", param="model")


def _model_in_query(scope: Scope) -> str:
    query: bytes = scope.get("query_string", b"")
    values = parse_qs(query.decode("latin-1")).get("model")
    if not values:
        raise InvalidRequest("You must provide a model parameter.", param="model", code="missing_required_parameter")
    return values[0]
