"""The command line, inside this process: what each command does, prints, and ends with."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from asgi_gateway.backends.sql.migration import HEAD
from asgi_gateway_contrib.cli import application, main
from asgi_gateway_contrib.cli.application import TRACEBACK
from asgi_gateway_contrib.cli.application import application as build

Run = Callable[..., Result]

COMMANDS = [
    [],
    ["serve"],
    ["check"],
    ["migrate"],
    ["usage"],
    ["user"],
    ["token"],
    ["channel"],
    ["explain"],
    ["price"],
    *(["price", verb] for verb in ("list", "show", "set", "unset", "import", "export", "refresh")),
    *(["usage", verb] for verb in ("list", "hours", "prune")),
    *(["user", verb] for verb in ("add", "list", "show", "set", "enable", "disable", "delete", "grant")),
    *(["token", verb] for verb in ("add", "list", "show", "set", "enable", "disable", "delete")),
    *(["channel", verb] for verb in ("add", "list", "show", "enable", "disable", "delete", "test")),
]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a command in an empty folder, with a database there."""
    monkeypatch.chdir(tmp_path)
    for variable in ("SQL_DSN", "SQLITE_PATH", "PORT"):
        monkeypatch.delenv(variable, raising=False)
    runner = CliRunner()

    def go(*arguments: str, code: int = 0, given: str | None = None) -> Result:
        result = runner.invoke(build(), list(arguments), input=given)
        assert result.exit_code == code, result.output
        return result

    return go


def read(result: Result) -> Any:
    return json.loads(result.stdout)


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_help_is_everywhere(run: Run, command: list[str]) -> None:
    """Each command says what it does, and each option has a word of help."""
    text = run(*command, "--help").stdout

    assert "Usage: " in text
    assert "--help" in text


@pytest.mark.parametrize("command", [["bogus"], ["user", "bogus"], ["user", "list", "--bogus"], ["user", "show"]])
def test_wrong_usage_ends_with_2(run: Run, command: list[str]) -> None:
    """Nothing is done, and stderr says why."""
    assert run(*command, code=2).stderr


def test_a_user_lives_and_dies(run: Run) -> None:
    """Add, list, show, grant, disable, enable, delete."""
    added = read(run("user", "add", "alice", "--quota", "1000", "--group", "vip", "--json"))
    assert (added["name"], added["group"], added["granted"], added["available"]) == ("alice", "vip", 1000, 1000)
    run("user", "add", "--name", "bob", "--unlimited")
    run("user", "add", "carol")

    granted = read(run("user", "grant", "alice", "--json", "--", "-400"))
    assert (granted["granted"], granted["available"]) == (600, 600)
    names = [user["name"] for user in read(run("user", "list", "--json"))]
    assert names == ["alice", "bob", "carol"]
    bob = read(run("user", "show", "bob", "--json"))
    assert (bob["unlimited"], bob["available"], bob["granted"]) == (True, None, 0)

    run("user", "disable", "alice")
    assert read(run("user", "show", "alice", "--json"))["enabled"] is False
    run("user", "enable", "alice")
    assert read(run("user", "show", "alice", "--json"))["enabled"] is True
    run("user", "delete", "alice")
    assert run("user", "show", "alice", code=1).stderr == 'there is no user "alice"\n'


def test_tables_are_for_people(run: Run) -> None:
    """Numbers are grouped, switches are yes and no."""
    run("user", "add", "alice", "--quota", "5000000")

    lines = run("user", "list").stdout.splitlines()
    assert lines[0].split() == ["NAME", "GROUP", "ENABLED", "GRANTED", "SPENT", "RESERVED", "UNLIMITED", "ORIGIN"]
    assert "5 000 000" in lines[1]
    shown = run("user", "show", "alice").stdout
    assert "enabled    yes" in shown
    assert "unlimited  no" in shown


