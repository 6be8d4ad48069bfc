"""The facts of the machine and of the programs that were measured on it."""

import os
import platform
import shutil
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

__all__ = ["Cores", "choose_cores", "commit", "facts", "find_program", "program_version"]

PACKAGES = ("uvicorn", "uvloop", "httptools", "orjson", "msgspec", "sqlalchemy")

ROOT = Path(__file__).resolve().parent.parent


class Cores:
    """Which core serves and which one loads; the same one where there is only one."""

    __slots__ = ("contender", "load")

    def __init__(self, contender: int, load: int) -> None:
        self.contender = contender
        self.load = load


def choose_cores() -> Cores:
    """The first core that this process may use for the contender, the next for upstream and load."""
    usable = sorted(os.sched_getaffinity(0))
    return Cores(usable[0], usable[1 % len(usable)])


def commit() -> str:
    """The commit of this checkout, marked when tracked files differ from it."""
    git = shutil.which("git")
    if git is None or not (ROOT / ".git").exists():
        return "unknown"
    head = subprocess.run(
        [git, "rev-parse", "--short=12", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    changed = subprocess.run(
        [git, "status", "--porcelain", "--untracked-files=no"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return head.stdout.strip() + (" with changes" if changed.stdout.strip() else "")


def find_program(name: str) -> str | None:
    """Where a program is, also in the folders for administrators, where Debian puts nginx; None when nowhere."""
    return shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"]))


def program_version(program: str, flag: str) -> str:
    """The version that a program tells in its first line; empty when it is not installed."""
    path = find_program(program)
    if path is None:
        return ""
    said = subprocess.run([path, flag], capture_output=True, text=True, check=False)
    lines = (said.stdout + said.stderr).strip().splitlines()
    return next((word for word in lines[0].split() if any(sign.isdigit() for sign in word)), "") if lines else ""


def package_version(name: str) -> str:
    """The installed version of a Python package; empty when it is not installed."""
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def processor() -> str:
    """The processor's name."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def facts() -> dict[str, str]:
    """Everything that a reader needs to judge the figures by."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    said = {
        "processor": processor(),
        "cores": str(len(os.sched_getaffinity(0))),
        "memory": f"{memory / 2**30:.0f} GiB",
        "system": f"{platform.system()} {platform.release()}",
        "load before the run": f"{os.getloadavg()[0]:.2f}",
        "python": platform.python_version(),
        "nginx": program_version("nginx", "-v").removeprefix("nginx/"),
        "wrk": program_version("wrk", "-v"),
        "node": program_version("node", "--version").removeprefix("v"),
        "commit": commit(),
    }
    return said | {name: package_version(name) for name in PACKAGES}
