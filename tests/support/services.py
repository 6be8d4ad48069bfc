"""Programs that tests run against, and what to install to have them."""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest

__all__ = ["SERVICES", "require_service"]

SERVICES: Mapping[str, tuple[str, str]] = {
    "postgresql": ("/usr/lib/postgresql/*/bin/initdb", "postgresql"),
    "mariadb": ("mariadbd", "mariadb-server"),
    "redis": ("redis-server", "redis-server"),
    "chromium": ("chromium", "chromium"),
    "nginx": ("nginx", "nginx"),
    "wrk": ("wrk", "wrk"),
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
    message = f"{name} is not installed: apt-get install {package}"
    if os.environ.get("CI") == "true":
        pytest.fail(message, pytrace=False)
    pytest.skip(message)


def _find(program: str) -> Path | None:
    if program.startswith("/"):
        return max(Path("/").glob(program[1:]), default=None)
    found = shutil.which(program, path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"]))
    return Path(found) if found else None
