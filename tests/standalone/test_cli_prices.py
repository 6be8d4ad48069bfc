"""The commands of `price`, and `explain`: what they do, print, and end with."""

import asyncio
import json
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from asgi_gateway import Gateway
from asgi_gateway.backends import open_storage
from asgi_gateway.config import load_settings
from asgi_gateway_contrib.cli import price_data
from asgi_gateway_contrib.cli.application import application
from support.asgi import ask, http_scope
from support.exchanges import chat
from support.upstream import Reply, ScriptedTransport, completion

Run = Callable[..., Result]

KEY = "sk-caller-0123456789abcdef"

CONFIG = f"""
[storage]
url = "sqlite:///gateway.db"
[[channels]]
name = "main"
provider = "openai"
keys = ["sk-upstream"]
models = ["gpt-4o", "unheard-of", "declared"]
[[tokens]]
name = "dev"
key = "{KEY}"
unlimited = true
[models.declared.price]
input = 1
output = 2
"""

PUBLISHED = [
    {
        "id": "openai",
        "name": "OpenAI",
        "api_pattern": "x",
        "models": [{"id": "gpt-4o", "match": {"equals": "gpt-4o"}, "prices": {"input_mtok": 42, "output_mtok": 43}}],
    }
]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a command in a folder with a configuration and a database."""
    monkeypatch.chdir(tmp_path)
    for variable in ("SQL_DSN", "SQLITE_PATH", "PORT"):
        monkeypatch.delenv(variable, raising=False)
    (tmp_path / "gateway.toml").write_text(CONFIG)

    def go(*arguments: str, code: int = 0, given: str | None = None) -> Result:
        result = CliRunner().invoke(application(), [*arguments, "--config", "gateway.toml"], input=given)
        assert result.exit_code == code, result.output
        return result

    go("user", "add", "somebody")  # makes the database
    return go


def read(result: Result) -> Any:
    return json.loads(result.stdout)


def sources(result: Result) -> dict[str, str]:
    """Where each listed price comes from."""
    return {row["model"]: row["source"] for row in read(result)}


async def served(model: str = "gpt-4o", tokens: tuple[int, int] = (1000, 100)) -> str:
    """The id of a request that a gateway with the configuration served for this model."""
    transport = ScriptedTransport(Reply.json(completion(usage=tokens)))
    async with Gateway(load_settings("gateway.toml", {}), transport=transport, access_log=None) as gateway:
        answer = await ask(gateway, http_scope(key=KEY), chat(model))
        assert answer.status == 200, answer.body
    return answer.header("x-request-id")


def test_prices_are_listed_with_their_sources(run: Run) -> None:
    """Those that channels serve and those that somebody set; also one without any."""
    run("price", "set", "other", "--input", "1", "--output", "2")
    asyncio.run(served())  # brings the declared channel into the database
    expected = {"declared": "file", "gpt-4o": "library", "other": "runtime", "unheard-of": "none"}
    assert sources(run("price", "list", "--json")) == expected
    assert sources(run("price", "list", "--source", "none", "--json")) == {"unheard-of": "none"}
    assert sources(run("price", "list", "gpt-4.1", "--json")) == {"gpt-4.1": "library"}
    everything = sources(run("price", "list", "--all", "--json"))
    assert len(everything) > 500
    text = run("price", "list").stdout
    assert "gpt-4o" in text
    assert "openai/gpt-4o" in text


def test_a_price_is_set_shown_and_unset(run: Run) -> None:
    """Over that of the library, which counts again afterwards."""
    before = read(run("price", "show", "gpt-4o", "--json"))
    assert (before["source"], before["detail"]) == ("library", "openai/gpt-4o")

    run("price", "set", "gpt-4o", "--input", "1.5", "--output", "6", "--cache-read", "0.15", "--call", "0.001")
    shown = read(run("price", "show", "gpt-4o", "--json"))
    assert shown["source"] == "runtime"
    assert shown["price"] == {"input": "1.5", "output": "6", "cache_read": "0.15", "call": "0.001"}
    assert shown["version"] != before["version"]
    assert "cache read  0.15" in run("price", "show", "gpt-4o").stdout

    run("price", "unset", "gpt-4o")
    assert read(run("price", "show", "gpt-4o", "--json")) == before
    assert "no price was set" in run("price", "unset", "gpt-4o", code=1).stderr


def test_a_whole_price_comes_from_json(run: Run, tmp_path: Path) -> None:
    """As `show --json` prints it, with options over it; from a file or from stdin."""
    record = {"input": 0.1, "output": "2", "tiers": [{"above": 1000, "input": "0.2"}], "tools": {"web_search": 10}}
    (tmp_path / "price.json").write_text(json.dumps(record))
    run("price", "set", "m", "--json-file", "price.json", "--output", "3")
    shown = read(run("price", "show", "m", "--json"))
    assert shown["price"] == {
        "input": "0.1",
        "output": "3",
        "tiers": [{"above": 1000, "input": "0.2"}],
        "tools": {"web_search": "10"},
    }
    run("price", "set", "n", "--json-file", "-", given=json.dumps(shown))
    assert read(run("price", "show", "n", "--json"))["version"] == shown["version"]


@pytest.mark.parametrize(
    ("arguments", "code", "reason"),
    [
        (["m", "--input", "1"], 2, "--input and --output"),
        (["m", "--input", "x", "--output", "1"], 1, "input"),
        (["m", "--input=-1", "--output", "1"], 1, "input: must be at least 0"),
        (["m" * 200, "--input", "1", "--output", "1"], 1, "180 characters"),
        (["declared", "--input", "1", "--output", "1"], 1, "configuration file"),
        (["m", "--json-file", "nowhere.json"], 1, "nowhere.json: cannot be read"),
        (["m", "--json-file", "gateway.toml"], 2, "is no JSON"),
        (["m", "--json-file", "list.json"], 2, "holds no object"),
        (["m", "--json-file", "latin.json"], 1, "is no UTF-8"),
    ],
)
def test_what_is_no_price_is_not_set(run: Run, tmp_path: Path, arguments: list[str], code: int, reason: str) -> None:
    """And stderr says why."""
    (tmp_path / "list.json").write_text("[]")
    (tmp_path / "latin.json").write_bytes(b'{"input": "\xe9"}')
    assert reason in run("price", "set", *arguments, code=code).stderr
    assert sources(run("price", "list", "--source", "runtime", "--json")) == {}


def test_newer_data_is_read_from_a_file(run: Run, tmp_path: Path) -> None:
    """It counts for all from then on, until the installed data is wanted again."""
    (tmp_path / "data.json").write_text(json.dumps(PUBLISHED))
    assert run("price", "refresh", "--from", "data.json").stdout.startswith("1 models from data.json of ")
    assert read(run("price", "show", "gpt-4o", "--json"))["price"]["input"] == "42"
    assert "has no price" in run("price", "show", "gpt-4.1", code=1).stderr
    run("price", "refresh", "--installed")
    assert read(run("price", "show", "gpt-4o", "--json"))["price"]["input"] != "42"


class Publisher:
    """A server with the library's data, or with whatever a test wants."""

    def __init__(self) -> None:
        publisher = self
        self.content, self.status, self.paths = json.dumps(PUBLISHED).encode(), 200, list[str]()

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                publisher.paths.append(self.path)
                self.send_response(publisher.status)
                self.end_headers()
                self.wfile.write(publisher.content)

            def log_message(self, format: str, *arguments: object) -> None:
                pass

        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        self._thread = Thread(target=self._server.serve_forever, args=(0.01,))

    @property
    def url(self) -> str:
        """Where the data is, with what nobody else shall see."""
        return f"http://user:secret@127.0.0.1:{self._server.server_port}/data.json?key=secret"

    def __enter__(self) -> "Publisher":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def test_newer_data_is_fetched_when_asked(run: Run, tmp_path: Path) -> None:
    """From where the configuration says; nothing of the URL that may be secret is shown."""
    with Publisher() as publisher:
        (tmp_path / "gateway.toml").write_text(f'[prices]\nfile = "{publisher.url}"\n{CONFIG}')
        run("price", "list")
        assert publisher.paths == []
        said = run("price", "refresh").stdout
        assert publisher.paths == ["/data.json?key=secret"]
    assert "127.0.0.1/data.json of " in said
    assert "secret" not in said
    assert read(run("price", "show", "gpt-4o", "--json"))["price"]["output"] == "43"


