"""Serves one process: uvicorn without what is ours, and an end that takes nobody by surprise.

The first SIGTERM or SIGINT: readiness goes, new work is refused with 503, and open exchanges get `[server] grace`
seconds to end; then they are ended with an error event. The listening socket stays open meanwhile, so that whoever
still comes is told, not cut. The second signal ends the waiting at once. Everything is settled either way.
"""

import asyncio
import gc
import logging
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager, nullcontext
from logging.config import dictConfig
from socket import socket
from types import FrameType

from uvicorn import Config, Server

from asgi_gateway.config import Settings
from asgi_gateway.gateway import Gateway
from asgi_gateway_contrib.standalone.access_log import AccessLogWriter
from asgi_gateway_contrib.standalone.assembly import assemble
from asgi_gateway_contrib.standalone.failure import is_abort
from asgi_gateway_contrib.standalone.writing import GatheringProtocol

__all__ = ["DrainingServer", "configure_logging", "run"]

logger = logging.getLogger("asgi_gateway")

KEEP_ALIVE = 75
"""Seconds that an idle connection stays open: longer than the 60 that load balancers usually keep theirs."""

CLOSING = 5
"""Seconds that answers which are no exchanges get at the end, once everything else is over."""

TICK = 0.1

SWITCH_INTERVAL = 0.0005
"""Seconds that a thread may keep the interpreter lock while another one waits for it."""


def run(
    settings: Settings,
    listener: socket,
    *,
    shared: bool = False,
    around: AbstractAsyncContextManager[None] | None = None,
    on_ready: Callable[[], None] | None = None,
    parent: int | None = None,
) -> int:
    """Serve until a signal ends it; the exit code: 0, or 1 when the gateway could not be started.

    `shared`: other processes serve from the same storage. `around` is entered before the start and left after the end.
    `on_ready` is called when requests are taken. `parent` is a file descriptor that becomes readable when the process
    that watches over this one is gone: then this one ends too. With a parent only SIGTERM is listened to:
    Ctrl-C reaches the whole group of processes, and the parent passes it on.
    """
    access_log = AccessLogWriter()
    try:
        gateway, app = assemble(settings, shared=shared, access_log=access_log)
        if gateway.metrics is not None:
            access_log.on_drop = gateway.metrics.dropped
        config = Config(
            app,
            http=GatheringProtocol,
            lifespan="on",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_keep_alive=KEEP_ALIVE,
            timeout_graceful_shutdown=CLOSING,
        )
        server = DrainingServer(config, gateway, grace=settings.server.grace, around=around or nullcontext())
        server.on_ready = on_ready
        if parent is not None:
            server.parent = parent
            server.signals = (signal.SIGTERM,)
        try:
            server.run(sockets=[listener])
        except SystemExit:
            return 1  # uvicorn's way to say that the app did not start; the reason is in the log
        return 0
    finally:
        access_log.close()


class DrainingServer(Server):
    """uvicorn's server, whose end waits for the gateway's open exchanges. `grace` in seconds."""

    on_ready: Callable[[], None] | None = None
    parent: int | None = None
    signals: Sequence[signal.Signals] = (signal.SIGINT, signal.SIGTERM)

    def __init__(
        self, config: Config, gateway: Gateway, *, grace: float, around: AbstractAsyncContextManager[None]
    ) -> None:
        super().__init__(config)
        self._gateway = gateway
        self._grace = grace
        self._around = around
        self._hurry = False

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Listen to `signals`. Unlike uvicorn's own, one that was obeyed is not raised again: the exit code is 0."""
        before = {number: signal.signal(number, self.handle_exit) for number in self.signals}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """The first call begins to drain, the second ends the waiting."""
        if self.should_exit:
            self._hurry = True
            return
        self.should_exit = True
        self._gateway.begin_drain()

    async def _serve(self, sockets: list[socket] | None = None) -> None:
        async with self._around:
            await super()._serve(sockets)

    async def main_loop(self) -> None:
        """Serve until a signal comes, then drain."""
        if self.parent is not None:
            asyncio.get_running_loop().add_reader(self.parent, self._orphaned)
        if self.on_ready is not None:
            self.on_ready()
        _tune_the_interpreter()
        await super().main_loop()
        await self._drain()

    def _orphaned(self) -> None:
        if self.parent is not None:
            asyncio.get_running_loop().remove_reader(self.parent)
            logger.warning("the process that watched over this one is gone: ending")
            for server in self.servers:
                server.close()  # whoever starts the gateway again needs the address
            self.handle_exit(0, None)

    async def _drain(self) -> None:
        logger.info("draining: open exchanges get %g s; a second signal ends them at once", self._grace)
        self._gateway.begin_drain()
        draining = asyncio.ensure_future(self._gateway.drain(self._grace))
        ticks = 0
        while not draining.done() and not self._hurry:
            await asyncio.wait([draining], timeout=TICK)
            ticks += 1
            await self.on_tick(ticks)
        if not draining.done():
            draining.cancel()
            await asyncio.wait([draining])
            await self._gateway.drain(0)
        elif (error := draining.exception()) is not None:
            raise error
        logger.info("drained")


def _tune_the_interpreter() -> None:
    """Settings of the whole process, which is ours.

    What stands now stays: the collector of cycles shall look at requests alone, and seldom, for they leave hardly any;
    its runs cost 6 to 8 % of a request's CPU time.
    The ledger's thread gives the interpreter lock back at each statement, and must not wait 5 ms for it again:
    a request waits for its commit.
    """
    sys.setswitchinterval(SWITCH_INTERVAL)
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)


def configure_logging() -> None:
    """Everything to stderr: stdout is for access records."""
    dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s [%(process)d]: %(message)s"}},
            "handlers": {"stderr": {"class": "logging.StreamHandler", "stream": sys.stderr, "formatter": "line"}},
            "loggers": {
                "asgi_gateway": {"level": "INFO", "handlers": ["stderr"], "propagate": False},
                "uvicorn.error": {"level": "WARNING", "handlers": ["stderr"], "propagate": False},
            },
            "root": {"level": "WARNING", "handlers": ["stderr"]},
        }
    )
    logging.getLogger("uvicorn.error").addFilter(lambda record: not is_abort(record))
