"""Requests that only count tokens.

An upstream that counts is asked: as the caller asked, or in another vendor's way. One that does not, whether its
provider says so or it answers that there is no such thing, is not asked for anything else: the number is an estimate
by a stated rule (`asgi_gateway.canonical.estimate`), and says so. No generation is ever begun.
"""

import msgspec

from asgi_gateway.canonical import Losses, estimate_tokens
from asgi_gateway.dialects import TOKEN_COUNTS
from asgi_gateway.dialects.token_counts import TokenCountDialect
from asgi_gateway.errors import UpstreamError
from asgi_gateway.exchange import Exchange
from asgi_gateway.middleware.body import replay
from asgi_gateway.storage.records import Outcome, Usage
from asgi_gateway.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["count_tokens"]

NOT_OFFERED = frozenset({404, 405, 501})
"""Statuses of an upstream that has no such request: many servers share a vendor's format, and have a part of it."""


async def count_tokens(app: ASGIApp, exchange: Exchange, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with a number in the caller's dialect; `app` reaches the upstream."""
    route = exchange.route
    assert route is not None and exchange.body is not None and exchange.outline is not None
    source = TOKEN_COUNTS[exchange.dialect.name]
    losses = Losses("request")
    body = await exchange.body.bytes()
    request = source.read_request(body, exchange.outline, losses)
    request = msgspec.structs.replace(request, model=route.upstream_model)
    exchange.usage = Usage()
    answer: bytes | None = None
    target = TOKEN_COUNTS.get(route.dialect)
    if target is source:
        losses = Losses("request")  # what was not understood goes along
        if route.upstream_model != exchange.outline.model:
            body = source.rewrite(body, model=route.upstream_model)
        exchange.upstream_headers = tuple(pair for pair in scope["headers"] if pair[0] in source.forwarded)
        answer = await _asked(app, source, scope, replay(body, receive))
    elif target is not None:
        body = target.write_request(request, losses)
        exchange.upstream_headers = target.chat.request_headers(request)
        given = await _asked(app, target, scope, replay(body, receive))
        answer = None if given is None else source.write_count(target.read_count(given))
    if answer is None:
        answer = source.write_count(estimate_tokens(request))
        losses.approximated("token_count")
        exchange.outcome = Outcome.COMPLETED  # the relay, which says so otherwise, had nothing to count
    exchange.losses = losses.noted()
    await _answer(send, answer, losses)


async def _asked(app: ASGIApp, target: TokenCountDialect, scope: Scope, receive: Receive) -> bytes | None:
    """What the upstream answers; None where it does not count."""
    answer = bytearray()

    async def collect(message: Message) -> None:
        if message["type"] == "http.response.body":
            answer.extend(message.get("body", b""))

    try:
        await app(scope, receive, collect)
    except UpstreamError as refused:
        if refused.original_status in NOT_OFFERED:
            return None
        raise
    target.read_count(bytes(answer))
    return bytes(answer)


async def _answer(send: Send, body: bytes, losses: Losses) -> None:
    told = f"request={losses.header()}; response=none" if losses else "none"
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(body)),
        (b"x-gateway-conversion", told.encode("ascii")),
    ]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
