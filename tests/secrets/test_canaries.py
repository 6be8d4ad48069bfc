"""Keys, addresses and words are planted everywhere, everything goes wrong, and nothing of them shows anywhere."""

import asyncio
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidHandshake

from support import canaries
from support.caller import Call
from support.canaries import ADDRESSES, ANYWHERE, CALLER, COOKIE, MODELS, PROMPT, SCRIPTS, STRANGER, WORDS, found_in
from support.connect_proxy import ConnectProxy
from support.fault_run import nobody
from support.gateway_process import GatewayProcess
from support.scripted_upstream import ScriptedServer
from support.served import run_command
from support.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")

WAYS = {
    "bearer": "authorization: Bearer {}",
    "bare": "authorization: {}",
    "x-api-key": "x-api-key: {}",
    "x-goog-api-key": "x-goog-api-key: {}",
    "mj-api-secret": "mj-api-secret: {}",
    "query": "",
}
"""Where a caller's key may stand."""

COMMANDS = {
    "check": ["check"],
    "check as JSON": ["check", "--json"],
    "token list": ["token", "list"],
    "token list as JSON": ["token", "list", "--json"],
    "token show": ["token", "show", "dev", "--json"],
    "user list": ["user", "list", "--json"],
    "usage": ["usage", "--by", "channel", "--json"],
    "channel list": ["channel", "list"],
    "channel list as JSON": ["channel", "list", "--json"],
    "channel show": ["channel", "show", "one"],
    "channel show as JSON": ["channel", "show", "one", "--json"],
    **{
        f"channel test {model}": ["channel", "test", "one", "--model", model]
        for model in ("refused-401", "page", "cut")
    },
    **{f"channel test {name}": ["channel", "test", name, "--json"] for name in ("lost", "refusing")},
}

OPERATORS = {"channel list as JSON", "channel show", "channel show as JSON"}
"""They show where a channel leads: the operator has written it, and has to be able to look at it."""


@dataclass(slots=True)
class Told:
    """Everything that was said, by where it was said."""

    answers: dict[str, str] = field(default_factory=dict)
    statuses: dict[str, int] = field(default_factory=dict)
    commands: dict[str, str] = field(default_factory=dict)
    output: str = ""
    errors: str = ""
    database: bytes = b""
    records: list[dict[str, Any]] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    """What the upstream was sent."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def told(tmp_path_factory: pytest.TempPathFactory) -> Told:
    """The whole day of a gateway: every key in every place, every failure, every command."""
    directory, told = tmp_path_factory.mktemp("canaries"), Told()
    with pytest.MonkeyPatch.context() as patch, ScriptedServer(dict(SCRIPTS)) as upstream, nobody() as closed:
        for name, value in canaries.ENVIRONMENT.items():
            patch.setenv(name, value)
        async with ConnectProxy(upstream.port) as proxy:
            with GatewayProcess(directory, canaries.settings(proxy.port, closed)) as gateway:
                await _day(gateway, told)
        told.output, told.errors, told.records = gateway.output, gateway.log, gateway.records
        told.asked = [f"{visit.target} {dict(visit.headers)}" for visit in upstream.visits]
    told.database = await asyncio.to_thread(_read, directory)
    return told


async def _day(gateway: GatewayProcess, told: Told) -> None:
    await gateway.ready()
    await _call_everything(gateway.port, told)
    await eventually(lambda: len(gateway.records) >= len(told.answers) - OURS, 10, "record of every exchange")
    gate = asyncio.Semaphore(2)

    async def command(name: str) -> None:
        async with gate:
            arguments = [*COMMANDS[name], "--config", str(gateway.config)]
            done = await asyncio.to_thread(run_command, *arguments, cwd=gateway.directory)
        told.commands[name] = done.stdout + done.stderr

    await asyncio.gather(*map(command, COMMANDS))
    await gateway.terminate()


def _read(directory: Path) -> bytes:
    return b"".join(path.read_bytes() for path in directory.glob("gateway.db*"))


OURS = 3
"""Answers that are no exchanges: health and metrics."""


async def _call_everything(port: int, told: Told) -> None:
    async with asyncio.TaskGroup() as group:
        for model in MODELS:
            for stream in (False, True):
                body = json.dumps({"model": model, "stream": stream, "messages": [{"role": "user", "content": PROMPT}]})
                name = f"{model} {'streamed' if stream else 'plain'}"
                group.create_task(_call(port, told, name, WAYS["bearer"].format(CALLER), body))
        for way, header in WAYS.items():
            for key in (CALLER, STRANGER):
                who = "caller" if key == CALLER else "stranger"
                query = f"?key={key.replace('+', '%2B')}" if way == "query" else ""
                body = json.dumps({"model": "good", "messages": [{"role": "user", "content": PROMPT}]})
                group.create_task(_call(port, told, f"{way} {who}", header.format(key), body, query=query))
        for name, body in {
            "no JSON": f'{{"model": "{PROMPT}',
            "no messages": f'{{"model": "good", "x": "{PROMPT}"}}',
        }.items():
            group.create_task(_call(port, told, name, WAYS["bearer"].format(CALLER), body))
        poor = json.dumps({"model": "good", "messages": [{"role": "user", "content": PROMPT}]})
        group.create_task(_call(port, told, "poor", WAYS["bearer"].format(CALLER + "-poor"), poor))
        for path in (
            "/v1/models",
            "/v1/models/none",
            "/api/usage/token/",
            "/v1/dashboard/billing/subscription",
            "/v1/none",
        ):
            group.create_task(_get(port, told, f"{path}?key={CALLER.replace('+', '%2B')}"))
        group.create_task(_socket(port, told))
    for path in ("/healthz", "/readyz", "/metrics"):
        await _get(port, told, path)


async def _call(port: int, told: Told, name: str, key: str, body: str, *, query: str = "") -> None:
    head = (
        f"POST /v1/chat/completions{query} HTTP/1.1\r\ncontent-type: application/json\r\ncookie: session={COOKIE}\r\n"
    )
    call = await Call.connect(port)
    await call.send(head + (f"{key}\r\n" if key else ""), body.encode())
    _note(told, name, await call.ended())


async def _get(port: int, told: Told, target: str) -> None:
    call = await Call.connect(port)
    await call.send(f"GET {target} HTTP/1.1\r\ncookie: session={COOKIE}\r\n")
    _note(told, target.partition("?")[0], await call.ended())


async def _socket(port: int, told: Told) -> None:
    protocols = ["realtime", f"openai-insecure-api-key.{CALLER}"]
    with pytest.raises(InvalidHandshake) as refused:
        await connect(f"ws://127.0.0.1:{port}/v1/realtime?model=good", subprotocols=protocols)  # type: ignore[arg-type]
    told.answers["websocket"] = f"{refused.value} {vars(refused.value.response)}"  # type: ignore[attr-defined]


def _note(told: Told, name: str, call: Call) -> None:
    told.answers[name] = f"{call.status} {call.headers} {call.body.decode()}"
    told.statuses[name] = call.status


async def test_the_secrets_were_where_they_belong(told: Told) -> None:
    """The upstream got keys, header and path, the proxy its credentials; the callers' keys worked and failed."""
    asked = "\n".join(told.asked)
    for secret in (canaries.CHANNEL, canaries.SECOND, canaries.HEADER, canaries.PATH):
        assert secret in asked
    assert "Basic " + ANYWHERE["the proxy's credentials"] in asked
    assert {told.statuses[f"{way} caller"] for way in WAYS} == {200}
    assert {told.statuses[f"{way} stranger"] for way in WAYS} == {401}
    assert WORDS in told.answers["good plain"]


