"""Between the caller's dialect and one that the channel speaks; when they are equal, a tap that changes nothing.

The innermost layer, around the relay: it depends on the channel. Needs `route`, `body` and `outline`;
writes `usage`, `output_estimate`, `meter`, `losses`, `upstream_headers`.

Equal dialects pass bytes through. The permitted edits of the request are splices: the model's name at this channel,
what the channel and its provider want otherwise, reasoning asked for by the model's name, tool-call ids of ours turned
back, and a request for the usage inside a stream, whose event is then withheld from a caller who did not ask for it.

Different dialects meet in the neutral model: the request is read and written, the answer likewise (`crossing.py`).
What was lost on the way is named in `x-gateway-conversion` and in the exchange's `losses`; a channel whose
`conversion` is "strict" refuses the request instead, except for what had to be invented.
"""

from typing import ClassVar

import msgspec

from asgi_gateway.canonical import (
    ChatRequest,
    Keepsake,
    Losses,
    header_of,
    kept_ids,
    restore,
    wanted,
)
from asgi_gateway.canonical.seals import PREFIX
from asgi_gateway.dialects import CHAT_DIALECTS, TOKEN_COUNTS
from asgi_gateway.dialects.contract import ChatDialect, Operation, ResponseTap
from asgi_gateway.dialects.openai_responses import OPENAI_RESPONSES
from asgi_gateway.dialects.sse import is_event_stream
from asgi_gateway.errors import EmptyUpstream, InvalidRequest, UpstreamError
from asgi_gateway.exchange import SCOPE_KEY, Exchange, Route
from asgi_gateway.middleware.body import replay
from asgi_gateway.middleware.counting import count_tokens
from asgi_gateway.middleware.crossing import Crossing
from asgi_gateway.middleware.entry import enter
from asgi_gateway.middleware.recollection import Keeping, Recalling, kept_records, prefix_of
from asgi_gateway.storage.protocols import Cache
from asgi_gateway.storage.records import Outcome, Usage
from asgi_gateway.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["FormatConversionMiddleware"]

WRAPPED = PREFIX.encode()
"""Stands in a body that holds a seal of another maker's, wrapped by us."""

NOTHING_LOST = (b"x-gateway-conversion", b"none")


