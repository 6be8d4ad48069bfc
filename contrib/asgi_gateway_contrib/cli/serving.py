"""`serve`: the whole product as one app."""

import json
import shlex
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from asgi_gateway_contrib.cli.options import Config
from asgi_gateway_contrib.cli.output import Refused, say
from asgi_gateway_contrib.cli.session import done, is_memory, reasons, settings_of, storage_of

if TYPE_CHECKING:
    from asgi_gateway.config import Settings

__all__ = ["serve"]

BACKLOG = 2048

UNSENT = 256 * 1024
"""Bytes that the kernel takes for a caller beyond those that are on their way: without a bound it takes 4 MB, and
a slow reader slows the upstream only when they are full. Every connection inherits it from the listening socket."""


def serve(
    config: Config = None,
    host: Annotated[str | None, typer.Option("--host", help="Where to listen; default 127.0.0.1.")] = None,
    port: Annotated[int | None, typer.Option("--port", "-p", min=0, max=65535, help="Default 3000; 0: any.")] = None,
    workers: Annotated[int, typer.Option("--workers", "-w", min=1, help="Processes that serve.")] = 1,
    migrate: Annotated[
        bool, typer.Option("--migrate", help="Make or change the tables of PostgreSQL or MySQL first, where need be.")
    ] = False,
    demo: Annotated[
        bool, typer.Option("--demo", help="Add an echo as the model `demo`; store nothing on disk.")
    ] = False,
) -> None:
    """Serve the whole product as one app.

    Without a file: SQLite in ./gateway.db. The very first start prints a root token.
    """
    given = {name: value for name, value in (("host", host), ("port", port)) if value is not None}
    with reasons():
        settings = settings_of(config, {"server": given} if given else None)
        memory = demo or is_memory(settings.storage.url)
        if memory and workers > 1:
            what = "--demo keeps everything in memory" if demo else f"{settings.storage.url} is one process's memory"
            raise Refused(f"{what}, which {workers} workers cannot share: leave --workers out")
        with _listen(settings.server.host, settings.server.port) as listener:
            if demo:
                code = _serve_demo(settings, listener)
            elif memory:
                code = _serve_memory(settings, listener)
            else:
                code = _serve_stored(settings, listener, workers, migrate=migrate)
    raise typer.Exit(code)


def _serve_demo(settings: "Settings", listener: socket.socket) -> int:
    from asgi_gateway.storage.keys import generate_key
    from asgi_gateway_contrib.standalone.demo import MODEL, serving, with_demo
    from asgi_gateway_contrib.standalone.server import configure_logging, run

    configure_logging()
    key, upstream_key = generate_key(), generate_key()
    with _listen("127.0.0.1", 0) as echo:
        settings = with_demo(settings, port=echo.getsockname()[1], key=key, upstream_key=upstream_key)
        return run(
            settings,
            listener,
            around=serving(echo, upstream_key),
            on_ready=_welcome(listener, "demo token", key, MODEL),
        )


def _serve_memory(settings: "Settings", listener: socket.socket) -> int:
    from asgi_gateway.storage.keys import generate_key
    from asgi_gateway_contrib.standalone.first_start import with_root
    from asgi_gateway_contrib.standalone.server import configure_logging, run

    configure_logging()
    key = generate_key()
    with_token = with_root(settings, key)
    shown = key if with_token is not settings else None
    return run(with_token, listener, on_ready=_welcome(listener, "root token", shown, _a_model(settings)))


def _serve_stored(settings: "Settings", listener: socket.socket, workers: int, *, migrate: bool) -> int:
    from asgi_gateway_contrib.standalone.first_start import prepare
    from asgi_gateway_contrib.standalone.server import configure_logging, run

    async def first() -> str | None:
        async with storage_of(settings.storage, migrate=migrate) as storage:
            return await prepare(settings, storage)

    configure_logging()
    key = done(first())
    on_ready = _welcome(listener, "root token", key, _a_model(settings))
    if workers == 1:
        return run(settings, listener, on_ready=on_ready)
    from asgi_gateway_contrib.standalone.workers import Supervisor

    return Supervisor(settings, listener, workers, on_ready=on_ready).run()


def _listen(host: str, port: int) -> socket.socket:
    """A listening socket: whoever connects from now on waits until the gateway is there."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise Refused(f"cannot listen on {host}:{port}: {error.strerror or error}") from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if hasattr(socket, "TCP_NOTSENT_LOWAT"):  # Linux and macOS
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT)
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise Refused(f"cannot listen on {host}:{port}: {error.strerror or error}") from error
    return listener


def _welcome(listener: socket.socket, what: str, key: str | None, model: str | None) -> Callable[[], None]:
    """What is told once requests are taken: to a person when there is a key to hand out, else to the log."""
    address = _address(listener)

    def told() -> None:
        if key is None:
            import logging

            logging.getLogger("asgi_gateway").info("listening on %s", address)
            return
        say(f"asgi-gateway listens on {address}")
        say(f"{what}, shown this once: {key}")
        say("Try:")
        say(_line_to_try(address, key, model))

    return told


def _address(listener: socket.socket) -> str:
    """A URL by which this machine reaches the socket."""
    host, port = listener.getsockname()[:2]
    if host in ("0.0.0.0", "::"):
        host = "127.0.0.1"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _line_to_try(address: str, key: str, model: str | None) -> str:
    words = ["curl", f"{address}/v1/models", "-H", f"Authorization: Bearer {key}"]
    if model is not None:
        words[1] = f"{address}/v1/chat/completions"
        body = {"model": model, "messages": [{"role": "user", "content": "Hello, gateway!"}]}
        words += ["-H", "Content-Type: application/json", "-d", json.dumps(body)]
    return shlex.join(words)


def _a_model(settings: "Settings") -> str | None:
    """A model that the declared channels serve to everybody, if there is one."""
    for channel in settings.channels:
        if channel.enabled and channel.models and "default" in channel.groups:
            return channel.models[0]
    return None
