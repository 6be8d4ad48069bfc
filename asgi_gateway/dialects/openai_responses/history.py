"""Conversations that go on by `previous_response_id` where the upstream keeps none: their items, kept by others.

https://platform.openai.com/docs/guides/conversation-state. Instructions are not carried over, as with OpenAI.

```python
from asgi_gateway.dialects.openai_responses import history

first = history.remembered(b'{"input": "Hi"}', b'{"id": "resp_1", "output": [{"type": "message"}]}')
assert first is not None and first.id == "resp_1"
body = b'{"input": "And?", "previous_response_id": "resp_1"}'
assert history.previous_of(body) == "resp_1"
assert history.continued(body, first.items).startswith(b'{"input":[{"role":"user","content":"Hi"}')
```
"""

from typing import Any

import msgspec
from msgspec import Struct

from asgi_gateway.dialects.json_scan import splice
from asgi_gateway.errors import InvalidRequest

__all__ = ["Remembered", "continued", "not_found", "previous_of", "remembered"]

RECORD_LIMIT = 1 << 20
"""Bytes of a conversation that is kept; a longer one cannot be continued."""


class Remembered(Struct, frozen=True):
    """A response by its id, and all items up to it: a JSON array."""

    id: str
    items: bytes


class _Asked(Struct):
    input: Any = None
    previous_response_id: Any = None


class _Answered(Struct):
    id: str
    output: list[Any]


_asked = msgspec.json.Decoder(_Asked)
_answered = msgspec.json.Decoder(_Answered)
_items = msgspec.json.Decoder(list[Any])


def previous_of(body: bytes) -> str | None:
    """The response that a request goes on from, None when it goes on from none."""
    previous = _asked.decode(body).previous_response_id
    return previous if isinstance(previous, str) and previous else None


def continued(body: bytes, items: bytes) -> bytes:
    """The request with all items before it in its input, and without the reference."""
    whole = [*_items.decode(items), *_input(body)]
    return splice(body, {"input": msgspec.json.encode(whole), "previous_response_id": None})


def remembered(body: bytes, answer: bytes) -> Remembered | None:
    """What to keep of a request, already continued, and its answer; None when it is too long."""
    answered = _answered.decode(answer)
    items = msgspec.json.encode([*_input(body), *answered.output])
    return Remembered(answered.id, items) if len(items) <= RECORD_LIMIT else None


def not_found(id: str) -> InvalidRequest:
    """The error for a response that nobody remembers (any more)."""
    return InvalidRequest(
        f"Previous response with id '{id[:64]}' not found.",
        param="previous_response_id",
        code="previous_response_not_found",
    )


def _input(body: bytes) -> list[Any]:
    given = _asked.decode(body).input
    if isinstance(given, str):
        return [{"role": "user", "content": given}]
    return given if isinstance(given, list) else []
