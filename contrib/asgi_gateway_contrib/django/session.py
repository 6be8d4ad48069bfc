"""Callers named by Django's session (https://docs.djangoproject.com/en/stable/topics/http/sessions/).

Django's own middlewares run inside Django, which we stand around: so the session cookie is read here, and the user
loaded as `AuthenticationMiddleware` does, with the check of the session's hash.
"""

from collections.abc import Awaitable, Callable
from http.cookies import CookieError, SimpleCookie
from typing import Any

from asgi_gateway import Identity
from asgi_gateway.types import Scope

__all__ = ["session_identity"]


def session_identity(
    *, group: Callable[[Any], str | None] | None = None
) -> Callable[[Scope], Awaitable[Identity | None]]:
    """Name callers by their Django session; `group` tells a user's group.

    An anonymous or inactive user is nobody. An identity by session rests on a cookie: it needs a same-origin request.
    """

    async def identify(scope: Scope) -> Identity | None:
        from django.contrib.auth import aget_user
        from django.http import HttpRequest

        store = _session(scope)
        if store is None:
            return None
        request = HttpRequest()
        request.session = store
        user: Any = await aget_user(request)
        if not user.is_authenticated or not user.is_active:
            return None
        return Identity(user.get_username(), group(user) if group is not None else None, cookie=True)

    return identify


def _session(scope: Scope) -> Any | None:
    from importlib import import_module

    from django.conf import settings

    key = _cookie(scope, settings.SESSION_COOKIE_NAME)
    return import_module(settings.SESSION_ENGINE).SessionStore(key) if key else None


def _cookie(scope: Scope, name: str) -> str | None:
    for header, value in scope["headers"]:
        if header == b"cookie":
            try:
                cookies = SimpleCookie(value.decode("latin-1"))
            except CookieError:  # another application's cookie that is none by the standard
                continue
            if name in cookies:
                return cookies[name].value
    return None
