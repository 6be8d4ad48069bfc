"""A service that is away is not asked, but for one attempt now and then; it is told once, and once that it is back."""

import pytest

from asgi_gateway.backends.redis.breaker import Breaker
from support.ledger_records import Clock


@pytest.fixture
def breaker(clock: Clock) -> Breaker:
    return Breaker("Redis", failures=3, first=1.0, most=3.0, clock=clock)


def away(breaker: Breaker) -> None:
    breaker.failed("broken", certain=True)
    assert breaker.is_open


def test_it_opens_after_failures_in_a_row(breaker: Breaker) -> None:
    """One that succeeds in between begins the count anew."""
    for _ in range(2):
        breaker.failed("slow")
    breaker.succeeded()
    for _ in range(2):
        breaker.failed("slow")
        assert breaker.admits()
    breaker.failed("slow")
    assert not breaker.admits()


def test_a_certain_failure_opens_it_at_once(breaker: Breaker) -> None:
    """A connection that broke leaves no doubt."""
    away(breaker)
    assert not breaker.admits()


def test_one_attempt_at_a_time_is_let_through_later(breaker: Breaker, clock: Clock) -> None:
    """Then twice as late each time, up to a bound; until one succeeds."""
    away(breaker)
    for pause in (1.0, 2.0, 3.0, 3.0):
        clock.now += pause - 0.01
        assert not breaker.admits()
        clock.now += 0.02
        assert breaker.admits()
        assert not breaker.admits()
        breaker.failed("still")
    clock.now += 4.0
    assert breaker.admits()
    breaker.succeeded()
    assert breaker.admits()
    away(breaker)
    clock.now += 1.01
    assert breaker.admits()


def test_an_attempt_that_was_given_up_leaves_room_for_the_next(breaker: Breaker, clock: Clock) -> None:
    """It showed nothing."""
    away(breaker)
    clock.now += 1.01
    assert breaker.admits()
    breaker.abandoned()
    assert breaker.admits()


def test_failures_of_those_who_were_still_waiting_change_nothing(breaker: Breaker, clock: Clock) -> None:
    """They began before it opened."""
    away(breaker)
    breaker.failed("late")
    clock.now += 1.01
    assert breaker.admits()


def test_one_line_when_it_goes_and_one_when_it_is_back(
    breaker: Breaker, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever happens between."""
    away(breaker)
    for _ in range(5):
        breaker.failed("late", certain=True)
    clock.now += 2.5
    breaker.succeeded()
    breaker.succeeded()
    assert [record.message for record in caplog.records] == [
        "Redis is away, going on without it: broken",
        "Redis is back after 2.5 s",
    ]
