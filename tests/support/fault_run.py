"""Calls every fault of a table through the real server: alone, with a healthy second channel, and with one that fails.

All calls run at once, so that the silences of upstreams are waited for together; the tests look at what was noted.
"""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, Literal

from support.broken_upstream import ANSWER, DONE, EVENTS, FINISH, error_object, refusal, sized, stream_of, wire
from support.caller import Call, Caller
from support.gateway_process import GatewayProcess
from support.gateway_settings import DEV, settings
from support.scripted_upstream import Script, ScriptedServer
from support.waiting import eventually

__all__ = ["Cut", "ErrorEvent", "Fault", "Refusal", "Run", "Shown", "Whole", "called"]

Second = Literal["alone", "healthy", "failing"]

SECONDS: tuple[Second, ...] = ("alone", "healthy", "failing")

AT_ONCE = 24
"""Calls under way at the same time."""

DEADLINE = 0.6
"""Seconds of every deadline of the channels whose upstreams fall silent."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Nothing was released: the caller gets an error with a status, and before that another channel is tried."""

    status: int
    type: str = "upstream_error"
    code: str | None = None
    param: str | None = None
    retry_after: str | None = None
    retried: bool = True
    saying: str = ""
    """A part of the message."""


@dataclass(frozen=True, slots=True)
class Cut:
    """A plain answer that had begun: its connection is closed before HTTP says that it is whole."""

    code: str


@dataclass(frozen=True, slots=True)
class ErrorEvent:
    """A stream that had begun: it ends with the dialect's error event, and no `[DONE]`."""

    code: str | None
    type: str = "upstream_error"


@dataclass(frozen=True, slots=True)
class Whole:
    """No failure of the exchange: what the upstream said reaches the caller, byte by byte."""

    body: bytes


Verdict = Refusal | Cut | ErrorEvent | Whole


@dataclass(frozen=True, slots=True)
class Fault:
    """What an upstream does, and what becomes of a plain and of a streamed request. `script` None: nobody listens."""

    name: str
    script: Script | None
    plain: Verdict | None = None
    streamed: Verdict | None = None
    silent: bool = False
    """The channel's deadlines are short."""

    @property
    def model(self) -> str:
        """The model that asks for it."""
        return "".join(letter if letter.isalnum() else "-" for letter in self.name)


@dataclass(slots=True)
class Shown:
    """One call: what the caller saw of it, what was asked, and what was stored."""

    call: Call
    request: bytes
    charge: dict[str, Any]
    record: dict[str, Any]
    first: int
    """Requests that the broken upstream got."""
    second: int
    """Requests that the other one got."""


class Run:
    """What was noted of every call."""

    def __init__(self, gateway: GatewayProcess, broken: ScriptedServer, second: ScriptedServer) -> None:
        self.gateway = gateway
        self._broken = broken
        self._second = second
        self._calls: dict[str, tuple[Call, bytes]] = {}

    async def call_all(self, faults: Sequence[Fault]) -> None:
        """Make every call, and wait until each has its record."""
        gate = asyncio.Semaphore(AT_ONCE)
        async with asyncio.TaskGroup() as group:
            for fault, second in product(faults, SECONDS):
                if fault.plain is not None:
                    group.create_task(self._call(fault, second, False, gate))
                if fault.streamed is not None:
                    group.create_task(self._call(fault, second, True, gate))
        await eventually(lambda: len(self.gateway.records) >= len(self._calls), 20, "access record of every call")
        assert self.gateway.books.open_reservations == 0
        self._charges = self.gateway.books.charges()
        self._records = self.gateway.records

    async def _call(self, fault: Fault, second: Second, stream: bool, gate: asyncio.Semaphore) -> None:
        id = _id(fault, second, stream)
        caller = Caller(self.gateway.port, DEV.key, model=_model(fault, second), stream=stream)
        async with gate:
            self._calls[id] = await caller.call(id), caller.request(id)

    def shown(self, fault: Fault, second: Second, *, stream: bool) -> Shown:
        """What became of one call. There is one charge and one record of it."""
        id = _id(fault, second, stream)
        call, request = self._calls[id]
        (charge,) = [charge for charge in self._charges if charge["client_id"] == id]
        (record,) = [record for record in self._records if record["client_id"] == id]
        first = sum(visit.id == id for visit in self._broken.visits)
        return Shown(call, request, charge, record, first, sum(visit.id == id for visit in self._second.visits))


def _id(fault: Fault, second: Second, stream: bool) -> str:
    return f"{fault.model}/{second}/{'streamed' if stream else 'plain'}"


def _model(fault: Fault, second: Second) -> str:
    return f"{fault.model}/{second}"


@asynccontextmanager
async def called(directory: Path, faults: Sequence[Fault]) -> AsyncIterator[Run]:
    """Every fault was called in every way that it has a verdict for."""
    scripts = {_model(fault, second): fault.script for fault in faults for second in SECONDS if fault.script}
    others = {_model(fault, "healthy"): wire(sized(ANSWER), stream_of(EVENTS + FINISH + DONE)) for fault in faults}
    failing = wire(refusal(500, error_object("server_error", "second_failure")))
    others |= {_model(fault, "failing"): failing for fault in faults}
    with ScriptedServer(scripts) as broken, ScriptedServer(others) as second, nobody() as closed:
        text = _settings(faults, (broken.port, second.port, closed))
        with GatewayProcess(directory, text) as gateway:
            run = Run(await gateway.ready(), broken, second)
            await run.call_all(faults)
            yield run


@contextmanager
def nobody() -> Iterator[int]:
    """A port that refuses connections, and is given to nobody else meanwhile."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


def _settings(faults: Sequence[Fault], ports: tuple[int, int, int]) -> str:
    broken, second, closed = ports

    def models(chosen: Sequence[Fault], *kinds: Second) -> list[str]:
        return [_model(fault, kind) for fault in chosen for kind in kinds]

    talking = [fault for fault in faults if fault.script is not None and not fault.silent]
    parts = [
        _channel("broken", broken, models(talking, *SECONDS), 2),
        _channel("silent", broken, models([fault for fault in faults if fault.silent], *SECONDS), 2),
        "[channels.timeouts]",
        *(f"{phase} = {DEADLINE}" for phase in ("headers", "plain", "first_event", "idle")),
        _channel("closed", closed, models([fault for fault in faults if fault.script is None], *SECONDS), 2),
        _channel("second", second, models(faults, "healthy", "failing"), 1),
    ]
    return settings(broken, models(faults, *SECONDS), channels=0, more="\n".join(parts))


def _channel(name: str, port: int, models: Sequence[str], priority: int) -> str:
    return f"""[[channels]]
name = "{name}"
provider = "openai"
base_url = "http://127.0.0.1:{port}"
keys = ["sk-upstream"]
models = {models}
priority = {priority}"""
