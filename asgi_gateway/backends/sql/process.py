"""Which process this is, and whether another one is provably dead.

A process on the same kernel and in the same pid namespace is dead when its pid is free, belongs to a process that
started at another time (the pid was used again), or to one that has ended and waits to be reaped.
Whatever cannot be read proves nothing. Linux only (proc(5): `stat` fields 3 and 22); elsewhere nothing is proved.
"""

import os
import socket
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Process", "is_dead", "this_process"]

PROC = Path("/proc")

ENDED = frozenset("ZXx")
"""States of a process that runs no instruction any more."""


@dataclass(frozen=True, slots=True)
class Process:
    """A process, so that no other one is taken for it. Empty texts and 0: not known.

    `boot` names one run of one kernel, `namespace` a pid namespace in it, `started` is in ticks since that boot.
    `host` is for people: two machines may have the same.
    """

    host: str
    boot: str
    namespace: str
    pid: int
    started: int


def this_process(proc: Path = PROC) -> Process:
    """The process that calls."""
    pid = os.getpid()
    _, started = _stat(pid, proc) or ("", 0)
    return Process(socket.gethostname(), _boot(proc), _namespace(proc), pid, started)


def is_dead(process: Process, proc: Path = PROC) -> bool:
    """Whether the process is known to have ended."""
    if not (process.boot and process.namespace and process.pid and process.started):
        return False
    if (process.boot, process.namespace) != (_boot(proc), _namespace(proc)):
        return False
    try:
        os.kill(process.pid, 0)
    except ProcessLookupError:
        return True
    except OSError:
        pass  # it belongs to somebody else
    stat = _stat(process.pid, proc)
    if stat is None:
        return False
    state, started = stat
    return started != process.started or (state in ENDED and _is_alone(process.pid, proc))


def _boot(proc: Path) -> str:
    try:
        return (proc / "sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def _namespace(proc: Path) -> str:
    try:
        return str((proc / "self/ns/pid").readlink())
    except OSError:
        return ""


def _stat(pid: int, proc: Path) -> tuple[str, int] | None:
    """State and start of a process; None when it cannot be read."""
    try:
        text = (proc / str(pid) / "stat").read_text()
        fields = text.rpartition(")")[2].split()  # the name before may hold anything
        return fields[0], int(fields[19])
    except (OSError, ValueError, IndexError):
        return None


def _is_alone(pid: int, proc: Path) -> bool:
    """Whether no other thread of an ended main thread is left."""
    try:
        return len(os.listdir(proc / str(pid) / "task")) <= 1
    except OSError:
        return False
