"""Builds a stack of layers, and checks that each finds what it needs."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from asgi_gateway.middleware import STACK
from asgi_gateway.types import ASGIApp

__all__ = ["Layer", "compose"]

Layer = tuple[Callable[..., ASGIApp], Mapping[str, Any]]

GIVEN = frozenset({"operation", "dialect", "address", "started"})
"""What the outermost layer, or Gateway, writes before anything else."""

RELAY_WRITES = frozenset({"outcome", "reached_upstream"})


def compose(app: ASGIApp, layers: Sequence[Layer]) -> ASGIApp:
    """Put layers around an app, outermost first: `compose(Relay(), [(RetryMiddleware, {"attempts": 2}), …])`.

    Raises `ValueError` when a layer needs what no layer outside it writes, or uses afterwards what no layer inside it
    writes; the message names the layer that is missing. Layers of others, without such declarations, stand anywhere.
    """
    built: list[object] = [app]
    for make, options in reversed(layers):
        app = make(app, **options)
        built.append(app)
    built.reverse()
    _check(built)
    return app


def _check(built: Sequence[object]) -> None:
    written = set(GIVEN)
    for layer in built:
        for field in sorted(_declared(layer, "needs") - written):
            raise ValueError(f"{_name(layer)} needs `{field}`: put {_writer(field)} outside it")
        written |= _declared(layer, "writes")
    inside: set[str] = set()
    for layer in reversed(built):
        for field in sorted(_declared(layer, "uses_after") - inside):
            raise ValueError(f"{_name(layer)} uses `{field}` afterwards: put {_writer(field)} inside it")
        inside |= _declared(layer, "writes")


def _declared(layer: object, what: str) -> frozenset[str]:
    declared: frozenset[str] = getattr(layer, what, frozenset())
    return declared


def _name(layer: object) -> str:
    return type(layer).__name__


def _writer(field: str) -> str:
    for layer in STACK:
        if field in layer.writes:
            return layer.__name__
    return "Relay" if field in RELAY_WRITES else f"a layer that writes `{field}`"
