"""Moving windows: exact limits, waits that hold, and rate texts."""

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asgi_gateway.policies.windows import Bucket, BucketWindow, parse_rate, refusal
from asgi_gateway.storage.protocols import Hit, Refusal

STEP = 1 / 64
"""A step that floats add exactly, so that the tests compare times without rounding: windows are powers of two."""

pauses = st.one_of(st.integers(0, 8), st.integers(500, 513), st.integers(0, 8), st.integers(0, 400))
"""In steps of an eight second window's 512: inside a sub-bucket, somewhere, and about a whole window."""

steps = st.lists(st.tuples(pauses, st.integers(0, 7)), max_size=120)


def admit(window: BucketWindow, now: float, limit: int, cost: int) -> bool:
    """Count a hit if it fits."""
    if window.wait(now, limit, cost) > 0:
        return False
    window.count(now, cost)
    return True


@settings(deadline=None, max_examples=400)
@given(steps=steps, limit=st.integers(1, 20), seconds=st.sampled_from([8.0, 1.0, 64.0, 0.25]))
def test_no_interval_of_the_length_admits_more_than_the_limit(
    steps: list[tuple[int, int]], limit: int, seconds: float
) -> None:
    """Whatever the times and costs, any interval of the window's length holds at most the limit."""
    window = BucketWindow(seconds)
    now, admitted = 1_700_000_000.0, []
    for pause, cost in steps:
        now += pause * seconds / 512
        if admit(window, now, limit, cost):
            admitted.append((now, cost))
        assert len(window) <= 60
    for start, _ in admitted:
        inside = [cost for time, cost in admitted if start <= time and Fraction(time) - Fraction(start) < seconds]
        assert sum(inside) <= limit


@settings(deadline=None)
@given(
    moves=st.lists(st.tuples(st.integers(0, 200), st.integers(0, 60), st.integers(1, 5)), max_size=80),
    limit=st.integers(1, 12),
)
def test_a_clock_set_back_admits_no_more(moves: list[tuple[int, int, int]], limit: int) -> None:
    """A clock that is set back, by less than a window in all, never lets more pass in any real interval."""
    window = BucketWindow(10.0)
    now, behind, admitted = 5000.0, 0.0, []
    for pause, back, cost in moves:
        now += pause * STEP
        behind = min(behind + back * STEP, 9.5)
        if admit(window, now - behind, limit, cost):
            admitted.append((now, cost))
    for start, _ in admitted:
        assert sum(cost for time, cost in admitted if start <= time < start + 10.0) <= limit


@settings(deadline=None)
@given(steps=steps, limit=st.integers(1, 20))
def test_a_refusal_counts_nothing(steps: list[tuple[int, int]], limit: int) -> None:
    """A window that was asked in vain behaves as one that was never asked."""
    asked, fresh = BucketWindow(10.0), BucketWindow(10.0)
    now = 100.0
    for pause, cost in steps:
        now += pause * STEP
        asked.wait(now, 0, 10**9)
        assert admit(asked, now, limit, cost) == admit(fresh, now, limit, cost)


@settings(deadline=None)
@given(steps=steps, limit=st.integers(1, 20), cost=st.integers(1, 20))
def test_the_wait_is_long_enough_and_no_longer(steps: list[tuple[int, int]], limit: int, cost: int) -> None:
    """After the wait the hit fits, just before it does not; a cost above the limit waits a whole window."""
    window = BucketWindow(10.0)
    now = 100.0
    for pause, paid in steps:
        now += pause * STEP
        admit(window, now, limit, paid)
    wait = window.wait(now, limit, cost)
    if cost > limit:
        assert wait == 10.0
    elif wait > 0:
        assert BucketWindow(10.0, window_copy(window)).wait(now + wait - 1e-6, limit, cost) > 0
        assert window.wait(now + wait + 1e-6, limit, cost) == 0.0


def window_copy(window: BucketWindow) -> list[Bucket]:
    """The buckets of a window, to be counted by another."""
    return [Bucket(b.number, b.amount, b.expires) for b in window._buckets]


def test_hits_free_their_place_after_exactly_one_window() -> None:
    """A burst that filled the window is forgotten when it is a window old."""
    window = BucketWindow(60.0)
    assert all(admit(window, 1000.0, 60, 1) for _ in range(60))
    assert not admit(window, 1059.75, 60, 1)
    assert admit(window, 1060.0, 60, 60)


