"""`user`: who pays."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from asgi_gateway_contrib.cli.budgets import Daily, Monthly, Weekly, as_row, changed_budget, used_budgets
from asgi_gateway_contrib.cli.options import Config, Json, Name, one_name
from asgi_gateway_contrib.cli.output import Refused, show, table, wrong_usage
from asgi_gateway_contrib.cli.session import done, opened, settings_of

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
    "set_quota",
    "set_user",
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
    app.command("set")(set_user)
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
    daily: Daily = None,
    weekly: Weekly = None,
    monthly: Monthly = None,
    as_json: Json = False,
    config: Config = None,
) -> None:
    """Add a user."""
    from asgi_gateway.storage.records import NO_BUDGET, User

    if quota is not None and unlimited:
        wrong_usage("--quota and --unlimited do not go together")
    budget = changed_budget(NO_BUDGET, daily, weekly, monthly)
    user = User(name=one_name(argument, name), group=group, unlimited=unlimited, budget=budget)
    done(_add(user, quota or 0, as_json, config))


def list_users(as_json: Json = False, config: Config = None) -> None:
    """List all users with their balances."""

    async def work() -> None:
        async with opened(config) as storage:
            rows = [await _row(user, storage) for user in await storage.users.list()]
        table(rows, COLUMNS, as_json=as_json)

    done(work())


def show_user(name: Name, as_json: Json = False, config: Config = None) -> None:
    """Show one user with its balance and its budgets."""
    done(_show(name, as_json, config))


def set_user(
    name: Name,
    *,
    group: Annotated[str | None, typer.Option("--group", help="The price class.")] = None,
    daily: Daily = None,
    weekly: Weekly = None,
    monthly: Monthly = None,
    as_json: Json = False,
    config: Config = None,
) -> None:
    """Change a user's group or budgets. What was used in a period already counts."""

    async def step(user: "User", storage: "Storage") -> None:
        budget = changed_budget(user.budget, daily, weekly, monthly)
        await storage.users.update(replace(user, group=group or user.group, budget=budget))

    done(_change(name, config, step))
    done(_show(name, as_json, config))


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


async def _add(user: "User", quota: int, as_json: bool, config: Config) -> None:
    from asgi_gateway.storage.records import Account

    async with opened(config, create=True) as storage:
        try:
            user = await storage.users.add(user)
        except ValueError:
            raise Refused(f'there is a user "{user.name}" already') from None
        await set_quota(Account("user", user.id), quota, user.unlimited, storage)
    await _show(user.name, as_json, config)


async def _show(name: str, as_json: bool, config: Config) -> None:
    async with opened(config) as storage:
        user = await find_user(name, storage)
        budgets = await used_budgets("user", user.id, user.budget, settings_of(config), storage)
        row = await _row(user, storage)
    show({**row, **as_row(budgets, as_json=as_json)}, as_json=as_json)


async def set_quota(account: "Account", quota: int, unlimited: bool, storage: "Storage") -> None:
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
