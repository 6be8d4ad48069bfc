"""The repository keeps its own rules: sizes, names, exports, dependencies, what an import costs."""

import ast
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable
from importlib import import_module, metadata, resources
from pathlib import Path
from typing import Any

import pytest

from support import services

ROOT = Path(__file__).parents[1]
PACKAGES = {"asgi_gateway": ROOT / "asgi_gateway", "asgi_gateway_contrib": ROOT / "contrib" / "asgi_gateway_contrib"}
MODULES = sorted(path for folder in PACKAGES.values() for path in folder.rglob("*.py"))
TEXTS = {".cfg", ".css", ".html", ".ini", ".js", ".json", ".md", ".py", ".sh", ".toml", ".ts", ".tsx", ".yaml", ".yml"}
WRITTEN = ("asgi_gateway", "contrib", "tests", "examples", "docs", "benchmarks", ".ci")
EXECUTED = ("__main__.py", "env.py")
"""Modules that nobody imports: Python and Alembic execute them."""

DRIVEN = ("mysql.py", "postgresql.py")
"""Modules that load the driver of a database."""

PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


def name_of(path: Path) -> str:
    """The dotted name of a module of ours."""
    base = next(folder.parent for folder in PACKAGES.values() if path.is_relative_to(folder))
    parts = path.relative_to(base).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_modules_stay_short(path: Path) -> None:
    """A module stays under 400 lines."""
    assert len(path.read_text().splitlines()) < 400


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_modules_are_named_by_what_they_hold(path: Path) -> None:
    """No module is called by a name for no idea."""
    assert not {"utils", "util", "helpers", "shared", "common", "misc"} & set(path.with_suffix("").parts)


@pytest.mark.parametrize("path", [path for path in MODULES if path.name not in EXECUTED], ids=relative)
def test_modules_export_what_they_define_in_public(path: Path) -> None:
    """`__all__` holds every public function and class that a module defines, and nothing that does not exist."""
    tree = ast.parse(path.read_text())
    kinds = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    public = {node.name for node in tree.body if isinstance(node, kinds) and not node.name.startswith("_")}
    if path.is_relative_to(ROOT / "contrib") or path.name in DRIVEN:  # which may need a package of an extra
        module = pytest.importorskip(name_of(path), exc_type=ImportError)
    else:
        module = import_module(name_of(path))
    exported = getattr(module, "__all__", [])
    assert public <= set(exported)
    assert [name for name in exported if not hasattr(module, name)] == []
    assert len(exported) == len(set(exported))


def test_no_file_names_a_path_of_a_machine() -> None:
    """No text of the repository holds an absolute path of the machine it was written on."""
    pattern = re.compile(r"(?<![\w./}])/(?:work|root|home/\w+|Users/\w+)/")
    found = [path for name in WRITTEN for path in (ROOT / name).rglob("*")]
    folders = [path for path in found if "node_modules" not in path.parts]
    texts = [path for path in (*ROOT.iterdir(), *folders) if path.suffix in TEXTS or path.parent.name == ".ci"]
    assert len(texts) > len(MODULES)
    assert [relative(path) for path in texts if "_build" not in path.parts and pattern.search(path.read_text())] == []


def test_the_distribution_is_typed_and_has_its_command() -> None:
    """Type checkers are told that both packages are typed; the command and the licence are in the metadata."""
    distribution = metadata.distribution("asgi-gateway")
    assert [name for name in PACKAGES if not resources.files(name).joinpath("py.typed").is_file()] == []
    commands = {point.name: point.value for point in distribution.entry_points.select(group="console_scripts")}
    assert commands == {"asgi-gateway": "asgi_gateway.__main__:main"}
    assert distribution.metadata["License-Expression"] == "Apache-2.0"
    assert distribution.version == PROJECT["version"]


