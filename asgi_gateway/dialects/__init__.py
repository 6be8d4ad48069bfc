"""The wire formats that callers and upstreams speak, and which request is spoken in which.

```python
from asgi_gateway.dialects import classify

operation, dialect = classify("POST", "/v1/chat/completions")
assert dialect.name == "openai_chat"
```
"""

from collections.abc import Mapping
from types import MappingProxyType

from asgi_gateway.dialects.contract import Dialect, Operation
from asgi_gateway.dialects.openai_chat import OPENAI_CHAT
from asgi_gateway.dialects.openai_completions import OPENAI_COMPLETIONS
from asgi_gateway.dialects.openai_embeddings import OPENAI_EMBEDDINGS
from asgi_gateway.dialects.openai_moderations import OPENAI_MODERATIONS

__all__ = ["DIALECTS", "classify"]

DIALECTS: Mapping[str, Dialect] = MappingProxyType(
    {dialect.name: dialect for dialect in (OPENAI_CHAT, OPENAI_COMPLETIONS, OPENAI_EMBEDDINGS, OPENAI_MODERATIONS)}
)
"""Every dialect by its name."""

_ROUTES: Mapping[tuple[str, str], tuple[Operation, Dialect]] = MappingProxyType(
    {
        (route.method, route.path): (route.operation, dialect)
        for dialect in DIALECTS.values()
        for route in dialect.routes
    }
)

_MODEL = "/v1/models/"


def classify(method: str, path: str) -> tuple[Operation, Dialect] | None:
    """What a request asks for, and in which dialect; None when it is none of ours.

    `method` is "WEBSOCKET" for sockets; `path` is relative to the gateway's root. One trailing slash is let pass.
    """
    found = _ROUTES.get((method, path))
    if found is None and len(path) > 1:
        if path.endswith("/"):
            found = _ROUTES.get((method, path[:-1]))
        elif path.startswith(_MODEL):  # a model's name may hold slashes of its own
            found = _ROUTES.get((method, _MODEL + "{model}"))
    return found
