"""`token`: callers' keys. A key is shown once, when it is made."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from asgi_gateway_contrib.cli.budgets import Daily, Monthly, Weekly, as_row, changed_budget, used_budgets
from asgi_gateway_contrib.cli.options import Config, Json, Name, key_text, one_name, point_in_time
from asgi_gateway_contrib.cli.output import Refused, complain, say, show, table, wrong_usage
from asgi_gateway_contrib.cli.session import done, opened, settings_of
from asgi_gateway_contrib.cli.users import Quota, find_user, set_quota

if TYPE_CHECKING:
    from asgi_gateway.config import Settings
    from asgi_gateway.storage.protocols import Storage
    from asgi_gateway.storage.records import Token, User

__all__ = ["add", "commands", "delete", "disable", "enable", "list_tokens", "set_token", "show_token", "useless_tokens"]

COLUMNS = ("name", "user", "key", "enabled", "granted", "spent", "unlimited", "expires", "origin")


def commands() -> typer.Typer:
    """The commands of `token`."""
    app = typer.Typer(help="Tokens: callers' keys.", no_args_is_help=True)
    app.command("add")(add)
    app.command("list")(list_tokens)
    app.command("show")(show_token)
    app.command("set")(set_token)
    app.command("enable")(enable)
    app.command("disable")(disable)
    app.command("delete")(delete)
    return app


def add(
    *,
    argument: Annotated[str | None, typer.Argument(metavar="NAME", help="Its name.")] = None,
    name: Annotated[str | None, typer.Option("--name", help="Its name.")] = None,
    user: Annotated[str, typer.Option("--user", help="Who pays for it.")] = "root",
    quota: Quota = None,
    unlimited: Annotated[bool, typer.Option("--unlimited", help="Only the user's own balance bounds it.")] = False,
    model: Annotated[list[str] | None, typer.Option("--model", help="A model it may use; several; none: all.")] = None,
    network: Annotated[list[str] | None, typer.Option("--network", help="A CIDR it may be used from; several.")] = None,
    group: Annotated[str | None, typer.Option("--group", help="Another price class, or auto.")] = None,
    daily: Daily = None,
    weekly: Weekly = None,
    monthly: Monthly = None,
    expires: Annotated[str | None, typer.Option("--expires", help="A time in ISO 8601.")] = None,
    show_route: Annotated[bool, typer.Option("--show-route", help="May see which channel answered.")] = False,
    key: Annotated[str | None, typer.Option("--key", help="A key of your own; env:NAME, or - for stdin.")] = None,
    as_json: Json = False,
    config: Config = None,
) -> None:
    """Add a token and print its key, this once."""
    from asgi_gateway.storage.keys import digest_of, generate_key, hint_of
    from asgi_gateway.storage.records import NO_BUDGET, Token

    if (quota is None) != unlimited:
        wrong_usage("say either --quota UNITS (500 000 = 1 USD) or --unlimited")
    text = key_text(key) if key else generate_key()
    token = Token(
        name=one_name(argument, name),
        user_id=0,
        digest=digest_of(text),
        hint=hint_of(text),
        unlimited=unlimited,
        expires=_moment(expires),
        models=tuple(model or ()),
        networks=tuple(_network(text) for text in network or ()),
        group=group,
        budget=changed_budget(NO_BUDGET, daily, weekly, monthly),
        show_route=show_route,
    )
    row = done(_add(token, user, quota or 0, config))
    if as_json:
        show({**row, "key": text}, as_json=True)
        return
    complain(f'The key of "{token.name}". It is shown this once:')
    say(text)


def list_tokens(as_json: Json = False, config: Config = None) -> None:
    """List all tokens with their balances."""

    async def work() -> None:
        async with opened(config) as storage:
            names = {user.id: user.name for user in await storage.users.list()}
            rows = [await _row(token, names.get(token.user_id), storage) for token in await storage.tokens.list()]
        table(rows, COLUMNS, as_json=as_json)

    done(work())


def show_token(name: Name, as_json: Json = False, config: Config = None) -> None:
    """Show one token with its balance and its budgets; never its key."""
    done(_show(name, as_json, config))


def set_token(
    name: Name,
    *,
    group: Annotated[str | None, typer.Option("--group", help="Another price class, or auto.")] = None,
    daily: Daily = None,
    weekly: Weekly = None,
    monthly: Monthly = None,
    as_json: Json = False,
    config: Config = None,
) -> None:
    """Change a token's group or budgets. What was used in a period already counts."""

    async def step(token: "Token", storage: "Storage") -> None:
        user = await storage.users.get(token.user_id)
        if group is not None and user is not None:
            _check_group(group, user, config)
        budget = changed_budget(token.budget, daily, weekly, monthly)
        await storage.tokens.update(replace(token, group=group or token.group, budget=budget))

    done(_change(name, config, step))
    done(_show(name, as_json, config))


