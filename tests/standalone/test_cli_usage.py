"""`usage` and the commands below it, over a log that the test wrote."""

import asyncio
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from asgi_gateway.backends.sql import SqlStorage
from asgi_gateway.storage.records import Outcome
from asgi_gateway_contrib.cli.application import application
from asgi_gateway_contrib.cli.usage import Ending
from support.ledger_records import USER, reservation, settlement

Run = Callable[..., Result]

DAY = 86_400


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a command in a folder with a log: three charges of a week ago, two of now."""
    monkeypatch.chdir(tmp_path)
    for variable in ("SQL_DSN", "SQLITE_PATH", "LOG_SQL_DSN"):
        monkeypatch.delenv(variable, raising=False)
    asyncio.run(fill())
    runner = CliRunner()

    def go(*arguments: str, code: int = 0) -> Result:
        result = runner.invoke(application(), list(arguments))
        assert result.exit_code == code, result.output
        return result

    return go


async def fill() -> None:
    """Write the log."""
    now = time.time()
    times = iter([now - 7 * DAY] * 3 + [now] * 2)
    moment = [now]
    storage = SqlStorage("sqlite:///gateway.db", wall=lambda: moment[0])
    await storage.open()
    await storage.ledger.grant(USER, 1000)
    for user, channel in (("alice", "a"), ("bob", "b"), ("alice", "a"), ("bob", "b"), ("alice", "a")):
        moment[0] = next(times)
        held = reservation(10, accounts=(USER,), user=user)
        await storage.ledger.reserve(held)
        await storage.ledger.settle(held, settlement(3, channel=channel))
    await storage.close()


def read(result: Result) -> Any:
    return json.loads(result.stdout)


def test_sums_are_by_any_name(run: Run) -> None:
    """Of all time, or since some."""
    rows = read(run("usage", "--json"))
    assert [(row["name"], row["requests"], row["charged"]) for row in rows] == [("alice", 3, 9), ("bob", 2, 6)]
    assert [row["name"] for row in read(run("usage", "--by", "channel", "--since", "1d", "--json"))] == ["a", "b"]
    assert [row["requests"] for row in read(run("usage", "--by", "group", "--json"))] == [5]


def test_charges_are_listed_page_by_page(run: Run) -> None:
    """Newest first; the end of one page is the cursor of the next."""
    first = read(run("usage", "list", "--limit", "3", "--json"))
    assert [row["user"] for row in first["charges"]] == ["alice", "bob", "alice"]
    second = read(run("usage", "list", "--limit", "3", "--cursor", first["next"], "--json"))
    assert [row["user"] for row in second["charges"]] == ["bob", "alice"]
    assert second["next"] is None
    bob = read(run("usage", "list", "--user", "bob", "--outcome", "completed", "--since", "1d", "--json"))
    assert [(row["user"], row["channel"], row["charged"]) for row in bob["charges"]] == [("bob", "b", 3)]


def test_charges_are_listed_for_people(run: Run) -> None:
    """With a word on how to go on."""
    shown = run("usage", "list", "--limit", "2")
    assert "REQUEST ID" in shown.stdout
    assert "--cursor" in shown.stderr
    assert run("usage", "list", "--user", "nobody").stdout.count("\n") == 1


def test_a_wrong_cursor_is_refused(run: Run) -> None:
    """And named."""
    assert "cursor" in run("usage", "list", "--cursor", "x", code=1).stderr


def test_hours_are_those_of_a_day_unless_others_are_asked_for(run: Run) -> None:
    """Of one name, or of all."""
    assert sum(row["requests"] for row in read(run("usage", "hours", "--json"))) == 2
    rows = read(run("usage", "hours", "--since", "8d", "--name", "bob", "--json"))
    assert [(row["name"], row["requests"]) for row in rows] == [("bob", 1), ("bob", 1)]
    assert read(run("usage", "hours", "--since", "8d", "--until", "1d", "--by", "model", "--json"))[0]["charged"] == 9


def test_old_charges_are_removed_and_their_sums_stay(run: Run) -> None:
    """Of whole hours before a time."""
    assert run("usage", "prune", "--before", "2d").stdout == "removed 3 charges\n"
    assert len(read(run("usage", "list", "--json"))["charges"]) == 2
    assert [row["requests"] for row in read(run("usage", "--json"))] == [3, 2]
    assert run("usage", "prune", "--before", "2d").stdout == "removed 0 charges\n"


def test_every_outcome_can_be_asked_for() -> None:
    """The option knows the closed set."""
    assert {ending.value for ending in Ending} == {outcome.value for outcome in Outcome}
