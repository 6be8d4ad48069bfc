"""Reasons to stop as `finish_reason`, by a written table.

| reason | `finish_reason` |
|---|---|
| stop, stop_sequence | "stop" |
| length, context_length | "length" |
| tool_calls | "tool_calls"; "function_call" for a caller of the older form |
| content_filter | "content_filter" |
| refusal | "stop" where a `refusal` says it, as OpenAI has it; else "content_filter" |
| pause, malformed_tool_call, other | "stop", noted as approximated |
"""

from asgi_gateway.canonical import Losses, Stopped, StopReason

__all__ = ["finish_reason", "note_stop"]

_REASONS: dict[StopReason, str] = {
    "stop": "stop",
    "stop_sequence": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
    "content_filter": "content_filter",
    "context_length": "length",
}


def finish_reason(reason: StopReason, *, called: bool, refused: bool, legacy: bool, losses: Losses) -> str:
    """The word for a reason; `called` and `refused` say what the choice holds."""
    if reason == "refusal":
        return "stop" if refused else "content_filter"
    if reason == "tool_calls" or (reason == "stop" and called):
        return "function_call" if legacy else "tool_calls"
    word = _REASONS.get(reason)
    if word is None:
        losses.approximated("finish_reason")
        return "stop"
    return word


def note_stop(stopped: Stopped, losses: Losses) -> None:
    """Note what a `finish_reason` does not say: which sequence was met, and the provider's explanations."""
    if stopped.sequence:
        losses.dropped("stop_sequence")
    if stopped.details is not None:
        losses.dropped("stop_details")
