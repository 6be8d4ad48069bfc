"""Programs that tests run against, and what to install to have them."""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest

__all__ = ["NODE_MODULES", "NPM_INSTALL", "SERVICES", "require_node_package", "require_service"]

NPM_INSTALL = "npm install --prefix tests/interop --ignore-scripts --no-package-lock"

NODE_MODULES = Path(__file__).parents[1] / "interop" / "node_modules"

SERVICES: Mapping[str, tuple[str, str]] = {
    "postgresql": ("/usr/lib/postgresql/*/bin/initdb", "postgresql"),
    "mariadb": ("mariadbd", "mariadb-server"),
    "redis": ("redis-server", "redis-server"),
    "chromium": ("chromium", "chromium"),
    "nginx": ("nginx", "nginx"),
    "wrk": ("wrk", "wrk"),
    "node": ("node", "nodejs"),
}
"""By name: the program (a name, or a pattern of paths), and the Debian package that brings it."""


def require_service(name: str) -> Path:
    """The program of a service.

    Where it is missing the test is skipped with a message that says what to install;
    with `CI=true` it fails, so that nothing is silently left out there.
    """
    program, package = SERVICES[name]
    found = _find(program)
    if found is not None:
        return found
    raise _missing(f"{name} is not installed: apt-get install {package}")


def require_node_package(name: str) -> Path:
    """The folder of an npm package of `tests/interop/package.json`; missing ones are treated as missing services."""
    require_service("node")
    folder = NODE_MODULES / name
    if folder.is_dir():
        return folder
    raise _missing(f"the npm package {name} is not installed: {NPM_INSTALL}")


def _missing(message: str) -> BaseException:
    return (
        pytest.fail.Exception(message, pytrace=False)
        if os.environ.get("CI") == "true"
        else pytest.skip.Exception(message)
    )


def _find(program: str) -> Path | None:
    if program.startswith("/"):
        return max(Path("/").glob(program[1:]), default=None)
    found = shutil.which(program, path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"]))
    return Path(found) if found else None