async def test_everything_went_wrong(told: Told) -> None:
    """Each failure was one, and on both channels where it could be."""
    statuses = {model: told.statuses[f"{model} plain"] for model in MODELS if model != "good"}
    assert statuses.pop("cut") == 200
    assert min(statuses.values()) >= 400
    assert {401, 402, 403}.isdisjoint(statuses.values())
    assert {record["channel"] for record in told.records} >= {"one", "two", "lost", "refusing"}
    assert "error" in told.answers["late streamed"]


def everything(told: Told) -> dict[str, str]:
    """All that a caller, a log's reader or a monitor sees."""
    said = {f"answer to {name}": text for name, text in told.answers.items()}
    return {**said, "stdout": told.output, "stderr": told.errors}


async def test_nothing_shows_in_answers_logs_and_metrics(told: Told) -> None:
    """Neither a key nor an address nor a word."""
    found = {name: found_in(text, ANYWHERE, ADDRESSES) for name, text in everything(told).items()}
    assert {name: canaries for name, canaries in found.items() if canaries} == {}


async def test_the_words_of_an_answer_are_the_callers_alone(told: Told) -> None:
    """They are in no log."""
    assert WORDS not in told.output + told.errors


async def test_commands_show_no_secret(told: Told) -> None:
    """Nor an address, except those that are there to show it."""
    found = {
        name: found_in(text, ANYWHERE) + ([] if name in OPERATORS else found_in(text, ADDRESSES))
        for name, text in told.commands.items()
    }
    assert {name: canaries for name, canaries in found.items() if canaries} == {}
    assert all(told.commands.values())


async def test_errors_still_say_what_is_wrong(told: Told) -> None:
    """Only the secrets are taken out of a text."""
    for name in ("refused-400 plain", "inside plain", "late streamed", "refused-500 streamed"):
        assert "is not welcome at ***" in told.answers[name]


async def test_callers_keys_are_not_stored(told: Told) -> None:
    """The database has their digests."""
    for key in (CALLER, STRANGER):
        assert key.encode() not in told.database
        assert key.removeprefix("sk-").encode() not in told.database


async def test_channels_secrets_are_stored_encrypted(told: Told) -> None:
    """Database, log and whatever lies beside them hold none of their bytes."""
    pytest.importorskip("cryptography")
    assert b"gateway_channels" in told.database
    assert {name for name, canary in canaries.AT_REST.items() if canary.encode() in told.database} == set()
