"""A host application's own secrets and its users' cookies show no more than ours."""

import shutil
from collections.abc import AsyncIterator
from itertools import product
from pathlib import Path

import httpx
import pytest

from support import canaries
from support.canaries import ANYWHERE, SCRIPTS, found_in
from support.host_process import HostProcess
from support.scripted_upstream import ScriptedServer

pytest.importorskip("itsdangerous", reason="the host's sessions need it")

PLANTED = {name: canary for name, canary in ANYWHERE.items() if "proxy" not in name}
"""This host's channel has no proxy: what the upstream makes up of one is no secret."""

KEYS = (None, canaries.CALLER, canaries.STRANGER)
QUESTION = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": canaries.PROMPT}]}


@pytest.fixture
async def host(root: Path, tmp_path: Path) -> AsyncIterator[tuple[HostProcess, ScriptedServer]]:
    """The Starlette host, whose sessions, keys and upstream are canaries."""
    directory = Path(shutil.copytree(root / "examples" / "starlette_host", tmp_path / "host"))
    with ScriptedServer({}) as upstream:
        environment = {
            "UPSTREAM_URL": f"http://127.0.0.1:{upstream.port}/{canaries.PATH}",
            "UPSTREAM_KEY": canaries.CHANNEL,
            "GATEWAY_KEY": canaries.CALLER,
            "SESSION_SECRET": canaries.SESSION,
        }
        with HostProcess(directory, ["uvicorn", "app:app", "--port", "0"], environment) as process:
            await process.ready()
            yield process, upstream


async def test_failures_inside_a_host_show_no_secret(host: tuple[HostProcess, ScriptedServer]) -> None:
    """Through a session and through a key, refused, failed and cut: neither answers nor the server's log."""
    process, upstream = host
    async with httpx.AsyncClient(base_url=process.url, timeout=30, headers={"origin": process.url}) as browser:
        assert (await browser.post("/login", json={"user": "carol"})).status_code == 200
        session = browser.cookies["session"]
        said = []
        for model in ("refused-401", "refused-500", "inside", "late", "page", "cut", "broken"):
            upstream.scripts["gpt-4o-mini"] = SCRIPTS[model]
            said += [await _ask(browser, key, stream) for key, stream in product(KEYS, (False, True))]
    assert len(upstream.visits) > 0
    process.stop()
    everything = "\n".join([*said, process.output])
    assert "ResponseAborted" in process.output
    assert found_in(everything, PLANTED, {"the session": session, "the path of the base URL": canaries.PATH}) == []


async def _ask(browser: httpx.AsyncClient, key: str | None, stream: bool) -> str:
    headers = {} if key is None else {"authorization": f"Bearer {key}"}
    try:
        answer = await browser.post("/ai/v1/chat/completions", json={**QUESTION, "stream": stream}, headers=headers)
    except httpx.RemoteProtocolError as cut:
        return str(cut)
    return f"{answer.headers} {answer.text}"
