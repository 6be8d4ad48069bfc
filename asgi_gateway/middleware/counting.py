"""Requests that only count tokens, where the channel's upstream does not count as the caller asks.

One that counts in another vendor's way is asked in that; one that does not count at all is not asked: the number is an
estimate by a stated rule (`asgi_gateway.canonical.estimate`), and says so. No generation is ever begun.
"""

import msgspec

from asgi_gateway.canonical import Losses, estimate_tokens
from asgi_gateway.dialects import TOKEN_COUNTS
from asgi_gateway.dialects.token_counts import TokenCountDialect
from asgi_gateway.exchange import Exchange, Route
from asgi_gateway.middleware.body import replay
from asgi_gateway.storage.records import Outcome, Usage
from asgi_gateway.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["count_tokens"]


async def count_tokens(app: ASGIApp, exchange: Exchange, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with a number in the caller's dialect; `app` reaches the upstream."""
    route = exchange.route
    assert route is not None and exchange.body is not None and exchange.outline is not None
    source = TOKEN_COUNTS[exchange.dialect.name]
    losses = Losses("request")
    request = source.read_request(await exchange.body.bytes(), exchange.outline, losses)
    request = msgspec.structs.replace(request, model=route.upstream_model)
    exchange.usage = Usage()
    target = TOKEN_COUNTS.get(route.dialect)
    if target is None:
        number = estimate_tokens(request)
        losses.approximated("token_count")
        exchange.outcome = Outcome.COMPLETED  # the relay, which says so otherwise, is not asked
    else:
        body = target.write_request(request, losses)
        exchange.upstream_headers = target.chat.request_headers(request)
        number = await _asked(app, target, route, scope, replay(body, receive))
    exchange.losses = losses.noted()
    await _answer(send, source.write_count(number), losses)


async def _asked(app: ASGIApp, target: TokenCountDialect, route: Route, scope: Scope, receive: Receive) -> int:
    """The number that the upstream gives."""
    answer = bytearray()

    async def collect(message: Message) -> None:
        if message["type"] == "http.response.body":
            answer.extend(message.get("body", b""))

    await app(scope, receive, collect)
    return target.read_count(bytes(answer))


async def _answer(send: Send, body: bytes, losses: Losses) -> None:
    told = f"request={losses.header()}; response=none" if losses else "none"
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(body)),
        (b"x-gateway-conversion", told.encode("ascii")),
    ]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
