"""Why a candidate stopped: Google's `finishReason` and the neutral reasons.

Follows https://ai.google.dev/api/generate-content#FinishReason and Vertex's; older versions of Vertex send numbers.
"""

from typing import Any

from asgi_gateway.canonical import Losses, Stopped, StopReason

__all__ = ["finish_reason", "name_of", "stop_reason"]

_READ: dict[str, StopReason] = {
    "STOP": "stop",
    "MAX_TOKENS": "length",
    "SAFETY": "content_filter",
    "RECITATION": "content_filter",
    "LANGUAGE": "content_filter",
    "BLOCKLIST": "content_filter",
    "PROHIBITED_CONTENT": "content_filter",
    "SPII": "content_filter",
    "MODEL_ARMOR": "content_filter",
    "JAILBREAK": "content_filter",
    "IMAGE_SAFETY": "content_filter",
    "IMAGE_PROHIBITED_CONTENT": "content_filter",
    "IMAGE_RECITATION": "content_filter",
    "MALFORMED_FUNCTION_CALL": "malformed_tool_call",
    "UNEXPECTED_TOOL_CALL": "malformed_tool_call",
    "MISSING_THOUGHT_SIGNATURE": "malformed_tool_call",
    "TOO_MANY_TOOL_CALLS": "other",
    "CONTINUATION": "pause",
    "OTHER": "other",
    "IMAGE_OTHER": "other",
    "NO_IMAGE": "other",
    "MALFORMED_RESPONSE": "other",
    "ESCALATION": "other",
}

_NUMBERED = (
    "FINISH_REASON_UNSPECIFIED",
    "STOP",
    "MAX_TOKENS",
    "SAFETY",
    "RECITATION",
    "OTHER",
    "BLOCKLIST",
    "PROHIBITED_CONTENT",
    "SPII",
    "MALFORMED_FUNCTION_CALL",
    "MODEL_ARMOR",
    "IMAGE_SAFETY",
    "IMAGE_PROHIBITED_CONTENT",
    "IMAGE_RECITATION",
    "IMAGE_OTHER",
    "UNEXPECTED_TOOL_CALL",
    "NO_IMAGE",
)

_WRITTEN: dict[StopReason, str] = {
    "stop": "STOP",
    "stop_sequence": "STOP",
    "tool_calls": "STOP",
    "length": "MAX_TOKENS",
    "context_length": "MAX_TOKENS",
    "content_filter": "SAFETY",
    "refusal": "SAFETY",
    "malformed_tool_call": "MALFORMED_FUNCTION_CALL",
    "pause": "OTHER",
    "other": "OTHER",
}

_NEAR = frozenset({"context_length", "refusal", "pause"})


def name_of(reason: Any) -> str:
    """A reason as a name; "" for none."""
    if isinstance(reason, int) and not isinstance(reason, bool):
        return _NUMBERED[reason] if 0 <= reason < len(_NUMBERED) else "OTHER"
    return reason if isinstance(reason, str) and reason != "FINISH_REASON_UNSPECIFIED" else ""


def stop_reason(name: str, *, called: bool) -> StopReason:
    """The neutral reason; `called`: the candidate holds function calls, for which Google has no reason of its own.

    A name that is not known says nothing: with calls it ended for them (imitations of Google say FUNCTION_CALL).
    """
    reason = _READ.get(name)
    if called and reason in {None, "stop"}:
        return "tool_calls"
    return reason or "other"


def finish_reason(stopped: Stopped | None, losses: Losses) -> str:
    """Google's name for a reason: its own where it is one, else the nearest."""
    if stopped is None:
        return "OTHER"
    if stopped.sequence:
        losses.dropped("stop_sequence")
    if _READ.get(stopped.native) is not None:
        return stopped.native
    if stopped.reason in _NEAR:
        losses.approximated("stop_reason")
    return _WRITTEN[stopped.reason]
