"""Windows and slots that one transaction touches: read once, decided by the pure policy, written at the end."""

from collections.abc import Mapping, Sequence

from asgi_gateway.backends.sql.sqlite import SqliteConnection
from asgi_gateway.policies.windows import Bucket, BucketWindow, refusal
from asgi_gateway.storage.protocols import Admission, Hit, Refusal, Slot

__all__ = ["WindowPages", "sweep", "window_name"]

SLOT_WAIT = 1.0
"""Seconds told to a caller whom only an open request keeps out: nobody knows when it ends."""

STALE = 60
"""Expired rows of one window that are worth a statement to remove them."""

SELECT_BUCKETS = "SELECT bucket, amount, expires, window_key FROM gateway_windows WHERE window_key"
UPSERT_BUCKET = (
    "INSERT INTO gateway_windows (window_key, bucket, amount, expires) VALUES (?, ?, ?, ?) "
    "ON CONFLICT (window_key, bucket) DO UPDATE SET amount = excluded.amount, expires = excluded.expires"
)
DELETE_STALE = "DELETE FROM gateway_windows WHERE window_key = ? AND expires <= ?"
COUNT_SLOTS = "SELECT count(*) FROM gateway_slots WHERE slot_key = ? AND expires > ?"
INSERT_SLOT = "INSERT INTO gateway_slots (slot_key, holder, lease, expires) VALUES (?, ?, ?, ?)"
DELETE_SLOT = "DELETE FROM gateway_slots WHERE slot_key = ? AND holder = ?"
DELETE_OLD_SLOT = "DELETE FROM gateway_slots WHERE expires <= ?"
DELETE_OLD_BUCKETS = "DELETE FROM gateway_windows WHERE expires <= ?"


def window_name(hit: Hit) -> str:
    """The key of a window in its table; windows of other lengths have other sub-buckets, so they are apart."""
    return f"{hit.key}|{hit.seconds:g}"


class WindowPages:
    """Windows inside one transaction."""

    def __init__(self, db: SqliteConnection, now: float) -> None:
        self._db = db
        self._now = now
        self._windows: dict[str, BucketWindow] = {}
        self._touched: dict[tuple[str, int], Bucket] = {}
        self._counts: dict[str, int] = {}

    def read(self, windows: Mapping[str, float]) -> None:
        """Read windows by name; the values are their lengths in seconds."""
        if not windows:
            return
        found: dict[str, list[Bucket]] = {name: [] for name in windows}
        for number, amount, expires, name in self._db.select(SELECT_BUCKETS, list(windows)):
            found[name].append(Bucket(number, amount, expires))
        for name, buckets in found.items():
            fresh = [bucket for bucket in buckets if bucket.expires > self._now]
            if len(buckets) - len(fresh) >= STALE:
                self._db.execute(DELETE_STALE, (name, self._now))
            self._windows[name] = BucketWindow(windows[name], fresh)

    def acquire(
        self, hits: Sequence[Hit], slots: Sequence[Slot], *, id: str, lease: str, expires: float
    ) -> Admission | Refusal:
        """See `Windows.acquire`; the windows were announced. Slots are held until `expires`, unless released."""
        for slot in slots:
            if self._held(slot.key) >= slot.limit:
                return Refusal(slot.key, slot.limit, SLOT_WAIT)
        refused = refusal([(hit, self._windows[window_name(hit)]) for hit in hits], self._now)
        if refused is not None:
            return refused
        for hit in hits:
            name = window_name(hit)
            bucket = self._windows[name].count(self._now, hit.cost)
            self._touched[name, bucket.number] = bucket
        for key in {slot.key for slot in slots}:
            self._db.execute(INSERT_SLOT, (key, id, lease, expires))
            self._counts[key] += 1
        return Admission(id, self._now, tuple(hits), tuple(slots))

    def correct(self, admission: Admission, costs: Mapping[str, int]) -> None:
        """See `Windows.correct`; the windows were announced."""
        for hit in admission.hits:
            if hit.key in costs:
                name = window_name(hit)
                bucket = self._windows[name].correct(admission.time, costs[hit.key] - hit.cost)
                if bucket is not None:
                    self._touched[name, bucket.number] = bucket

    def release(self, admission: Admission) -> None:
        """See `Windows.release`."""
        for slot in admission.slots:
            given_back = self._db.execute(DELETE_SLOT, (slot.key, admission.id))
            if slot.key in self._counts:
                self._counts[slot.key] -= given_back

    def write(self) -> None:
        """Write the sub-buckets that changed."""
        if self._touched:
            rows = [(name, number, b.amount, b.expires) for (name, number), b in self._touched.items()]
            self._db.execute_many(UPSERT_BUCKET, rows)
            self._touched = {}

    def _held(self, key: str) -> int:
        held = self._counts.get(key)
        if held is None:
            held = self._counts[key] = self._db.rows(COUNT_SLOTS, (key, self._now))[0][0]
        return held


def sweep(db: SqliteConnection, now: float) -> None:
    """Remove what counts nothing any more."""
    db.execute(DELETE_OLD_BUCKETS, (now,))
    db.execute(DELETE_OLD_SLOT, (now,))
