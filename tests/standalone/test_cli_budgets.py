"""Budgets and groups of users and tokens on the command line."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from asgi_gateway_contrib.cli.application import application as build

Run = Callable[..., Result]

GROUPS = '[groups.default]\nusable = ["vip"]\n[groups.vip]\n[groups.closed]\n[billing]\ntimezone = "Europe/Vienna"\n'


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a command with a configuration that describes three groups."""
    monkeypatch.chdir(tmp_path)
    config = tmp_path / "gateway.toml"
    config.write_text(GROUPS)

    def go(*arguments: str, code: int = 0) -> Result:
        result = CliRunner().invoke(build(), [*arguments, "--config", str(config)])
        assert result.exit_code == code, result.output
        return result

    return go


def read(result: Result) -> Any:
    return json.loads(result.stdout)


def limits(record: Any) -> dict[str, int]:
    return {budget["of"]: budget["limit"] for budget in record["budgets"]}


def test_a_user_has_the_budgets_that_are_set(run: Run) -> None:
    """Each limit with its period, what was used of it, and until when; none takes it away."""
    made = read(run("user", "add", "eve", "--unlimited", "--daily", "100", "--monthly", "1000", "--json"))
    assert limits(made) == {"day": 100, "month": 1000}
    day = made["budgets"][0]
    assert (day["spent"], day["reserved"], day["left"]) == (0, 0, 100)
    assert day["until"][10:19] == "T00:00:00"
    assert day["until"][19:] in ("+01:00", "+02:00")
    assert limits(read(run("user", "set", "eve", "--daily", "none", "--weekly", "500", "--json"))) == {
        "week": 500,
        "month": 1000,
    }
    shown = run("user", "show", "eve").stdout
    assert "budget week" in shown
    assert "500 of 500 left (0 spent, 0 reserved), until " in shown
    assert "budget day" not in shown


def test_a_token_has_budgets_and_a_group_of_its_own(run: Run) -> None:
    """Set when it is made, and afterwards; what is not named stays."""
    run("user", "add", "eve", "--unlimited")
    made = ("token", "add", "eves", "--user", "eve", "--unlimited")
    run(*made, "--daily", "5", "--group", "vip")
    assert limits(read(run("token", "show", "eves", "--json"))) == {"day": 5}
    changed = read(run("token", "set", "eves", "--weekly", "0", "--group", "auto", "--json"))
    assert (limits(changed), changed["group"]) == ({"day": 5, "week": 0}, "auto")
    assert read(run("token", "set", "eves", "--daily", "none", "--json"))["group"] == "auto"


@pytest.mark.parametrize("group", ["closed", "nobody"])
def test_a_group_that_the_user_may_not_use_is_refused(run: Run, group: str) -> None:
    """By name, with those that it may use; nothing is stored."""
    run("user", "add", "eve", "--unlimited")
    refused = run("token", "add", "eves", "--user", "eve", "--unlimited", "--group", group, code=1)
    assert f'may not use the group "{group}"; they may use: default, vip' in refused.stderr
    assert read(run("token", "list", "--json")) == []
    run("token", "add", "eves", "--user", "eve", "--unlimited")
    run("token", "set", "eves", "--group", group, code=1)
    assert read(run("token", "show", "eves", "--json"))["group"] is None


@pytest.mark.parametrize("text", ["-1", "1.5", "some", ""])
def test_what_is_no_number_of_units_is_wrong_usage(run: Run, text: str) -> None:
    """Before the storage is touched."""
    refused = run("user", "add", "eve", "--daily", text, code=2)
    assert "--daily" in refused.stderr


def test_a_users_group_is_set(run: Run) -> None:
    """Of one that is there."""
    run("user", "add", "eve", "--unlimited")
    run("user", "set", "nobody", "--daily", "1", code=1)
    assert read(run("user", "set", "eve", "--group", "vip", "--json"))["group"] == "vip"


def test_check_tells_of_tokens_that_are_refused(run: Run, tmp_path: Path) -> None:
    """Of a group that their user may use no more; disabled ones do no harm."""
    run("user", "add", "eve", "--unlimited")
    for name, group in (("one", "vip"), ("two", "vip"), ("three", "auto"), ("four", "default")):
        run("token", "add", name, "--user", "eve", "--unlimited", "--group", group)
    run("token", "disable", "two")
    assert "refused" not in run("check").stderr
    (tmp_path / "gateway.toml").write_text("")
    told = run("check").stderr
    assert 'the token "one" is refused: users of the group "default" may not use the group "vip"' in told
    assert told.count("is refused") == 1
