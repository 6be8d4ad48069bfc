"""The gateway inside Starlette, FastAPI and Django, through real servers."""

import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from openai import AsyncOpenAI

from support.host_process import GATEWAY_KEY, HostProcess
from support.ledger_file import LedgerFile
from support.scripted_upstream import ScriptedServer
from support.waiting import eventually

QUESTION = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hello"}]}
COST = 675
"""Units of one answer: (1000 * 0.15 + 2000 * 0.60) / 2, at half a unit for a USD per million tokens."""


@dataclass(frozen=True)
class Host:
    """An example that runs."""

    name: str
    process: HostProcess
    upstream: ScriptedServer

    @property
    def books(self) -> LedgerFile:
        """The gateway's ledger."""
        return LedgerFile(self.process.directory / "gateway.db")

    @property
    def origin(self) -> dict[str, str]:
        """What a browser sends from the host's own pages."""
        return {"Origin": self.process.url}

    async def log_in(self, client: httpx.AsyncClient) -> None:
        """Log in at the host, as carol."""
        login = {"username": "carol", "password": "carol-secret"} if self.name == "django_host" else None
        answer = await client.post("/login", json=login or {"user": "carol", "name": "carol"})
        assert answer.status_code == 200


@pytest.fixture(params=["starlette_host", "fastapi_host", "django_host"])
async def host(
    request: pytest.FixtureRequest,
    example: Callable[[str], Path],
    environment: dict[str, str],
    upstream: ScriptedServer,
) -> AsyncIterator[Host]:
    """Each host example under uvicorn."""
    name: str = request.param
    directory = example(name)
    app = "app:app"
    if name == "django_host":
        app = "project.asgi:application"
        _prepare_django(directory)
    with HostProcess(directory, ["uvicorn", app, "--port", "0"], environment) as process:
        await process.ready()
        yield Host(name, process, upstream)


def _prepare_django(directory: Path) -> None:
    subprocess.run([sys.executable, "manage.py", "migrate", "-v0"], cwd=directory, check=True)
    create = "from django.contrib.auth.models import User; User.objects.create_user('carol', password='carol-secret')"
    subprocess.run([sys.executable, "manage.py", "shell", "-v0", "-c", create], cwd=directory, check=True)


@pytest.fixture
async def browser(host: Host) -> AsyncIterator[httpx.AsyncClient]:
    """A client that keeps cookies."""
    async with httpx.AsyncClient(base_url=host.process.url, timeout=30) as client:
        yield client


async def test_the_official_sdk_reaches_the_mounted_gateway_by_a_key(host: Host) -> None:
    """Below the prefix an unchanged client gets the upstream's answer, and the key's user is charged."""
    async with AsyncOpenAI(base_url=f"{host.process.url}/ai/v1", api_key=GATEWAY_KEY) as client:
        answer = await client.chat.completions.create(**QUESTION)
        models = [model.id async for model in client.models.list()]
    assert answer.choices[0].message.content == "hello"
    assert models == ["gpt-4o-mini"]
    await eventually(lambda: host.books.account("user", "alice")["spent"] == COST, 10, "charge")


async def test_the_hosts_logged_in_user_is_charged_without_any_key(host: Host, browser: httpx.AsyncClient) -> None:
    """Who logged in at the host becomes a user of the gateway, is granted the quota for new users, and pays."""
    await host.log_in(browser)
    answer = await browser.post("/ai/v1/chat/completions", json=QUESTION, headers=host.origin)
    assert answer.status_code == 200, answer.text
    await eventually(lambda: host.books.account("user", "carol")["spent"] == COST, 10, "charge")
    assert host.books.account("user", "carol")["granted"] == 500_000
    assert host.books.charges()[-1]["token_name"] == ""


async def test_a_session_from_a_foreign_page_is_refused(host: Host, browser: httpx.AsyncClient) -> None:
    """Browsers send cookies for foreign pages too: another origin, or none, is no request of the user's own."""
    await host.log_in(browser)
    for headers in ({}, {"Origin": "https://evil.example"}):
        answer = await browser.post("/ai/v1/chat/completions", json=QUESTION, headers=headers)
        assert answer.status_code == 403
        assert answer.json()["error"]["code"] == "origin_not_allowed"
    assert host.upstream.visits == []


async def test_a_key_wins_over_the_session(host: Host, browser: httpx.AsyncClient) -> None:
    """A request with both is the key's."""
    await host.log_in(browser)
    headers = {"Authorization": f"Bearer {GATEWAY_KEY}"}
    answer = await browser.post("/ai/v1/chat/completions", json=QUESTION, headers=headers)
    assert answer.status_code == 200
    await eventually(lambda: host.books.account("user", "alice")["spent"] == COST, 10, "charge")


async def test_nobody_is_told_so_and_reaches_no_upstream(host: Host, browser: httpx.AsyncClient) -> None:
    """Without a key and without a login the answer is OpenAI's 401."""
    answer = await browser.post("/ai/v1/chat/completions", json=QUESTION)
    assert answer.status_code == 401
    assert answer.json()["error"]["type"] == "invalid_request_error"
    assert host.upstream.visits == []


async def test_foreign_paths_are_the_hosts_own(host: Host, browser: httpx.AsyncClient) -> None:
    """What is not below the prefix never meets the gateway, also where its name is one of ours."""
    home = await browser.get("/")
    assert home.status_code == (401 if host.name == "fastapi_host" else 200)
    assert "x-request-id" not in home.headers
    stranger = await browser.post("/v1/chat/completions", json=QUESTION)
    assert stranger.status_code == 404
    assert "x-request-id" not in stranger.headers
    below = await browser.get("/ai/v1/nothing")
    assert below.status_code == 404
    assert below.json()["error"]["code"] == "unknown_url"


@pytest.mark.parametrize("host", ["starlette_host", "fastapi_host"], indirect=True)  # Django's CORS is inside Django
async def test_the_hosts_cors_works_outside_us(host: Host, browser: httpx.AsyncClient) -> None:
    """A preflight for a gateway path is answered by the host's own middleware."""
    headers = {
        "Origin": "https://app.example",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization",
    }
    answer = await browser.options("/ai/v1/chat/completions", headers=headers)
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == "https://app.example"


async def test_start_up_and_shutdown_run(host: Host, browser: httpx.AsyncClient) -> None:
    """The gateway is ready before the first request, and ends in order: nothing queued is lost, no error is logged."""
    ready = await browser.get("/ai/readyz")
    assert ready.json() == {"status": "ready"}
    headers = {"Authorization": f"Bearer {GATEWAY_KEY}"}
    assert (await browser.post("/ai/v1/chat/completions", json=QUESTION, headers=headers)).status_code == 200
    await browser.aclose()
    host.process.stop()
    assert "Traceback" not in host.process.output
    assert host.books.open_reservations == 0
    assert [charge["charged"] for charge in host.books.charges()] == [COST]


async def test_a_websocket_outside_the_prefix_is_refused_before_django(
    example: Callable[[str], Path], environment: dict[str, str]
) -> None:
    """Django cannot take WebSockets at all: such a connection is closed, not an error in the log."""
    from websockets.asyncio.client import connect
    from websockets.exceptions import InvalidStatus

    directory = example("django_host")
    _prepare_django(directory)
    with HostProcess(directory, ["uvicorn", "project.asgi:application", "--port", "0"], environment) as process:
        await process.ready()
        with pytest.raises(InvalidStatus) as refused:
            await connect(process.url.replace("http", "ws") + "/chat")
        assert refused.value.response.status_code == 403
        assert "Traceback" not in process.output
