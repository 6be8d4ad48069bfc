"""What the layers need to know of a request, and the permitted splices."""

import re
from collections.abc import Mapping
from typing import Annotated, Any

import msgspec

from asgi_gateway.canonical import Reasoning
from asgi_gateway.dialects.cohere_chat.thinking import write_thinking
from asgi_gateway.dialects.contract import RequestOutline
from asgi_gateway.dialects.json_scan import members, splice
from asgi_gateway.dialects.node import LARGEST, Node, decode_object
from asgi_gateway.errors import InvalidRequest

__all__ = ["outline", "prompt_bytes", "rewrite"]

NAME_LIMIT = 256
"""Characters of a model's name."""

SURELY_NOT_EMPTY = 16
"""Bytes of a list of messages above which nobody needs to look whether it is empty."""

ARRAY = ord("[")

_MEDIA = re.compile(rb'"url"\s*:\s*"data:[^",]{0,100}\Z')


class _Ordinary(msgspec.Struct):
    """A request as nearly all are."""

    model: Annotated[str, msgspec.Meta(min_length=1, max_length=NAME_LIMIT)]
    messages: msgspec.Raw
    stream: bool | None = None
    max_tokens: Annotated[int, msgspec.Meta(ge=1, le=LARGEST)] | None = None


_ordinary = msgspec.json.Decoder(_Ordinary)


def outline(body: bytes) -> RequestOutline:
    """Read a body. Raises `InvalidRequest` with `param` for what cannot be."""
    try:
        ordinary = _ordinary.decode(body)
    except (ValueError, RecursionError):
        return _by_members(body)
    messages = memoryview(ordinary.messages)
    if messages.nbytes < SURELY_NOT_EMPTY or messages[0] != ARRAY:
        return _by_members(body)
    return RequestOutline(
        model=ordinary.model, stream=bool(ordinary.stream), max_output=ordinary.max_tokens, wants_usage=True
    )


def prompt_bytes(body: bytes) -> int:
    """How many bytes of the body are prompt: images in base64 are left out."""
    total = len(body)
    position = body.find(b";base64,")
    while position >= 0:
        end = body.find(b'"', position)
        if end < 0:
            break
        # Only where media stands: the words alone in a text do not make it cheaper.
        if _MEDIA.search(body, max(0, position - 160), position):
            total -= end - position
        position = body.find(b";base64,", end)
    return total


def rewrite(
    body: bytes, *, model: str | None, reasoning: Reasoning | None, overrides: Mapping[str, Any] | None
) -> bytes:
    """The body with another model, thinking that it did not ask for itself, and top-level fields."""
    changes: dict[str, bytes | None] = {}
    try:
        found = members(body)
        if model is not None:
            changes["model"] = msgspec.json.encode(model)
        if reasoning is not None and not any(name == "thinking" for name, *_ in found):
            thinking = write_thinking(reasoning, model or outline(body).model, None)
            if thinking is not None:
                changes["thinking"] = msgspec.json.encode(thinking)
        for name, value in (overrides or {}).items():
            changes[name] = None if value is None else msgspec.json.encode(value)
        return splice(body, changes, found)
    except ValueError as wrong:
        raise InvalidRequest(f"We could not edit the JSON body of your request: {wrong}.") from wrong


def _by_members(body: bytes) -> RequestOutline:
    node = Node(decode_object(body))
    model = node.require_text("model")
    if len(model) > NAME_LIMIT:
        raise InvalidRequest(f"'model' has more than {NAME_LIMIT} characters.", param="model", code="invalid_value")
    if not node.list("messages"):
        raise node.missing("messages")
    return RequestOutline(
        model=model,
        stream=bool(node.flag("stream")),
        max_output=node.integer("max_tokens", least=1),
        wants_usage=True,
    )
