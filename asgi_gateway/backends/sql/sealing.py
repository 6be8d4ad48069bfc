"""The secrets of channels in their rows: sealed before they are written, opened after they were read.

Sealed are the keys, and of the settings those that may hold credentials. Both are bound to the channel's name.
"""

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from sqlalchemy import Connection, delete, select, update

from asgi_gateway.backends.sql import schema
from asgi_gateway.backends.sql.database import Database, bump
from asgi_gateway.storage.vault import CHANNEL_KEYS, CHANNEL_SETTINGS, Sealing, Vault

__all__ = ["SealedRows", "opened_row", "place_of", "sealed_values"]

CREDENTIALS = ("base_url", "header_override", "param_override", "proxy")
"""Settings whose text may hold a key."""

SEALED = "sealed"
"""Where those settings stand, encrypted, among the others."""

BATCH = 100
"""Rows of one transaction of a rotation."""

Step = Callable[[Connection, Sequence[Any], Sealing], None]


def place_of(name: str) -> str:
    """What a channel's texts are bound to, and how an error names them."""
    return f'channel "{name}"'


def sealed_values(values: Mapping[str, object], vault: Vault) -> dict[str, object]:
    """The columns of a channel as they are stored."""
    if not vault.seals:
        return dict(values)
    place = place_of(str(values["name"]))
    settings = json.loads(str(values["settings"]))
    credentials = {name: settings.pop(name) for name in CREDENTIALS}
    settings[SEALED] = vault.seal(CHANNEL_SETTINGS, place, json.dumps(credentials))
    return {
        **values,
        "secrets": vault.seal(CHANNEL_KEYS, place, str(values["secrets"])),
        "settings": json.dumps(settings),
    }


def opened_row(row: Sequence[Any], vault: Vault) -> Sequence[Any]:
    """A row of channels as it was before it was sealed. Raises `Unreadable` with the channel's name."""
    *others, secrets, text = row
    place = place_of(row[1])
    secrets = vault.open(CHANNEL_KEYS, place, secrets)
    settings = json.loads(text)
    if SEALED in settings:
        settings.update(json.loads(vault.open(CHANNEL_SETTINGS, place, settings.pop(SEALED))))
        text = json.dumps(settings)
    return (*others, secrets, text)


class SealedRows:
    """All rows that hold secrets: how they are sealed, and sealing them anew."""

    def __init__(self, database: Database, vault: Vault) -> None:
        self._database = database
        self._vault = vault

    async def count(self) -> tuple[Mapping[Sealing, int], Sequence[str]]:
        """How many channels are sealed how, and the names of those that cannot be read.

        A channel counts by whichever of its texts is worse off.
        """
        return await self._all(lambda connection, row, sealing: None)

    async def rotate(
        self, *, dry_run: bool = False, drop_unreadable: bool = False
    ) -> tuple[Mapping[Sealing, int], Sequence[str]]:
        """Seal under the current secret what is not; what `count` would have said before.

        A hundred rows are one transaction; what was done stays when it is interrupted, and is not done again.
        `drop_unreadable` removes channels whose secret is lost: nobody can use them.
        """

        def step(connection: Connection, row: Sequence[Any], sealing: Sealing) -> None:
            if sealing is not Sealing.UNREADABLE:
                _reseal(connection, row, self._vault)
            elif drop_unreadable:
                connection.execute(delete(schema.channels).where(schema.channels.c.id == row[0]))
                bump(connection)

        return await self.count() if dry_run else await self._all(step)

    async def _all(self, step: Step) -> tuple[Mapping[Sealing, int], list[str]]:
        found: list[tuple[int, str, Sealing]] = []
        while batch := await self._database.write(partial(self._batch, step, found[-1][0] if found else 0)):
            found += batch
        unreadable = [name for _, name, sealing in found if sealing is Sealing.UNREADABLE]
        return Counter(sealing for _, _, sealing in found), unreadable

    def _batch(self, step: Step, after: int, connection: Connection) -> list[tuple[int, str, Sealing]]:
        """Take the step with each row of the next batch that is not sealed under the current secret."""
        table = schema.channels
        query = select(table).where(table.c.id > after).order_by(table.c.id).limit(BATCH).with_for_update()
        found = []
        for row in connection.execute(query).all():
            sealing = self._sealing(row)
            if sealing is not Sealing.CURRENT:
                step(connection, row, sealing)
            found.append((int(row[0]), str(row[1]), sealing))
        return found

    def _sealing(self, row: Sequence[Any]) -> Sealing:
        place, settings = place_of(row[1]), json.loads(row[6])
        keys = self._vault.sealing(CHANNEL_KEYS, place, row[5])
        rest = self._vault.sealing(CHANNEL_SETTINGS, place, settings.get(SEALED, ""))
        return max(keys, rest, key=_ORDER.index)


_ORDER = (Sealing.CURRENT, Sealing.PREVIOUS, Sealing.CLEAR, Sealing.UNREADABLE)


def _reseal(connection: Connection, row: Sequence[Any], vault: Vault) -> None:
    """Nobody else sees a change: what the row says is the same."""
    *_, secrets, settings = opened_row(row, vault)
    values = sealed_values({"name": row[1], "secrets": secrets, "settings": settings}, vault)
    channels = schema.channels
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("PRAGMA secure_delete = ON")  # what stood there must not be left in free pages
    connection.execute(update(channels).where(channels.c.id == row[0]).values(values))
