"""Examples copied to a folder of their own, so that nothing is written beside their sources."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.host_process import GATEWAY_KEY
from support.scripted_upstream import ScriptedServer, answer


@pytest.fixture
def example(root: Path, tmp_path: Path) -> Callable[[str], Path]:
    """A copy of an example's folder."""

    def copy(name: str) -> Path:
        return Path(shutil.copytree(root / "examples" / name, tmp_path / name))

    return copy


@pytest.fixture
def upstream() -> Iterator[ScriptedServer]:
    """An upstream that answers the examples' models."""
    scripts = {"gpt-4o-mini": answer(tokens=(1000, 2000)), "text-embedding-3-small": answer()}
    with ScriptedServer(scripts) as server:
        yield server


@pytest.fixture
def environment(upstream: ScriptedServer) -> dict[str, str]:
    """What the examples read from the environment."""
    url = f"http://127.0.0.1:{upstream.port}"
    return {"UPSTREAM_URL": url, "UPSTREAM_KEY": "sk-upstream", "GATEWAY_KEY": GATEWAY_KEY}
