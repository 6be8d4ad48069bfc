"""Which processes are provably dead: never one that lives, whatever its pid was used for."""

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from asgi_gateway.backends.sql.process import Process, is_dead, this_process


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    """A `/proc` of our own, as far as we read it."""
    (tmp_path / "sys/kernel/random").mkdir(parents=True)
    (tmp_path / "sys/kernel/random/boot_id").write_text("boot-1\n")
    (tmp_path / "self/ns").mkdir(parents=True)
    (tmp_path / "self/ns/pid").symlink_to("pid:[4026531836]")
    return tmp_path


def describe(proc: Path, pid: int, *, state: str = "S", started: int = 777, threads: int = 1) -> Process:
    """Put a process into the `/proc`, with a name made to mislead, and return its identity."""
    fields = " ".join(str(number) for number in range(4, 22))
    (proc / str(pid) / "task").mkdir(parents=True)
    (proc / str(pid) / "stat").write_text(f"{pid} (a) Z 1 (b) {state} {fields} {started} 5 6\n")
    for number in range(threads):
        (proc / str(pid) / "task" / str(pid + number)).mkdir()
    return Process("host", "boot-1", "pid:[4026531836]", pid, 777)


@pytest.fixture
def ended() -> int:
    """A pid that was just used and is free now."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_this_process_is_alive() -> None:
    """And so is its parent, which we may not be able to look into."""
    me = this_process()
    assert (me.pid, is_dead(me)) == (os.getpid(), False)
    assert me.started > 0


def test_a_killed_process_is_dead_before_and_after_it_is_reaped() -> None:
    """A zombie runs nothing any more."""
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    me = this_process()
    started = int(Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()[19])
    process = replace(me, pid=child.pid, started=started)
    assert not is_dead(process)
    child.send_signal(signal.SIGKILL)
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # ended, not reaped
    assert is_dead(process)
    child.communicate()
    assert is_dead(process)


def test_a_free_pid_is_dead(proc: Path, ended: int) -> None:
    """Nobody has it."""
    assert is_dead(describe(proc, ended), proc)


def test_a_pid_in_use_is_alive(proc: Path) -> None:
    """The same start: the same process."""
    assert not is_dead(describe(proc, os.getpid()), proc)


def test_a_pid_used_again_is_dead(proc: Path) -> None:
    """Another start: another process."""
    assert is_dead(describe(proc, os.getpid(), started=778), proc)


@pytest.mark.parametrize(
    ("state", "threads", "dead"), [("Z", 1, True), ("X", 1, True), ("Z", 2, False), ("D", 1, False)]
)
def test_an_ended_process_is_dead_when_no_thread_is_left(proc: Path, state: str, threads: int, dead: bool) -> None:
    """A main thread may end before others."""
    assert is_dead(describe(proc, os.getpid(), state=state, threads=threads), proc) is dead


@pytest.mark.parametrize(
    "change",
    [{"boot": "boot-2"}, {"namespace": "pid:[1]"}, {"boot": ""}, {"namespace": ""}, {"pid": 0}, {"started": 0}],
)
def test_what_cannot_be_compared_proves_nothing(proc: Path, ended: int, change: dict[str, object]) -> None:
    """Another kernel, another boot, another container, or something unknown."""
    process = replace(Process("host", "boot-1", "pid:[4026531836]", ended, 777), **change)
    assert not is_dead(process, proc)


def test_what_cannot_be_read_proves_nothing(proc: Path) -> None:
    """A process whose `/proc` is hidden, or is told in a form we do not know."""
    process = Process("host", "boot-1", "pid:[4026531836]", os.getpid(), 777)
    assert not is_dead(process, proc)
    (proc / str(os.getpid())).mkdir()
    (proc / str(os.getpid()) / "stat").write_text("1 (a) Z")
    assert not is_dead(process, proc)
    (proc / str(os.getpid()) / "stat").write_text(f"1 (a) Z {' '.join('1' * 18)} 777")
    assert not is_dead(process, proc)


def test_a_process_of_somebody_else_is_looked_at(proc: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """That we may not signal it says that it is there."""

    def refuse(pid: int, number: int) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "kill", refuse)
    assert not is_dead(describe(proc, 4242), proc)


def test_a_system_without_proc_knows_little(tmp_path: Path) -> None:
    """Then nothing is ever proved."""
    nowhere = tmp_path / "nowhere"
    me = this_process(nowhere)
    assert (me.boot, me.namespace, me.started) == ("", "", 0)
    assert not is_dead(me, nowhere)
