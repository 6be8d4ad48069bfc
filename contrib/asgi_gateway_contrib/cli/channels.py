"""`channel`: the ways to upstreams."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from asgi_gateway_contrib.cli.options import Config, Json, Name, key_text, one_name
from asgi_gateway_contrib.cli.output import Refused, say, show, table
from asgi_gateway_contrib.cli.session import done, opened, reasons, settings_of

if TYPE_CHECKING:
    from asgi_gateway.storage.protocols import Storage
    from asgi_gateway.storage.records import Channel

__all__ = ["add", "commands", "delete", "disable", "enable", "list_channels", "show_channel", "test"]

COLUMNS = ("name", "provider", "enabled", "priority", "weight", "models", "groups", "origin")

Texts = list[str] | None


def commands() -> typer.Typer:
    """The commands of `channel`."""
    app = typer.Typer(help="Channels: the ways to upstreams.", no_args_is_help=True)
    app.command("add")(add)
    app.command("list")(list_channels)
    app.command("show")(show_channel)
    app.command("enable")(enable)
    app.command("disable")(disable)
    app.command("delete")(delete)
    app.command("test")(test)
    return app


def add(
    *,
    argument: Annotated[str | None, typer.Argument(metavar="NAME", help="Its name.")] = None,
    name: Annotated[str | None, typer.Option("--name", help="Its name.")] = None,
    provider: Annotated[str, typer.Option("--provider", help="The kind of upstream: openai, …")] = "openai",
    base_url: Annotated[
        str, typer.Option("--base-url", help="Without the version segment; default: the vendor's.")
    ] = "",
    key: Annotated[
        Texts, typer.Option("--key", help="A key of the upstream; several; env:NAME, or - for stdin.")
    ] = None,
    model: Annotated[Texts, typer.Option("--model", help="A model it serves; several.")] = None,
    group: Annotated[Texts, typer.Option("--group", help="A group it serves; several; none: default.")] = None,
    priority: Annotated[int, typer.Option("--priority", help="Higher first.")] = 0,
    weight: Annotated[int, typer.Option("--weight", min=0, help="Its share among those of its priority.")] = 1,
    dialect: Annotated[Texts, typer.Option("--dialect", help="The only dialects it speaks; several.")] = None,
    proxy: Annotated[str, typer.Option("--proxy", help="An HTTP proxy to go through.")] = "",
    as_json: Json = False,
    config: Config = None,
) -> None:
    """Add a channel."""
    entry: dict[str, object] = {
        "name": one_name(argument, name),
        "provider": provider,
        "base_url": base_url,
        "keys": [key_text(text) for text in key or ()],
        "models": model or [],
        "groups": group or ["default"],
        "priority": priority,
        "weight": weight,
        "dialects": dialect or [],
        "proxy": proxy,
    }
    with reasons():
        channel = _read(entry, config)
    done(_add(channel, as_json, config))


def list_channels(as_json: Json = False, config: Config = None) -> None:
    """List all channels."""

    async def work() -> None:
        async with opened(config) as storage:
            rows = [_row(channel) for channel in await storage.channels.list()]
        table(rows, COLUMNS, as_json=as_json)

    done(work())


def show_channel(name: Name, as_json: Json = False, config: Config = None) -> None:
    """Show one channel; never its keys."""

    async def work() -> None:
        async with opened(config) as storage:
            row = _row(await _find(name, storage))
        show(row, as_json=as_json)

    done(work())


def enable(name: Name, config: Config = None) -> None:
    """Let requests go to a channel again."""
    done(_change(name, config, lambda channel, storage: storage.channels.update(replace(channel, enabled=True))))


def disable(name: Name, config: Config = None) -> None:
    """Let no request go to a channel."""
    done(_change(name, config, lambda channel, storage: storage.channels.update(replace(channel, enabled=False))))


def delete(name: Name, config: Config = None) -> None:
    """Remove a channel. Charges stay in the log."""
    done(_change(name, config, lambda channel, storage: storage.channels.delete(channel.id)))


def test(
    name: Name,
    model: Annotated[str | None, typer.Option("--model", help="The model to ask; default: its first.")] = None,
    as_json: Json = False,
    config: Config = None,
) -> None:
    """Ask a channel for a few tokens, and print how it answered. Exit code 1 when it did not."""

    async def work() -> bool:
        from asgi_gateway_contrib.cli.channel_test import ask

        answer = await ask(await _declared_or_stored(name, config), model)
        if as_json:
            show({"channel": name, "ok": answer.ok, "status": answer.status, "seconds": answer.seconds,
                  "model": answer.model, "error": answer.error}, as_json=True)  # fmt: skip
        else:
            say(
                f"{name}: {answer.status or 'no answer'} in {answer.seconds:.3f} s"
                + (answer.error and f": {answer.error}")
            )
        return answer.ok

    if not done(work()):
        raise typer.Exit(1)


def _read(entry: dict[str, object], config: Config) -> "Channel":
    from asgi_gateway.config import Settings, extended

    settings = settings_of(config)
    known = Settings(timeouts=settings.timeouts, api_versions=settings.api_versions, groups=settings.groups)
    return replace(extended(known, channels=[entry]).channels[0], origin="runtime")


async def _add(channel: "Channel", as_json: bool, config: Config) -> None:
    async with opened(config, create=True) as storage:
        try:
            channel = await storage.channels.add(channel)
        except ValueError:
            raise Refused(f'there is a channel "{channel.name}" already') from None
    show(_row(channel), as_json=as_json)


async def _declared_or_stored(name: str, config: Config) -> "Channel":
    """The channel as the file has it now, else as the storage has it."""
    for channel in settings_of(config).channels:
        if channel.name == name:
            return channel
    async with opened(config) as storage:
        return await _find(name, storage)


async def _find(name: str, storage: "Storage") -> "Channel":
    channel = await storage.channels.named(name)
    if channel is None:
        raise Refused(f'there is no channel "{name}"')
    return channel


async def _change(name: str, config: Config, step: "Callable[[Channel, Storage], Awaitable[object]]") -> None:
    async with opened(config) as storage:
        channel = await _find(name, storage)
        if channel.origin == "file":
            raise Refused(f'the channel "{name}" is declared in the configuration file: change it there')
        await step(channel, storage)


def _row(channel: "Channel") -> dict[str, object]:
    from dataclasses import asdict

    return {
        "name": channel.name,
        "provider": channel.provider,
        "base_url": channel.base_url,
        "keys": len(channel.keys),
        "models": list(channel.models),
        "groups": list(channel.groups),
        "priority": channel.priority,
        "weight": channel.weight,
        "dialects": list(channel.dialects),
        "model_mapping": dict(channel.model_mapping),
        "conversion": channel.conversion,
        "proxy": "yes" if channel.proxy else "",
        "timeouts": asdict(channel.timeouts),
        "enabled": channel.enabled,
        "origin": channel.origin,
    }
