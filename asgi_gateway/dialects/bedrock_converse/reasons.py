"""Converse's `stopReason`, and the neutral reasons.

| Converse | neutral |
|---|---|
| end_turn | stop; written also, approximated, for pause, other |
| tool_use | tool_calls |
| max_tokens | length |
| stop_sequence | stop_sequence |
| guardrail_intervened, content_filtered | content_filter; content_filtered is written, approximated, for refusal |
| malformed_model_output | other |
| malformed_tool_use | malformed_tool_call |
| model_context_window_exceeded | context_length |
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from asgi_gateway.canonical import Losses, Stopped, StopReason

__all__ = ["read_reason", "write_reason"]

_READ: Mapping[str, StopReason] = MappingProxyType(
    {
        "end_turn": "stop",
        "tool_use": "tool_calls",
        "max_tokens": "length",
        "stop_sequence": "stop_sequence",
        "guardrail_intervened": "content_filter",
        "content_filtered": "content_filter",
        "malformed_model_output": "other",
        "malformed_tool_use": "malformed_tool_call",
        "model_context_window_exceeded": "context_length",
    }
)

_WRITTEN: Mapping[StopReason, str] = MappingProxyType(
    {
        "stop": "end_turn",
        "tool_calls": "tool_use",
        "length": "max_tokens",
        "stop_sequence": "stop_sequence",
        "content_filter": "content_filtered",
        "malformed_tool_call": "malformed_tool_use",
        "context_length": "model_context_window_exceeded",
    }
)


def read_reason(word: str, fields: Any, losses: Losses) -> Stopped:
    """Converse's word as a stop. `fields` are the model's additional ones: the stop sequence met may be there."""
    sequence = ""
    if isinstance(fields, dict):
        met = fields.get("stop_sequence")
        sequence = met if isinstance(met, str) else ""
        if any(name != "stop_sequence" for name in fields):
            losses.dropped("additionalModelResponseFields")
    return Stopped(_READ.get(word, "other"), sequence=sequence, native=word)


def write_reason(stopped: Stopped | None, losses: Losses) -> tuple[str, dict[str, Any] | None]:
    """Converse's word for a stop, and additional fields."""
    if stopped is None:
        losses.approximated("stopReason")
        return "end_turn", None
    fields = {"stop_sequence": stopped.sequence} if stopped.sequence else None
    if _READ.get(stopped.native) == stopped.reason:
        return stopped.native, fields
    word = _WRITTEN.get(stopped.reason)
    if word is None:
        losses.approximated("stopReason")
        word = "content_filtered" if stopped.reason == "refusal" else "end_turn"
    return word, fields
