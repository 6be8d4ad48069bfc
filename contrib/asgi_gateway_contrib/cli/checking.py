"""`check`: whether the gateway would start."""

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from asgi_gateway_contrib.cli.migrating import stored_version
from asgi_gateway_contrib.cli.options import Config, Json
from asgi_gateway_contrib.cli.output import Refused, complain, say, show, table
from asgi_gateway_contrib.cli.session import done, is_memory, opened, settings_of, shown, sqlite_path
from asgi_gateway_contrib.cli.tokens import useless_tokens

if TYPE_CHECKING:
    from asgi_gateway.config import Settings
    from asgi_gateway.storage.records import Channel

__all__ = ["check"]

COLUMNS = ("name", "provider", "enabled", "priority", "models", "groups", "origin")


def check(as_json: Json = False, config: Config = None) -> None:
    """Read the configuration, open the storage, print the stack and the channels.

    Exit code 1 with a line for every mistake.
    """
    done(_check(as_json, config))


async def _check(as_json: bool, config: Config) -> None:
    from asgi_gateway.config.environment import NOT_YET
    from asgi_gateway.middleware import STACK
    from asgi_gateway.relay import Relay

    settings = settings_of(config)
    for variable, instead in NOT_YET.items():
        if os.environ.get(variable):
            complain(f"environment: {variable}: has no meaning in this version: {instead}")
    stack = [layer.__name__ for layer in STACK] + [Relay.__name__]
    stored, options, state = await _stored(settings, config)
    sealed = settings.storage.crypto_secret is not None
    secrets = "encrypted at rest" if sealed else "stored in clear: set CRYPTO_SECRET to encrypt them"
    redis = shown(settings.storage.redis).partition("?")[0]  # what follows may hold a password
    declared = {channel.name: channel for channel in settings.channels}
    channels = [*declared.values(), *(c for c in stored if c.name not in declared and c.origin != "file")]
    unpriced = await _unpriced(settings, channels, options)
    rows: list[dict[str, object]] = [
        {
            "name": channel.name,
            "provider": channel.provider,
            "enabled": channel.enabled,
            "priority": channel.priority,
            "models": list(channel.models),
            "groups": list(channel.groups),
            "origin": channel.origin,
        }
        for channel in channels
    ]
    if as_json:
        report = {"storage": shown(settings.storage.url), "state": state, "secrets": secrets, "redis": redis}
        show({**report, "stack": stack, "channels": rows, "unpriced": unpriced}, as_json=True)
        return
    say(f"storage   {shown(settings.storage.url)} ({state})")
    say(f"secrets   {secrets}")
    if redis:
        say(f"redis     {redis}")
    say("stack     " + "\n          ".join(stack))
    say("")
    if rows:
        table(rows, COLUMNS, as_json=False)
    else:
        say("There is no channel yet: declare one in the file, or use `channel add`.")
    if unpriced:
        fate = "refused" if settings.billing.unpriced == "refuse" else "served free"
        complain(f"without a price, and {fate}: {', '.join(unpriced)}")


async def _unpriced(settings: "Settings", channels: "list[Channel]", options: "Mapping[str, Any]") -> list[str]:
    """The models that channels serve and that have no price."""
    from asgi_gateway.backends import MemoryStorage
    from asgi_gateway.policies.pricing import PriceTable
    from asgi_gateway.price_book import PriceBook

    book = PriceBook(MemoryStorage().prices, PriceTable(settings.model_prices), library=settings.prices.library)
    book.take(options)
    models = sorted({model for channel in channels if channel.enabled for model in channel.models})
    return [model for model in models if await book.find(model) is None]


async def _stored(settings: "Settings", config: Config) -> tuple[list["Channel"], "Mapping[str, Any]", str]:
    """The channels and options in the storage, and what can be said of it.

    A database is not changed only to be looked at.
    """
    from asgi_gateway.backends.sql.migration import HEAD, VERSIONS

    url = settings.storage.url
    path = sqlite_path(url)
    if is_memory(url):
        return [], {}, "forgets everything at the end"
    if path is not None and not path.exists():
        folder = path.parent if str(path.parent) else path
        if not folder.is_dir() or not os.access(folder, os.W_OK):
            raise Refused(f"storage.url: {folder} is no folder that can be written to")
        return [], {}, "will be made"
    version = await stored_version(settings.storage.url)
    if path is not None and version != HEAD and (version is None or version in VERSIONS):
        return [], {}, f"will be brought from version {version} to {HEAD}" if version else "will be made"
    async with opened(config) as storage:
        await storage.ping()
        complain(*await useless_tokens(settings, storage))
        return list(await storage.channels.list()), await storage.options.all(), f"reachable, version {HEAD}"
