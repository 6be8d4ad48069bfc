"""`price import` and `price export`: New API's price sheet in and out, and what is declared as JSON."""

import json
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import fields, replace
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from asgi_gateway_contrib.cli.options import Config, Json, file_text
from asgi_gateway_contrib.cli.output import Refused, complain, say, table, wrong_usage
from asgi_gateway_contrib.cli.price_session import price_book
from asgi_gateway_contrib.cli.session import done, opened, settings_of

if TYPE_CHECKING:
    from asgi_gateway.policies.ratios import RatioSheet
    from asgi_gateway.price_book import PriceBook, PricedModel
    from asgi_gateway.storage.records import Group, Price

__all__ = ["export", "import_sheet"]

COLUMNS = ("model", "change", "before", "after", "counts")


def import_sheet(
    file: Annotated[str | None, typer.Argument(metavar="[FILE]", help="The sheet; - for stdin.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would change, and change nothing.")] = False,
    remove: Annotated[bool, typer.Option("--remove", help="Remove the sheet that was imported.")] = False,
    as_json: Json = False,
    config: Config = None,
) -> None:
    """Take over New API's price sheet: its options as JSON, or what /api/ratio_config answers."""
    if (file is None) is not remove:
        wrong_usage("give a file, or --remove")
    done(_import(file, dry_run, as_json, config))


def export(
    ratios: Annotated[bool, typer.Option("--ratios", help="As New API's options.")] = False,
    config: Config = None,
) -> None:
    """Print what somebody set: prices as JSON that `price set --json-file` takes, by model; or as ratios."""

    async def work() -> None:
        from asgi_gateway.price_book import price_record

        async with price_book(config) as directory:
            declared = directory.prices.declared()
            imported = directory.prices.sheet
        if ratios:
            _print_ratios(declared, imported, settings_of(config).groups)
        else:
            prices = {model: price_record(found.price) for model, found in sorted(declared.items())}
            say(json.dumps(prices, indent=2, ensure_ascii=False))

    done(work())


def _print_ratios(declared: "Mapping[str, PricedModel]", imported: "RatioSheet", groups: "Mapping[str, Group]") -> None:
    """The imported sheet as it came in, with the prices that count above it."""
    from asgi_gateway.policies.ratio_export import sheet_of

    above = {model: found.price for model, found in declared.items() if found.source != "imported"}
    exported = sheet_of(above, groups or imported.groups())
    merged = {
        part.name: {name: ratio for name, ratio in getattr(imported, part.name).items() if name not in above}
        | dict(getattr(exported.sheet, part.name))
        for part in fields(imported)
    }
    for name in ("group_ratio", "group_group_ratio"):
        merged[name] = getattr(exported.sheet if groups else imported, name)
    say(json.dumps(replace(imported, **merged).options(), indent=2, ensure_ascii=False))
    for model, reasons in exported.left_out.items():
        complain(f"{model}: left out: {'; '.join(reasons)}")
    for model, reasons in exported.assumed.items():
        complain(f"{model}: New API charges as well: {'; '.join(reasons)}")


async def _import(file: str | None, dry_run: bool, as_json: bool, config: Path | None) -> None:
    from asgi_gateway.price_book import RATIOS_OPTION, PriceBook

    sheet = _sheet(file) if file is not None else None
    if not dry_run and file is not None:
        async with opened(config, create=True) as storage:
            await storage.ping()  # makes the database where there is none
    async with price_book(config) as directory:
        after = PriceBook(directory.storage.prices)
        after.take({RATIOS_OPTION: sheet.options() if sheet is not None else {}})
        rows = [row async for row in _changes(directory.prices, after)]
        if not dry_run:
            await directory.storage.options.set(RATIOS_OPTION, sheet.options() if sheet is not None else {})
    table(rows, COLUMNS, as_json=as_json)
    if sheet is not None and not as_json and (groups := sheet.groups()):
        declared = settings_of(config).groups
        say("\n# Groups stand in the configuration file:\n" + "\n".join(_snippet(groups)))
        if any(declared.get(name) != group for name, group in groups.items()):
            complain("the groups of the sheet are not those of the configuration: copy what is printed above")


async def _changes(before: "PriceBook", after: "PriceBook") -> AsyncIterator[dict[str, Any]]:
    """What happens to each model of the sheets, and whether it counts."""
    old = before.imported()
    new = after.imported()
    for model in sorted({*old, *new}):
        was, will = old.get(model), new.get(model)
        if was == will:
            continue
        found = await before.find(model)
        counts = "no: " + found.source if found is not None and found.source in ("file", "runtime") else "yes"
        yield {
            "model": model,
            "change": "added" if was is None else "removed" if will is None else "changed",
            "before": _short(was or (found.price if found is not None else None)),
            "after": _short(will),
            "counts": counts,
        }


def _short(price: "Price | None") -> str:
    if price is None:
        return ""
    if price.call and not price.input:
        return f"{price.call} a call"
    return f"{price.input} / {price.output}"


def _sheet(file: str) -> "RatioSheet":
    from asgi_gateway.policies.ratios import RatioSheet

    try:
        tree = json.loads(file_text(file), parse_float=Decimal)
        if not isinstance(tree, Mapping):
            raise ValueError("holds no object")
        sheet = RatioSheet.read(tree)
    except ValueError as reason:
        raise Refused(f"{file}: {reason}") from reason
    if not sheet.prices() and not sheet.groups():
        raise Refused(f"{file}: has no ratios and no prices")
    return sheet


def _snippet(groups: "Mapping[str, Group]") -> Iterator[str]:
    for name, group in groups.items():
        yield f"[groups.{_key(name)}]"
        yield f'ratio = "{group.ratio}"'
        if group.ratios:
            ratios = ", ".join(f'{_key(used)} = "{ratio}"' for used, ratio in group.ratios.items())
            yield f"ratios = {{ {ratios} }}"


def _key(name: str) -> str:
    bare = name.isascii() and name.replace("-", "").replace("_", "").isalnum()
    return name if bare else json.dumps(name, ensure_ascii=False)
