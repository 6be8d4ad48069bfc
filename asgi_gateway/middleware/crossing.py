"""One answer on its way from an upstream's dialect into the caller's: a `send` of its own for each attempt.

A stream is read into events and written again, event by event; a plain answer is collected, then converted whole
before it starts. What an upstream sends where the other was asked for (a plain answer to a request for a stream, a
stream to a request for a plain answer) is converted all the same: the caller gets what it asked for.

Until something was sent, a failure can be tried elsewhere unseen.
"""

import time
from collections.abc import Sequence
from typing import Protocol

from asgi_gateway.canonical import (
    ChatRequest,
    CustomCalls,
    CustomTool,
    Event,
    Failed,
    Keeper,
    Losses,
    TagsToThinking,
    TextDelta,
    ThinkingDelta,
    ThinkingToText,
    ToolCallDelta,
    Usage,
    UsageReported,
    collect,
)
from asgi_gateway.dialects.contract import AnswerContext, ChatDialect, StreamReader, StreamWriter
from asgi_gateway.dialects.sse import PING, is_event_stream
from asgi_gateway.errors import MalformedUpstream, UpstreamError
from asgi_gateway.exchange import Exchange
from asgi_gateway.storage.ids import new_id
from asgi_gateway.types import Message, Send

__all__ = ["Crossing", "EventFilter", "Keep", "Recall"]

PLAIN_LIMIT = 64 << 20
"""Bytes of a plain answer: it is held whole."""

DROPPED_HEADERS = frozenset({b"content-type", b"content-length"})


class EventFilter(Protocol):
    """Changes events on their way."""

    def feed(self, events: Sequence[Event]) -> list[Event]:
        """What comes out for these."""
        ...


class Keep(Protocol):
    """Stores records of seals before the end of an answer is sent."""

    async def __call__(self, keeper: Keeper) -> None: ...


class Recall(Protocol):
    """Stores a whole answer, as the caller's dialect writes it, before its end is sent."""

    async def __call__(self, answer: bytes) -> None: ...