@pytest.mark.parametrize(("real", "left"), [(0, 10), (3, 7), (10, 0), (25, -15)])
def test_a_correction_replaces_the_estimate(real: int, left: int) -> None:
    """The difference is booked where the hit was counted, also beyond the limit."""
    window = BucketWindow(10.0)
    window.count(100.0, 10)
    window.count(101.0, 0)
    assert window.correct(100.0, real - 10) is not None
    assert window.wait(102.0, 10, max(left, 0)) == (0.0 if left >= 0 else 8.0)
    assert window.wait(102.0, 10, max(left, 0) + 1) > 0
    assert window.wait(110.0, 10, 10) == 0.0


def test_a_correction_of_what_is_no_longer_counted_does_nothing() -> None:
    """Once the hit is a window old its real cost does not matter any more."""
    window = BucketWindow(10.0)
    window.count(100.0, 10)
    window.expire(110.0)
    assert window.correct(100.0, 5) is None
    assert window.wait(110.0, 10, 10) == 0.0


def test_a_correction_never_makes_credit() -> None:
    """A bucket does not fall below zero, so that a wrong correction admits nothing extra."""
    window = BucketWindow(10.0)
    window.count(100.0, 4)
    window.correct(100.0, -9)
    assert window.wait(100.0, 10, 11) > 0


@pytest.mark.parametrize("times", [(1000.25, 1000.5), (1000.5, 1000.25)])
def test_a_bucket_counts_until_its_newest_time_is_a_window_old(times: tuple[float, float]) -> None:
    """Whichever came first."""
    window = BucketWindow(59.0)
    for time in times:
        window.count(time, 5)
    assert window.wait(1059.25, 10, 1) == 0.25


def test_hits_of_a_clock_far_ahead_are_forgotten() -> None:
    """A clock set back by more than two windows does not lock the key until that time comes again."""
    window = BucketWindow(10.0)
    window.count(9000.0, 10)
    assert window.wait(1000.0, 10, 1) == 0.0


def test_a_late_hit_finds_its_place_between_others() -> None:
    """Buckets stay in the order of their times when the clock goes back."""
    window = BucketWindow(10.0)
    for time in (104.0, 100.0, 102.0, 100.0):
        window.count(time, 1)
    assert [bucket.amount for bucket in window_copy(window)] == [2, 1, 1]
    assert window.wait(110.0, 3, 2) == 2.0


def test_the_refusal_with_the_longest_wait_is_told() -> None:
    """A caller who waits as told passes every rule."""
    short, long = BucketWindow(1.0), BucketWindow(60.0)
    short.count(100.0, 5)
    long.count(100.0, 5)
    hits = [(Hit("short", 5, 1.0), short), (Hit("long", 5, 60.0), long), (Hit("free", 5, 60.0), None)]
    assert refusal(hits, 100.0) == Refusal("long", 5, 60.0)
    assert refusal(hits[2:], 100.0) is None
    assert refusal([(Hit("free", 5, 60.0, 6), None)], 100.0) == Refusal("free", 5, 60.0)


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("60/minute", (60, 60.0)),
        ("100000/hour", (100_000, 3600.0)),
        ("100_000 / day", (100_000, 86400.0)),
        ("5/10s", (5, 10.0)),
        ("5/0.5s", (5, 0.5)),
        ("7/2 minutes", (7, 120.0)),
        ("1/S", (1, 1.0)),
    ],
)
def test_rates_are_read(text: str, rate: tuple[int, float]) -> None:
    """The usual ways to write a rate."""
    assert parse_rate(text) == rate


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("60", "LIMIT/PERIOD"),
        ("", "LIMIT/PERIOD"),
        ("x/minute", "limit 'x' is not a whole number"),
        ("1.5/minute", "limit '1.5' is not a whole number"),
        ("-1/minute", "limit '-1' is not a whole number"),
        ("1/fortnight", "period 'fortnight' is not one of"),
        ("1/10", "period '10' is not one of"),
        ("1/", "period '' is not one of"),
        ("0/minute", "limit must be at least 1"),
        ("1/0s", "period must be longer than 0"),
    ],
)
def test_a_wrong_rate_names_what_is_wrong(text: str, reason: str) -> None:
    """The message quotes the text and the part that cannot be read."""
    with pytest.raises(ValueError, match=reason):
        parse_rate(text)
