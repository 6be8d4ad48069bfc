"""The Starlette host under hypercorn and granian: an answer, a stream, start-up and shutdown."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from openai import AsyncOpenAI

from support.host_process import GATEWAY_KEY, HostProcess, free_port
from support.ledger_file import LedgerFile
from support.scripted_upstream import ScriptedServer, stream

MESSAGES = [{"role": "user", "content": "hello"}]


def _arguments(server: str, port: int) -> list[str]:
    if server == "hypercorn":
        return ["hypercorn", "app:app", "--bind", f"127.0.0.1:{port}"]
    return ["granian", "--interface", "asgi", "--host", "127.0.0.1", "--port", str(port), "app:app"]


@pytest.fixture(params=["hypercorn", "granian"])
async def host(
    request: pytest.FixtureRequest, example: Callable[[str], Path], environment: dict[str, str]
) -> AsyncIterator[HostProcess]:
    """The example under one of the servers."""
    directory, port = example("starlette_host"), free_port()
    with HostProcess(directory, _arguments(request.param, port), environment, port=port) as process:
        await process.ready()
        yield process


async def test_the_mounted_gateway_answers_streams_and_settles(host: HostProcess, upstream: ScriptedServer) -> None:
    """A plain answer and a stream come through, and after the end of the server both are settled."""
    async with AsyncOpenAI(base_url=f"{host.url}/ai/v1", api_key=GATEWAY_KEY) as client:
        answer = await client.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES)
        upstream.scripts["gpt-4o-mini"] = stream(3, tokens=(10, 3))
        events = await client.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES, stream=True)
        pieces = [event.choices[0].delta.content or "" async for event in events if event.choices]
    assert answer.choices[0].message.content == "hello"
    assert "".join(pieces) == "four" * 3
    host.stop()
    books = LedgerFile(host.directory / "gateway.db")
    assert [charge["outcome"] for charge in books.charges()] == ["completed", "completed"]
    assert books.open_reservations == 0
    assert "Traceback" not in host.output
