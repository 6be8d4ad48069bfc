"""Reasons to stop, and what stands beside them, read and written."""

from collections.abc import Mapping
from typing import Any

from asgi_gateway.canonical import Losses, Stopped, StopReason
from asgi_gateway.dialects.anthropic_messages.names import Json

__all__ = ["BESIDE", "beside", "read_reason", "write_reason"]

READ: Mapping[str, StopReason] = {
    "end_turn": "stop",
    "stop_sequence": "stop_sequence",
    "max_tokens": "length",
    "tool_use": "tool_calls",
    "pause_turn": "pause",
    "compaction": "pause",
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

BESIDE = ("container", "stop_details", "context_management", "diagnostics", "input_transformations")
"""Members of a message, or of the end of a stream, that tell of the answer as a whole."""


def read_reason(reason: object, sequence: object, details: Any = None) -> Stopped:
    """A stop from `stop_reason` and `stop_sequence`; `details` are the members that stand beside them, by name."""
    native = reason if isinstance(reason, str) else ""
    met = sequence if isinstance(sequence, str) else ""
    return Stopped(READ.get(native, "other"), 0, met, native, details)


def write_reason(
    stopped: Stopped | None, losses: Losses, *, called: bool, refused: bool = False
) -> tuple[str, str | None]:
    """`stop_reason` and `stop_sequence`. `called`: the answer holds calls; `refused`: or a refusal.

    A message with calls has stopped for them, and one without them has not: clients act on the reason.
    """
    if stopped is None:
        return "tool_use" if called else "end_turn", None
    reason = stopped.reason
    if reason == "stop" and refused and not called:
        return "refusal", None
    if (called and reason in ("stop", "stop_sequence")) or (reason == "tool_calls" and not called):
        losses.approximated("finish_reason")
        return "tool_use" if called else "end_turn", None
    if reason in APPROXIMATED:
        losses.approximated("finish_reason")
    return WRITTEN[reason], (stopped.sequence or None) if reason == "stop_sequence" else None


def beside(stopped: Stopped | None) -> Json:
    """The members beside the reason, of an answer that was Anthropic's."""
    details = stopped.details if stopped is not None else None
    if not isinstance(details, dict):
        return {}
    return {name: details[name] for name in BESIDE if details.get(name) is not None}
