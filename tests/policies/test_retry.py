"""Whether a failed exchange is tried again."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asgi_gateway.errors import (
    Fault,
    GatewayError,
    InsufficientQuota,
    InvalidRequest,
    MalformedUpstream,
    ModelNotFound,
    NoChannelAvailable,
    PayloadTooLarge,
    PermissionDenied,
    RateLimited,
    ServiceUnavailable,
    Unauthenticated,
    UnpricedModel,
    UpstreamError,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from asgi_gateway.policies.retry import RetryPolicy

OURS: list[GatewayError] = [
    GatewayError("broken"),
    InvalidRequest("bad"),
    PayloadTooLarge("big"),
    ModelNotFound("who"),
    UnpricedModel("free"),
    Unauthenticated("no"),
    PermissionDenied("no"),
    RateLimited("slow down", retry_after=1),
    InsufficientQuota("no money"),
    NoChannelAvailable("none left"),
    ServiceUnavailable("draining"),
]
UPSTREAM: list[GatewayError] = [
    UpstreamError("too many", status=429, retry_after=30.0, headers=[(b"retry-after", b"30")]),
    UpstreamError("overloaded", status=529),
    UpstreamError("broken", status=500),
    UpstreamUnreachable("nobody there"),
    MalformedUpstream("half a JSON"),
    *(UpstreamTimeout("late", phase=phase) for phase in ("connect", "headers", "first_event", "idle", "plain")),
]


def name(error: GatewayError) -> str:
    phase = f"-{error.phase}" if isinstance(error, UpstreamTimeout) else ""
    return f"{type(error).__name__}-{error.status}{phase}"


@pytest.mark.parametrize("error", OURS, ids=name)
@pytest.mark.parametrize("attempt", [1, 2])
def test_our_own_errors_are_final(error: GatewayError, attempt: int) -> None:
    """Another channel changes nothing about them."""
    assert RetryPolicy().decide(error, attempt) is None


@pytest.mark.parametrize("status", [400, 413, 422])
def test_the_callers_fault_is_final(status: int) -> None:
    """No other channel would take the request either."""
    assert RetryPolicy().decide(UpstreamError("bad", fault=Fault.CALLER, status=status), 1) is None


@pytest.mark.parametrize("attempt", [1, 2, 3])
def test_the_channels_fault_is_retried_at_once(attempt: int) -> None:
    """Another channel has another key: there is nothing to wait for."""
    error = UpstreamError("auth", fault=Fault.CHANNEL, status=502, original_status=401)
    assert RetryPolicy(4, random=lambda: 0.5).decide(error, attempt) == 0.0


@pytest.mark.parametrize("error", UPSTREAM, ids=name)
def test_the_upstreams_fault_is_retried_with_a_back_off(error: GatewayError) -> None:
    """At once the first time, then within a bound that doubles; a retry-after of the failed channel holds nobody up."""
    policy = RetryPolicy(6, base=0.1, cap=0.3, random=lambda: 0.5)
    assert [policy.decide(error, attempt) for attempt in range(1, 7)] == pytest.approx([0, 0.05, 0.1, 0.15, 0.15, None])


def test_a_total_timeout_is_final() -> None:
    """The time of the whole exchange is over, whichever channel would come next."""
    assert RetryPolicy().decide(UpstreamTimeout("late", phase="total"), 1) is None


def test_attempts_are_channels_tried_in_all() -> None:
    """With one attempt nothing is retried, with three there are two retries."""
    error = UpstreamUnreachable("gone")
    assert RetryPolicy(1).decide(error, 1) is None
    assert RetryPolicy().decide(error, 2) is not None
    assert RetryPolicy().decide(error, 3) is None


def test_no_attempt_begins_after_the_budget() -> None:
    """An exchange that took its time is not made longer, unless there is no budget."""
    error = UpstreamUnreachable("gone")
    assert RetryPolicy(budget=10).decide(error, 1, elapsed=9.9) == 0.0
    assert RetryPolicy(budget=10).decide(error, 1, elapsed=10.0) is None
    assert RetryPolicy().decide(error, 1, elapsed=1e9) == 0.0


@pytest.mark.parametrize(
    "options", [{"attempts": 0}, {"base": -1.0}, {"cap": -0.1}, {"budget": -1.0}, {"base": float("nan")}]
)
def test_wrong_options_are_refused_at_once(options: dict[str, float]) -> None:
    """Not at the first request."""
    with pytest.raises(ValueError, match="must"):
        RetryPolicy(**options)  # type: ignore[arg-type]  # wrong on purpose


@given(
    error=st.sampled_from([*OURS, *UPSTREAM, UpstreamTimeout("late", phase="total")]),
    attempts=st.integers(1, 200),
    attempt=st.integers(1, 2000),
    base=st.floats(0, 10),
    cap=st.floats(0, 10),
    random=st.randoms(use_true_random=False),
)
def test_a_wait_is_bounded_and_attempts_end(
    error: GatewayError, attempts: int, attempt: int, base: float, cap: float, random: Random
) -> None:
    """No wait is negative or above the cap, and none follows the last attempt."""
    wait = RetryPolicy(attempts, base=base, cap=cap, random=random.random).decide(error, attempt)
    if attempt >= attempts or error in OURS:
        assert wait is None
    if wait is not None:
        assert 0 <= wait <= cap


@given(st.integers(2, 20), st.floats(0, 1, exclude_max=True))
def test_jitter_covers_the_whole_interval(attempt: int, chance: float) -> None:
    """The wait is chance times the bound, so callers that failed together do not come back together."""
    policy = RetryPolicy(100, base=0.05, cap=1.0, random=lambda: chance)
    wait = policy.decide(UpstreamUnreachable("gone"), attempt)
    assert wait == pytest.approx(chance * min(1.0, 0.05 * 2 ** (attempt - 2)))
