"""Who is measured: how each is started in front of one upstream, and what it is called in the table."""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from benchmarks.database_servers import no_server
from benchmarks.gateway_files import write_gateway_file
from benchmarks.machine import find_program
from benchmarks.nginx import proxy_command
from benchmarks.payloads import CALLER_KEY, MESSAGES_PATH, MESSAGES_REQUEST, MODEL, PATH, REQUEST, UPSTREAM_KEY
from benchmarks.peers import litellm_program, litellm_version, peers_folder, portkey_program, portkey_version

__all__ = ["CONTENDERS", "DIRECT", "Contender", "Launch"]

DIRECT = "direct"
"""The row of the upstream itself, without anything before it: what the added latency is taken from."""


@dataclass(frozen=True, slots=True)
class Launch:
    """A command, what is added to its environment, and what it is asked in: headers beside the usual ones, and dialect.

    `path` and `request` are what the load of whole answers sends.
    """

    argv: list[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    path: str = PATH
    request: bytes = REQUEST


@dataclass(frozen=True, slots=True)
class Contender:
    """One row of the table."""

    name: str
    title: str
    launch: Callable[[Path, int, int], Launch]
    """From a scratch folder, the port to listen on and the upstream's port."""
    missing: Callable[[], str]
    """Why it cannot be measured here; empty when it can."""
    version: Callable[[], str] = lambda: ""
    streams: bool = True
    """Whether open streams are measured, too."""
    server: str = ""
    """The database server that it stores in, if any: its address goes into the environment."""


def _present() -> str:
    return ""


def _nginx(folder: Path, port: int, upstream: int) -> Launch:
    return Launch(proxy_command(folder / "proxy", port, upstream))


def _no_nginx() -> str:
    return "" if find_program("nginx") else "nginx is not installed"


def _bare(folder: Path, port: int, upstream: int) -> Launch:
    options = ["--host", "127.0.0.1", "--port", str(port), "--log-level", "warning", "--no-access-log"]
    argv = [sys.executable, "-m", "uvicorn", "--factory", "benchmarks.bare_relay:application", *options]
    return Launch(argv, {"UPSTREAM_PORT": str(upstream)})


def _gateway(storage: str) -> Callable[[Path, int, int], Launch]:
    def launch(folder: Path, port: int, upstream: int) -> Launch:
        file = write_gateway_file(folder, port=port, upstream=upstream, storage=storage)
        return Launch([sys.executable, "-m", "asgi_gateway", "serve", "--config", str(file)])

    return launch


def _on_server(folder: Path, port: int, upstream: int) -> Launch:
    governed = _gateway("sqlite")(folder, port, upstream)  # the environment's address wins over the file's
    return replace(governed, argv=[*governed.argv, "--migrate"])


def _crossing(folder: Path, port: int, upstream: int) -> Launch:
    governed = _gateway("sqlite")(folder, port, upstream)
    return replace(governed, path=MESSAGES_PATH, request=MESSAGES_REQUEST)


def _litellm(folder: Path, port: int, upstream: int) -> Launch:
    file = folder / "litellm.yaml"
    file.write_text(
        f"model_list:\n  - model_name: {MODEL}\n    litellm_params:\n      model: openai/{MODEL}\n"
        f"      api_base: http://127.0.0.1:{upstream}/v1\n      api_key: {UPSTREAM_KEY}\n"
        f"general_settings:\n  master_key: {CALLER_KEY}\n"
    )
    options = ["--config", str(file), "--host", "127.0.0.1", "--port", str(port), "--num_workers", "1"]
    # What its own documentation advises for production, and no network at start.
    environment = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR", "LITELLM_MODE": "PRODUCTION"}
    return Launch([str(litellm_program(peers_folder())), *options, "--telemetry", "False"], environment)


def _no_litellm() -> str:
    return "" if litellm_program(peers_folder()).exists() else "not installed: python3 -m benchmarks install"


def _portkey(folder: Path, port: int, upstream: int) -> Launch:
    argv = ["node", str(portkey_program(peers_folder())), "--headless", f"--port={port}"]
    headers = {"x-portkey-provider": "openai", "x-portkey-custom-host": f"http://127.0.0.1:{upstream}/v1"}
    return Launch(argv, {"NODE_ENV": "production", "TRUSTED_CUSTOM_HOSTS": "127.0.0.1"}, headers)


def _no_portkey() -> str:
    if find_program("node") is None:
        return "node is not installed"
    return "" if portkey_program(peers_folder()).exists() else "not installed: python3 -m benchmarks install"


CONTENDERS = (
    Contender("nginx", "nginx, plain reverse proxy", _nginx, _no_nginx),
    Contender("bare", "bare relay: uvicorn and our transport", _bare, _present),
    Contender("memory", "whole stack, memory storage", _gateway("memory://"), _present),
    Contender("governed", "whole stack, governed (SQLite on disk)", _gateway("sqlite"), _present),
    *(
        Contender(
            kind,
            f"whole stack, governed ({title})",
            _on_server,
            partial(no_server, kind),
            streams=False,
            server=kind,
        )
        for kind, title in (("postgresql", "PostgreSQL over loopback"), ("mariadb", "MariaDB over loopback"))
    ),
    Contender("crossing", "governed, Anthropic's dialect in, OpenAI's out", _crossing, _present, streams=False),
    Contender("portkey", "Portkey's gateway", _portkey, _no_portkey, lambda: portkey_version(peers_folder())),
    Contender("litellm", "LiteLLM proxy", _litellm, _no_litellm, lambda: litellm_version(peers_folder())),
)