class Crossing:
    """The answer to one attempt.

    `keep` stores what the caller's client will not send back, `recall` the answer itself; None: nothing is kept.
    """

    def __init__(
        self,
        exchange: Exchange,
        send: Send,
        *,
        source: ChatDialect,
        target: ChatDialect,
        request: ChatRequest,
        losses: Losses,
        keep: Keep | None,
        recall: Recall | None,
    ) -> None:
        assert exchange.outline is not None and exchange.route is not None
        self._exchange = exchange
        self._outline = exchange.outline
        self._send = send
        self._source = source
        self._target = target
        self._request_losses = losses
        self._losses = Losses("response")
        self._context = AnswerContext(
            request=request,
            losses=self._losses,
            framing=exchange.outline.framing,
            id=new_id(),
            created=int(time.time()),
        )
        self._keep = keep
        self._recall = recall
        self._keeper = Keeper(new_id) if keep is not None else None
        channel = exchange.route.channel
        self._filters: list[EventFilter] = []
        if custom := {tool.name for tool in request.tools if isinstance(tool, CustomTool)}:
            self._filters.append(CustomCalls(custom))
        if channel.content_to_thinking:
            self._filters.append(TagsToThinking())
        if channel.thinking_to_content:
            self._filters.append(ThinkingToText())
        if self._keeper is not None:
            self._filters.append(self._keeper)
        self._start: Message = {}
        self.started = False
        """Whether the caller has been sent anything."""
        self._reader: StreamReader | None = None
        self._writer: StreamWriter | None = None
        self._events: list[Event] = []
        self._plain = bytearray()
        self._characters = 0
        self.usage: Usage | None = None
        self._whole = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._start = message
            if is_event_stream(message.get("headers", ())):
                self._reader = self._source.reader(self._losses)
            if self._outline.stream:
                self._writer = self._target.writer(self._context)
        elif message["type"] == "http.response.body":
            await self._body(message.get("body", b""), last=not message.get("more_body", False))
        else:
            await self._send(message)

    def note(self) -> None:
        """Tell the exchange what was seen, however the answer ended."""
        exchange = self._exchange
        exchange.losses = (*self._request_losses.noted(), *self._losses.noted())
        exchange.usage = self.usage
        if self.usage is None or not self._whole:  # some say a first usage before the output comes
            exchange.output_estimate = self.output_estimate or self._plain_estimate()

    @property
    def output_estimate(self) -> int:
        """See `Meter.output_estimate`."""
        return -(-self._characters // 4)

    def _plain_estimate(self) -> int:
        """Output tokens in what came of a plain answer that was never whole, so never read."""
        if not self._plain:
            return 0
        tap = self._source.tap(self._outline, stream=False)
        tap.feed(bytes(self._plain))
        return tap.output_estimate

    async def _body(self, data: bytes, *, last: bool) -> None:
        if self._reader is None:
            self._plain += data
            if len(self._plain) > PLAIN_LIMIT:
                raise MalformedUpstream("The upstream's answer is too long to be converted.")
            if last:
                events = self._source.read_response(bytes(self._plain), self._losses)
                await self._pass(events, last=True)
            return
        if data == PING:
            await self._ping()
            return
        events = self._reader.feed(data) if data else []
        if last:
            events += self._reader.finish()
        await self._pass(events, last=last)

    async def _pass(self, events: list[Event], *, last: bool) -> None:
        failure = self._look_at(events)
        for change in self._filters:
            events = change.feed(events)
        if self._writer is None:
            self._events += events
            if failure is not None:
                raise failure
            if last:
                await self._answer_whole()
            return
        if self._recall is not None:
            self._events += events
        data = self._writer.write(events) if events else b""
        if failure is not None:
            if data and self.started:
                await self._give(data, more=True)
            raise failure
        if last:
            self._whole = True
            await self._store()
            if self._recall is not None:
                await self._recall(self._target.write_response(collect(self._events), self._context))
            data += self._writer.finish()
            await self._give(data, more=False)
        elif data:
            await self._give(data, more=True)

    def _look_at(self, events: list[Event]) -> UpstreamError | None:
        """Learn the usage and the length of the output. A failure is taken out of the events, and returned."""
        for number, event in enumerate(events):
            match event:
                case TextDelta() | ThinkingDelta():
                    self._characters += len(event.text)
                case ToolCallDelta():
                    self._characters += len(event.arguments)
                case UsageReported():
                    self.usage = event.usage
                case Failed():
                    del events[number:]
                    return event.error
        return None

    async def _answer_whole(self) -> None:
        self._whole = True
        await self._store()
        body = self._target.write_response(collect(self._events), self._context)
        if self._recall is not None:
            await self._recall(body)
        headers = self._headers(b"application/json", self._both_sides())
        self.started = True
        await self._send({**self._start, "headers": [*headers, (b"content-length", b"%d" % len(body))]})
        await self._send({"type": "http.response.body", "body": body})

    async def _give(self, data: bytes, *, more: bool) -> None:
        if not self.started:
            self.started = True
            told = f"request={self._request_losses.header()}; response=see-record"
            await self._send({**self._start, "headers": self._headers(self._stream_type(), told)})
        await self._send({"type": "http.response.body", "body": data, "more_body": more})

    async def _ping(self) -> None:
        """A comment of the relay's, which keeps proxies on the way from closing a silent stream."""
        if self._writer is not None and self._stream_type().startswith(b"text/event-stream"):
            await self._give(PING, more=True)

    async def _store(self) -> None:
        if self._keep is not None and self._keeper is not None and self._keeper.records:
            await self._keep(self._keeper)

    def _stream_type(self) -> bytes:
        return b"application/json" if self._outline.framing == "json-array" else self._target.stream_type

    def _both_sides(self) -> str:
        if not self._request_losses and not self._losses:
            return "none"
        return f"request={self._request_losses.header()}; response={self._losses.header()}"

    def _headers(self, content_type: bytes, told: str) -> list[tuple[bytes, bytes]]:
        given: Sequence[tuple[bytes, bytes]] = self._start.get("headers", ())
        kept = [pair for pair in given if pair[0] not in DROPPED_HEADERS and not pair[0].startswith(b"openai-")]
        return [(b"content-type", content_type), *kept, (b"x-gateway-conversion", told.encode("ascii", "replace"))]
