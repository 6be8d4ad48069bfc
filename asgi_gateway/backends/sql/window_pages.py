"""Windows and slots that one transaction touches: read once, decided by the pure policy, written at the end."""

from collections.abc import Iterable, Mapping, Sequence

from asgi_gateway.backends.sql import schema
from asgi_gateway.backends.sql.writer import Fields, MissingRows, Query, WriterConnection
from asgi_gateway.policies.windows import Bucket, BucketWindow, refusal
from asgi_gateway.storage.protocols import Admission, Hit, Refusal, Slot

__all__ = ["WindowPages", "sweep", "window_name"]

SLOT_WAIT = 1.0
"""Seconds told to a caller whom only an open request keeps out: nobody knows when it ends."""

STALE = 60
"""Expired rows of one window that are worth a statement to remove them."""

GUARD = -1
"""The number of the row that is locked for a window on a server; it counts nothing."""

GUARDED = 86_400.0
"""Seconds that such a row stays beyond the window's length; for half of them it is not written again."""

LATE = 60.0
"""Seconds after which what is over is removed on a server: so nobody else is at work on it."""

WINDOWS = Fields.of(schema.windows, "window_key", "bucket", "amount", "expires")
SLOTS = Fields.of(schema.slots, "slot_key", "holder", "lease", "expires")

SELECT_BUCKETS = "SELECT bucket, amount, expires, window_key FROM gateway_windows"
SELECT_GUARDS = "SELECT window_key, expires FROM gateway_windows"
SELECT_HOLDERS = "SELECT slot_key, holder FROM gateway_slots"
SELECT_COUNTS = "SELECT slot_key, count(*) FROM gateway_slots"
DELETE_STALE = "DELETE FROM gateway_windows WHERE window_key = ? AND expires <= ?"
DELETE_SLOT = "DELETE FROM gateway_slots WHERE slot_key = ? AND holder = ?"
DELETE_OLD_SLOT = "DELETE FROM gateway_slots WHERE expires <= ?"
DELETE_OLD_BUCKETS = "DELETE FROM gateway_windows WHERE expires <= ?"


def window_name(hit: Hit) -> str:
    """The key of a window in its table; windows of other lengths have other sub-buckets, so they are apart."""
    return f"{hit.key}|{hit.seconds:g}"


class WindowPages:
    """Windows inside one transaction.

    On a server each window, and each key of slots, has a row that is locked before anything is counted.
    """

    def __init__(self, db: WriterConnection, now: float) -> None:
        self._db = db
        self._now = now
        self._windows: dict[str, BucketWindow] = {}
        self._touched: dict[tuple[str, int], Bucket] = {}
        self._counts: dict[str, int] = {}
        self._holders: dict[str, set[str]] = {}
        self._taken: dict[tuple[str, str], tuple[object, ...]] = {}
        self._given: list[tuple[str, str]] = []
        self._guards: list[tuple[object, ...]] = []

    def read(self, windows: Mapping[str, float], slots: Iterable[str], released: Sequence[Admission]) -> None:
        """Read windows by name, the values are their lengths in seconds; slots by key; and what is given back."""
        given_back = {slot.key for admission in released for slot in admission.slots}
        keys = sorted(slots)
        counted = [key for key in keys if key not in given_back]
        listed = [key for key in keys if key in given_back]
        guards = {**windows, **{_guard_name(key): 0.0 for key in keys}}
        names = [] if self._db.alone else sorted(guards)
        alive = " AND expires > ?"
        guarded, buckets, counts, holders = self._db.select(
            Query(SELECT_GUARDS, "window_key", names, lock=True, also=f" AND bucket = {GUARD}"),
            Query(SELECT_BUCKETS, "window_key", list(windows), also=f" AND bucket <> {GUARD}"),
            Query(SELECT_COUNTS, "slot_key", counted, also=f"{alive} GROUP BY slot_key", more=(self._now,)),
            Query(SELECT_HOLDERS, "slot_key", listed, also=alive, more=(self._now,)),
        )
        if names:
            self._check_guards(guards, dict(guarded))
        self._open_windows(windows, buckets)
        self._counts = {**dict.fromkeys(keys, 0), **dict(counts)}
        for key, holder in holders:
            self._counts[key] += 1
            self._holders.setdefault(key, set()).add(holder)

    def acquire(
        self, hits: Sequence[Hit], slots: Sequence[Slot], *, id: str, lease: str, expires: float
    ) -> Admission | Refusal:
        """See `Windows.acquire`; all was announced. Slots are held until `expires`, unless released."""
        for slot in slots:
            if self._counts[slot.key] >= slot.limit:
                return Refusal(slot.key, slot.limit, SLOT_WAIT)
        refused = refusal([(hit, self._windows[window_name(hit)]) for hit in hits], self._now)
        if refused is not None:
            return refused
        for hit in hits:
            name = window_name(hit)
            bucket = self._windows[name].count(self._now, hit.cost)
            self._touched[name, bucket.number] = bucket
        for key in {slot.key for slot in slots}:
            self._taken[key, id] = (key, id, lease, expires)
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
        """See `Windows.release`; it was announced."""
        for key in {slot.key for slot in admission.slots}:
            if self._taken.pop((key, admission.id), None) is not None:
                self._counts[key] -= 1
                continue
            self._given.append((key, admission.id))
            holders = self._holders.get(key, ())
            if admission.id in holders:
                self._holders[key].discard(admission.id)
                self._counts[key] -= 1

    def write(self) -> None:
        """Write what changed."""
        if self._touched or self._guards:
            rows = [(name, number, b.amount, b.expires) for (name, number), b in sorted(self._touched.items())]
            self._db.upsert(WINDOWS, [*self._guards, *rows])
            self._touched = {}
            self._guards = []
        if self._taken:
            self._db.insert(SLOTS, list(self._taken.values()))
            self._taken = {}
        if self._given:
            self._db.execute_many(DELETE_SLOT, sorted(self._given))
            self._given = []

    def _check_guards(self, wanted: Mapping[str, float], found: Mapping[str, float]) -> None:
        """Make the rows that are missing, and see that none of them goes while its window counts."""
        now = self._now
        missing = [name for name in sorted(wanted) if name not in found]
        if missing:
            raise MissingRows(WINDOWS, [(name, GUARD, 0, now + wanted[name] + GUARDED) for name in missing])
        self._guards = [
            (name, GUARD, 0, now + seconds + GUARDED)
            for name, seconds in wanted.items()
            if found[name] < now + seconds + GUARDED / 2
        ]

    def _open_windows(self, windows: Mapping[str, float], rows: Sequence[tuple[int, int, float, str]]) -> None:
        found: dict[str, list[Bucket]] = {name: [] for name in windows}
        for number, amount, expires, name in rows:
            found[name].append(Bucket(number, amount, expires))
        for name, buckets in found.items():
            fresh = [bucket for bucket in buckets if bucket.expires > self._now]
            if self._db.alone and len(buckets) - len(fresh) >= STALE:
                self._db.execute(DELETE_STALE, (name, self._now))
            self._windows[name] = BucketWindow(windows[name], fresh)


def sweep(db: WriterConnection, now: float) -> None:
    """Remove what counts nothing any more."""
    before = now if db.alone else now - LATE
    db.execute(DELETE_OLD_BUCKETS, (before,))
    db.execute(DELETE_OLD_SLOT, (before,))


def _guard_name(key: str) -> str:
    """The window that is locked for slots of a key; lengths of windows are numbers."""
    return f"{key}|slots"
