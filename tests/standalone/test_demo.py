"""`serve --demo`, as a newcomer meets it."""

import json
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from support.served import DEADLINE, Served, run_command


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A running demonstration."""
    with Served("--demo", cwd=tmp_path_factory.mktemp("demo")) as served:
        yield served


@pytest.fixture
def client(demo: Served) -> Iterator[httpx.Client]:
    """A client that knows the demo token."""
    headers = {"authorization": f"Bearer {demo.key}"}
    with httpx.Client(base_url=demo.address, headers=headers, timeout=DEADLINE) as client:
        yield client


def events(response: httpx.Response) -> list[str]:
    return [line.removeprefix("data: ") for line in response.iter_lines() if line.startswith("data: ")]


def test_the_printed_line_works_as_pasted(demo: Served) -> None:
    """The `curl` line is answered with what it says."""
    demo.wait_for(lambda text: "\ncurl " in text)
    (line,) = [line for line in demo.out if line.startswith("curl ")]
    curl = shutil.which("curl")
    if curl is None:
        pytest.skip("curl is not installed: apt-get install curl")

    done = subprocess.run(
        [curl, "--silent", "--fail", *shlex.split(line)[1:]], capture_output=True, timeout=DEADLINE, check=True
    )

    assert json.loads(done.stdout)["choices"][0]["message"]["content"] == "Hello, gateway!"


def test_a_plain_answer_carries_its_usage(client: httpx.Client) -> None:
    """Usage is included, and the route is told to the demo token."""
    answer = client.post(
        "/v1/chat/completions",
        json={"model": "demo", "messages": [{"role": "user", "content": [{"type": "text", "text": "one two"}]}]},
    )

    assert answer.json()["choices"][0]["message"]["content"] == "one two"
    assert answer.json()["usage"]["completion_tokens"] == 2
    assert answer.headers["x-gateway-channel"] == "demo"


@pytest.mark.parametrize("wanted", [True, False])
def test_a_stream_comes_in_words_and_shows_usage_to_who_asked(client: httpx.Client, wanted: bool) -> None:
    """The words make up the text again; the usage event comes when it was asked for."""
    request = {"model": "demo", "stream": True, "messages": [{"role": "user", "content": "a b  c"}]}
    if wanted:
        request["stream_options"] = {"include_usage": True}

    with client.stream("POST", "/v1/chat/completions", json=request) as response:
        *chunks, last = events(response)

    assert last == "[DONE]"
    parsed = [json.loads(chunk) for chunk in chunks]
    text = "".join(c["choices"][0]["delta"].get("content", "") for c in parsed if c["choices"])
    assert text == "a b  c"
    assert [c["usage"]["completion_tokens"] for c in parsed if c.get("usage")] == ([4] if wanted else [])


def test_the_other_operations_are_answered_too(client: httpx.Client) -> None:
    """Completions plain and streamed, embeddings as numbers and as base64, moderations, the list of models."""
    completion = client.post("/v1/completions", json={"model": "demo", "prompt": ["say", "this"]}).json()
    assert completion["choices"][0]["text"] == "say this"
    with client.stream("POST", "/v1/completions", json={"model": "demo", "prompt": "x y", "stream": True}) as response:
        *chunks, last = events(response)
    assert "".join(json.loads(chunk)["choices"][0]["text"] for chunk in chunks) == "x y"
    assert last == "[DONE]"

    plain = client.post("/v1/embeddings", json={"model": "demo", "input": ["a", "b"], "dimensions": 40}).json()
    coded = client.post("/v1/embeddings", json={"model": "demo", "input": [1, 2], "encoding_format": "base64"}).json()
    assert [len(row["embedding"]) for row in plain["data"]] == [40, 40]
    assert [type(row["embedding"]) for row in coded["data"]] == [str]

    assert client.post("/v1/moderations", json={"model": "demo", "input": "x"}).json()["results"][0]["flagged"] is False
    assert [model["id"] for model in client.get("/v1/models").json()["data"]] == ["demo"]


def test_what_is_used_is_charged(client: httpx.Client) -> None:
    """The demo token has a quota, and it sinks."""
    before = client.get("/api/usage/token/").json()["data"]["total_available"]
    client.post("/v1/chat/completions", json={"model": "demo", "messages": [{"role": "user", "content": "x " * 50}]})

    assert client.get("/api/usage/token/").json()["data"]["total_available"] < before


def test_health_readiness_and_metrics_are_served(demo: Served, client: httpx.Client) -> None:
    """Metrics are open to this machine by default."""
    client.get("/v1/models")

    assert httpx.get(f"{demo.address}/healthz").status_code == 200
    assert httpx.get(f"{demo.address}/readyz").json() == {"status": "ready"}
    assert "gateway_requests_total{" in httpx.get(f"{demo.address}/metrics").text
    assert "server" not in httpx.get(f"{demo.address}/healthz").headers


def test_access_records_are_json_lines_without_secrets(demo: Served, client: httpx.Client) -> None:
    """One line an exchange on stdout, within about a second."""
    request_id = client.post(
        "/v1/chat/completions",
        params={"key": demo.key},
        json={"model": "demo", "messages": [{"role": "user", "content": "canary"}]},
    ).headers["x-request-id"]

    demo.wait_for(lambda text: request_id in text)

    records = [json.loads(line) for line in demo.out if line.startswith("{")]
    (record,) = [record for record in records if record["request_id"] == request_id]
    assert (record["status"], record["token"], record["channel"], record["model"]) == (200, "demo", "demo", "demo")
    assert not [line for line in demo.out if line.startswith("{") and (demo.key in line or "canary" in line)]


def test_an_unknown_path_is_nobodys(client: httpx.Client) -> None:
    """404 in OpenAI's shape."""
    assert client.get("/nowhere").json()["error"]["code"] == "unknown_url"


