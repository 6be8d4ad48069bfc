"""The user that a FastAPI dependency gives (https://fastapi.tiangolo.com/tutorial/dependencies/)."""

from collections.abc import Awaitable, Callable
from typing import Annotated, Any

from asgi_gateway import Identity
from asgi_gateway.types import Message, Scope

try:
    from fastapi import Depends, FastAPI, Request
except ImportError as missing:
    raise ImportError("this adapter needs FastAPI: pip install fastapi") from missing

__all__ = ["dependency_identity"]

FOUND = "asgi_gateway.identity"

HOST_KEYS = frozenset(
    {"app", "router", "route", "endpoint", "path_params", "fastapi_inner_astack", "fastapi_function_astack"}
)
"""What the host's own routing left in the scope, which another application must not find."""


def dependency_identity(
    dependency: Callable[..., Any], name: Callable[[Any], Identity | str | None]
) -> Callable[[Scope], Awaitable[Identity | None]]:
    """Name callers by what a dependency gives: the very one that the host's routes use, with all that it depends on.

    `name` makes an `Identity`, or the user's name, of its value; None: nobody.
    A dependency that raises `HTTPException`, or whose parameters are missing, names nobody.
    It can ask for headers, cookies and the query; the body is not read yet.
    """
    # FastAPI resolves dependencies for its own routes alone, so there is one that does nothing else.
    asking = FastAPI(openapi_url=None)

    @asking.get("/{path:path}")
    async def ask(request: Request, value: Annotated[Any, Depends(dependency)]) -> None:
        request.scope[FOUND].append(value)

    async def identify(scope: Scope) -> Identity | None:
        found: list[Any] = []
        inner = {key: value for key, value in scope.items() if key not in HOST_KEYS}
        inner |= {"type": "http", "method": "GET", "root_path": "", FOUND: found}
        await asking(inner, _no_body, _ignore)
        named = name(found[0]) if found else None
        return Identity(named) if isinstance(named, str) else named

    return identify


async def _no_body() -> Message:
    return {"type": "http.request", "body": b"", "more_body": False}


async def _ignore(message: Message) -> None:
    """The answer itself is of no interest."""
