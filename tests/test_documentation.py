"""README and docs are true: their code runs, their links lead somewhere, their lists equal the code's."""

import inspect
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, Field, fields
from decimal import Decimal
from importlib import import_module
from pathlib import Path
from typing import Any
from unittest.mock import create_autospec

import pytest
import typer
from sqlalchemy import create_engine, text

from asgi_gateway import Exchange, errors
from asgi_gateway.backends.sql.schema import metadata
from asgi_gateway.config import (
    BillingSettings,
    IdentitySettings,
    LimitSettings,
    LogSettings,
    PriceSettings,
    RateLimit,
    ResponsesSettings,
    RetrySettings,
    ServerSettings,
    Settings,
    StorageSettings,
    TokenSettings,
    UserSettings,
    load_settings,
)
from asgi_gateway.config.environment import READ
from asgi_gateway.dialects import DIALECTS
from asgi_gateway.endpoints.account import ACCOUNT_PATHS
from asgi_gateway.endpoints.health import HEALTH_PATHS
from asgi_gateway.middleware import STACK, RateLimitMiddleware
from asgi_gateway.policies.suffixes import ReasoningSuffix
from asgi_gateway.relay import Relay
from asgi_gateway.storage.protocols import Windows
from asgi_gateway.storage.records import NO_BUDGET, Channel, Group, Price, PriceTier, Timeouts
from asgi_gateway_contrib.cli.application import application
from support.markdown import Block, blocks, links, table

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("*.md"), *(page for page in DOCS.rglob("*.md") if "_build" not in page.parts)])
BLOCKS = [block for page in PAGES for block in blocks(page)]
KNOWN = {"", "console", "ini", "json", "python", "sql", "text", "toml", "{toctree}", "{public-api}"}

MINUTE = 60


def where(block: Block) -> str:
    return f"{block.page.relative_to(ROOT)}:{block.line}"


def write_files(block: Block, folder: Path) -> None:
    """Write the files that blocks of the same page name, up to and with this block."""
    for other in blocks(block.page):
        if other.name and other.line <= block.line:
            (folder / other.name).write_text(other.text)


@pytest.mark.parametrize("block", [b for b in BLOCKS if b.language == "python" and b.reason is None], ids=where)
def test_python_in_the_documentation_runs(block: Block, tmp_path: Path) -> None:
    """Each Python block runs as a module, beside the files that its page named before, without a warning."""
    write_files(block, tmp_path)
    path = tmp_path / (block.name or "block.py")
    path.write_text(block.text)
    ended = subprocess.run(
        [sys.executable, "-W", "error", path.name],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=MINUTE,
        check=False,
    )
    assert ended.returncode == 0, f"{where(block)}\n{ended.stdout}{ended.stderr}"
    assert "Warning" not in ended.stderr


@pytest.mark.parametrize("block", [b for b in BLOCKS if b.reason is not None], ids=where)
def test_python_that_is_not_run_compiles_and_says_why(block: Block) -> None:
    """A block marked `no-run` gives its reason, and is Python all the same."""
    assert block.reason, f"{where(block)}: no-run without a reason"
    assert compile(block.text, where(block), "exec")


@pytest.mark.parametrize("block", [b for b in BLOCKS if b.language == "toml"], ids=where)
def test_toml_in_the_documentation_is_a_configuration(block: Block, tmp_path: Path) -> None:
    """Each TOML block is a file, or a part of one, that the gateway takes without a mistake."""
    path = tmp_path / "gateway.toml"
    path.write_text(block.text)
    environ = {name: f"text-of-{name}" for name in re.findall(r'"env:(\w+)"', block.text)}
    assert load_settings(path, environ) != Settings(), where(block)


@pytest.mark.parametrize("block", [b for b in BLOCKS if b.language == "sql"], ids=where)
def test_sql_in_the_documentation_asks_our_tables(block: Block) -> None:
    """Each statement finds the tables and columns that it names."""
    engine = create_engine("sqlite://")
    metadata.create_all(engine)
    statements = [statement for statement in block.text.split(";") if statement.strip()]
    assert statements, where(block)
    with engine.connect() as connection:
        for statement in statements:
            assert connection.execute(text(statement)).all() == []


def test_blocks_name_a_language_that_is_checked() -> None:
    """No block escapes its check by a misspelt language."""
    assert {block.language for block in BLOCKS} <= KNOWN


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_relative_links_lead_to_files(page: Path) -> None:
    """A relative link names a file of the repository."""
    assert [target for target in links(page) if not (page.parent / target).exists()] == []


def test_errors_page_equals_the_error_tree() -> None:
    """The table lists every error that is rendered, with its status, type and code."""
    documented = {
        row["error"].strip("`"): (int(row["status"]), row["`type`"].strip("`"), row["`code`"].strip("`") or None)
        for row in table(DOCS / "reference" / "errors.md", "error")
    }
    tree = {
        name: (kind.status, kind.type, kind.code)
        for name in errors.__all__
        if inspect.isclass(kind := getattr(errors, name)) and issubclass(kind, errors.GatewayError)
    }
    del tree["GatewayError"]
    assert documented == tree


def test_middlewares_page_equals_the_stack() -> None:
    """The table lists the layers in their order, with the fields of the exchange that each declares."""
    rows = table(DOCS / "reference" / "middlewares.md", "layer")
    documented = [
        (row["layer"].strip("`"), *(_names(row[c]) for c in ("needs", "uses after", "writes"))) for row in rows
    ]
    assert documented == [(layer.__name__, *_declared(layer)) for layer in STACK]


