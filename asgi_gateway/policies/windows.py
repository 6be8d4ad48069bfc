"""Moving windows: how much may be admitted in any interval of a length. Pure: no clock, no storage.

A window counts in at most 60 sub-buckets. A sub-bucket is counted until its newest hit is a whole window old,
so no interval of the window's length ever holds more than the limit; in exchange an old hit may count for up to
a fifty-ninth of the window longer than it must. Hits that share no sub-bucket are counted to the instant.

```python
window = BucketWindow(60.0)
window.wait(now, limit=100, cost=1)  # 0.0: it fits
window.count(now, cost=1)
```
"""

import re
from collections import deque
from collections.abc import Iterable, Sequence

from asgi_gateway.storage.protocols import Hit, Refusal

__all__ = ["Bucket", "BucketWindow", "parse_rate", "refusal"]

SPANS = 59
"""Sub-buckets that make up one window; a window that lies across their borders touches one more."""

UNITS = {
    **dict.fromkeys(("s", "sec", "second", "seconds"), 1.0),
    **dict.fromkeys(("m", "min", "minute", "minutes"), 60.0),
    **dict.fromkeys(("h", "hour", "hours"), 3600.0),
    **dict.fromkeys(("d", "day", "days"), 86400.0),
}


class Bucket:
    """What was admitted in one sub-bucket: its number, the sum, and when its newest hit is a window old."""

    __slots__ = ("amount", "expires", "number")

    def __init__(self, number: int, amount: int, expires: float) -> None:
        self.number = number
        self.amount = amount
        self.expires = expires


class BucketWindow:
    """The hits of one key in the last `seconds`. Times are seconds of any one clock, not negative."""

    __slots__ = ("_buckets", "_total", "_width", "seconds")

    def __init__(self, seconds: float, buckets: Iterable[Bucket] = ()) -> None:
        self.seconds = seconds
        self._width = seconds / SPANS
        self._buckets = deque(sorted(buckets, key=lambda bucket: bucket.number))
        self._total = sum(bucket.amount for bucket in self._buckets)

    def __len__(self) -> int:
        return len(self._buckets)

    def wait(self, now: float, limit: int, cost: int) -> float:
        """Seconds until `cost` fits under `limit`; 0 when it fits now. Counts nothing.

        A cost above the limit never fits: the length of the window is returned.
        """
        buckets = self._buckets
        if buckets and (buckets[0].expires <= now or buckets[-1].expires > now + 2 * self.seconds):
            self.expire(now)
        excess = self._total + cost - limit
        if excess <= 0:
            return 0.0
        if cost <= limit:
            for bucket in self._buckets:
                excess -= bucket.amount
                if excess <= 0:
                    return bucket.expires - now
        return self.seconds

    def count(self, now: float, cost: int) -> Bucket:
        """Count `cost` at `now`, whatever the limit; return the sub-bucket that holds it."""
        self._total += cost
        number = int(now / self._width)
        expires = now + self.seconds
        buckets = self._buckets
        if not buckets or buckets[-1].number < number:
            bucket = Bucket(number, cost, expires)
            buckets.append(bucket)
            return bucket
        place = len(buckets) - 1
        while place and buckets[place].number > number:  # the clock was set back
            place -= 1
        bucket = buckets[place]
        if bucket.number == number:
            bucket.amount += cost
            bucket.expires = max(bucket.expires, expires)
            return bucket
        late = Bucket(number, cost, expires)
        buckets.insert(place + (bucket.number < number), late)
        return late

    def correct(self, time: float, difference: int) -> Bucket | None:
        """Add `difference` to what was counted at `time`; None when that is no longer counted."""
        number = int(time / self._width)
        for bucket in reversed(self._buckets):
            if bucket.number == number:
                difference = max(difference, -bucket.amount)
                bucket.amount += difference
                self._total += difference
                return bucket
        return None

    def expire(self, now: float) -> None:
        """Forget what no interval ending now holds: what is too old, and what a clock far ahead once wrote.

        So a clock that is set back by more than a window frees a key once, instead of locking it for that long.
        """
        buckets = self._buckets
        while buckets and buckets[0].expires <= now:
            self._total -= buckets.popleft().amount
        horizon = now + 2 * self.seconds
        while buckets and buckets[-1].expires > horizon:
            self._total -= buckets.pop().amount


def refusal(hits: Sequence[tuple[Hit, BucketWindow | None]], now: float) -> Refusal | None:
    """The refusal with the longest wait, or None when every hit fits. None for a window: nothing is counted in it.

    Raises `ValueError` for a negative cost, and for a key that stands twice.
    """
    refused: Refusal | None = None
    if len(hits) > 1 and len({hit.key for hit, _ in hits}) < len(hits):
        raise ValueError(f"a key is hit twice by one request: {[hit.key for hit, _ in hits]!r}")
    for hit, window in hits:
        if hit.cost < 0:
            raise ValueError(f"the cost of {hit.key!r} is below 0: {hit.cost}")
        if window is not None:
            wait = window.wait(now, hit.limit, hit.cost)
        else:
            wait = 0.0 if hit.cost <= hit.limit else hit.seconds
        if wait > 0 and (refused is None or wait > refused.retry_after):
            refused = Refusal(hit.key, hit.limit, wait)
    return refused


def parse_rate(text: str) -> tuple[int, float]:
    """Read "60/minute", "100000/hour" or "5/10s" as a limit and seconds. Raises `ValueError` naming what is wrong."""
    amount, slash, period = (part.strip() for part in text.partition("/"))
    if not slash:
        raise ValueError(f'rate {text!r}: expected LIMIT/PERIOD, for example "60/minute"')
    if not re.fullmatch(r"[0-9]+(_[0-9]+)*", amount):
        raise ValueError(f"rate {text!r}: the limit {amount!r} is not a whole number")
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)?\s*([a-z]*)", period.lower())
    if match is None or match[2] not in UNITS:
        raise ValueError(f"rate {text!r}: the period {period!r} is not one of second, minute, hour, day, or like 10s")
    limit, seconds = int(amount), float(match[1] or 1) * UNITS[match[2]]
    if limit == 0:
        raise ValueError(f"rate {text!r}: the limit must be at least 1")
    if seconds == 0:
        raise ValueError(f"rate {text!r}: the period must be longer than 0")
    return limit, seconds
