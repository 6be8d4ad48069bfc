"""Programs in JavaScript: run to their end, with the packages of `tests/interop` at hand."""

import asyncio
import os
from pathlib import Path

from support.services import NODE_MODULES, require_service

__all__ = ["run_node"]


async def run_node(
    *arguments: str, folder: Path | None = None, seconds: float = 60.0, **environment: str
) -> tuple[int, bytes, bytes]:
    """Run node with these arguments in a folder; exit code, and what it printed to stdout and stderr."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        str(require_service("node")),
        *arguments,
        cwd=folder,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=pipe,
        stderr=pipe,
        env={**os.environ, "NODE_PATH": str(NODE_MODULES), **environment},
    )
    try:
        output, errors = await asyncio.wait_for(process.communicate(), seconds)
    except BaseException:  # whatever happens, nothing of it outlives the test
        process.kill()
        await process.wait()
        raise
    assert process.returncode is not None
    return process.returncode, output, errors
