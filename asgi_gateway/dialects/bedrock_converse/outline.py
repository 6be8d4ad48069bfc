"""What the layers need to know of a request, and the permitted splices. The model stands in the path."""

import re
from collections.abc import Mapping
from typing import Annotated, Any

import msgspec

from asgi_gateway.canonical import Losses, Reasoning, Sampling
from asgi_gateway.dialects.bedrock_converse.models import family_of
from asgi_gateway.dialects.bedrock_converse.reasoning import write_reasoning
from asgi_gateway.dialects.contract import RequestOutline, Target
from asgi_gateway.dialects.json_scan import members, splice
from asgi_gateway.dialects.node import LARGEST, Node, decode_object
from asgi_gateway.errors import InvalidRequest

__all__ = ["outline", "prompt_bytes", "rewrite"]

NAME_LIMIT = 2048
"""Characters of a model's id, which may be an ARN."""

BEFORE = "/model/"
PLAIN, STREAM = "/converse", "/converse-stream"

_BYTES = re.compile(rb'"bytes"\s*:\s*"')

ASKS_TO_THINK = frozenset({"thinking", "reasoningConfig", "reasoning_config", "reasoning_effort"})


class _Inference(msgspec.Struct):
    max_tokens: Annotated[int, msgspec.Meta(ge=1, le=LARGEST)] | None = msgspec.field(name="maxTokens", default=None)


class _Ordinary(msgspec.Struct):
    """A request as nearly all are."""

    messages: msgspec.Raw
    inference: _Inference | None = msgspec.field(name="inferenceConfig", default=None)


_ordinary = msgspec.json.Decoder(_Ordinary)


def outline(body: bytes, target: Target) -> RequestOutline:
    """Read path and body. Raises `InvalidRequest` with `param` for what cannot be."""
    model, stream = _addressed(target.path)
    try:
        inference = _ordinary.decode(body).inference
        most = None if inference is None else inference.max_tokens
    except (ValueError, RecursionError):
        node = Node(decode_object(body))
        node.list("messages")
        config = node.object("inferenceConfig")
        most = None if config is None else config.integer("maxTokens", least=1)
    return RequestOutline(
        model=model,
        stream=stream,
        max_output=most,
        wants_usage=True,
        framing="eventstream" if stream else "sse",
    )


def prompt_bytes(body: bytes) -> int:
    """How many bytes of the body are prompt: images, documents and films in base64 are left out."""
    total = len(body)
    match = _BYTES.search(body)
    while match is not None:
        end = body.find(b'"', match.end())
        if end < 0:
            break
        total -= end - match.end()
        match = _BYTES.search(body, end)
    return total


def rewrite(
    body: bytes, *, model: str | None, reasoning: Reasoning | None, overrides: Mapping[str, Any] | None
) -> bytes:
    """The body with thinking that it did not ask for itself, and top-level fields. The model is none of it."""
    if not overrides and (reasoning is None or model is None):
        return body
    try:
        found = members(body)
        changes: dict[str, bytes | None] = {}
        if reasoning is not None and model is not None:
            values = {name: body[start:end] for name, _, start, end in found}
            changes.update(_thinking(values, reasoning, model))
        for name, value in (overrides or {}).items():
            changes[name] = None if value is None else msgspec.json.encode(value)
        return splice(body, changes, found)
    except ValueError as wrong:
        raise InvalidRequest(f"We could not edit the JSON body of your request: {wrong}.") from wrong


def _addressed(path: str) -> tuple[str, bool]:
    stream = path.endswith(STREAM)
    behind = STREAM if stream else PLAIN
    if not path.startswith(BEFORE) or not path.endswith(behind):
        raise InvalidRequest("The path names no model.", param="modelId", code="missing_required_parameter")
    model = path[len(BEFORE) : -len(behind)]
    if len(model) > NAME_LIMIT:
        raise InvalidRequest(f"A model's id has at most {NAME_LIMIT} characters.", param="modelId")
    return model, stream


def _thinking(values: Mapping[str, bytes], reasoning: Reasoning, model: str) -> dict[str, bytes]:
    """The members that change when a model's name asked for thinking; none when the body speaks of it itself."""
    additional = _object(values.get("additionalModelRequestFields"))
    output = _object(values.get("outputConfig"))
    if ASKS_TO_THINK & additional.keys() or "effort" in output:
        return {}
    inference = _object(values.get("inferenceConfig"))
    most = inference.get("maxTokens")
    choice = _object(values.get("toolConfig")).get("toolChoice")
    forced = isinstance(choice, dict) and "auto" not in choice
    sampling = Sampling(max_output=most if type(most) is int else None)
    fields, effort = write_reasoning(reasoning, model, sampling, forced, Losses("request"))
    changes: dict[str, bytes] = {}
    if fields:
        changes["additionalModelRequestFields"] = msgspec.json.encode({**additional, **fields})
    if effort:
        changes["outputConfig"] = msgspec.json.encode({**output, "effort": effort})
    thinks = bool(effort) or fields.get("thinking", {}).get("type") in ("enabled", "adaptive")
    if thinks and family_of(model) == "claude" and {"temperature", "topP"} & inference.keys():
        kept = {name: value for name, value in inference.items() if name not in ("temperature", "topP")}
        changes["inferenceConfig"] = msgspec.json.encode(kept)
    return changes


def _object(value: bytes | None) -> dict[str, Any]:
    found = None if value is None else msgspec.json.decode(value)
    return found if isinstance(found, dict) else {}