def test_a_demonstration_leaves_nothing_on_disk_and_ends_well(tmp_path: Path) -> None:
    """No file is made; SIGTERM ends it with exit code 0."""
    with Served("--demo", cwd=tmp_path) as served:
        assert served.address
        served.signal()
        assert served.end() == 0

    assert list(tmp_path.iterdir()) == []


def test_a_demonstration_refuses_workers(tmp_path: Path) -> None:
    """Memory is not shared between processes."""
    done = run_command("serve", "--demo", "--workers", "2", cwd=tmp_path)

    assert done.returncode == 1
    assert done.stderr == "--demo keeps everything in memory, which 2 workers cannot share: leave --workers out\n"
    assert done.stdout == ""


def test_the_echo_is_reached_by_its_key_alone() -> None:
    """Others on the machine get nothing from it."""
    from asgi_gateway_contrib.standalone.demo import EchoUpstream

    transport = httpx.ASGITransport(EchoUpstream("right", pace=0))

    async def statuses() -> list[int]:
        async with httpx.AsyncClient(transport=transport, base_url="http://echo") as client:
            wrong = await client.post("/v1/embeddings", json={}, headers={"authorization": "Bearer wrong"})
            client.headers["authorization"] = "Bearer right"
            other = await client.post("/v1/embeddings", json={"model": "other"})
            path = await client.post("/v1/nothing", json={"model": "demo"})
            silent = await client.post("/v1/chat/completions", json={"model": "demo", "messages": [{"role": "system"}]})
            return [wrong.status_code, other.status_code, path.status_code, silent.status_code]

    import asyncio

    assert asyncio.run(statuses()) == [401, 404, 404, 200]


BODIES = {
    "/v1/responses": {"model": "demo", "input": "Hi there"},
    "/v1/messages": {"model": "demo", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi there"}]},
    "/v1beta/models/demo:generateContent": {"contents": [{"role": "user", "parts": [{"text": "Hi there"}]}]},
    "/v2/chat": {"model": "demo", "messages": [{"role": "user", "content": "Hi there"}]},
    "/model/demo/converse": {"messages": [{"role": "user", "content": [{"text": "Hi there"}]}]},
}


@pytest.mark.parametrize("path", BODIES)
def test_the_demo_answers_in_every_dialect(client: httpx.Client, path: str) -> None:
    """The echo speaks OpenAI's chat; what comes back is in the caller's own format."""
    answer = client.post(path, json=BODIES[path])
    assert answer.status_code == 200, answer.text
    assert "Hi there" in answer.text
    assert "choices" not in answer.json()
