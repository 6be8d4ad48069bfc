"""Leases: which processes work on this database, and which of them died.

A process renews its row; whose row is older than its time is taken for dead, and so is one that provably ended.
What a dead process had reserved is closed by whoever comes first: the row goes in the same transaction.
A process that was taken for dead by mistake (it was stopped, say) writes its row anew with its next batch.
"""

from dataclasses import dataclass, field
from secrets import token_hex

from asgi_gateway.backends.sql import schema
from asgi_gateway.backends.sql.process import Process, is_dead, this_process
from asgi_gateway.backends.sql.writer import Fields, WriterConnection

__all__ = ["Lease", "Tenure", "dead_leases", "leave", "remove", "renew", "renew_slots"]

LEASES = Fields.of(schema.leases)

RENEW_SLOTS = "UPDATE gateway_slots SET expires = ? WHERE lease = ?"
SELECT_OTHERS = "SELECT id, renewed, host, boot, namespace, pid, started FROM gateway_leases WHERE id <> ?"
SELECT_ORPHANS = (
    "SELECT DISTINCT lease FROM gateway_reservations "
    "WHERE lease <> ? AND created < ? AND lease NOT IN (SELECT id FROM gateway_leases)"
)
SELECT_OPEN = "SELECT count(*) FROM gateway_reservations WHERE lease = ?"
DELETE = "DELETE FROM gateway_leases WHERE id = ?"
DELETE_SLOTS = "DELETE FROM gateway_slots WHERE lease = ?"
END = "UPDATE gateway_leases SET renewed = 0 WHERE id = ?"

RENEWALS = 4
"""How often a lease is renewed, at least, in the time that it lives."""


@dataclass(frozen=True, slots=True)
class Lease:
    """This storage's own lease: a random id, its process, and how many seconds it lives without renewal.

    The row is written with the first batch.
    """

    seconds: float
    id: str = field(default_factory=lambda: token_hex(8))
    process: Process = field(default_factory=this_process)


class Tenure:
    """When the own lease was renewed, and since when without a gap. Times are the database's, in seconds."""

    def __init__(self, lease: Lease) -> None:
        self._seconds = lease.seconds
        self._renewed: float | None = None
        self._since = 0.0

    def is_due(self, now: float) -> bool:
        """Whether the lease is to be renewed."""
        return self._renewed is None or abs(now - self._renewed) >= self._seconds / RENEWALS

    def renewed(self, now: float) -> None:
        """The lease was renewed. A gap in which others may have missed a renewal, too, begins a new tenure."""
        if self._renewed is None or not 0 <= now - self._renewed <= self._seconds * 2 / 3:
            self._since = now
        self._renewed = now

    def is_steady(self, now: float) -> bool:
        """Whether it was renewed without a gap for as long as another one may be silent."""
        return self._renewed is not None and now - self._since >= self._seconds


def renew(db: WriterConnection, lease: Lease, now: float) -> None:
    """Write the lease's row."""
    process = lease.process
    row = (lease.id, process.host[:255], process.boot, process.namespace, process.pid, process.started, now)
    db.upsert(LEASES, [row])


def renew_slots(db: WriterConnection, lease: Lease, now: float) -> None:
    """Keep the lease's slots."""
    db.execute(RENEW_SLOTS, (now + lease.seconds, lease.id))


def dead_leases(db: WriterConnection, lease: Lease, now: float, *, steady: bool) -> list[str]:
    """The ids of all other leases whose process ended, that are too old, or that left only reservations behind.

    What is merely silent is not judged by who is not `steady` himself: perhaps the database was away from both.
    """
    silent = now - lease.seconds
    dead = [
        id
        for id, renewed, *process in db.rows(SELECT_OTHERS, (lease.id,))
        if (renewed < silent and (steady or not renewed)) or is_dead(Process(*process))
    ]
    if steady:
        dead += [id for (id,) in db.rows(SELECT_ORPHANS, (lease.id, silent))]
    return dead


def remove(db: WriterConnection, leases: list[str]) -> None:
    """Remove leases and their slots, once their reservations are closed."""
    for id in leases:
        db.execute(DELETE, (id,))
        db.execute(DELETE_SLOTS, (id,))


def leave(db: WriterConnection, lease: Lease) -> None:
    """End the own lease: its slots are free, and what it left reserved is anybody's to recover."""
    db.execute(DELETE_SLOTS, (lease.id,))
    open_reservations = db.rows(SELECT_OPEN, (lease.id,))[0][0]
    db.execute(END if open_reservations else DELETE, (lease.id,))
