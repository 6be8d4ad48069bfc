"""What a running gateway knows of prices, for commands that stand beside it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from asgi_gateway_contrib.cli.session import opened, settings_of

if TYPE_CHECKING:
    from asgi_gateway.directory import Directory

__all__ = ["price_book"]


@asynccontextmanager
async def price_book(config: Path | None) -> AsyncIterator["Directory"]:
    """The channels and prices that a gateway with this configuration would know now."""
    from asgi_gateway.directory import Catalogue, Directory
    from asgi_gateway.policies.pricing import PriceTable

    settings = settings_of(config)
    async with opened(config) as storage:
        catalogue = Catalogue(prices=PriceTable(settings.model_prices))
        directory = Directory(storage, catalogue, library=settings.prices.library)
        await directory.refresh()
        yield directory