def test_data_that_cannot_be_had_changes_nothing(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reason is said: away, refused, too large, or none."""
    before = read(run("price", "show", "gpt-4o", "--json"))
    with Publisher() as publisher:
        publisher.content = b"<html>"
        assert "holds no prices" in run("price", "refresh", "--from", publisher.url, code=1).stderr
        publisher.status = 404
        assert "answered 404" in run("price", "refresh", "--from", publisher.url, code=1).stderr
        monkeypatch.setattr(price_data, "MAX_BYTES", 3)
        publisher.status = 200
        assert "is larger than" in run("price", "refresh", "--from", publisher.url, code=1).stderr
    assert "cannot be fetched: ConnectError" in run("price", "refresh", "--from", publisher.url, code=1).stderr
    assert "cannot be read" in run("price", "refresh", "--from", "nowhere.json", code=1).stderr
    run("price", "refresh", "--from", "x", "--installed", code=2)
    assert read(run("price", "show", "gpt-4o", "--json")) == before
    (tmp_path / "gateway.toml").write_text(f"[prices]\nlibrary = false\n{CONFIG}")
    assert "prices.library is false" in run("price", "refresh", code=1).stderr
    assert "has no price" in run("price", "show", "gpt-4o", code=1).stderr


def test_a_charge_is_explained_by_the_numbers_it_was_made_with(run: Run) -> None:
    """Also when its price has long been another one."""
    run("price", "set", "gpt-4o", "--input", "2", "--output", "4")
    id = asyncio.run(served(tokens=(1000, 100)))
    run("price", "set", "gpt-4o", "--input", "20", "--output", "40")

    explained = read(run("explain", id, "--json"))
    assert (explained["charged"], explained["agrees"]) == (1000 * 1 + 100 * 2, True)
    assert "1 200" in run("explain", id).stdout or "1200" in run("explain", id).stdout
    assert "there is no charge" in run("explain", "nothing", code=1).stderr


def test_a_charge_that_comes_out_otherwise_ends_with_1(run: Run) -> None:
    """Its explanation is printed all the same."""
    id = asyncio.run(served())

    async def forget() -> None:
        from sqlalchemy import text

        storage: Any = open_storage("sqlite:///gateway.db", shared=True)
        await storage.open()
        await storage._database.write(lambda connection: connection.execute(text("DELETE FROM gateway_prices")))
        await storage.close()

    asyncio.run(forget())
    result = run("explain", id, "--json", code=1)
    assert read(result)["agrees"] is False
    assert "not what comes out" in result.stderr


def test_check_names_the_models_without_a_price(run: Run, tmp_path: Path) -> None:
    """And what becomes of them."""
    assert "without a price, and refused: unheard-of\n" in run("check").stderr
    assert read(run("check", "--json"))["unpriced"] == ["unheard-of"]
    (tmp_path / "gateway.toml").write_text(f'[billing]\nunpriced = "free"\n{CONFIG}')
    assert "served free: unheard-of" in run("check").stderr
    run("price", "set", "unheard-of", "--input", "1", "--output", "1")
    assert "without a price" not in run("check").stderr


def test_a_free_model_says_so(run: Run, tmp_path: Path) -> None:
    """A model without a price in self-use: the record holds the version "free", and is explained."""
    (tmp_path / "gateway.toml").write_text(f'[billing]\nunpriced = "free"\n{CONFIG}')
    id = asyncio.run(served("unheard-of"))
    explained = read(run("explain", id, "--json"))
    assert (explained["price_version"], explained["charged"], explained["agrees"]) == ("free", 0, True)


SHEET = {
    "ModelRatio": '{"gpt-4o": 1.25, "glm-4": 0.5, "gizmo-*": 15, "declared": 9}',
    "CompletionRatio": '{"glm-4": 3}',
    "CacheRatio": '{"gpt-4o": 0.5}',
    "ModelPrice": '{"mj_imagine": 0.1}',
    "GroupRatio": '{"default": 1, "vip": 0.8}',
    "GroupGroupRatio": '{"vip": {"default": 0.9}}',
    "SMTPToken": "a secret of somebody",
}


def write_sheet(folder: Path, **options: str) -> None:
    """Write the sheet, with some options changed."""
    (folder / "sheet.json").write_text(json.dumps({**SHEET, **options}))


def test_a_price_sheet_is_taken_over(run: Run, tmp_path: Path) -> None:
    """It lies over the library, and below run time and file; a dry run only tells."""
    write_sheet(tmp_path)
    run("price", "set", "glm-4", "--input", "7", "--output", "7")
    planned = read(run("price", "import", "sheet.json", "--dry-run", "--json"))
    assert read(run("price", "show", "gpt-4o", "--json"))["source"] == "library"

    done = read(run("price", "import", "sheet.json", "--json"))
    assert done == planned
    rows = {row["model"]: (row["change"], row["before"], row["after"], row["counts"]) for row in done}
    assert rows == {
        "gpt-4o": ("added", "2.5 / 10", "2.5 / 10", "yes"),
        "glm-4": ("added", "7 / 7", "1 / 3", "no: runtime"),
        "gizmo-*": ("added", "", "30 / 30", "yes"),
        "declared": ("added", "1 / 2", "18 / 18", "no: file"),
        "mj_imagine": ("added", "", "0.1 a call", "yes"),
    }
    shown = read(run("price", "show", "gpt-4o", "--json"))
    assert (shown["source"], shown["price"]["cache_read"]) == ("imported", "1.25")
    assert read(run("price", "show", "gizmo-7", "--json"))["price"]["input"] == "30"
    assert read(run("price", "show", "glm-4", "--json"))["source"] == "runtime"
    assert read(run("price", "import", "sheet.json", "--json")) == []

    write_sheet(tmp_path, ModelPrice="{}", CompletionRatio="{}")
    changes = {row["model"]: row["change"] for row in read(run("price", "import", "sheet.json", "--json"))}
    assert changes == {"glm-4": "changed", "mj_imagine": "removed"}
    run("price", "import", "--remove")
    assert read(run("price", "show", "gpt-4o", "--json"))["source"] == "library"


def test_nothing_else_of_a_sheet_is_stored(run: Run, tmp_path: Path) -> None:
    """New API's options hold secrets, too."""
    write_sheet(tmp_path)
    run("price", "import", "sheet.json")
    assert b"a secret of somebody" not in b"".join(path.read_bytes() for path in tmp_path.glob("gateway.db*"))


def test_the_groups_of_a_sheet_are_printed_for_the_file(run: Run, tmp_path: Path) -> None:
    """As TOML that the configuration takes; nothing is said of groups that stand there already."""
    write_sheet(tmp_path)
    result = run("price", "import", "sheet.json")
    snippet = result.stdout.partition("# Groups stand in the configuration file:")[2]
    assert "copy what is printed" in result.stderr
    with (tmp_path / "gateway.toml").open("a") as file:
        file.write(snippet)
    groups = load_settings("gateway.toml", {}).groups
    assert {name: str(group.ratio) for name, group in groups.items()} == {"default": "1", "vip": "0.8"}
    assert {name: str(ratio) for name, ratio in groups["vip"].ratios.items()} == {"default": "0.9"}
    assert run("price", "import", "sheet.json").stderr == ""


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("{", "sheet.json: "),
        ("[]", "holds no object"),
        ("{}", "has no ratios and no prices"),
        ('{"ModelRatio": "{\\"m\\": -1}"}', "ModelRatio.m"),
    ],
)
def test_what_is_no_sheet_is_refused(run: Run, tmp_path: Path, content: str, reason: str) -> None:
    """Nothing is changed."""
    (tmp_path / "sheet.json").write_text(content)
    assert reason in run("price", "import", "sheet.json", code=1).stderr
    assert sources(run("price", "list", "--source", "imported", "--json")) == {}