class FormatConversionMiddleware:
    """Converts requests and answers, and reads the usage on its way.

    `cache` keeps seals of thinking for clients that do not send them back; without one they are lost, and noted.
    `history` is how many seconds a conversation of Responses can be continued by `previous_response_id` where the
    channel's dialect has no such thing; 0: it is refused.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"route", "body", "outline"})
    uses_after: ClassVar[frozenset[str]] = frozenset()
    writes: ClassVar[frozenset[str]] = frozenset({"usage", "output_estimate", "meter", "losses", "upstream_headers"})

    def __init__(self, app: ASGIApp, *, cache: Cache | None = None, history: float = 0.0) -> None:
        if history and cache is None:
            raise ValueError("a history needs a cache to be kept in")
        self.app = app
        self.cache = cache
        self.history = history

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange: Exchange | None = scope.get(SCOPE_KEY)
        if exchange is None:
            await enter(self, self.app, scope, receive, send)
            return
        exchange.usage = exchange.meter = None
        exchange.output_estimate = 0
        exchange.losses = ()
        exchange.upstream_headers = ()
        if scope["type"] != "http":
            await self._socket(exchange, scope, receive, send)
            return
        route, dialect = exchange.route, exchange.dialect
        assert route is not None and exchange.body is not None  # `compose` checked that somebody writes them
        if exchange.operation is Operation.TOKEN_COUNT and dialect.name in TOKEN_COUNTS:
            await count_tokens(self.app, exchange, scope, receive, send)
            return
        changed = route.channel.thinking_to_content or route.channel.content_to_thinking
        if (route.dialect != dialect.name or changed) and dialect.name in CHAT_DIALECTS:
            await self._cross(exchange, route, scope, receive, send)
            return
        if dialect.forwarded:
            exchange.upstream_headers = tuple(pair for pair in scope["headers"] if pair[0] in dialect.forwarded)
        body, withhold = await self._outgoing(exchange, route)
        tapped = exchange.meter = _TappedSend(exchange, send, withhold=withhold)
        try:
            await self.app(scope, replay(body, receive), tapped)
        finally:
            exchange.meter = None  # each holds the other: one cycle less for the collector
            tapped.note()

    async def _socket(self, exchange: Exchange, scope: Scope, receive: Receive, send: Send) -> None:
        frames = exchange.meter = _CountedFrames(send)
        try:
            await self.app(scope, receive, frames)
        finally:
            exchange.meter = None
            exchange.output_estimate = frames.output_estimate

    async def _outgoing(self, exchange: Exchange, route: Route) -> tuple[bytes, bool]:
        """The body for a channel of the same dialect, and whether the usage in the answer is ours alone."""
        outline, dialect, channel = exchange.outline, exchange.dialect, route.channel
        assert exchange.body is not None and outline is not None
        body = await exchange.body.bytes()
        if WRAPPED in body and dialect.name in CHAT_DIALECTS:
            body = _without_foreign_seals(CHAT_DIALECTS[dialect.name], body, exchange, route)
        model = route.upstream_model if route.upstream_model != outline.model else None
        ask = outline.stream and not outline.wants_usage and dialect.stream_usage
        overrides = route.provider.overrides(route.dialect, route.upstream_model)
        if channel.param_override:
            overrides = {**overrides, **channel.param_override}
        if model is not None or ask or overrides or exchange.reasoning is not None:
            body = dialect.rewrite(
                body, model=model, include_usage=ask, reasoning=exchange.reasoning, overrides=overrides
            )
        if self.cache is not None and b'"agw_' in body:
            records = await self._records(kept_ids(body), exchange)
            for id, record in records.items():
                body = body.replace(msgspec.json.encode(id), msgspec.json.encode(record.id))
        return body, ask

    async def _cross(self, exchange: Exchange, route: Route, scope: Scope, receive: Receive, send: Send) -> None:
        assert exchange.body is not None and exchange.outline is not None
        source, target = CHAT_DIALECTS[exchange.dialect.name], CHAT_DIALECTS[route.dialect]
        losses = Losses("request")
        body = await exchange.body.bytes()
        recall = None
        if self.history and self.cache is not None and source is not target and source is OPENAI_RESPONSES:
            recall = Recalling(self.cache, self.history, prefix_of(exchange))
            body = await recall.continued(body)
        asked = source.read_request(body, exchange.outline, losses)
        if recall is not None and asked.store is False:
            recall = None
        if source is target:  # only the answer is changed
            body, _ = await self._outgoing(exchange, route)
        else:
            body = await self._converted(exchange, route, asked, target, losses)
        exchange.losses = losses.noted()
        keep = None
        if self.cache is not None and not source.keeps_seals and source is not target:
            keep = Keeping(self.cache, prefix_of(exchange))
        crossing = Crossing(
            exchange, send, source=target, target=source, request=asked, losses=losses, keep=keep, recall=recall
        )
        exchange.meter = crossing
        try:
            await self.app(scope, replay(body, receive), crossing)
        except UpstreamError as error:
            if not crossing.started and exchange.outcome is Outcome.TRUNCATED:
                # The relay took its bytes for released; the caller has seen none.
                empty = isinstance(error, EmptyUpstream)
                exchange.outcome = Outcome.EMPTY if empty else Outcome.UPSTREAM_FAILED
            raise
        finally:
            exchange.meter = None
            crossing.note()

    async def _converted(
        self, exchange: Exchange, route: Route, asked: ChatRequest, target: ChatDialect, losses: Losses
    ) -> bytes:
        """The body in the channel's dialect. Raises `InvalidRequest` for what it must not be without."""
        ids = wanted(asked)
        request = restore(asked, await self._records(ids, exchange), losses) if ids else asked
        reasoning = request.reasoning if request.reasoning is not None else exchange.reasoning
        request = msgspec.structs.replace(
            request, model=route.upstream_model, reasoning=reasoning, wants_usage=target.stream_usage
        )
        body = target.write_request(request, losses)
        if route.channel.conversion == "strict":
            _refuse_losses(losses)
        exchange.upstream_headers = target.request_headers(request)
        overrides = {**route.provider.overrides(route.dialect, route.upstream_model), **route.channel.param_override}
        return target.rewrite(body, overrides=overrides) if overrides else body

    async def _records(self, ids: list[str], exchange: Exchange) -> dict[str, Keepsake]:
        """What the ids of ours in a conversation stand for, as far as it is still known."""
        if self.cache is None or not ids:
            return {}
        return await kept_records(self.cache, prefix_of(exchange), ids)