def test_a_token_is_made_and_its_key_is_shown_once(run: Run, tmp_path: Path) -> None:
    """The key stands alone on stdout, and nowhere afterwards."""
    run("user", "add", "alice", "--group", "vip", "--quota", "1")
    result = run("token", "add", "laptop", "--user", "alice", "--quota", "500")
    key = result.stdout.strip()
    assert len(key) == 51
    assert 'The key of "laptop"' in result.stderr

    made = read(
        run(
            *("token", "add", "--name", "full", "--user", "alice", "--unlimited", "--model", "a", "--model", "b"),
            *("--network", "10.0.0.0/8", "--group", "vip", "--expires", "2027-01-31", "--show-route", "--json"),
        )
    )
    assert made["key"].startswith("sk-")
    assert (made["models"], made["networks"], made["group"]) == (["a", "b"], ["10.0.0.0/8"], "vip")
    assert (made["expires"], made["show_route"], made["unlimited"]) == ("2027-01-31T00:00:00+00:00", True, True)

    later = run("token", "list").stdout + run("token", "show", "laptop").stdout + run("token", "list", "--json").stdout
    assert key not in later
    assert made["key"] not in later
    stored = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert b"laptop" in stored
    assert key.removeprefix("sk-").encode() not in stored


def test_a_token_is_switched_and_deleted(run: Run) -> None:
    """Disable, enable, delete; and its user root is made when it is needed."""
    run("token", "add", "t", "--unlimited")
    assert read(run("token", "show", "t", "--json"))["user"] == "root"
    run("token", "disable", "t")
    assert read(run("token", "show", "t", "--json"))["enabled"] is False
    run("token", "enable", "t")
    assert read(run("token", "list", "--json"))[0]["enabled"] is True
    run("token", "delete", "t")
    assert read(run("token", "list", "--json")) == []
    assert run("token", "show", "t", code=1).stderr == 'there is no token "t"\n'


@pytest.mark.parametrize("given", ["sk-own-key-0123456789", "env:OWN_KEY", "-"])
def test_a_token_may_have_a_key_of_ones_own(run: Run, monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    """Given as it is, by the environment, or on stdin, where no process list shows it."""
    monkeypatch.setenv("OWN_KEY", "sk-own-key-0123456789")

    result = run("token", "add", "t", "--unlimited", "--key", given, given="sk-own-key-0123456789\n")

    assert result.stdout == "sk-own-key-0123456789\n"
    assert read(run("token", "show", "t", "--json"))["key"] == "sk-own…6789"


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["user", "add"], "give the name once"),
        (["user", "add", "a", "--name", "b"], "give the name once"),
        (["user", "add", "a", "--quota", "1", "--unlimited"], "do not go together"),
        (["user", "add", "a", "--quota", "-1"], "--quota"),
        (["token", "add", "t"], "say either --quota"),
        (["token", "add", "t", "--quota", "1", "--unlimited"], "say either --quota"),
        (["token", "add", "t", "--unlimited", "--network", "10.0.0.1/8"], "--network"),
        (["token", "add", "t", "--unlimited", "--expires", "soon"], "is no time"),
        (["token", "add", "t", "--unlimited", "--key", "env:NOPE"], "the environment has no NOPE"),
        (["usage", "--by", "day"], "--by"),
        (["usage", "--since", "x"], "is no time"),
        (["serve", "--port", "70000"], "--port"),
        (["serve", "--workers", "0"], "--workers"),
    ],
)
def test_options_that_do_not_fit_are_wrong_usage(run: Run, arguments: list[str], reason: str) -> None:
    """Exit code 2, with the option's name or the way out."""
    assert reason in run(*arguments, code=2).stderr


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["user", "add", "alice"], 'there is a user "alice" already'),
        (["user", "grant", "bob", "1"], 'there is no user "bob"'),
        (["user", "disable", "bob"], 'there is no user "bob"'),
        (["token", "add", "t", "--user", "bob", "--unlimited"], 'there is no user "bob"'),
        (["token", "add", "dev", "--unlimited"], 'there is a token "dev" already, or one with this key'),
        (["token", "enable", "x"], 'there is no token "x"'),
        (["channel", "show", "x"], 'there is no channel "x"'),
        (["channel", "add", "main", "--key", "k"], 'there is a channel "main" already'),
        (["channel", "add", "new"], "settings: channels[new].keys: there is none"),
        (["channel", "add", "new", "--key", "k", "--provider", "opneai"], "settings: channels[new].provider: "),
        (["channel", "test", "main"], 'the channel "main" lists no model: say --model'),
    ],
)
def test_what_cannot_be_done_is_refused(run: Run, arguments: list[str], reason: str) -> None:
    """Exit code 1 and one line on stderr."""
    run("user", "add", "alice")
    run("token", "add", "dev", "--unlimited")
    run("channel", "add", "main", "--key", "k")

    stderr = run(*arguments, code=1).stderr
    assert stderr.startswith(reason)
    assert stderr.count("\n") == 1


