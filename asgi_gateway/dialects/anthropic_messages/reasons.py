"""Reasons to stop, and back."""

from collections.abc import Mapping

from asgi_gateway.canonical import Losses, Stopped, StopReason

__all__ = ["read_reason", "write_reason"]

READ: Mapping[str, StopReason] = {
    "end_turn": "stop",
    "stop_sequence": "stop_sequence",
    "max_tokens": "length",
    "tool_use": "tool_calls",
    "pause_turn": "pause",
    "refusal": "refusal",
    "model_context_window_exceeded": "context_length",
}

WRITTEN: Mapping[StopReason, str] = {
    "stop": "end_turn",
    "stop_sequence": "stop_sequence",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "content_filter": "refusal",
    "refusal": "refusal",
    "pause": "pause_turn",
    "context_length": "model_context_window_exceeded",
    "malformed_tool_call": "end_turn",
    "other": "end_turn",
}

APPROXIMATED = frozenset({"content_filter", "malformed_tool_call", "other"})


def read_reason(reason: object, sequence: object, details: object = None) -> Stopped:
    """A stop from `stop_reason` and `stop_sequence`."""
    native = reason if isinstance(reason, str) else ""
    met = sequence if isinstance(sequence, str) else ""
    return Stopped(READ.get(native, "other"), 0, met, native, details)


def write_reason(stopped: Stopped | None, losses: Losses) -> tuple[str, str | None]:
    """`stop_reason` and `stop_sequence`."""
    if stopped is None:
        return "end_turn", None
    if stopped.reason in APPROXIMATED:
        losses.approximated("finish_reason")
    return WRITTEN[stopped.reason], stopped.sequence or None
