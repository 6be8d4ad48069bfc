"""What the layers need to know of a request, and the permitted splices."""

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec

from asgi_gateway.canonical import Losses, Reasoning
from asgi_gateway.dialects.contract import RequestOutline
from asgi_gateway.dialects.json_scan import members
from asgi_gateway.dialects.openai_responses.reasoning import write_reasoning
from asgi_gateway.dialects.openai_wire import requests
from asgi_gateway.dialects.openai_wire.families import family_of
from asgi_gateway.dialects.openai_wire.fields import LARGEST, NAME_LIMIT, Fields
from asgi_gateway.dialects.service_tiers import tier_of
from asgi_gateway.errors import InvalidRequest

__all__ = ["outline", "rewrite"]

SURELY_NOT_EMPTY = 64
"""Bytes of an input above which nobody needs to look whether it is empty."""

_STARTS = b'["'

_REPLACING = ("previous_response_id", "conversation", "prompt")
"""Fields that bring an input of their own."""


class _Ordinary(msgspec.Struct):
    """A request as nearly all are."""

    model: Annotated[str, msgspec.Meta(min_length=1, max_length=NAME_LIMIT)]
    input: msgspec.Raw
    stream: bool | None = None
    max_output_tokens: Annotated[int, msgspec.Meta(ge=1, le=LARGEST)] | None = None
    service_tier: str | None = None


class _Replaced(msgspec.Struct):
    input: Any = None
    previous_response_id: Any = None
    conversation: Any = None
    prompt: Any = None


_ordinary = msgspec.json.Decoder(_Ordinary)
_replaced = msgspec.json.Decoder(_Replaced)
_object = msgspec.json.Decoder(dict[str, msgspec.Raw])


def outline(body: bytes) -> RequestOutline:
    """Read a body. Raises `InvalidRequest` with type, code and param as OpenAI sets them."""
    try:
        ordinary = _ordinary.decode(body)
    except (ValueError, RecursionError):
        return _by_members(body)
    given = memoryview(ordinary.input)
    if given.nbytes < SURELY_NOT_EMPTY or given[0] not in _STARTS:
        return _by_members(body)
    return RequestOutline(
        model=ordinary.model,
        stream=bool(ordinary.stream),
        max_output=ordinary.max_output_tokens,
        wants_usage=True,
        service_tier=tier_of(ordinary.service_tier),
    )


def _by_members(body: bytes) -> RequestOutline:
    fields = Fields(body)
    model = fields.model()
    if not _is_replaced(body):
        fields.require("input", "a string", "an array")
    return RequestOutline(
        model=model,
        stream=fields.flag("stream"),
        max_output=fields.integer("max_output_tokens", 1),
        wants_usage=True,
        service_tier=tier_of(fields.word("service_tier")),
    )


def _is_replaced(body: bytes) -> bool:
    """Whether the input is left out, and something else brings it."""
    try:
        found = _replaced.decode(body.removeprefix(b"\xef\xbb\xbf"))
    except (ValueError, RecursionError):
        return False
    return not found.input and any(getattr(found, name) for name in _REPLACING)


def rewrite(
    body: bytes,
    *,
    model: str | None = None,
    reasoning: Reasoning | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> bytes:
    """The body with another model, reasoning that it did not ask for itself, and top-level fields.

    Overrides win. Sampling that the reasoning model refuses is taken out.
    """
    changes: dict[str, Any] = {}
    if reasoning is not None:
        changes = _reasoning(body, model, reasoning)
    changes.update(overrides or {})
    return requests.rewrite(body, model=model, overrides=changes)


def _reasoning(body: bytes, model: str | None, reasoning: Reasoning) -> dict[str, Any]:
    try:
        found = {name: body[start:end] for name, _, start, end in members(body)}
        given = found.get("reasoning", b"null")
        own = {} if given == b"null" else dict(_object.decode(given))
        name = model if model is not None else str(msgspec.json.decode(found.get("model", b'""')))
    except (ValueError, RecursionError) as wrong:
        raise InvalidRequest(f"We could not edit the JSON body of your request: {wrong}.", param="reasoning") from wrong
    family = family_of(name)
    changes: dict[str, Any] = {}
    effort = own.get("effort")
    if effort is None or bytes(effort) == b"null":
        asked = write_reasoning(reasoning, name, family, Losses("request"))
        if not asked:
            return {}
        changes["reasoning"] = {**asked, **{key: value for key, value in own.items() if bytes(value) != b"null"}}
        if family.reasons and asked.get("effort", "none") != "none":
            changes.update({name: None for name in ("temperature", "top_p", "top_logprobs") if name in found})
    return changes
