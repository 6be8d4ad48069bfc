"""Why an answer ended: `status` and `incomplete_details`, read and written.

| neutral reason | written |
|---|---|
| stop, stop_sequence, tool_calls | completed |
| refusal | completed when a refusal was written, else incomplete: content_filter |
| length, context_length | incomplete: max_output_tokens |
| content_filter | incomplete: content_filter |
| pause | approximated: incomplete, max_output_tokens: there is more to come |
| malformed_tool_call | approximated: incomplete, content_filter: the provider kept the call back |
| other | OpenAI's own reason, else approximated: completed |
"""

from collections.abc import Mapping
from typing import Any

from asgi_gateway.canonical import Losses, Stopped, StopReason

__all__ = ["read_stop", "write_stop"]

_INCOMPLETE: Mapping[str, StopReason] = {
    "max_output_tokens": "length",
    "max_tokens": "length",  # look-alikes
    "content_filter": "content_filter",
}

_OWN = frozenset({"max_output_tokens", "content_filter", "max_messages", "steered"})


def read_stop(response: Mapping[str, Any], *, called: bool, refused: bool) -> Stopped:
    """The end that a response tells of. `called` and `refused`: it holds a call of the caller's tools, a refusal."""
    status = response.get("status")
    if status == "incomplete":
        details = response.get("incomplete_details")
        native = details.get("reason") if isinstance(details, dict) else None
        native = native if isinstance(native, str) else ""
        return Stopped(_INCOMPLETE.get(native, "other"), native=native)
    if status not in (None, "completed"):  # cancelled, or in the background
        return Stopped("other", native=str(status))
    if called:
        return Stopped("tool_calls", native="completed")
    return Stopped("refusal" if refused else "stop", native="completed")


def write_stop(stopped: Stopped | None, losses: Losses, *, refused: bool) -> tuple[str, dict[str, str] | None]:
    """`status` and `incomplete_details`. Which stop sequence was met has no place: dropped."""
    if stopped is not None and stopped.sequence:
        losses.dropped("stop_sequence")
    reason = "stop" if stopped is None else stopped.reason
    match reason:
        case "stop" | "stop_sequence" | "tool_calls":
            return "completed", None
        case "refusal":
            return ("completed", None) if refused else _incomplete("content_filter")
        case "length" | "context_length":
            return _incomplete("max_output_tokens")
        case "content_filter":
            return _incomplete("content_filter")
        case "pause":
            losses.approximated("stop_reason")
            return _incomplete("max_output_tokens")
        case "malformed_tool_call":
            losses.approximated("stop_reason")
            return _incomplete("content_filter")
        case _:
            if stopped is not None and stopped.native in _OWN:
                return _incomplete(stopped.native)
            losses.approximated("stop_reason")
            return "completed", None


def _incomplete(reason: str) -> tuple[str, dict[str, str]]:
    return "incomplete", {"reason": reason}