def test_importing_the_toolkit_is_cheap() -> None:
    """`import asgi_gateway` loads no server, framework, database or validation library, and few modules in all."""
    program = "import json, sys; import asgi_gateway; print(json.dumps(sorted(sys.modules)))"
    loaded: list[str] = json.loads(
        subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    )
    heavy = {
        "alembic",
        "authlib",
        "django",
        "fastapi",
        "genai_prices",
        "httpx",
        "pydantic",
        "sqlalchemy",
        "starlette",
        "typer",
        "uvicorn",
    }
    assert sorted(heavy & {name.partition(".")[0] for name in loaded}) == []
    assert len(loaded) < 650  # some 150 of them are the dialects', which are small and import nothing else


def test_dependencies_are_what_is_imported() -> None:
    """Each base dependency is imported somewhere, and each third-party import is declared."""
    third_party = {
        name.partition(".")[0]
        for path in MODULES
        for node in ast.walk(ast.parse(path.read_text()))
        for name in _imported(node)
    } - {*sys.stdlib_module_names, *PACKAGES}
    provided = metadata.packages_distributions()
    needed = {_canonical(name) for module in third_party for name in provided.get(module, [module])}
    declared = {_canonical(text) for text in PROJECT["dependencies"]} - {"uvloop"}  # uvicorn loads it by its name
    extras = {_canonical(text) for texts in PROJECT["optional-dependencies"].values() for text in texts}
    assert needed <= declared | extras
    assert declared <= needed


def _imported(node: ast.AST) -> list[str]:
    match node:
        case ast.Import(names=names):
            return [alias.name for alias in names]
        case ast.ImportFrom(module=str(module), level=0):
            return [module]
    return []


def _canonical(requirement: str) -> str:
    name = re.match(r"[\w.-]+", requirement)
    assert name is not None
    return re.sub(r"[-_.]+", "-", name[0]).lower()


def test_a_missing_service_skips_here_and_fails_in_continuous_integration(
    monkeypatch: pytest.MonkeyPatch, require_service: Callable[[str], Path], tmp_path: Path
) -> None:
    """Without its program a test is skipped and says what to install; with `CI=true` it fails."""
    monkeypatch.setattr(services, "SERVICES", {"redis": (str(tmp_path / "no-*-program"), "redis-server")})
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="apt-get install redis-server"):
        require_service("redis")
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="apt-get install redis-server"):
        require_service("redis")


def test_an_installed_service_is_found(
    monkeypatch: pytest.MonkeyPatch, require_service: Callable[[str], Path], tmp_path: Path
) -> None:
    """A program is found by its name on the path, or by a pattern of paths: the newest of several versions."""
    for version in ("14", "15"):
        program = tmp_path / version / "program"
        program.parent.mkdir()
        program.touch(mode=0o755)
    table = {"pattern": (str(tmp_path / "*" / "program"), "x"), "name": ("program", "x")}
    monkeypatch.setattr(services, "SERVICES", table)
    monkeypatch.setenv("PATH", str(tmp_path / "14"))
    assert require_service("pattern") == tmp_path / "15" / "program"
    assert require_service("name") == tmp_path / "14" / "program"


def test_a_missing_npm_package_is_treated_alike(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The message is the command that the page on contributing gives."""
    assert f"$ {services.NPM_INSTALL}\n" in (ROOT / "CONTRIBUTING.md").read_text()
    monkeypatch.setattr(services, "SERVICES", {"node": (sys.executable, "nodejs")})
    monkeypatch.setattr(services, "NODE_MODULES", tmp_path)
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match=services.NPM_INSTALL):
        services.require_node_package("openai")
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match=services.NPM_INSTALL):
        services.require_node_package("openai")
    (tmp_path / "openai").mkdir()
    assert services.require_node_package("openai") == tmp_path / "openai"


def test_npm_packages_are_pinned() -> None:
    """Each to one version, so that a test fails for a change of ours."""
    packages: dict[str, str] = json.loads((ROOT / "tests" / "interop" / "package.json").read_text())["dependencies"]
    assert packages
    assert [version for version in packages.values() if not re.fullmatch(r"\d+\.\d+\.\d+", version)] == []
