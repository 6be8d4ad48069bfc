"""What the layers need of a request without converting it, how much of it is prompt, and the permitted splices."""

import re
from collections.abc import Mapping
from typing import Annotated, Any

import msgspec

from asgi_gateway.canonical import Losses, Reasoning, Sampling
from asgi_gateway.dialects.anthropic_messages.message_writer import may_go_on_thinking
from asgi_gateway.dialects.anthropic_messages.models import traits_of
from asgi_gateway.dialects.anthropic_messages.thinking import write_reasoning
from asgi_gateway.dialects.contract import RequestOutline
from asgi_gateway.dialects.json_scan import members, splice
from asgi_gateway.dialects.node import LARGEST, Node, decode_object
from asgi_gateway.errors import InvalidRequest

__all__ = ["outline", "prompt_bytes", "rewrite"]

NAME_LIMIT = 256
"""Characters of a model's name."""

SURELY_NOT_EMPTY = 32

_DATA = re.compile(rb'"data"\s*:\s*"([A-Za-z0-9+/=]{256,}+)"')
"""Base64: the text of a document has other characters, too."""


class _Ordinary(msgspec.Struct):
    """A request as nearly all are."""

    model: Annotated[str, msgspec.Meta(min_length=1, max_length=NAME_LIMIT)]
    messages: msgspec.Raw
    max_tokens: Annotated[int, msgspec.Meta(ge=0, le=LARGEST)]
    stream: bool | None = None


_ordinary = msgspec.json.Decoder(_Ordinary)


def outline(body: bytes) -> RequestOutline:
    """Read a request. Raises `InvalidRequest` for what Anthropic refuses."""
    try:
        ordinary = _ordinary.decode(body)
    except (ValueError, RecursionError):
        return _by_members(body)
    messages = memoryview(ordinary.messages)
    if messages.nbytes < SURELY_NOT_EMPTY or messages[0] != ord("["):
        return _by_members(body)
    return RequestOutline(model=ordinary.model, stream=bool(ordinary.stream), max_output=ordinary.max_tokens)


def _by_members(body: bytes) -> RequestOutline:
    node = Node(decode_object(body))
    model = node.text("model")
    if not model:
        raise _required("model")
    if len(model) > NAME_LIMIT:
        raise InvalidRequest(f"model: String should have at most {NAME_LIMIT} characters", param="model")
    if "messages" not in node:
        raise _required("messages")
    if not node.list("messages"):
        raise InvalidRequest("messages: at least one message is required", param="messages")
    if "max_tokens" not in node:
        raise _required("max_tokens")
    limit = node.integer("max_tokens", 0)
    return RequestOutline(model=model, stream=bool(node.flag("stream")), max_output=limit)


def _required(name: str) -> InvalidRequest:
    return InvalidRequest(f"{name}: Field required", param=name, code="missing_required_parameter")


def prompt_bytes(body: bytes) -> int:
    """Bytes of the body without images and documents that it carries in base64."""
    if b'"base64"' not in body:
        return len(body)
    return len(body) - sum(map(len, _DATA.findall(body)))


def rewrite(
    body: bytes,
    *,
    model: str | None = None,
    reasoning: Reasoning | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> bytes:
    """The body with another model, with thinking, and with top-level fields of the channel's own.

    Thinking is written only where the body says nothing of it; what a thinking model refuses is then taken out.
    Raises `InvalidRequest` for a body that cannot be edited byte by byte.
    """
    changes: dict[str, bytes | None] = {}
    try:
        found = members(body)
        if reasoning is not None:
            changes.update(_thinking(body, model, reasoning))
        if model is not None:
            changes["model"] = msgspec.json.encode(model)
        for name, value in (overrides or {}).items():
            changes[name] = None if value is None else msgspec.json.encode(value)
        return splice(body, changes, found)
    except ValueError as wrong:
        raise InvalidRequest(f"We could not edit the JSON body of your request: {wrong}.") from wrong


class _Choice(msgspec.Struct):
    type: str = ""


class _Config(msgspec.Struct):
    effort: Any = None


class _Asked(msgspec.Struct):
    """What decides how thinking is asked for."""

    model: str = ""
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    tool_choice: _Choice | None = None
    thinking: Any = None
    output_config: msgspec.Raw = msgspec.Raw(b"")
    messages: list[msgspec.Raw] = []


_asked = msgspec.json.Decoder(_Asked)
_config = msgspec.json.Decoder(_Config | None)
_message = msgspec.json.Decoder(dict[str, Any])


def _thinking(body: bytes, model: str | None, reasoning: Reasoning) -> dict[str, bytes | None]:
    """Changes for reasoning that the model's name asks for; none where the body says itself how to think."""
    said = _asked.decode(body)
    config = bytes(said.output_config)
    known = _config.decode(config) if config else None
    if said.thinking is not None or (known is not None and known.effort is not None):
        return {}
    traits = traits_of(model or said.model)
    last = [_message.decode(message) for message in said.messages[-2:]]
    if traits.budgets and not traits.efforts and not may_go_on_thinking(last):
        return {}
    sampling = Sampling(max_output=said.max_tokens, temperature=said.temperature, top_p=said.top_p, top_k=said.top_k)
    forced = said.tool_choice is not None and said.tool_choice.type in ("any", "tool")
    asked = write_reasoning(reasoning, traits, sampling, forced=forced, losses=Losses("request"))
    changes: dict[str, bytes | None] = {}
    if asked.thinking is not None:
        changes["thinking"] = msgspec.json.encode(asked.thinking)
    if asked.effort:
        effort = msgspec.json.encode(asked.effort)
        changes["output_config"] = splice(config if known is not None else b"{}", {"effort": effort})
    if asked.max_output != said.max_tokens:
        changes["max_tokens"] = msgspec.json.encode(asked.max_output)
    for name in ("temperature", "top_p", "top_k"):
        if getattr(said, name) is not None and getattr(asked.sampling, name) is None:
            changes[name] = None
    return changes
