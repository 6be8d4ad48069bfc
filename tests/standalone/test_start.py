"""The first start, the later ones, and those that fail."""

import socket
from collections.abc import Mapping
from pathlib import Path

import httpx
import pytest

from support.served import Served, run_command


def authorized(served: Served, key: str) -> int:
    return httpx.get(f"{served.address}/v1/models", headers={"authorization": f"Bearer {key}"}).status_code


def test_the_first_start_with_workers_prints_one_token_once(tmp_path: Path) -> None:
    """From one process only; a second start prints none, and the token goes on working."""
    with Served("--workers", "2", cwd=tmp_path) as served:
        key = served.key
        assert authorized(served, key) == 200
        served.signal()
        assert served.end() == 0
    assert served.text.count("shown this once") == 1
    assert [line.split()[0] for line in served.out if "curl" in line] == ["curl"]

    with Served(cwd=tmp_path) as again:
        assert authorized(again, key) == 200
        again.signal()
        assert again.end() == 0
    assert "shown this once" not in again.text
    assert again.out == [line for line in again.out if line.startswith("{")]


def test_two_processes_that_start_at_once_make_one_token(tmp_path: Path) -> None:
    """Whoever is first prints it."""
    with Served(cwd=tmp_path) as one, Served(cwd=tmp_path) as other:
        assert one.address != other.address
        for served in (one, other):
            served.signal()
            assert served.end() == 0
    assert (one.text + other.text).count("shown this once") == 1  # known once all is printed


def test_a_root_token_that_was_deleted_is_not_made_again(tmp_path: Path) -> None:
    """The storage remembers that there was a first start."""
    with Served(cwd=tmp_path) as served:
        key = served.key
    assert run_command("token", "delete", "root", cwd=tmp_path).returncode == 0

    with Served(cwd=tmp_path) as again:
        assert authorized(again, key) == 401
    assert "shown this once" not in again.text


def test_memory_starts_with_a_token_each_time(tmp_path: Path) -> None:
    """Every start is the first when nothing is kept; nothing is written."""
    environ = {"SQL_DSN": "memory://"}
    with Served(cwd=tmp_path, environ=environ) as served:
        assert authorized(served, served.key) == 200

    assert list(tmp_path.iterdir()) == []
    refused = run_command("serve", "--workers", "2", cwd=tmp_path, environ=environ)
    assert refused.returncode == 1
    assert refused.stderr.startswith("memory:// is one process's memory")


def test_memory_keeps_to_a_root_token_that_the_file_declares(tmp_path: Path) -> None:
    """No second one is made beside it."""
    config = tmp_path / "gateway.toml"
    config.write_text(
        '[storage]\nurl = "memory://"\n[[tokens]]\nname = "root"\nkey = "sk-mine"\nunlimited = true\n'
        '[[channels]]\nname = "c"\nprovider = "openai"\nkeys = ["k"]\nmodels = ["m"]\nenabled = false'
    )

    with Served("--config", str(config), cwd=tmp_path) as served:
        assert authorized(served, "sk-mine") == 200

    assert "shown this once" not in served.text


def test_the_line_to_try_asks_for_a_model_that_there_is(tmp_path: Path) -> None:
    """With a channel in the file it is a chat request; a host that means every address is named by one."""
    config = tmp_path / "gateway.toml"
    config.write_text('[[channels]]\nname = "c"\nprovider = "openai"\nkeys = ["k"]\nmodels = ["gpt-4o-mini"]')

    with Served("--config", str(config), "--host", "0.0.0.0", cwd=tmp_path) as served:
        served.wait_for(lambda text: "\ncurl " in text)

    (line,) = [line for line in served.out if line.startswith("curl ")]
    assert "/v1/chat/completions" in line
    assert '"model": "gpt-4o-mini"' in line
    assert "http://127.0.0.1:" in line


def test_an_ipv6_address_is_written_as_urls_write_it(tmp_path: Path) -> None:
    """In brackets."""
    if not socket.has_ipv6:
        pytest.skip("this Python has no IPv6")
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no IPv6")
    with Served("--demo", "--host", "::1", cwd=tmp_path) as served:
        assert served.address.startswith("http://[::1]:")
        assert authorized(served, served.key) == 200


@pytest.mark.parametrize(
    ("arguments", "environ", "reason"),
    [
        ((), {"SQL_DSN": "postgresql://h/db"}, "storage.url: "),
        ((), {"SQL_DSN": "sqlite:////nowhere/at/all.db"}, "storage.url: sqlite:////nowhere/at/all.db: "),
        (("--host", "host.invalid"), {}, "cannot listen on host.invalid:"),
        (("--config", "missing.toml"), {}, "missing.toml: cannot be read: "),
        ((), {"PORT": "x"}, "environment: PORT: must be a whole number"),
        (("--host", ""), {}, "command line: server.host: must not be empty"),
    ],
)
def test_what_cannot_be_served_is_refused_in_one_line(
    tmp_path: Path, arguments: tuple[str, ...], environ: Mapping[str, str], reason: str
) -> None:
    """Exit code 1, a reason on stderr, no traceback."""
    done = run_command("serve", *arguments, cwd=tmp_path, environ=environ)

    assert done.returncode == 1
    assert done.stderr.startswith(reason)
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""


def test_a_port_that_is_taken_is_told(tmp_path: Path) -> None:
    """Before anything is stored."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = run_command("serve", cwd=tmp_path, environ={"PORT": port})

    assert done.returncode == 1
    assert done.stderr == f"cannot listen on 127.0.0.1:{port}: Address already in use\n"
    assert list(tmp_path.iterdir()) == []
