"""The user that Starlette's `AuthenticationMiddleware` left in the scope (https://starlette.dev/authentication/)."""

from collections.abc import Callable
from typing import Any

from asgi_gateway import Identity
from asgi_gateway.types import Scope

__all__ = ["starlette_user"]


def starlette_user(*, group: Callable[[Any], str | None] | None = None) -> Callable[[Scope], Identity | None]:
    """Name callers by `scope["user"]`: its `identity`, or its `display_name` where it has none.

    `group` tells a user's group; without it users are of the group "default".
    A user who is not authenticated is nobody.
    """

    def identify(scope: Scope) -> Identity | None:
        user = scope.get("user")
        if user is None or not getattr(user, "is_authenticated", False):
            return None
        return Identity(_name(user), group(user) if group is not None else None)

    return identify


def _name(user: Any) -> str:
    try:
        return str(user.identity)
    except (AttributeError, NotImplementedError):  # Starlette's own `SimpleUser` has no identity
        return str(user.display_name)
