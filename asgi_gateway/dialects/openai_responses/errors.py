"""Errors inside streams and answers of Responses; error bodies are those of all of OpenAI's interface.

An `error` event has the members of `ResponseErrorEvent` at its top; OpenAI's servers also put them under `error`.
A `response.failed` event has them in its response.
"""

import json
from collections.abc import Mapping
from typing import Any

from asgi_gateway.dialects.openai_wire.errors import error_inside
from asgi_gateway.errors import GatewayError, UpstreamError

__all__ = ["error_of_event", "error_of_response", "write_error_event"]


def error_of_event(event: Mapping[str, Any]) -> UpstreamError | None:
    """The error that an event tells of; None when it tells of none."""
    kind = event.get("type")
    if kind in ("response.failed", "response.error"):
        response = event.get("response")
        return error_of_response(response if isinstance(response, dict) else {}) or error_inside(event)
    if kind == "error" or event.get("error"):
        # "error" as a type says nothing of the error.
        return error_inside({name: value for name, value in event.items() if name != "type"})
    return None


def error_of_response(response: Mapping[str, Any]) -> UpstreamError | None:
    """The error of a response that failed; None for one that did not."""
    error = response.get("error")
    if isinstance(error, dict) and error:
        return error_inside({"error": error})
    return error_inside({}) if response.get("status") == "failed" else None


def write_error_event(error: GatewayError, sequence_number: int = 0) -> bytes:
    """An error as the last event of a stream."""
    fields = {
        "type": "error",
        "sequence_number": sequence_number,
        "code": error.code or error.type,
        "message": error.message,
        "param": error.param,
    }
    # json, not a faster encoder: it also takes lone surrogates, which a caller may have sent.
    return b"event: error\ndata: " + json.dumps(fields, separators=(",", ":")).encode() + b"\n\n"
