"""The cost of each layer alone, without sockets.

One request goes through the whole stack while the border below each layer is watched: the exchange as it comes in,
the messages that come out, the fields that the inside wrote.
Then each layer is run many times around an inside that only repeats what was seen there, and the same inside is run
alone; the difference is the layer's own.
"""

import asyncio
import copy
import gc
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, fields
from itertools import pairwise
from pathlib import Path
from statistics import median
from time import process_time
from typing import Protocol, cast

from asgi_gateway import Gateway
from asgi_gateway.exchange import SCOPE_KEY, Exchange
from asgi_gateway.relay.transport import UpstreamRequest
from asgi_gateway.storage.ids import new_request_id
from asgi_gateway.types import ASGIApp, Message, Receive, Scope, Send
from benchmarks.gateway_files import write_gateway_file
from benchmarks.machine import facts
from benchmarks.payloads import ANSWER, CALLER_KEY, PATH, REQUEST
from benchmarks.results import LayerCost, LayerResults, now

__all__ = ["STORAGES", "measure_layers", "open_gateway", "request_scope"]

STORAGES = ("memory://", "sqlite")

CONCURRENT = 64
"""Requests under way at once, so that the ledger's group commit is at work."""


class FixedAnswer:
    """An upstream's answer that is there already."""

    def __init__(self) -> None:
        self.status = 200
        self.headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(ANSWER))]
        self._left = ANSWER

    async def read(self) -> bytes:
        """The whole body, then its end."""
        left, self._left = self._left, b""
        return left

    def close(self) -> None:
        """Nothing is held."""


class FixedTransport:
    """A transport that answers at once."""

    async def send(self, request: UpstreamRequest) -> FixedAnswer:
        """The fixed answer, whatever was asked."""
        return FixedAnswer()

    async def close(self) -> None:
        """Nothing is held."""


class Layer(Protocol):
    """A middleware of the stack."""

    app: ASGIApp

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None: ...


@dataclass(slots=True)
class Border:
    """What was seen at the border around one app."""

    scope: dict[str, object] = field(default_factory=dict)
    exchange: Exchange | None = None
    received: int = 0
    sent: list[Message] = field(default_factory=list)
    wrote: list[tuple[str, object]] = field(default_factory=list)

    def watch(self, app: ASGIApp) -> ASGIApp:
        """The app, seen."""

        async def watched(scope: Scope, receive: Receive, send: Send) -> None:
            exchange = Exchange.of(scope)
            self.scope = dict(scope)
            self.exchange = _copied(exchange)

            async def counting_receive() -> Message:
                self.received += 1
                return await receive()

            async def noting_send(message: Message) -> None:
                self.sent.append(dict(message))
                await send(message)

            await app(scope, counting_receive, noting_send)
            self.wrote = [
                (one.name, getattr(exchange, one.name))
                for one in fields(Exchange)
                if getattr(exchange, one.name) != getattr(self.exchange, one.name)
            ]

        return watched

    def inside(self) -> ASGIApp:
        """An app that does at this border what was seen there, and nothing else."""

        async def repeated(scope: Scope, receive: Receive, send: Send) -> None:
            for _ in range(self.received):
                await receive()
            for message in self.sent:
                await send(message)
            exchange = Exchange.of(scope)
            for name, value in self.wrote:
                setattr(exchange, name, value)

        return repeated

    def fresh_scope(self) -> Scope:
        """The scope as it came in, with an exchange of its own."""
        assert self.exchange is not None
        scope = dict(self.scope)
        scope[SCOPE_KEY] = exchange = _copied(self.exchange)
        if exchange.request_id:
            exchange.request_id = new_request_id()  # what the ledger's keys are made of
        return scope


def _copied(exchange: Exchange) -> Exchange:
    copied = copy.copy(exchange)
    copied.attempts = list(exchange.attempts)
    return copied


def request_scope() -> Scope:
    """A request as uvicorn describes it."""
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "server": ("127.0.0.1", 3000),
        "client": ("127.0.0.1", 50000),
        "scheme": "http",
        "method": "POST",
        "root_path": "",
        "path": PATH,
        "raw_path": PATH.encode(),
        "query_string": b"",
        "headers": [
            (b"host", b"127.0.0.1:3000"),
            (b"content-type", b"application/json"),
            (b"authorization", f"Bearer {CALLER_KEY}".encode()),
            (b"content-length", b"%d" % len(REQUEST)),
        ],
        "state": {},
    }


