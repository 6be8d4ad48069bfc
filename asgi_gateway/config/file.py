"""Reads `gateway.toml`, the environment and what a command line says into `Settings`.

Order: built-in default < file < environment < command line. A text `env:NAME` in the file reads the environment.
All mistakes are collected into one `ConfigurationError`, each as `file: key: reason`.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from decimal import Decimal
from pathlib import Path
from tomllib import TOMLDecodeError, loads
from typing import Any

from asgi_gateway.config.checks import mistakes_in
from asgi_gateway.config.environment import read_environment, storage_url
from asgi_gateway.config.reader import Mistake, Reader, Record, label
from asgi_gateway.config.settings import ConfigurationError, Settings, TokenSettings, UserSettings
from asgi_gateway.storage.records import Channel, Group, Price, Timeouts

__all__ = ["extended", "load_settings"]

REFERENCE = "env:"

WITHHELD: Mapping[type, Mapping[str, object]] = {
    Channel: {"id": 0, "origin": "file"},
    Group: {"name": ""},
    Price: {"version": ""},
}
"""What records hold that no file says as an entry, and what stands there until it is known."""


def load_settings(
    path: Path | str | None,
    environ: Mapping[str, str],
    overrides: Mapping[str, Mapping[str, object]] | None = None,
) -> Settings:
    """The settings that a file, an environment and overrides (by section and key) make together.

    Raises `ConfigurationError` with every mistake in them.
    """
    where = "settings" if path is None else str(path)
    tree = {} if path is None else _file(Path(path))
    mistakes: list[Mistake] = []
    tree = _resolved(tree, environ, "", mistakes)
    above, sources, unreadable = read_environment(environ)
    for section, values in [*above.items(), *(overrides or {}).items()]:
        below = tree.setdefault(section, {})
        if isinstance(below, dict):
            tree[section] = {**below, **values}
    sources |= {f"{section}.{key}": "" for section, values in (overrides or {}).items() for key in values}

    reader = Reader(WITHHELD)
    settings = _named(reader.read(Settings, _completed(tree)) or Settings())
    mistakes += reader.mistakes
    mistakes += _unrelated(mistakes_in(settings), mistakes)
    if mistakes or unreadable:
        lines = [f"environment: {mistake.key}: {mistake.reason}" for mistake in unreadable]
        raise ConfigurationError(lines + [_line(where, mistake, sources) for mistake in mistakes])
    return settings


def extended(
    settings: Settings,
    *,
    channels: Iterable[Channel | Mapping[str, object]] = (),
    users: Iterable[UserSettings | Mapping[str, object]] = (),
    tokens: Iterable[TokenSettings | Mapping[str, object]] = (),
) -> Settings:
    """Settings with more channels, users and tokens, as records or as the mappings that the file would hold.

    A text `env:NAME` in a mapping reads the environment, as in the file.
    Raises `ConfigurationError` with every mistake in the result.
    """
    reader = Reader(WITHHELD)
    defaults, versions = asdict(settings.timeouts), settings.api_versions
    completed = (_with_version(_with_timeouts(channel, defaults), versions) for channel in channels)
    more_channels = _records(reader, Channel, "channels", completed)
    more_users = _records(reader, UserSettings, "users", users)
    more_tokens = _records(reader, TokenSettings, "tokens", tokens)
    mistakes = reader.mistakes
    if not mistakes:
        settings = replace(
            settings,
            channels=(*settings.channels, *(replace(channel, id=0, origin="file") for channel in more_channels)),
            users=(*settings.users, *more_users),
            tokens=(*settings.tokens, *more_tokens),
        )
        mistakes = mistakes_in(settings)
    if mistakes:
        raise ConfigurationError([_line("settings", mistake, {}) for mistake in mistakes])
    return settings


def _records(reader: Reader, kind: type[Record], section: str, entries: Iterable[object]) -> list[Record]:
    records = []
    for index, entry in enumerate(entries):
        place = f"{section}[{label(entry, index)}]"
        if isinstance(entry, kind):
            records.append(entry)
            continue
        record = reader.read(kind, _resolved(entry, os.environ, place, reader.mistakes), place)
        if record is not None:
            records.append(record)
    return records


def _file(path: Path) -> dict[str, Any]:
    try:
        return loads(path.read_text("utf-8"), parse_float=Decimal)
    except OSError as error:
        raise ConfigurationError([f"{path}: cannot be read: {error.strerror or error}"]) from error
    except UnicodeDecodeError as error:
        raise ConfigurationError([f"{path}: is no UTF-8: {error.reason} at byte {error.start}"]) from error
    except TOMLDecodeError as error:
        raise ConfigurationError([f"{path}: is no TOML: {error}"]) from error


def _resolved(value: Any, environ: Mapping[str, str], path: str, mistakes: list[Mistake]) -> Any:
    """The tree with each text `env:NAME` replaced by what the environment has under that name."""
    if isinstance(value, Mapping):
        return {
            key: _resolved(part, environ, f"{path}.{key}" if path else key, mistakes) for key, part in value.items()
        }
    if isinstance(value, list | tuple):
        return [_resolved(part, environ, f"{path}[{label(part, index)}]", mistakes) for index, part in enumerate(value)]
    if isinstance(value, str) and value.startswith(REFERENCE):
        name = value.removeprefix(REFERENCE)
        if name not in environ:
            mistakes.append(Mistake(path, f"the environment has no {name}"))
        return environ.get(name, "unset")
    return value


def _completed(tree: Mapping[str, Any]) -> dict[str, Any]:
    """The tree with databases as URLs, and under what a channel says of its own `[timeouts]` and `[api_versions]`."""
    tree = _with_urls(tree)
    channels = tree.get("channels")
    defaults, versions = tree.get("timeouts", {}), tree.get("api_versions", {})
    if not isinstance(channels, list) or not isinstance(defaults, dict) or not isinstance(versions, dict):
        return dict(tree)
    return {**tree, "channels": [_with_version(_with_timeouts(channel, defaults), versions) for channel in channels]}


def _with_urls(tree: Mapping[str, Any]) -> Mapping[str, Any]:
    """The tree with databases as URLs where they are written as Go does. What cannot be read stays, for the checks."""
    storage = tree.get("storage")
    if not isinstance(storage, Mapping):
        return tree
    urls: dict[str, str] = {}
    for key in ("url", "log_url"):
        text = storage.get(key)
        try:
            url = storage_url(text) if isinstance(text, str) else None
        except ValueError:
            continue
        if url is not None:
            urls[key] = url
    return {**tree, "storage": {**storage, **urls}}


def _with_timeouts(channel: Any, defaults: Mapping[str, Any]) -> Any:
    if not isinstance(channel, Mapping):
        return channel
    own = channel.get("timeouts", {})
    if isinstance(own, Timeouts):
        own = asdict(own)
    if not isinstance(own, Mapping):
        return channel
    known = {key: value for key, value in defaults.items() if isinstance(value, int | float | Decimal)}
    return {**channel, "timeouts": {**known, **own}}


def _with_version(channel: Any, versions: Mapping[str, Any]) -> Any:
    if not isinstance(channel, Mapping) or channel.get("api_version"):
        return channel
    version = versions.get(str(channel.get("provider")))
    return {**channel, "api_version": version} if isinstance(version, str) else channel


def _named(settings: Settings) -> Settings:
    """The settings with each group knowing the name under which it stands."""
    return replace(settings, groups={name: replace(group, name=name) for name, group in settings.groups.items()})


def _unrelated(found: Iterable[Mistake], noted: Sequence[Mistake]) -> list[Mistake]:
    """What was found at places where no mistake was noted before: elsewhere it may only follow from that one."""
    keys = [mistake.key for mistake in noted]
    return [
        mistake
        for mistake in found
        if not any(mistake.key.startswith(key) or key.startswith(mistake.key) for key in keys)
    ]


def _line(where: str, mistake: Mistake, sources: Mapping[str, str]) -> str:
    variable = sources.get(mistake.key)
    if variable:
        return f"environment: {variable}: {mistake.reason}"
    if variable is not None:
        where = "command line"
    return ": ".join(part for part in (where, mistake.key, mistake.reason) if part)