def test_a_channel_lives_and_dies(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Add, list, show, disable, enable, delete; its keys are never shown."""
    monkeypatch.setenv("UPSTREAM_KEY", "sk-canary")
    added = run(
        *("channel", "add", "main", "--provider", "openai", "--base-url", "http://127.0.0.1:9", "--key", "sk-canary-2"),
        *("--key", "env:UPSTREAM_KEY", "--model", "a", "--model", "b", "--group", "default", "--group", "vip"),
        *("--priority", "2", "--weight", "3", "--dialect", "openai_chat", "--proxy", "http://u:canary@p:1", "--json"),
    )
    row = read(added)
    assert (row["keys"], row["models"], row["groups"], row["weight"], row["proxy"]) == (
        2,
        ["a", "b"],
        ["default", "vip"],
        3,
        "yes",
    )
    assert row["origin"] == "runtime"

    run("channel", "disable", "main")
    assert read(run("channel", "list", "--json"))[0]["enabled"] is False
    run("channel", "enable", "main")
    shown = run("channel", "list").stdout + run("channel", "show", "main").stdout
    assert "a, b" in shown
    assert "canary" not in added.stdout + shown
    run("channel", "delete", "main")
    assert read(run("channel", "list", "--json")) == []


def test_what_the_file_declares_is_changed_in_the_file(run: Run, tmp_path: Path) -> None:
    """Declared users, tokens and channels are read-only here; units may be granted on top."""
    import asyncio

    from asgi_gateway.backends import open_storage
    from asgi_gateway.config import load_settings
    from asgi_gateway.declaration import declare

    config = tmp_path / "gateway.toml"
    config.write_text(
        '[[users]]\nname = "u"\nquota = 1\n[[tokens]]\nname = "t"\nkey = "k"\nuser = "u"\nquota = 1\n'
        '[[channels]]\nname = "c"\nprovider = "openai"\nkeys = ["k"]\n'
    )

    async def serve_once() -> None:
        storage = open_storage("sqlite:///gateway.db")
        await storage.open()
        await declare(load_settings(config, {}), storage)
        await storage.close()

    asyncio.run(serve_once())

    for kind, name in (("user", "u"), ("token", "t"), ("channel", "c")):
        for verb in ("enable", "disable", "delete"):
            refused = run(kind, verb, name, "--config", str(config), code=1).stderr
            assert refused == f'the {kind} "{name}" is declared in the configuration file: change it there\n'
    assert read(run("user", "grant", "u", "5", "--json"))["granted"] == 6


def test_a_database_is_not_made_by_looking_at_it(run: Run, tmp_path: Path) -> None:
    """Reading commands say that there is none; `migrate` makes one."""
    assert "there is no database yet" in run("user", "list", code=1).stderr
    assert "there is no database yet" in run("usage", code=1).stderr
    assert list(tmp_path.iterdir()) == []

    assert run("migrate").stdout.split() == ["DATABASE", "HAD", "VERSION", "sqlite:///gateway.db", HEAD]
    assert read(run("user", "list", "--json")) == []


def test_memory_is_nothing_to_look_at_from_outside(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """It lives in the serving process."""
    monkeypatch.setenv("SQL_DSN", "memory://")

    assert run("user", "list", code=1).stderr.startswith("memory:// lives inside the serving process")


def test_usage_of_nothing_is_empty(run: Run) -> None:
    """By each dimension, since a time or for a span."""
    run("migrate")
    for by in ("user", "token", "model", "channel"):
        assert read(run("usage", "--by", by, "--since", "7d", "--json")) == []
    assert run("usage", "--since", "2026-01-01T00:00:00Z").stdout.split() == [
        "NAME",
        "REQUESTS",
        "INPUT",
        "TOKENS",
        "OUTPUT",
        "TOKENS",
        "CHARGED",
    ]


def test_an_unexpected_failure_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A user sees no traceback, unless a variable asks for it."""

    def broken() -> None:
        raise ZeroDivisionError("oops")

    monkeypatch.setattr(application, "application", lambda: lambda **_: broken())
    with pytest.raises(SystemExit) as end:
        main(["user", "list"])
    assert end.value.code == 1
    assert capsys.readouterr().err == f"internal error: ZeroDivisionError: oops (set {TRACEBACK}=1 to see where)\n"

    monkeypatch.setenv(TRACEBACK, "1")
    with pytest.raises(ZeroDivisionError):
        main()