def test_a_sheet_or_its_removal(run: Run) -> None:
    """One of both is said."""
    run("price", "import", code=2)
    run("price", "import", "sheet.json", "--remove", code=2)


def test_ratios_go_out_as_they_came_in(run: Run, tmp_path: Path) -> None:
    """Every digit; what counts above the sheet takes the place of its entries."""
    write_sheet(tmp_path, ModelRatio='{"gpt-4o": 1.250000000000000000000000001, "glm-4": 0.5}')
    run("price", "import", "sheet.json")
    run("price", "set", "glm-4", "--input", "4", "--output", "8", "--cache-write", "5", "--cache-write-1h", "8")
    exported = run("price", "export", "--ratios")
    options = read(exported)
    assert "1.250000000000000000000000001" in options["ModelRatio"]
    assert json.loads(options["ModelRatio"])["glm-4"] == 2
    assert json.loads(options["ModelRatio"])["declared"] == 0.5
    assert json.loads(options["CompletionRatio"]) == {"glm-4": 2, "declared": 2}
    assert json.loads(options["GroupRatio"]) == {"default": 1, "vip": 0.8}
    assert json.loads(options["GroupGroupRatio"]) == {"vip": {"default": 0.9}}

    (tmp_path / "again.json").write_text(exported.stdout)
    run("price", "unset", "glm-4")
    run("price", "import", "again.json")
    assert read(run("price", "show", "glm-4", "--json"))["price"]["output"] == "8"


def test_what_ratios_cannot_say_is_named(run: Run) -> None:
    """And left out."""
    run("price", "set", "m", "--input", "4", "--output", "8", "--second", "1")
    exported = run("price", "export", "--ratios")
    assert "m" not in json.loads(read(exported)["ModelRatio"])
    assert "m: left out: " in exported.stderr


def test_prices_are_exported_as_they_are_set(run: Run) -> None:
    """Those that somebody set: from the file, too."""
    run("price", "set", "m", "--input", "0.10", "--output", "8")
    prices = read(run("price", "export"))
    assert prices == {"declared": {"input": "1", "output": "2"}, "m": {"input": "0.10", "output": "8"}}
