"""`examples/standalone/`, started by the lines of its README."""

import re
import shlex
import shutil
from pathlib import Path

import httpx

from support.served import Served, run_command


def test_the_example_runs_by_the_lines_of_its_readme(root: Path, tmp_path: Path) -> None:
    """Its keys come from the environment, its callers see their models, its file is without mistakes."""
    example = root / "examples" / "standalone"
    shutil.copy(example / "gateway.toml", tmp_path)
    text = (example / "README.md").read_text()
    lines = [line for block in re.findall(r"```sh\n(.*?)```", text, re.DOTALL) for line in block.splitlines()]
    keys = dict(pair.split("=") for pair in shlex.split(lines[0])[1:])
    (serve,) = [line for line in lines if " serve " in line]
    (usage,) = [line for line in lines if " usage " in line]
    (check,) = re.findall(r"`python3 -m asgi_gateway (check .*?)`", text)

    def arguments(line: str) -> list[str]:
        return shlex.split(line.partition("-m asgi_gateway ")[2])

    assert run_command(*shlex.split(check), cwd=tmp_path, environ=keys).returncode == 0
    with Served(*arguments(serve)[1:], cwd=tmp_path, environ=keys) as served:
        assert served.key.startswith("sk-")

        def models(key: str) -> list[str]:
            answer = httpx.get(f"{served.address}/v1/models", headers={"authorization": f"Bearer {keys[key]}"})
            return sorted(model["id"] for model in answer.json()["data"])

        assert models("ALICE_KEY") == ["fast", "gpt-4o-mini", "text-embedding-3-small"]
        assert models("BOB_KEY") == ["fast", "gpt-4o-mini"]
    assert run_command(*arguments(usage), cwd=tmp_path, environ=keys).returncode == 0
