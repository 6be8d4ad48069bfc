"""`user`: who pays."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from asgi_gateway_contrib.cli.options import Config, Json, Name, one_name
from asgi_gateway_contrib.cli.output import Refused, show, table, wrong_usage
from asgi_gateway_contrib.cli.session import done, opened

if TYPE_CHECKING:
    from asgi_gateway.storage.protocols import Storage
    from asgi_gateway.storage.records import Account, User

__all__ = [
    "add",
    "commands",
    "delete",
    "disable",
    "enable",
    "find_user",
    "grant",
    "list_users",
    "set_budget",
    "show_user",
]

COLUMNS = ("name", "group", "enabled", "granted", "spent", "reserved", "unlimited", "origin")

Quota = Annotated[int | None, typer.Option("--quota", min=0, help="Units granted; 500 000 = 1 USD.")]
Unlimited = Annotated[bool, typer.Option("--unlimited", help="Count, but never refuse.")]


def commands() -> typer.Typer:
    """The commands of `user`."""
    app = typer.Typer(help="Users: who pays.", no_args_is_help=True)
    app.command("add")(add)
    app.command("list")(list_users)
    app.command("show")(show_user)
    app.command("enable")(enable)
    app.command("disable")(disable)
    app.command("delete")(delete)
    app.command("grant")(grant)
    return app


def add(
    *,
    argument: Annotated[str | None, typer.Argument(metavar="NAME", help="Its name.")] = None,
    name: Annotated[str | None, typer.Option("--name", help="Its name.")] = None,
    group: Annotated[str, typer.Option("--group", help="The price class.")] = "default",
    quota: Quota = None,
    unlimited: Unlimited = False,
    as_json: Json = False,
    config: Config = None,
) -> None:
    """Add a user."""
    if quota is not None and unlimited:
        wrong_usage("--quota and --unlimited do not go together")
    done(_add(one_name(argument, name), group, quota or 0, unlimited, as_json, config))


def list_users(as_json: Json = False, config: Config = None) -> None:
    """List all users with their balances."""

    async def work() -> None:
        async with opened(config) as storage:
            rows = [await _row(user, storage) for user in await storage.users.list()]
        table(rows, COLUMNS, as_json=as_json)

    done(work())


def show_user(name: Name, as_json: Json = False, config: Config = None) -> None:
    """Show one user with its balance."""

    async def work() -> None:
        async with opened(config) as storage:
            row = await _row(await find_user(name, storage), storage)
        show(row, as_json=as_json)

    done(work())


def enable(name: Name, config: Config = None) -> None:
    """Let a user's tokens work again."""
    done(_change(name, config, lambda user, storage: storage.users.update(replace(user, enabled=True))))


def disable(name: Name, config: Config = None) -> None:
    """Make all tokens of a user stop working."""
    done(_change(name, config, lambda user, storage: storage.users.update(replace(user, enabled=False))))


def delete(name: Name, config: Config = None) -> None:
    """Remove a user and its tokens. Charges stay in the log."""
    done(_change(name, config, lambda user, storage: storage.users.delete(user.id)))


def grant(
    name: Name,
    units: Annotated[int, typer.Argument(help="Units to add; 500 000 = 1 USD. Negative (after --): withdraw.")],
    as_json: Json = False,
    config: Config = None,
) -> None:
    """Add units to what a user was granted."""

    async def work() -> None:
        from asgi_gateway.storage.records import Account

        async with opened(config) as storage:
            user = await find_user(name, storage)
            await storage.ledger.grant(Account("user", user.id), units)
            row = await _row(user, storage)
        show(row, as_json=as_json)

    done(work())


async def find_user(name: str, storage: "Storage") -> "User":
    """The user of this name. Raises `Refused`."""
    user = await storage.users.find(name)
    if user is None:
        raise Refused(f'there is no user "{name}"')
    return user


async def _add(name: str, group: str, quota: int, unlimited: bool, as_json: bool, config: Config) -> None:
    from asgi_gateway.storage.records import Account, User

    async with opened(config, create=True) as storage:
        try:
            user = await storage.users.add(User(name=name, group=group, unlimited=unlimited))
        except ValueError:
            raise Refused(f'there is a user "{name}" already') from None
        await set_budget(Account("user", user.id), quota, unlimited, storage)
        row = await _row(user, storage)
    show(row, as_json=as_json)


async def set_budget(account: "Account", quota: int, unlimited: bool, storage: "Storage") -> None:
    """Give a new account its first units, or none and no limit."""
    if unlimited:
        await storage.ledger.declare(account, 0, unlimited=True)
    elif quota:
        await storage.ledger.grant(account, quota)


async def _change(name: str, config: Config, step: "Callable[[User, Storage], Awaitable[object]]") -> None:
    async with opened(config) as storage:
        user = await find_user(name, storage)
        if user.origin == "file":
            raise Refused(f'the user "{name}" is declared in the configuration file: change it there')
        await step(user, storage)


async def _row(user: "User", storage: "Storage") -> dict[str, object]:
    from asgi_gateway.storage.records import Account

    balance = await storage.ledger.balance(Account("user", user.id))
    return {
        "name": user.name,
        "group": user.group,
        "role": user.role,
        "enabled": user.enabled,
        "granted": balance.granted,
        "spent": balance.spent,
        "reserved": balance.reserved,
        "available": None if user.unlimited else balance.available,
        "unlimited": user.unlimited,
        "origin": user.origin,
        "created": user.created,
    }