class _TappedSend:
    """A `send` that lets an answer through a dialect's tap: one per attempt."""

    __slots__ = ("_exchange", "_send", "_tap", "_whole", "_withhold")

    def __init__(self, exchange: Exchange, send: Send, *, withhold: bool) -> None:
        self._exchange = exchange
        self._send = send
        self._withhold = withhold
        self._tap: ResponseTap | None = None
        self._whole = False

    @property
    def usage(self) -> Usage | None:
        """See `Meter.usage`."""
        return self._tap.usage if self._tap is not None else None

    @property
    def output_estimate(self) -> int:
        """See `Meter.output_estimate`."""
        return self._tap.output_estimate if self._tap is not None else 0

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.body":
            tap = self._tap
            assert tap is not None  # ASGI: a body follows its start
            data: bytes = message.get("body", b"")
            given = tap.feed(data) if data else b""
            if not message.get("more_body"):
                given += tap.finish()
                self._whole = True
            elif not given:
                return
            if given is not data:
                message = {**message, "body": given}
        elif message["type"] == "http.response.start":
            headers = message.get("headers", ())
            stream = is_event_stream(headers)
            outline = self._exchange.outline
            assert outline is not None
            self._tap = self._exchange.dialect.tap(outline, stream=stream, withhold_usage=self._withhold and stream)
            if stream and outline.framing == "json-array":
                headers = [pair for pair in headers if pair[0] != b"content-type"]
                headers.append((b"content-type", b"application/json"))
            lost = self._exchange.losses
            told = (b"x-gateway-conversion", f"request={header_of(lost)}; response=none".encode("ascii"))
            message = {**message, "headers": [*headers, told if lost else NOTHING_LOST]}
        await self._send(message)

    def note(self) -> None:
        """Tell the exchange what was seen, however the answer ended."""
        if self._tap is not None:
            self._exchange.usage = self._tap.usage
            if self._exchange.usage is None or not self._whole:  # some say a first usage before the output comes
                self._exchange.output_estimate = self._tap.output_estimate


class _CountedFrames:
    """A `send` that counts the frames to the caller: every four bytes of them are taken for a token of output."""

    __slots__ = ("_send", "_size")

    usage: Usage | None = None

    def __init__(self, send: Send) -> None:
        self._send = send
        self._size = 0

    @property
    def output_estimate(self) -> int:
        """See `Meter.output_estimate`."""
        return -(-self._size // 4)

    async def __call__(self, message: Message) -> None:
        if message["type"] == "websocket.send":
            text = message.get("text")
            self._size += len(text if text is not None else message["bytes"])
        await self._send(message)


def _without_foreign_seals(dialect: ChatDialect, body: bytes, exchange: Exchange, route: Route) -> bytes:
    """The body with seals of other makers left out, which its upstream would take for its own and refuse.

    They stand in a conversation that began at an upstream of another maker. Such a body is read and written again.
    """
    assert exchange.outline is not None
    losses = Losses("request")
    request = dialect.read_request(body, exchange.outline, losses)
    written = dialect.write_request(msgspec.structs.replace(request, model=route.upstream_model), losses)
    if route.channel.conversion == "strict":
        _refuse_losses(losses)
    exchange.losses = losses.noted()
    return written


def _refuse_losses(losses: Losses) -> None:
    """Raise `InvalidRequest` for what a strict channel must not lose. What was invented takes nothing away."""
    lost = [loss for loss in losses.noted() if loss.kind != "invented"]
    if lost:
        names = ", ".join(f"'{loss.field}'" for loss in lost[:8])
        raise InvalidRequest(
            f"This channel converts strictly, and its provider cannot take {names} as asked.",
            param=lost[0].field,
            code="conversion_refused",
        )
