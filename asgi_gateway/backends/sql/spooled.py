"""What processes left on disk that ended while the database was away: settled by whoever opens it next."""

import asyncio
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

from msgspec import MsgspecError

from asgi_gateway.backends.failures import LOGGER
from asgi_gateway.backends.sql.spool import LeftBehind, left_behind
from asgi_gateway.errors import ServiceUnavailable
from asgi_gateway.storage.protocols import Ledger
from asgi_gateway.storage.records import Charge, Reservation, Settlement

__all__ = ["settle_left_behind"]

AT_ONCE = 500
"""Settlements that wait in the ledger's queue at the same time."""


async def settle_left_behind(folder: Path, database: str, ledger: Ledger, seconds: float) -> None:
    """Settle and remove what ended processes left. What the database does not take in time is left where it is."""
    for file in await asyncio.to_thread(left_behind, folder, database):
        try:
            count = await asyncio.wait_for(_settle(file, ledger), seconds)
        except (TimeoutError, ServiceUnavailable):
            file.close()
            LOGGER.error("%s: the database did not take the settlements in it; left for the next start", file.path)
        except MsgspecError as reason:
            file.close()
            LOGGER.error("%s: left where it is, for it cannot be read: %s", file.path, reason)
        else:
            file.remove()
            LOGGER.warning("settled %d exchanges that ended while the database was away", count)


async def _settle(file: LeftBehind, ledger: Ledger) -> int:
    entries, count = file.entries(), 0
    while some := await asyncio.to_thread(lambda: list(islice(entries, AT_ONCE))):
        futures = [ledger.settle(*entry) for entry in some]
        _tell(some, await asyncio.gather(*futures, return_exceptions=True))
        count += len(some)
    return count


def _tell(entries: Sequence[tuple[Reservation, Settlement]], results: Sequence[Charge | BaseException]) -> None:
    """A reservation that is not known any more, as in a database restored from an older copy, cannot be charged."""
    for (reservation, settlement), result in zip(entries, results, strict=True):
        if isinstance(result, BaseException) and not isinstance(result, KeyError):
            raise result
        if isinstance(result, KeyError) and settlement.charge:
            LOGGER.error("the database does not know the reservation of request %s", reservation.request_id)
