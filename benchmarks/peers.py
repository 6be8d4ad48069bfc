"""The other gateways: installed into a folder of their own, outside the checkout."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

__all__ = ["install", "litellm_program", "litellm_version", "peers_folder", "portkey_program", "portkey_version"]

LITELLM = "1.106.12"  # later ones pin companions that are not published
PORTKEY: dict[str, Any] = {
    "private": True,
    "dependencies": {"@portkey-ai/gateway": "1.15.2"},
    "overrides": {"@hono/node-server": "1.13.8"},  # with later ones every stream ends in a 500 (seen up to 1.19.19)
}


def peers_folder() -> Path:
    """Where the peers are: `$BENCH_PEERS`, or a folder in the user's cache."""
    named = os.environ.get("BENCH_PEERS")
    return Path(named) if named else Path.home() / ".cache" / "asgi_gateway-benchmarks"


def litellm_program(folder: Path) -> Path:
    """LiteLLM's command."""
    return folder / "litellm" / "bin" / "litellm"


def portkey_program(folder: Path) -> Path:
    """Portkey's server for node."""
    return _portkey(folder) / "build" / "start-server.js"


def litellm_version(folder: Path) -> str:
    """The version that is installed there; empty when none is."""
    found = sorted((folder / "litellm").glob("lib/python*/site-packages/litellm-*.dist-info"))
    return found[0].name.removesuffix(".dist-info").removeprefix("litellm-") if found else ""


def portkey_version(folder: Path) -> str:
    """The version that is installed there; empty when none is."""
    described = _portkey(folder) / "package.json"
    return str(json.loads(described.read_text())["version"]) if described.exists() else ""


def install(folder: Path) -> int:
    """Install both peers; what cannot be installed is said, and the exit code tells."""
    code = 0
    if litellm_version(folder) != LITELLM:
        place = folder / "litellm"
        pip = str(place / "bin" / "pip")
        code |= _run([sys.executable, "-m", "venv", "--clear", str(place)])
        code |= _run([pip, "install", "--quiet", f"litellm[proxy]=={LITELLM}"])
    if portkey_version(folder) != PORTKEY["dependencies"]["@portkey-ai/gateway"]:
        place = folder / "portkey"
        place.mkdir(parents=True, exist_ok=True)
        (place / "package.json").write_text(json.dumps(PORTKEY))
        npm = shutil.which("npm")
        if npm is None:
            print("npm is not installed: no Portkey")
            return 1
        # Its packages need no script of their own, so none is run.
        code |= _run([npm, "install", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix", str(place)])
    print(
        f"LiteLLM: {litellm_version(folder) or 'missing'}, Portkey: {portkey_version(folder) or 'missing'}, in {folder}"
    )
    return code


def _portkey(folder: Path) -> Path:
    return folder / "portkey" / "node_modules" / "@portkey-ai" / "gateway"


def _run(argv: list[str]) -> int:
    print("+", *argv)
    return subprocess.run(argv, check=False).returncode
