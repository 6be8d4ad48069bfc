"""Reads the ledger in a database from outside, as an auditor would: with plain SQL, never through the gateway."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from sqlalchemy import create_engine, text
from sqlalchemy.pool import NullPool

from asgi_gateway.backends.sql.address import address_of

__all__ = ["LedgerFile"]


class LedgerFile:
    """The tables of the ledger, read only: in a SQLite file, or in the database of a URL."""

    def __init__(self, place: Path | str) -> None:
        url = f"sqlite:///{place}" if isinstance(place, Path) else place
        self._engine = create_engine(address_of(url).url, poolclass=NullPool)

    def charges(self, client_id: str | None = None) -> list[dict[str, Any]]:
        """All charge records, oldest first; those of one client id."""
        if client_id is None:
            return self._rows("SELECT * FROM gateway_charges ORDER BY time")
        return self._rows("SELECT * FROM gateway_charges WHERE client_id = :id ORDER BY time", {"id": client_id})

    def accounts(self, name: str) -> tuple[dict[str, Any], dict[str, Any]]:
        """The sums of the user and of the token of this name, at one moment, with what is `available`."""
        names = {kind: self._account(kind, name) for kind in ("user", "token")}
        found = self._rows(
            "SELECT account, granted, spent, reserved, granted - spent - reserved AS available "
            "FROM gateway_accounts WHERE account IN (:user, :token)",
            names,
        )
        sums = {row.pop("account"): row for row in found}
        return sums[names["user"]], sums[names["token"]]

    def account(self, kind: Literal["user", "token"], name: str) -> dict[str, Any]:
        """The sums of the user's or of the token's account of this name."""
        (account,) = self._rows(
            "SELECT granted, spent, reserved FROM gateway_accounts WHERE account = :account",
            {"account": self._account(kind, name)},
        )
        return account

    @property
    def open_reservations(self) -> int:
        """How many reservations are open."""
        return len(self._rows("SELECT ledger_key FROM gateway_reservations"))

    @property
    def slots(self) -> int:
        """How many slots of open requests are taken, where several processes share them."""
        return len(self._rows("SELECT slot_key FROM gateway_slots"))

    def _account(self, kind: str, name: str) -> str:
        (row,) = self._rows(f"SELECT id FROM gateway_{kind}s WHERE name = :name", {"name": name})
        return f"{kind}:{row['id']}"

    def _rows(self, query: str, parameters: Mapping[str, object] | None = None) -> list[dict[str, Any]]:
        with self._engine.connect() as connection:
            return [dict(row._mapping) for row in connection.execute(text(query), parameters or {})]
