"""`price`: what models cost, and where each price comes from."""

import json
from collections.abc import Iterable
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from asgi_gateway_contrib.cli import price_data, price_sheets
from asgi_gateway_contrib.cli.options import Config, Json, file_text
from asgi_gateway_contrib.cli.output import Refused, say, show, table, wrong_usage
from asgi_gateway_contrib.cli.price_session import price_book
from asgi_gateway_contrib.cli.session import done, opened, settings_of

if TYPE_CHECKING:
    from asgi_gateway.directory import Directory
    from asgi_gateway.price_book import PricedModel
    from asgi_gateway.storage.records import Price

__all__ = ["Origin", "commands", "list_prices", "set_price", "show_price", "unset"]

COLUMNS = ("model", "input", "output", "cache_read", "cache_write", "source", "detail")

LONGEST = 180
"""Characters: an option's name must fit an index of every database."""

Model = Annotated[str, typer.Argument(metavar="MODEL", help="The model's name.")]


class Origin(Enum):
    """Where prices come from."""

    FILE = "file"
    RUNTIME = "runtime"
    IMPORTED = "imported"
    LIBRARY = "library"
    NONE = "none"


def commands() -> typer.Typer:
    """The commands of `price`."""
    app = typer.Typer(help="Prices of models. File > run time > imported sheet > library.", no_args_is_help=True)
    app.command("list")(list_prices)
    app.command("show")(show_price)
    app.command("set")(set_price)
    app.command("unset")(unset)
    app.command("import")(price_sheets.import_sheet)
    app.command("export")(price_sheets.export)
    app.command("refresh")(price_data.refresh)
    return app


def list_prices(
    models: Annotated[list[str] | None, typer.Argument(metavar="[MODEL]...", help="Only these.")] = None,
    source: Annotated[Origin | None, typer.Option("--source", help="Only those that come from here.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Also all that the library knows.")] = False,
    as_json: Json = False,
    config: Config = None,
) -> None:
    """List what models cost: those that channels serve, and those that somebody set a price for."""

    async def work() -> None:
        async with price_book(config) as directory:
            rows = [_row(name, await directory.prices.find(name)) for name in models or await _names(directory, every)]
        wanted = [row for row in rows if source is None or row["source"] == source.value]
        table(wanted, COLUMNS, as_json=as_json)

    done(work())


def show_price(model: Model, as_json: Json = False, config: Config = None) -> None:
    """Show all numbers of one model's price. USD per million tokens, or as the reference says."""

    async def work() -> None:
        async with price_book(config) as directory:
            found = await directory.prices.find(model)
        if found is None:
            raise Refused(f'the model "{model}" has no price')
        _show(model, found, as_json)

    done(work())


def set_price(
    model: Model,
    *,
    input_price: Annotated[
        str | None, typer.Option("--input", help="A million tokens of input.", metavar="USD")
    ] = None,
    output: Annotated[str | None, typer.Option("--output", help="A million tokens of output.", metavar="USD")] = None,
    cache_read: Annotated[
        str | None, typer.Option("--cache-read", help="A million tokens read from a cache.", metavar="USD")
    ] = None,
    cache_write: Annotated[
        str | None, typer.Option("--cache-write", help="A million tokens written to a cache.", metavar="USD")
    ] = None,
    cache_write_1h: Annotated[
        str | None, typer.Option("--cache-write-1h", help="The same, kept for an hour.", metavar="USD")
    ] = None,
    reasoning: Annotated[
        str | None, typer.Option("--reasoning", help="A million tokens of reasoning.", metavar="USD")
    ] = None,
    call: Annotated[str | None, typer.Option("--call", help="Each exchange.", metavar="USD")] = None,
    second: Annotated[str | None, typer.Option("--second", help="A second of audio or video.", metavar="USD")] = None,
    characters: Annotated[
        str | None, typer.Option("--characters", help="A million characters that are spoken.", metavar="USD")
    ] = None,
    json_file: Annotated[
        str | None, typer.Option("--json-file", help="A file with the whole price; - for stdin.", metavar="FILE")
    ] = None,
    as_json: Json = False,
    config: Config = None,
) -> None:
    """Set a model's price at run time, as a whole: what is not said is not priced apart."""
    given = {
        "input": input_price,
        "output": output,
        "cache_read": cache_read,
        "cache_write": cache_write,
        "cache_write_1h": cache_write_1h,
        "reasoning": reasoning,
        "call": call,
        "second": second,
        "characters": characters,
    }
    said = {kind: number for kind, number in given.items() if number is not None}
    done(_set(model, json_file, said, as_json, config))


def unset(model: Model, config: Config = None) -> None:
    """Remove a price set at run time: the one below it counts again."""

    async def work() -> None:
        from asgi_gateway.price_book import PRICE_OPTION

        async with opened(config) as storage:
            if not await storage.options.get(PRICE_OPTION + model):
                raise Refused(f'no price was set for "{model}" at run time')
            await storage.options.set(PRICE_OPTION + model, {})

    done(work())


async def _names(directory: "Directory", every: bool) -> Iterable[str]:
    names = {model for channel in await directory.storage.channels.list() for model in channel.models}
    names.update(directory.prices.declared())
    if every:
        names.update((await directory.prices.library()).names())
    return sorted(names)


async def _set(model: str, json_file: str | None, said: dict[str, Any], as_json: bool, config: Path | None) -> None:
    from asgi_gateway.price_book import PRICE_OPTION, PricedModel, price_in, price_record

    record = _record(json_file) | said
    if not record.keys() >= {"input", "output"}:
        wrong_usage("say --input and --output, or give both by --json-file")
    if model in settings_of(config).model_prices:
        raise Refused(f'the price of "{model}" is declared in the configuration file: change it there')
    if len(model) > LONGEST:
        raise Refused(f"a name of more than {LONGEST} characters is no model's")
    try:
        price: Price = price_in(record)
    except ValueError as reason:
        raise Refused(f"that is no price: {reason}") from reason
    async with opened(config, create=True) as storage:
        await storage.options.set(PRICE_OPTION + model, price_record(price))
    _show(model, PricedModel(price, "runtime"), as_json)


def _record(json_file: str | None) -> dict[str, Any]:
    if json_file is None:
        return {}
    try:
        record = json.loads(file_text(json_file), parse_float=str)
    except ValueError as reason:
        wrong_usage(f"{json_file} is no JSON: {reason}")
    if not isinstance(record, dict):
        wrong_usage(f"{json_file} holds no object")
    price: dict[str, Any] = record.get("price", record)
    return price


def _row(model: str, found: "PricedModel | None") -> dict[str, Any]:
    from asgi_gateway.price_book import price_record

    if found is None:
        return {"model": model, "source": "none", "detail": "", "version": ""}
    price = price_record(found.price)
    return {"model": model, **price, "source": found.source, "detail": found.detail, "version": found.price.version}


def _show(model: str, found: "PricedModel", as_json: bool) -> None:
    from asgi_gateway.price_book import price_record

    price = price_record(found.price)
    head = {"model": model, "source": found.source, "detail": found.detail, "version": found.price.version}
    if as_json:
        say(json.dumps({**head, "price": price}, indent=2, ensure_ascii=False))
    else:
        show({**head, **price}, as_json=False)
