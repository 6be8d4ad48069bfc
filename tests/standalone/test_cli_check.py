"""`check`, `channel test` and `usage` against something real."""

import json
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner, Result

from asgi_gateway.backends.sql.migration import HEAD
from asgi_gateway.middleware import STACK
from asgi_gateway_contrib.cli.application import application
from support.served import DEADLINE, Served, run_command

Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a command in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    for variable in ("SQL_DSN", "SQLITE_PATH", "PORT"):
        monkeypatch.delenv(variable, raising=False)

    def go(*arguments: str, code: int = 0) -> Result:
        result = CliRunner().invoke(application(), list(arguments))
        assert result.exit_code == code, result.output
        return result

    return go


def test_check_prints_the_stack_and_the_channels(run: Run, deployment) -> None:
    """Outermost first, with the relay at the end; a database is not made for it."""
    text = run("check", "--config", deployment.config).stdout

    places = [text.index(layer.__name__) for layer in STACK]
    assert places == sorted(places)
    assert text.index("Relay") > places[-1]
    assert "(will be made)" in text
    assert "held" in text.splitlines()[-1]
    assert not (deployment.folder / "gateway.db").exists()


def test_check_shows_declared_and_stored_channels_as_json(run: Run, deployment) -> None:
    """Channels made at run time stand beside the file's."""
    run("channel", "add", "own", "--key", "k", "--config", deployment.config)

    report = json.loads(run("check", "--json", "--config", deployment.config).stdout)

    assert report["state"] == f"reachable, version {HEAD}"
    assert report["stack"] == [layer.__name__ for layer in STACK] + ["Relay"]
    assert [(row["name"], row["origin"]) for row in report["channels"]] == [("held", "file"), ("own", "runtime")]


def test_check_without_channels_says_how_to_have_one(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """And that memory forgets."""
    assert "There is no channel yet" in run("check").stdout
    monkeypatch.setenv("SQL_DSN", "memory://")
    assert "(forgets everything at the end)" in run("check").stdout


@pytest.mark.parametrize(
    ("dsn", "reason"),
    [
        ("sqlite:////nowhere/at/all.db", "storage.url: /nowhere/at is no folder that can be written to\n"),
        ("postgresql://u:canary@h/db", "storage.url: "),
    ],
)
def test_check_refuses_a_storage_that_cannot_be(
    run: Run, monkeypatch: pytest.MonkeyPatch, dsn: str, reason: str
) -> None:
    """In one line, without its password."""
    monkeypatch.setenv("SQL_DSN", dsn)

    stderr = run("check", code=1).stderr
    assert stderr.startswith(reason)
    assert stderr.count("\n") == 1
    assert "canary" not in stderr


def test_check_explains_a_broken_file(run: Run, tmp_path: Path) -> None:
    """Each mistake has its line with file, key and reason."""
    config = tmp_path / "gateway.toml"
    config.write_text('[server]\nprot = 1\n[[channels]]\nname = "c"\nprovider = "opneai"\nkeys = ["sk-canary"]\n')

    lines = run("check", "--config", str(config), code=1).stderr.splitlines()

    assert len(lines) == 2
    assert lines[0] == f'{config}: server.prot: unknown key; did you mean "port"?'
    assert lines[1].startswith(f"{config}: channels[c].provider: ")


def test_check_warns_of_variables_that_mean_nothing_here(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once each, and it is no mistake."""
    monkeypatch.setenv("NODE_TYPE", "canary")
    monkeypatch.setenv("BATCH_UPDATE_ENABLED", "")

    result = run("check")

    assert result.stderr == ("environment: NODE_TYPE: has no meaning in this version: all nodes are equal\n")


def test_a_channel_that_answers_is_told(run: Run, deployment) -> None:
    """A few tokens are asked for, with the channel's key and the upstream's name of the model."""
    result = run("channel", "test", "held", "--config", deployment.config)

    assert result.stdout.startswith("held: 200 in ")
    (request,) = deployment.upstream.requests
    assert (request["model"], request["max_tokens"]) == ("m", 16)
    assert request["authorization"] == "Bearer sk-upstream-canary"
    report = json.loads(run("channel", "test", "held", "--model", "x", "--json", "--config", deployment.config).stdout)
    assert (report["ok"], report["status"], report["model"], report["error"]) == (True, 200, "x", "")


def test_a_channel_that_refuses_or_is_away_is_told_with_exit_code_1(run: Run, deployment) -> None:
    """The upstream's own words where there are any, and never the key."""
    run("channel", "add", "away", "--base-url", "http://127.0.0.1:1", "--key", "k", "--model", "m")
    away = run("channel", "test", "away", code=1)
    assert away.stdout.startswith("away: no answer in ")

    deployment.upstream.refusal = 401
    refused = run("channel", "test", "held", "--config", deployment.config, code=1)
    assert refused.stdout.startswith("held: 401 in ")
    assert "canary" not in refused.stdout


def test_usage_sums_what_was_charged(deployment) -> None:
    """By each dimension, while the gateway runs."""
    with Served("--config", deployment.config, cwd=deployment.folder) as served:
        for _ in range(3):
            request = {"model": "m", "messages": [{"role": "user", "content": "x"}]}
            headers = {"authorization": f"Bearer {deployment.key}"}
            url = f"{served.address}/v1/chat/completions"
            assert httpx.post(url, json=request, headers=headers, timeout=DEADLINE).status_code == 200

        def sums(by: str) -> list[dict[str, int]]:
            command = ("usage", "--by", by, "--json", "--config", deployment.config)
            rows: list[dict[str, int]] = json.loads(run_command(*command, cwd=deployment.folder).stdout)
            return rows

        for by, name in (("user", "alice"), ("token", "dev"), ("model", "m"), ("channel", "held")):
            (row,) = sums(by)
            assert (row["name"], row["requests"], row["input_tokens"], row["output_tokens"]) == (name, 3, 15, 3)
            # 5 tokens at 1 USD and 1 at 2 USD per million are 3.5 units, rounded up.
            assert row["charged"] == 12
