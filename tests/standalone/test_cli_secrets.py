"""`secrets`, and what a wrong secret does to a start."""

import json
import logging
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from asgi_gateway_contrib.cli.application import application
from support.served import Served, run_command

pytest.importorskip("cryptography")

Run = Callable[..., Result]

KEY = "sk-canary-of-a-channel"


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a command in a folder of its own, with a secret where `secret` says one."""
    monkeypatch.chdir(tmp_path)
    for variable in ("SQL_DSN", "SQLITE_PATH", "PORT", "REDIS_CONN_STRING"):
        monkeypatch.delenv(variable, raising=False)

    def go(*arguments: str, secret: str = "", previous: str = "", code: int = 0) -> Result:
        monkeypatch.setenv("CRYPTO_SECRET", secret)
        monkeypatch.setenv("CRYPTO_SECRET_PREVIOUS", previous)
        result = CliRunner().invoke(application(), list(arguments))
        assert result.exit_code == code, result.output
        return result

    return go


def in_file(folder: Path) -> bool:
    """Whether the key stands anywhere in the database's files."""
    return any(KEY.encode() in path.read_bytes() for path in folder.iterdir() if path.is_file())


def test_a_database_in_clear_becomes_one_that_is_not(run: Run, tmp_path: Path) -> None:
    """The key is left nowhere in its files."""
    run("channel", "add", "main", "--key", KEY, "--model", "m")
    assert in_file(tmp_path)
    assert "stored in clear" in run("check").stdout
    assert "encrypted at rest" in run("check", secret="one").stdout

    told = json.loads(run("secrets", "rotate", "--dry-run", "--json", secret="one").stdout)
    assert told == {"changed": 0, "clear": 1, "current": 0, "previous": 0, "unreadable": 0}
    assert in_file(tmp_path)

    assert json.loads(run("secrets", "rotate", "--json", secret="one").stdout)["changed"] == 1
    assert not in_file(tmp_path)
    assert json.loads(run("secrets", "status", "--json", secret="one").stdout)["current"] == 1


def test_a_secret_is_replaced_by_another(run: Run) -> None:
    """The former one is only needed until everything was encrypted anew."""
    run("channel", "add", "main", "--key", KEY, secret="one")
    assert "unreadable" in run("secrets", "status", secret="two", code=1).stdout
    assert json.loads(run("secrets", "status", "--json", secret="two", previous="zero, one").stdout)["previous"] == 1
    assert "changed" in run("secrets", "rotate", secret="two", previous="one").stdout
    assert "main" in run("channel", "list", secret="two").stdout


def test_a_lost_secret_is_named_and_its_channels_can_be_removed(run: Run) -> None:
    """Nothing else helps."""
    run("channel", "add", "main", "--key", KEY, secret="one")
    for command in (("channel", "list"), ("check",)):
        refused = run(*command, secret="two", code=1)
        assert refused.stderr == (
            'channel "main": it is encrypted under a secret that is neither CRYPTO_SECRET nor a previous one\n'
        )
    refused = run("secrets", "rotate", secret="two", code=1)
    assert refused.stderr == 'channel "main": its secrets are encrypted under another CRYPTO_SECRET\n'
    run("secrets", "rotate", "--drop-unreadable", "--dry-run", secret="two", code=1)
    run("secrets", "rotate", "--drop-unreadable", secret="two")
    assert "main" not in run("channel", "list", secret="two").stdout


def test_what_cannot_be_done_is_refused(run: Run) -> None:
    """A rotation without a secret, and a former secret without a current one."""
    run("channel", "add", "main", "--key", KEY)
    assert "CRYPTO_SECRET is not set" in run("secrets", "rotate", code=1).stderr
    assert "previous secrets are only for reading" in run("secrets", "status", previous="one", code=1).stderr


def test_a_server_does_not_start_with_a_wrong_secret(tmp_path: Path) -> None:
    """One line, and no stack trace."""
    added = run_command("channel", "add", "main", "--key", KEY, cwd=tmp_path, environ={"CRYPTO_SECRET": "one"})
    assert added.returncode == 0, added.stderr
    with Served(cwd=tmp_path, environ={"CRYPTO_SECRET": "two"}) as served:
        assert served.end() == 1
    assert 'channel "main": it is encrypted under a secret' in served.text
    assert "Traceback" not in served.text
    assert KEY not in served.text


async def test_a_mounted_gateway_does_not_start_with_a_wrong_secret(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Its server is told why; the log has one line."""
    from asgi_gateway import Gateway
    from asgi_gateway.config import Settings, StorageSettings
    from asgi_gateway.storage.records import Channel, Secret

    caplog.set_level(logging.ERROR)
    url = f"sqlite:///{tmp_path / 'gateway.db'}"
    first, second = (
        Gateway(Settings(storage=StorageSettings(url=url, crypto_secret=Secret(text)))) for text in ("one", "two")
    )
    async with first:
        await first.storage.channels.add(Channel(name="main", provider="openai", keys=(Secret(KEY),)))
    sent = []

    async def receive() -> dict[str, str]:
        return {"type": "lifespan.startup"}

    async def send(message: dict[str, str]) -> None:
        sent.append(message)

    await second({"type": "lifespan"}, receive, send)
    (answer,) = sent
    assert answer["type"] == "lifespan.startup.failed"
    assert 'channel "main"' in answer["message"]
    (record,) = caplog.records
    assert not record.exc_info
    assert 'channel "main"' in record.message