def request_receive() -> Receive:
    """A `receive` that gives the whole body at once, and then waits: this caller does not leave."""
    given = False

    async def receive() -> Message:
        nonlocal given
        if given:
            await asyncio.get_running_loop().create_future()
        given = True
        return {"type": "http.request", "body": REQUEST, "more_body": False}

    return receive


async def drop(message: Message) -> None:
    """A server that sends into the void."""


@asynccontextmanager
async def open_gateway(storage: str) -> AsyncIterator[Gateway]:
    """The governed gateway of the side-by-side run, before a fixed answer; access records go nowhere."""
    with tempfile.TemporaryDirectory(prefix="asgi_gateway-benchmark-") as name:
        file = write_gateway_file(Path(name), port=3000, upstream=9, storage=storage)
        gateway = Gateway.from_config(file, transport=FixedTransport())
        async with gateway:
            yield gateway


def chain(gateway: Gateway) -> list[Layer]:
    """The layers of the gateway as built, outermost first; the relay is the last."""
    layers = [cast("Layer", gateway._app)]  # there is no public way to the built stack, nor any other use for one
    while hasattr(layers[-1], "app"):
        layers.append(cast("Layer", layers[-1].app))
    return layers


async def watch_one(gateway: Gateway, layers: list[Layer]) -> list[Border]:
    """Send one request and return what was seen around each layer: the first border is around the outermost."""
    borders = [Border() for _ in layers]
    apps = [border.watch(layer) for border, layer in zip(borders, layers, strict=True)]
    for layer, inner in zip(layers, apps[1:], strict=False):
        layer.app = inner
    answer: list[Message] = []

    async def keep(message: Message) -> None:
        answer.append(message)

    begun = Exchange.begin(request_scope())
    assert begun is not None
    await apps[0](begun[0], request_receive(), keep)
    if answer[0]["status"] != 200:
        raise RuntimeError(f"the stack refused the request: {answer}")
    for layer, inner in pairwise(layers):
        layer.app = inner
    return borders


async def cpu_microseconds(app: ASGIApp, border: Border, requests: int) -> float:
    """CPU time of the whole process, writer thread included, for one request through an app, in microseconds."""
    scopes = [border.fresh_scope() for _ in range(requests)]

    async def some() -> None:
        while scopes:
            await app(scopes.pop(), request_receive(), drop)
            await asyncio.sleep(0)  # as a server would, let the others have their turn

    gc.collect()
    begin = process_time()
    await asyncio.gather(*(some() for _ in range(CONCURRENT)))
    return (process_time() - begin) * 1e6 / requests


async def own_cost(layer: Layer, border: Border, below: Border | None, requests: int) -> float:
    """What a layer adds to its inside, which `below` tells of; without an inside, all that it costs."""
    if below is None:
        return await cpu_microseconds(layer, border, requests)
    inside = below.inside()
    alone = await cpu_microseconds(inside, border, requests)
    inner, layer.app = layer.app, inside
    try:
        return await cpu_microseconds(layer, border, requests) - alone
    finally:
        layer.app = inner


async def costs(storage: str, requests: int, rounds: int) -> list[LayerCost]:
    """Each layer's own cost, and that of the whole stack at once, which has the borders only once."""
    found: dict[str, list[float]] = {}
    async with open_gateway(storage) as gateway:
        layers = chain(gateway)
        borders = await watch_one(gateway, layers)
        below = [*borders[1:], None]
        for _ in range(rounds):
            for layer, border, inside in zip(layers, borders, below, strict=True):
                cost = await own_cost(layer, border, inside, requests)
                found.setdefault(type(layer).__name__, []).append(cost)
            whole = await cpu_microseconds(layers[0], borders[0], requests)
            found.setdefault("the whole stack at once", []).append(whole)
        await gateway.storage.ledger.drain()
    name = storage.partition(":")[0]
    return [LayerCost(layer, name, median(values)) for layer, values in found.items()]


def measure_layers(requests: int, rounds: int) -> LayerResults:
    """The cost of every layer, with each storage."""
    import uvloop

    results = LayerResults(time=now(), machine=facts(), costs=[])
    for storage in STORAGES:
        results.costs.extend(uvloop.run(costs(storage, requests, rounds)))
    return results
