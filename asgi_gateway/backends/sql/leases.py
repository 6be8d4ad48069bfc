"""Leases: which processes work on this database, and which of them died.

A process renews its row; whose row is older than its time is taken for dead, and so is one that provably ended.
What a dead process had reserved is closed by whoever comes first: the row goes in the same transaction.
A process that was taken for dead by mistake (it was stopped, say) writes its row anew with its next batch.
"""

from dataclasses import dataclass, field
from secrets import token_hex

from asgi_gateway.backends.sql.process import Process, is_dead, this_process
from asgi_gateway.backends.sql.sqlite import SqliteConnection

__all__ = ["Lease", "dead_leases", "leave", "remove", "renew"]

UPSERT = (
    "INSERT INTO gateway_leases (id, host, boot, namespace, pid, started, renewed) VALUES (?, ?, ?, ?, ?, ?, ?) "
    "ON CONFLICT (id) DO UPDATE SET renewed = excluded.renewed"
)
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


@dataclass(frozen=True, slots=True)
class Lease:
    """This storage's own lease: a random id, its process, and how many seconds it lives without renewal.

    The row is written with the first batch.
    """

    seconds: float
    id: str = field(default_factory=lambda: token_hex(8))
    process: Process = field(default_factory=this_process)


def renew(db: SqliteConnection, lease: Lease, now: float) -> None:
    """Write the lease's row, and keep its slots."""
    process = lease.process
    db.execute(UPSERT, (lease.id, process.host, process.boot, process.namespace, process.pid, process.started, now))
    db.execute(RENEW_SLOTS, (now + lease.seconds, lease.id))


def dead_leases(db: SqliteConnection, lease: Lease, now: float) -> list[str]:
    """The ids of all other leases that are too old, whose process ended, or that left only reservations behind."""
    dead = [
        id
        for id, renewed, *process in db.rows(SELECT_OTHERS, (lease.id,))
        if renewed < now - lease.seconds or is_dead(Process(*process))
    ]
    return dead + [id for (id,) in db.rows(SELECT_ORPHANS, (lease.id, now - lease.seconds))]


def remove(db: SqliteConnection, leases: list[str]) -> None:
    """Remove leases and their slots, once their reservations are closed."""
    for id in leases:
        db.execute(DELETE, (id,))
        db.execute(DELETE_SLOTS, (id,))


def leave(db: SqliteConnection, lease: Lease) -> None:
    """End the own lease: its slots are free, and what it left reserved is anybody's to recover."""
    db.execute(DELETE_SLOTS, (lease.id,))
    open_reservations = db.rows(SELECT_OPEN, (lease.id,))[0][0]
    db.execute(END if open_reservations else DELETE, (lease.id,))
