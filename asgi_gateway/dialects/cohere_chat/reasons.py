"""Cohere's reasons to finish, and the neutral ones.

| Cohere | read as | written for |
|---|---|---|
| COMPLETE | stop | stop; approximated: refusal, content_filter, pause, malformed_tool_call, other |
| STOP_SEQUENCE | stop_sequence | stop_sequence |
| MAX_TOKENS | length | length; approximated: context_length |
| TOOL_CALL | tool_calls | tool_calls |
| ERROR, TIMEOUT | a failure | never |
| ERROR_TOXIC, ERROR_LIMIT (older) | content_filter, context_length | never |
"""

from collections.abc import Mapping
from types import MappingProxyType

from asgi_gateway.canonical import Losses, Stopped, StopReason

__all__ = ["FAILURES", "read_reason", "write_reason"]

FAILURES = frozenset({"ERROR", "TIMEOUT"})

_READ: Mapping[str, StopReason] = MappingProxyType(
    {
        "COMPLETE": "stop",
        "STOP_SEQUENCE": "stop_sequence",
        "MAX_TOKENS": "length",
        "TOOL_CALL": "tool_calls",
        "ERROR_TOXIC": "content_filter",
        "ERROR_LIMIT": "context_length",
    }
)

_WRITTEN: Mapping[StopReason, str] = MappingProxyType(
    {"stop": "COMPLETE", "stop_sequence": "STOP_SEQUENCE", "length": "MAX_TOKENS", "tool_calls": "TOOL_CALL"}
)


def read_reason(word: str) -> Stopped:
    """Cohere's word as a stop; an unknown one is kept in `native`."""
    return Stopped(_READ.get(word, "other"), native=word)


def write_reason(stopped: Stopped | None, losses: Losses) -> str:
    """Cohere's word for a stop."""
    reason = stopped.reason if stopped is not None else "other"
    if stopped is not None and stopped.sequence:
        losses.dropped("stop_sequence")
    word = _WRITTEN.get(reason)
    if word is None:
        losses.approximated("finish_reason")
        word = "MAX_TOKENS" if reason == "context_length" else "COMPLETE"
    return word
