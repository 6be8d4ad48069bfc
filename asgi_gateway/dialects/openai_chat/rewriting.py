"""Reasoning asked for by a model's name, spliced into a body of this dialect.

Sampling is only looked at when reasoning is spliced in: what the caller itself sent to a reasoning model is its affair.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from asgi_gateway.canonical import Losses, Reasoning
from asgi_gateway.dialects.json_scan import members
from asgi_gateway.dialects.openai_chat.efforts import asked_effort, write_reasoning
from asgi_gateway.dialects.openai_chat.request_writer import REFUSED_BY_REASONING
from asgi_gateway.dialects.openai_wire.families import family_of
from asgi_gateway.errors import InvalidRequest

__all__ = ["reasoning_fields"]

SAID = frozenset({"reasoning_effort", "reasoning", "thinking", "enable_thinking", "thinking_budget"})
"""Fields in which a body itself says something about reasoning."""


def reasoning_fields(body: bytes, model: str | None, reasoning: Reasoning) -> Mapping[str, Any]:
    """What to change at the top of a body; None removes a field. Nothing where it says itself how to reason.

    `model` is the upstream's name, None when the body has it already. Raises `InvalidRequest` for no JSON object.
    """
    try:
        found = members(body)
    except ValueError as wrong:
        raise InvalidRequest(f"We could not edit the JSON body of your request: {wrong}.") from wrong
    given = {name: (start, end) for name, _, start, end in found}
    if any(name in SAID and body[slice(*given[name])] != b"null" for name in given):
        return {}
    name = model if model is not None else _text(body, given.get("model"))
    family = family_of(name)
    fields: dict[str, Any] = dict(write_reasoning(reasoning, name, family, Losses("request")))
    if not family.reasons:
        return fields
    if asked_effort(reasoning, name, family) != "none":
        fields.update({refused: None for refused in REFUSED_BY_REASONING if refused in given})
    if "max_tokens" in given:
        if "max_completion_tokens" not in given:
            start, end = given["max_tokens"]
            fields["max_completion_tokens"] = msgspec.json.decode(body[start:end])
        fields["max_tokens"] = None
    return fields


def _text(body: bytes, place: tuple[int, int] | None) -> str:
    value = msgspec.json.decode(body[place[0] : place[1]]) if place is not None else ""
    return value if isinstance(value, str) else ""
