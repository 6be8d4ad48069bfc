"""Accounts of periods that ended long ago: nobody asks for them any more, and they are removed little by little."""

from datetime import UTC, date, datetime, timedelta

from asgi_gateway.backends.sql.writer import WriterConnection

__all__ = ["OldPeriods", "end_of_period"]

KEPT = timedelta(days=70)
"""How long they stay after their end: whatever was reserved in them is settled by then."""

PAGE = 500
"""Accounts that are looked at in one go."""

SELECT_NEXT = f"SELECT account, reserved FROM gateway_accounts WHERE account > ? ORDER BY account LIMIT {PAGE}"
DELETE = "DELETE FROM gateway_accounts WHERE account = ? AND reserved = 0"


class OldPeriods:
    """Goes round all accounts, a page at a time."""

    def __init__(self) -> None:
        self._last = ""

    def remove(self, db: WriterConnection, now: float) -> int:
        """Look at the next page, remove what is old and has nothing reserved, and return how many that were."""
        removed = 0
        page = db.rows(SELECT_NEXT, (self._last,))
        self._last = page[-1][0] if len(page) == PAGE else ""
        oldest = (datetime.fromtimestamp(now, UTC) - KEPT).date()
        for name, reserved in page:
            _, _, period = name.partition("/")
            if period and not reserved:
                end = end_of_period(period)
                if end is not None and end < oldest:
                    removed += db.execute(DELETE, (name,))
        return removed


def end_of_period(name: str) -> date | None:
    """The first day after "2026-11-25", "2026-W48" or "2026-11"; None for what names no period."""
    try:
        if "W" in name:
            return date.fromisoformat(f"{name}-1") + timedelta(days=7)
        if name.count("-") == 1:
            first = date.fromisoformat(f"{name}-01")
            return (first + timedelta(days=31)).replace(day=1)
        return date.fromisoformat(name) + timedelta(days=1)
    except ValueError:
        return None
