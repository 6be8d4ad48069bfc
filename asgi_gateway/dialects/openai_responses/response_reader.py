"""Reads a plain answer as events."""

from typing import Any

import msgspec

from asgi_gateway.canonical import Event, Losses
from asgi_gateway.dialects.openai_responses.errors import error_of_response
from asgi_gateway.dialects.openai_responses.output_reader import OutputReader
from asgi_gateway.dialects.openai_wire.errors import error_inside
from asgi_gateway.errors import MalformedUpstream

__all__ = ["read_response"]

BOM = b"\xef\xbb\xbf"


def read_response(body: bytes, losses: Losses) -> list[Event]:
    """The events of a whole answer. Raises `UpstreamError` for an error inside it, or for what is none."""
    try:
        response: Any = msgspec.json.decode(body.removeprefix(BOM))
    except (ValueError, RecursionError) as wrong:
        raise MalformedUpstream("the upstream's answer is no complete JSON object") from wrong
    if not isinstance(response, dict):
        raise MalformedUpstream("the upstream's answer is no JSON object")
    error = error_of_response(response)
    if error is not None:
        raise error
    output = response.get("output")
    if not isinstance(output, list):
        raise (
            error_inside(response)
            if response.get("error")
            else MalformedUpstream("the upstream's answer has no output")
        )
    reader = OutputReader(losses)
    reader.start(response)
    for item in output:
        if isinstance(item, dict):
            reader.whole(item)
    reader.end(response)
    return reader.given
