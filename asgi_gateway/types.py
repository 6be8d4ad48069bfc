"""The ASGI types that every layer speaks.

They follow the ASGI specification (https://asgi.readthedocs.io/en/latest/specs/main.html).
Plain aliases rather than `asgiref.typing`'s TypedDicts: an application receives whatever its server sends.
"""

from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

__all__ = ["ASGIApp", "Headers", "Message", "Receive", "Scope", "Send"]

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]

Headers = Iterable[tuple[bytes, bytes]]
"""Header pairs as ASGI carries them: lower-case names, duplicates kept."""