def _declared(layer: Any) -> tuple[set[str], ...]:
    if layer is RateLimitMiddleware:  # what it needs depends on its rules: here, on rules of all kinds
        rules = [RateLimit(per="user", tokens="1/minute"), RateLimit(per="model", requests="1/minute")]
        layer = RateLimitMiddleware(Relay(), windows=create_autospec(Windows), rules=rules)
    return set(layer.needs), set(layer.uses_after), set(layer.writes)


def _names(cell: str) -> set[str]:
    return set(re.findall(r"`([^`]+)`", cell))


def test_explanation_lists_every_field_of_the_exchange() -> None:
    """The table of the exchange has all its fields, each once: each has one writer."""
    rows = table(DOCS / "explanation" / "architecture.md", "field")
    documented = [name for row in rows for name in re.findall(r"`(\w+)`", row["field"])]
    assert sorted(documented) == sorted(field.name for field in fields(Exchange))


def test_python_page_lists_what_is_public() -> None:
    """Every package on the first level that exports anything is documented, by exactly what it exports."""
    packages = {f"asgi_gateway.{path.parent.name}" for path in (ROOT / "asgi_gateway").glob("*/__init__.py")}
    exporting = {name for name in packages if hasattr(import_module(name), "__all__")}
    page = (DOCS / "reference" / "api.md").read_text()
    documented = set(re.findall(r"^```\{public-api\} (\S+)$", page, flags=re.M))
    assert exporting | {"asgi_gateway"} <= documented
    assert [name for name in documented if not getattr(import_module(name), "__all__", None)] == []


def test_http_page_lists_every_route() -> None:
    """The tables have the routes of all dialects, and the paths that the gateway answers itself."""
    rows = table(DOCS / "reference" / "http.md", "method")
    documented = {(row["method"], row["path"].strip("`")) for row in rows}
    relayed = {(route.method, route.path) for dialect in DIALECTS.values() for route in dialect.routes}
    assert documented == relayed | {("GET", path) for path in ACCOUNT_PATHS | HEALTH_PATHS}
    assert _names(" ".join(row.get("dialect", "") for row in rows)) == set(DIALECTS)


def test_command_line_page_lists_every_command_with_its_options() -> None:
    """The table has all commands, each with its arguments and options."""
    rows = table(DOCS / "reference" / "command-line.md", "command")
    documented = {row["command"].strip("`"): _names(row["options"]) for row in rows}
    assert documented == dict(_commands(typer.main.get_command(application())))


def _commands(command: Any, path: str = "") -> Iterator[tuple[str, set[str]]]:
    """The commands under a command, with their arguments, and their options by their long names."""
    if hasattr(command, "commands"):
        for name, sub in command.commands.items():
            yield from _commands(sub, f"{path} {name}".strip())
        if not command.invoke_without_command:
            return
    arguments = [p.metavar or p.name.upper() for p in command.params if p.param_type_name == "argument"]
    options = {text for p in command.params for text in p.opts if text.startswith("--")}
    yield " ".join([path, *arguments]), options


SECTIONS: Mapping[str, tuple[type, set[str]]] = {
    "[server]": (ServerSettings, set()),
    "[storage]": (StorageSettings, set()),
    "[limits]": (LimitSettings, set()),
    "[timeouts]": (Timeouts, set()),
    "[[channels]]": (Channel, {"id", "origin"}),
    "[[users]]": (UserSettings, set()),
    "[[tokens]]": (TokenSettings, set()),
    "[groups.NAME]": (Group, {"name"}),
    '[models."NAME".price]': (Price, {"version"}),
    '[[models."NAME".price.tiers]]': (PriceTier, set()),
    "[[reasoning_suffixes]]": (ReasoningSuffix, set()),
    "[[rate_limits]]": (RateLimit, set()),
    "[retry]": (RetrySettings, set()),
    "[billing]": (BillingSettings, set()),
    "[log]": (LogSettings, set()),
    "[prices]": (PriceSettings, set()),
    "[identity]": (IdentitySettings, set()),
    "[responses]": (ResponsesSettings, set()),
}
"""What each section of the file is read into, and which fields of it no file may set."""


@pytest.mark.parametrize("section", SECTIONS)
def test_configuration_page_lists_every_key_with_its_default(section: str) -> None:
    """The table of a section has the keys that are read, in their order, with the defaults that hold."""
    record, withheld = SECTIONS[section]
    rows = table(DOCS / "reference" / "configuration.md", "key", section=f"`{section}`")
    documented = [(row["key"].strip("`"), row["default"].strip("`")) for row in rows]
    assert documented == [(field.name, _default(field)) for field in fields(record) if field.name not in withheld]


def test_configuration_page_lists_every_section() -> None:
    """No section of the file is left out."""
    names = {re.sub(r"\W.*", "", section.strip("[]")) for section in SECTIONS} | {"aliases", "api_versions"}
    assert names == {field.name for field in fields(Settings)}


def test_configuration_page_lists_the_environment() -> None:
    """The table of variables has those that are read, and the keys they replace."""
    rows = table(DOCS / "reference" / "configuration.md", "variable")
    assert {row["variable"].strip("`"): row["key"].strip("`") for row in rows} == dict(READ)


def _default(field: Field[Any]) -> str:
    """A default as the file would say it."""
    if field.default_factory is Timeouts:
        return "see `[timeouts]"
    if field.default is MISSING and field.default_factory is MISSING:
        return "required"
    value = field.default if field.default_factory is MISSING else field.default_factory()
    if value == NO_BUDGET:
        return "{}"
    match value:
        case None:
            return ""
        case bool():
            return str(value).lower()
        case float():
            return f"{value:g}"
        case str() | Decimal():
            return f'"{value}"'
        case tuple():
            return "[" + ", ".join(f'"{part}"' for part in value) + "]"
    return str(value)
