"""A stream as events: `data:` lines of JSON, `[DONE]` at the end, or a reason to finish where that is never sent."""

from typing import Any

import msgspec

from asgi_gateway.canonical import Event, Losses
from asgi_gateway.dialects import sse
from asgi_gateway.dialects.openai_chat.answer_reader import AnswerReader
from asgi_gateway.dialects.openai_wire.stream import error_in
from asgi_gateway.errors import MalformedUpstream

__all__ = ["ChatStreamReader"]

BOM = b"\xef\xbb\xbf"

EVENT_LIMIT = 64 << 20
"""Bytes of one event: images come whole."""

_object = msgspec.json.Decoder(dict[str, Any])


class ChatStreamReader:
    """Reads one stream. Nothing is read behind its end or an error."""

    __slots__ = ("_answer", "_done", "_first", "_held")

    def __init__(self, losses: Losses) -> None:
        self._answer = AnswerReader(losses)
        self._held = bytearray()
        self._done = False
        self._first = True

    def feed(self, chunk: bytes) -> list[Event]:
        """The events that are whole with this chunk."""
        given: list[Event] = []
        if self._done:
            return given
        held = self._held
        if not held and chunk.endswith(b"\n\n"):
            block = chunk
        else:
            start = max(0, len(held) - 2)
            held += chunk
            end = sse.boundary(held, start) if b"\n" in chunk else 0
            if not end:
                if len(held) > EVENT_LIMIT:
                    self._fail("the upstream's stream holds an event that is too long", given)
                return given
            block = bytes(held[:end])
            del held[:end]
        self._read(block, given)
        return given

    def finish(self) -> list[Event]:
        """The upstream ended its body."""
        given: list[Event] = []
        if not self._done and self._held:
            self._read(bytes(self._held), given)
            self._held.clear()
        if not self._done:
            if self._answer.is_whole:
                self._end(given)
            else:
                self._fail("the upstream's stream ended too soon", given)
        return given

    def _read(self, block: bytes, given: list[Event]) -> None:
        if self._first:
            self._first = False
            block = block.removeprefix(BOM)
        for event in sse.events(block):
            if self._done:
                return
            self._event(event, given)

    def _event(self, event: bytes, given: list[Event]) -> None:
        data = sse.data_of(event)
        if data[:6] == b"[DONE]":
            if self._answer.has_begun:
                self._end(given)
            else:
                self._fail("the upstream's stream ended before it said anything", given)
            return
        try:
            payload = _object.decode(data) if data else {}
        except (ValueError, RecursionError):
            payload = {}
            if data.strip() and b"error:" not in event and b"event:" not in event:
                self._fail("the upstream's stream holds an event that is no JSON object", given)
                return
        if b"error" in event and (error := error_in(event, payload)) is not None:
            self._done = True
            self._answer.fail(error, given)
        elif payload:
            self._answer.take(payload, given)

    def _end(self, given: list[Event]) -> None:
        self._done = True
        self._answer.end(given)

    def _fail(self, reason: str, given: list[Event]) -> None:
        self._done = True
        self._answer.fail(MalformedUpstream(reason), given)