def enable(name: Name, config: Config = None) -> None:
    """Let a token work again."""
    done(_change(name, config, lambda token, storage: storage.tokens.update(replace(token, enabled=True))))


def disable(name: Name, config: Config = None) -> None:
    """Make a token stop working."""
    done(_change(name, config, lambda token, storage: storage.tokens.update(replace(token, enabled=False))))


def delete(name: Name, config: Config = None) -> None:
    """Remove a token. Charges stay in the log."""
    done(_change(name, config, lambda token, storage: storage.tokens.delete(token.id)))


async def _add(token: "Token", owner: str, quota: int, config: Config) -> dict[str, object]:
    from asgi_gateway.storage.records import Account

    async with opened(config, create=True) as storage:
        user = await _owner(owner, storage)
        if token.group is not None:
            _check_group(token.group, user, config)
        try:
            token = await storage.tokens.add(replace(token, user_id=user.id))
        except ValueError:
            raise Refused(f'there is a token "{token.name}" already, or one with this key') from None
        await set_quota(Account("token", token.id), quota, token.unlimited, storage)
        return await _row(token, user.name, storage)


async def _show(name: str, as_json: bool, config: Config) -> None:
    async with opened(config) as storage:
        token = await _find(name, storage)
        user = await storage.users.get(token.user_id)
        budgets = await used_budgets("token", token.id, token.budget, settings_of(config), storage)
        row = await _row(token, user.name if user else None, storage)
    show({**row, **as_row(budgets, as_json=as_json)}, as_json=as_json)


def _check_group(group: str, user: "User", config: Config) -> None:
    """Raise `Refused` for a group that the user may not use: every request of the token would be refused."""
    reason = _unusable(group, user, settings_of(config))
    if reason:
        raise Refused(reason)


def _unusable(group: str, user: "User", settings: "Settings") -> str:
    from asgi_gateway.policies.groups import AUTO, usable_groups

    usable = usable_groups(settings.groups, user.group)
    if group == AUTO or group in usable:
        return ""
    return f'users of the group "{user.group}" may not use the group "{group}"; they may use: {", ".join(usable)}'


async def useless_tokens(settings: "Settings", storage: "Storage") -> list[str]:
    """A line for each enabled token of run time whose group its user may not use: all its requests are refused."""
    users = {user.id: user for user in await storage.users.list()}
    lines = []
    for token in await storage.tokens.list():
        user = users.get(token.user_id)
        if user is not None and token.group is not None and token.enabled and token.origin != "file":
            reason = _unusable(token.group, user, settings)
            if reason:
                lines.append(f'the token "{token.name}" is refused: {reason}')
    return lines


async def _owner(name: str, storage: "Storage") -> "User":
    from asgi_gateway.config import ROOT
    from asgi_gateway.declaration import ensure_root

    return await ensure_root(storage) if name == ROOT else await find_user(name, storage)


async def _find(name: str, storage: "Storage") -> "Token":
    token = await storage.tokens.named(name)
    if token is None:
        raise Refused(f'there is no token "{name}"')
    return token


async def _change(name: str, config: Config, step: "Callable[[Token, Storage], Awaitable[object]]") -> None:
    async with opened(config) as storage:
        token = await _find(name, storage)
        if token.origin == "file":
            raise Refused(f'the token "{name}" is declared in the configuration file: change it there')
        await step(token, storage)


async def _row(token: "Token", user: str | None, storage: "Storage") -> dict[str, object]:
    from asgi_gateway.storage.records import Account

    balance = await storage.ledger.balance(Account("token", token.id))
    return {
        "name": token.name,
        "user": user,
        "key": token.hint,
        "enabled": token.enabled,
        "granted": balance.granted,
        "spent": balance.spent,
        "reserved": balance.reserved,
        "available": None if token.unlimited else balance.available,
        "unlimited": token.unlimited,
        "expires": token.expires,
        "models": list(token.models),
        "networks": list(token.networks),
        "group": token.group,
        "show_route": token.show_route,
        "origin": token.origin,
        "created": token.created,
    }


def _moment(text: str | None) -> datetime | None:
    return point_in_time(text) if text else None


def _network(text: str) -> str:
    from ipaddress import ip_network

    try:
        return str(ip_network(text))
    except ValueError as reason:
        wrong_usage(f"--network: {reason}")
