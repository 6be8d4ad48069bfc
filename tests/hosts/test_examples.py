"""The examples that are no hosts: each runs by the line that its README gives."""

from collections.abc import Callable
from pathlib import Path

import httpx

from support.host_process import HostProcess
from support.scripted_upstream import ScriptedServer

QUESTION = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hello"}]}


async def test_a_composition_of_three_layers_relays_and_refuses(
    example: Callable[[str], Path], environment: dict[str, str], upstream: ScriptedServer
) -> None:
    """A known model is relayed; an unknown one and a broken body are refused."""
    with HostProcess(example("composition"), ["uvicorn", "app:app", "--port", "0"], environment) as process:
        await process.ready()
        async with httpx.AsyncClient(base_url=process.url, timeout=30) as client:
            answer = await client.post("/v1/chat/completions", json=QUESTION)
            unknown = await client.post("/v1/chat/completions", json={**QUESTION, "model": "other"})
            broken = await client.post("/v1/chat/completions", content=b"{")
    assert answer.json()["choices"][0]["message"]["content"] == "hello"
    assert [visit.body for visit in upstream.visits] == [QUESTION]
    assert (unknown.status_code, unknown.json()["error"]["code"]) == (503, "no_channel_available")
    assert (broken.status_code, broken.json()["error"]["type"]) == (400, "invalid_request_error")


async def test_one_layer_alone_limits_a_hosts_own_route(example: Callable[[str], Path]) -> None:
    """The fourth request within a minute is refused in OpenAI's shape; foreign paths are never counted."""
    with HostProcess(example("lone_layer"), ["uvicorn", "app:app", "--port", "0"], {}) as process:
        await process.ready()
        async with httpx.AsyncClient(base_url=process.url, timeout=30) as client:
            for _ in range(5):
                assert (await client.get("/")).json() == {"limited": False}
            answers = [await client.post("/v1/chat/completions", json=QUESTION) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert answers[0].json()["choices"][0]["message"]["content"] == "olleh"
    assert answers[3].json()["error"]["code"] == "rate_limit_exceeded"
    assert int(answers[3].headers["retry-after"]) >= 1
