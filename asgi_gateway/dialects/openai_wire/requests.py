"""Request bodies of OpenAI's interface: the permitted splices, and how much of a body is prompt."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from asgi_gateway.dialects.json_scan import Member, members, splice
from asgi_gateway.errors import InvalidRequest

__all__ = ["prompt_bytes", "rewrite"]

ASK_FOR_USAGE = b'{"include_usage":true}'

_MEDIA = re.compile(rb'"(?:url|image_url|file_data|video_url)"\s*:\s*"data:[^",]{0,100}\Z')
_AUDIO = re.compile(rb'"data"\s*:\s*"')


def rewrite(
    body: bytes,
    *,
    model: str | None = None,
    include_usage: bool = False,
    overrides: Mapping[str, Any] | None = None,
) -> bytes:
    """The body with another model, a request for the usage in the stream, and top-level fields of the channel's own.

    Overrides win over the other two; one of None removes its field.
    Raises `InvalidRequest` for a body that cannot be edited byte by byte: no JSON object, or a long field given twice.
    """
    changes: dict[str, bytes | None] = {}
    try:
        if model is not None:
            changes["model"] = msgspec.json.encode(model)
        found = members(body)
        if include_usage:
            changes["stream_options"] = _asking(body, found)
        for name, value in (overrides or {}).items():
            changes[name] = None if value is None else msgspec.json.encode(value)
        return splice(body, changes, found)
    except ValueError as wrong:
        raise InvalidRequest(f"We could not edit the JSON body of your request: {wrong}.") from wrong


def prompt_bytes(body: bytes) -> int:
    """Bytes of the body without images, audio and files that it carries in base64.

    Names and punctuation of the JSON are counted: an estimate made of this is rather too high.
    """
    return len(body) - _embedded_bytes(body) - _audio_bytes(body)


def _asking(body: bytes, found: Sequence[Member]) -> bytes:
    """The value of `stream_options` that asks for the usage and keeps what else it says."""
    for name, _, start, end in reversed(found):
        if name == "stream_options":
            given = body[start:end]
            return splice(given, {"include_usage": b"true"}) if given.startswith(b"{") else ASK_FOR_USAGE
    return ASK_FOR_USAGE


def _embedded_bytes(body: bytes) -> int:
    total = 0
    position = body.find(b";base64,")
    while position >= 0:
        end = body.find(b'"', position)
        if end < 0:
            break
        # Only where media stands: the words alone in a text do not make it cheaper.
        if _MEDIA.search(body, max(0, position - 160), position):
            total += end - position
        position = body.find(b";base64,", end)
    return total


def _audio_bytes(body: bytes) -> int:
    total = 0
    position = body.find(b'"input_audio"')
    while position >= 0:
        # {"type": "input_audio", "input_audio": {"data": "…", "format": "wav"}}
        found = _AUDIO.search(body, position, position + 200)
        position += 1
        if found is not None:
            end = body.find(b'"', found.end())
            total += max(0, end - found.end())
            position = max(position, end)
        position = body.find(b'"input_audio"', position)
    return total
