"""Bedrock's Converse of aimock's, without the faults that Amazon's own client does not take.

aimock begins a block of text with a `contentBlockStart` that starts nothing, writes errors as Anthropic does, and fails
at a `cachePoint` among the tools.
"""

import json
from collections.abc import Callable, Iterator

from support.http_upstream import Asked, Told, forward_to

__all__ = ["mended_bedrock"]

EXCEPTIONS = {400: "ValidationException", 429: "ThrottlingException", 500: "InternalServerException"}


def mended_bedrock(port: int) -> Callable[[Asked], Told]:
    """Answers by what aimock at this port says, as Amazon would."""
    forward = forward_to(port)

    def answer(request: Asked) -> Told:
        told = forward(_without_cache_point(request))
        if told.status in EXCEPTIONS:
            message = json.dumps({"message": json.loads(told.body)["error"]["message"]}).encode()
            return Told(message, told.status, headers={"x-amzn-errortype": EXCEPTIONS[told.status]})
        if request.path.endswith("/converse-stream"):
            kept = [frame for frame in _frames(told.body) if not _starts_nothing(frame)]
            return Told(b"".join(kept), media_type=told.media_type)
        return told

    return answer


def _without_cache_point(request: Asked) -> Asked:
    if b"cachePoint" not in request.raw:
        return request
    body = request.body
    if "toolConfig" in body:
        body["toolConfig"]["tools"] = [tool for tool in body["toolConfig"]["tools"] if "cachePoint" not in tool]
    return Asked(request.path, request.headers, json.dumps(body).encode())


def _frames(data: bytes) -> Iterator[bytes]:
    """The frames of an event stream: each begins with its length, four bytes."""
    while data:
        length = int.from_bytes(data[:4], "big")
        yield data[:length]
        data = data[length:]


def _starts_nothing(frame: bytes) -> bool:
    return b"contentBlockStart" in frame and b'"toolUse"' not in frame
