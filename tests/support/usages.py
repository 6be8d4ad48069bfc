"""The usage of an answer by each way: where it is converted, and where it passes."""

import json
from collections.abc import Mapping
from typing import Any

from asgi_gateway.canonical import Losses, Usage, collect
from asgi_gateway.dialects import CHAT_DIALECTS
from asgi_gateway.dialects.contract import RequestOutline
from support.conversion import read_plain, read_stream

__all__ = ["LONG", "both", "both_streamed", "events", "tapped"]

LONG = "A" * (1 << 19)
"""A text that no tap keeps."""


def tapped(dialect: str, wire: bytes, *, stream: bool = False, size: int = 1 << 30) -> Usage | None:
    """The usage of an answer that passes unchanged, in chunks of so many bytes."""
    tap = CHAT_DIALECTS[dialect].tap(RequestOutline(model="m", stream=stream, wants_usage=True), stream=stream)
    passed = b"".join(tap.feed(wire[start : start + size]) for start in range(0, len(wire), size)) + tap.finish()
    assert passed == wire
    return tap.usage


def both(dialect: str, answer: Mapping[str, Any]) -> Usage:
    """The usage of a plain answer: the same where it is converted and where it passes."""
    wire = json.dumps(answer).encode()
    usage = collect(read_plain(dialect, wire, Losses("response"))).usage
    assert usage is not None
    assert tapped(dialect, wire) == usage
    return usage


def both_streamed(dialect: str, wire: bytes) -> Usage:
    """The same of a stream, in one chunk and in many."""
    usage = collect(read_stream(dialect, wire, Losses("response"))).usage
    assert usage is not None
    assert tapped(dialect, wire, stream=True) == tapped(dialect, wire, stream=True, size=100) == usage
    return usage


def events(*payloads: Mapping[str, Any], named: bool = False) -> bytes:
    """A stream of these objects; `named`: each event has its type for a name."""
    lines = (b"event: %b\n" % payload["type"].encode() if named else b"" for payload in payloads)
    return b"".join(
        line + b"data: " + json.dumps(payload).encode() + b"\n\n" for line, payload in zip(lines, payloads, strict=True)
    )
