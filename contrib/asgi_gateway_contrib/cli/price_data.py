"""`price refresh`: newer data of the library, fetched because somebody asked for it, for all nodes."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import typer

from asgi_gateway_contrib.cli.options import Config, file_bytes
from asgi_gateway_contrib.cli.output import Refused, say, wrong_usage
from asgi_gateway_contrib.cli.session import done, opened, settings_of

__all__ = ["refresh"]

DEADLINE = 60.0
"""Seconds for all of it."""

MAX_BYTES = 64 << 20


def refresh(
    source: Annotated[
        str | None,
        typer.Option("--from", help="A file, or a URL. Without it: [prices] file, or where it is published."),
    ] = None,
    installed: Annotated[bool, typer.Option("--installed", help="Go back to the data that is installed.")] = False,
    config: Config = None,
) -> None:
    """Fetch newer prices of the library and store them for all nodes."""
    if source and installed:
        wrong_usage("--from and --installed do not go together")
    done(_restore(config) if installed else _refresh(source, config))


async def _restore(config: Path | None) -> None:
    from asgi_gateway.price_book import LIBRARY_OPTION

    async with opened(config) as storage:
        await storage.options.set(LIBRARY_OPTION, {})
    say("the installed prices count")


async def _refresh(given: str | None, config: Path | None) -> None:
    from asgi_gateway.price_book import LIBRARY_OPTION
    from asgi_gateway.price_library import packed, published_at, unpacked

    settings = settings_of(config)
    if not settings.prices.library:
        raise Refused("prices.library is false: the library's prices do not count")
    source = given or settings.prices.file or published_at()
    shown = _shown(source)
    content = await _fetched(source, shown) if "://" in source else file_bytes(source)
    origin = f"{shown} of {datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
    try:
        data = packed(content)
    except ValueError as reason:
        raise Refused(f"{shown}: holds no prices: {reason}") from reason
    async with opened(config, create=True) as storage:
        await storage.options.set(LIBRARY_OPTION, {"origin": origin, "data": data})
    say(f"{len(list(unpacked(data, origin).names()))} models from {origin}")


async def _fetched(url: str, shown: str) -> bytes:
    import asyncio

    import httpx

    try:
        async with (
            asyncio.timeout(DEADLINE),
            httpx.AsyncClient(follow_redirects=True, timeout=DEADLINE) as client,
            client.stream("GET", url) as response,
        ):
            response.raise_for_status()
            return await _bounded(response.aiter_bytes(), shown)
    except httpx.HTTPStatusError as error:
        raise Refused(f"{shown}: answered {error.response.status_code}") from error
    except (httpx.HTTPError, httpx.InvalidURL, TimeoutError) as error:
        raise Refused(f"{shown}: cannot be fetched: {type(error).__name__}") from error


async def _bounded(chunks: AsyncIterator[bytes], shown: str) -> bytes:
    content = bytearray()
    async for chunk in chunks:
        content += chunk
        if len(content) > MAX_BYTES:
            raise Refused(f"{shown}: is larger than {MAX_BYTES >> 20} MiB")
    return bytes(content)


def _shown(source: str) -> str:
    """A source without what may be secret in it."""
    if "://" not in source:
        return source
    parts = urlsplit(source)
    return f"{parts.scheme}://{parts.hostname or ''}{parts.path}"
