"""What the layers need of a request: path and query say which model and whether to stream, the body the rest.

Also how much of a body is prompt, and the splices that are permitted.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import msgspec

from asgi_gateway.canonical import Losses, Reasoning
from asgi_gateway.dialects.contract import RequestOutline, Target
from asgi_gateway.dialects.google_generate.spelling import camel_case
from asgi_gateway.dialects.google_generate.thinking import write_thinking
from asgi_gateway.dialects.json_scan import Member, members, splice
from asgi_gateway.dialects.node import LARGEST, Node, decode_object
from asgi_gateway.errors import InvalidRequest

__all__ = ["MODEL_LIMIT", "outline", "prompt_bytes", "rewrite"]

MODEL_LIMIT = 256
"""Characters of a model's name."""

MOST_CHOICES = 128

BEFORE_MODEL = "/models/"
STREAMED = "streamGenerateContent"

_PAIR = re.compile(rb"(?:^|&)(?:%24|\$)?alt=([a-z]*)")
_DATA = re.compile(rb'"data"\s*:\s*"([^"\\]*+)')

_Limit = Annotated[int, msgspec.Meta(ge=1, le=LARGEST)]


NOT_GIVEN = msgspec.Raw()


class _Config(msgspec.Struct, rename="camel"):
    max_output_tokens: _Limit | None = None
    candidate_count: Annotated[int, msgspec.Meta(ge=1, le=MOST_CHOICES)] | None = None


class _Ordinary(msgspec.Struct):
    """A request as nearly all are."""

    contents: msgspec.Raw
    generationConfig: _Config | None = None  # noqa: N815 (a field of Google's)
    generation_config: msgspec.Raw = NOT_GIVEN


_ordinary = msgspec.json.Decoder(_Ordinary)


def outline(body: bytes, target: Target) -> RequestOutline:
    """Read a request. Raises `InvalidRequest` for what Google refuses."""
    model, stream = _addressed(target.path)
    framing = "sse"
    if stream:
        asked = _PAIR.findall(target.query)
        framing = "sse" if asked and asked[-1] == b"sse" else "json-array"
    try:
        ordinary = _ordinary.decode(body)
    except (ValueError, RecursionError):
        return _by_members(body, model, stream=stream, framing=framing)
    contents = memoryview(ordinary.contents)
    if contents.nbytes < 16 or contents[0] != ord("[") or ordinary.generation_config is not NOT_GIVEN:
        return _by_members(body, model, stream=stream, framing=framing)
    config = ordinary.generationConfig
    return RequestOutline(
        model=model,
        stream=stream,
        max_output=None if config is None else config.max_output_tokens,
        choices=1 if config is None else config.candidate_count or 1,
        framing=framing,
    )


def _addressed(path: str) -> tuple[str, bool]:
    """The model's name in a path, and whether a stream is wanted. A name may hold slashes and colons."""
    address, _, method = path.rpartition(":")
    model = address.partition(BEFORE_MODEL)[2]
    if not model or len(model) > MODEL_LIMIT:
        raise InvalidRequest("The path names no model.", param="model")
    return model, method.rstrip("/") == STREAMED


def _by_members(body: bytes, model: str, *, stream: bool, framing: str) -> RequestOutline:
    """The same member by member, with a word for everything that is wrong."""
    node = Node(camel_case(body, decode_object(body)))
    contents = node.any("contents")
    if contents is None or contents in ([], {}):
        raise InvalidRequest("contents is not specified", param="contents", code="missing_required_parameter")
    if not isinstance(contents, list | dict):
        raise node.wrong("contents", "an array")
    config = node.object("generationConfig")
    limit = None if config is None else config.integer("maxOutputTokens", 1)
    choices = None if config is None else config.integer("candidateCount", 1, MOST_CHOICES)
    return RequestOutline(model=model, stream=stream, max_output=limit, choices=choices or 1, framing=framing)


def prompt_bytes(body: bytes) -> int:
    """Bytes of the body without media that it carries in base64."""
    if b'"inlineData"' not in body and b'"inline_data"' not in body:
        return len(body)
    embedded = (match.end(1) - match.start(1) for match in _DATA.finditer(body))
    # Short ones may be a caller's own arguments of that name; media is long.
    return len(body) - sum(size for size in embedded if size > 256)


def rewrite(
    body: bytes,
    *,
    model: str | None = None,
    reasoning: Reasoning | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> bytes:
    """The body with a thinking configuration where it has none, and top-level fields of the channel's own.

    An override may name a field inside an object that the body has: `toolConfig.includeServerSideToolInvocations`.
    The model stands in the path: one that the body names, too, is taken out when it changes.
    Raises `InvalidRequest` for a body that cannot be edited byte by byte.
    """
    changes: dict[str, bytes | None] = {}
    try:
        found = members(body)
        if model is not None and any(name == "model" for name, *_ in found):
            changes["model"] = None
        if reasoning is not None:
            changes.update(_thinking(body, found, reasoning, model or ""))
        for name, value in (overrides or {}).items():
            encoded = None if value is None else msgspec.json.encode(value)
            outer, _, inner = name.partition(".")
            if not inner:
                changes[name] = encoded
            elif (inside := _member(body, found, outer)) is not None:
                changes[outer] = splice(changes.get(outer) or inside, {inner: encoded})
        return splice(body, changes, found) if changes else body
    except ValueError as wrong:
        raise InvalidRequest(f"We could not edit the JSON body of your request: {wrong}.") from wrong


def _thinking(body: bytes, found: Sequence[Member], reasoning: Reasoning, model: str) -> dict[str, bytes | None]:
    config = write_thinking(reasoning, model, Losses("request"))
    if config is None:
        return {}
    encoded = msgspec.json.encode(config)
    for name in ("generationConfig", "generation_config"):
        given = _member(body, found, name)
        if given is not None:
            if {member[0] for member in members(given)} & {"thinkingConfig", "thinking_config"}:
                return {}
            return {name: splice(given, {"thinkingConfig": encoded})}
    return {"generationConfig": b'{"thinkingConfig":' + encoded + b"}"}


def _member(body: bytes, found: Sequence[Member], name: str) -> bytes | None:
    """An object that the body has under a name."""
    for known, _, start, end in reversed(found):
        if known == name and body.startswith(b"{", start):
            return body[start:end]
    return None
