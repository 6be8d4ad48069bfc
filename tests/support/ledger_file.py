"""Reads the ledger in a SQLite file from outside, as an auditor would: with plain SQL, never through the gateway."""

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Literal

__all__ = ["LedgerFile"]


class LedgerFile:
    """The tables of the ledger, read only."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def charges(self, client_id: str | None = None) -> list[dict[str, Any]]:
        """All charge records, oldest first; those of one client id."""
        if client_id is None:
            return self._rows("SELECT * FROM gateway_charges ORDER BY time")
        return self._rows("SELECT * FROM gateway_charges WHERE client_id = ? ORDER BY time", client_id)

    def accounts(self, name: str) -> tuple[dict[str, Any], dict[str, Any]]:
        """The sums of the user and of the token of this name, at one moment, with what is `available`."""
        user, token = self._rows(
            "SELECT granted, spent, reserved, granted - spent - reserved AS available FROM gateway_accounts WHERE "
            "account = 'user:' || (SELECT id FROM gateway_users WHERE name = ?1) OR "
            "account = 'token:' || (SELECT id FROM gateway_tokens WHERE name = ?1) ORDER BY account DESC",
            name,
        )
        return user, token

    def account(self, kind: Literal["user", "token"], name: str) -> dict[str, Any]:
        """The sums of the user's or of the token's account of this name."""
        (account,) = self._rows(
            "SELECT granted, spent, reserved FROM gateway_accounts "
            f"WHERE account = '{kind}:' || (SELECT id FROM gateway_{kind}s WHERE name = ?)",
            name,
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

    def _rows(self, query: str, *parameters: object) -> list[dict[str, Any]]:
        with closing(sqlite3.connect(f"file:{self.path}?mode=ro", uri=True, timeout=10)) as db:
            db.row_factory = sqlite3.Row
            rows: Sequence[sqlite3.Row] = db.execute(query, parameters).fetchall()
        return [dict(row) for row in rows]
