"""Configuration files made for a test."""

from collections.abc import Callable, Mapping
from pathlib import Path
from textwrap import dedent

import pytest

from asgi_gateway.config import ConfigurationError, Settings, load_settings

Load = Callable[..., Settings]
MistakesOf = Callable[..., list[str]]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Reads a TOML text as `gateway.toml`, with an environment and overrides."""

    def read(
        text: str = "",
        environ: Mapping[str, str] | None = None,
        overrides: Mapping[str, Mapping[str, object]] | None = None,
    ) -> Settings:
        path = tmp_path / "gateway.toml"
        path.write_text(dedent(text), "utf-8")
        return load_settings(path, environ or {}, overrides)

    return read


@pytest.fixture
def mistakes_of(load: Load, tmp_path: Path) -> MistakesOf:
    """The lines that a TOML text is refused with, without the file's path."""

    def read(*arguments: object) -> list[str]:
        with pytest.raises(ConfigurationError) as refusal:
            load(*arguments)
        prefix = f"{tmp_path / 'gateway.toml'}: "
        return [line.removeprefix(prefix) for line in refusal.value.mistakes]

    return read
