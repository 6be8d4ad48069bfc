"""Windows and slots: exact limits, all or none, corrections, and nothing left behind."""

import asyncio

import pytest

from asgi_gateway.backends import MemoryStorage
from asgi_gateway.backends.memory.windows import MemoryWindows
from asgi_gateway.storage.protocols import Admission, Hit, Refusal, Slot, Storage
from support.ledger_records import Clock

ROOMY = 10**9


def hit(key: str = "a", limit: int = 10, cost: int = 1, seconds: float = 60.0) -> Hit:
    return Hit(key, limit, seconds, cost)


async def admitted(storage: Storage, *hits: Hit, slots: tuple[Slot, ...] = ()) -> Admission:
    """An admission; the test fails when it is refused."""
    verdict = await storage.windows.acquire(hits, slots)
    assert isinstance(verdict, Admission)
    return verdict


async def left(storage: Storage, key: str, limit: int) -> int:
    """How much a window still takes: the largest cost that fits, given back at once."""
    for cost in range(limit, 0, -1):
        verdict = await storage.windows.acquire([hit(key, limit, cost)])
        if isinstance(verdict, Admission):
            await storage.windows.correct(verdict, {key: 0})
            return cost
    return 0


async def test_a_window_admits_its_limit(storage: Storage, clock: Clock) -> None:
    """The refusal tells which rule, and how long to wait; after that it fits again."""
    for _ in range(10):
        admission = await admitted(storage, hit())
        clock.advance(1)
    assert admission.time == clock() - 1
    assert await storage.windows.acquire([hit()]) == Refusal("a", 10, 50.0)
    clock.advance(50)
    await admitted(storage, hit())
    assert isinstance(await storage.windows.acquire([hit()]), Refusal)


async def test_two_hundred_at_once_never_pass_the_limit(storage: Storage) -> None:
    """Exactly the limit gets through, by count and by cost."""
    verdicts = await asyncio.gather(*[storage.windows.acquire([hit(limit=5), hit("b", ROOMY)]) for _ in range(200)])
    assert sum(isinstance(verdict, Admission) for verdict in verdicts) == 5
    verdicts = await asyncio.gather(*[storage.windows.acquire([hit("c", 100, 30)]) for _ in range(200)])
    assert sum(isinstance(verdict, Admission) for verdict in verdicts) == 3


async def test_all_rules_or_none_are_counted(storage: Storage) -> None:
    """A request that one rule refuses uses up nothing of the others, neither hits nor slots."""
    await admitted(storage, hit("tight", 1))
    slot = Slot("slot", 1)
    for _ in range(3):
        refused = await storage.windows.acquire([hit("wide", 5), hit("tight", 1)], [slot])
        assert isinstance(refused, Refusal)
        assert refused.key == "tight"
    assert await left(storage, "wide", 5) == 5
    await admitted(storage, slots=(slot,))
    assert await storage.windows.acquire([hit("wide", 5)], [slot]) == Refusal("slot", 1, 1.0)
    assert await left(storage, "wide", 5) == 5


async def test_the_longest_wait_is_told(storage: Storage) -> None:
    """Whoever waits as told passes every rule."""
    rules = (hit("s", 1, seconds=1.0), hit("m", 1, seconds=60.0), hit("h", 5, seconds=3600.0))
    await admitted(storage, *rules)
    assert await storage.windows.acquire(rules) == Refusal("m", 1, 60.0)


async def test_a_cost_above_the_limit_never_fits(storage: Storage) -> None:
    """It is refused for a whole window, and counts nothing."""
    assert await storage.windows.acquire([hit(limit=5, cost=6)]) == Refusal("a", 5, 60.0)
    assert await left(storage, "a", 5) == 5


async def test_the_limit_is_the_hits_own(storage: Storage) -> None:
    """A changed rule counts what was counted under the old one."""
    await admitted(storage, hit(limit=10, cost=8))
    assert isinstance(await storage.windows.acquire([hit(limit=5)]), Refusal)
    await admitted(storage, hit(limit=20, cost=12))


@pytest.mark.parametrize(("real", "free"), [(0, 100), (30, 70), (60, 40), (90, 10), (150, 0)])
async def test_a_real_cost_replaces_the_estimate(storage: Storage, clock: Clock, real: int, free: int) -> None:
    """Less is given back, more is counted, even past the limit; only the named key changes."""
    admission = await admitted(storage, hit("tokens", 100, 60), hit("requests", 5))
    clock.advance(2)
    await storage.windows.correct(admission, {"tokens": real})
    assert await left(storage, "tokens", 100) == free
    assert await left(storage, "requests", 5) == 4
    clock.advance(58)
    assert await left(storage, "tokens", 100) == 100


async def test_a_correction_after_the_window_changes_nothing(storage: Storage, clock: Clock) -> None:
    """What is too old to count is too old to be corrected."""
    admission = await admitted(storage, hit("tokens", 100, 60))
    clock.advance(61)
    await storage.windows.correct(admission, {"tokens": 90})
    assert await left(storage, "tokens", 100) == 100


async def test_wrong_costs_are_errors(storage: Storage) -> None:
    """Negative ones, unknown keys, and a key that stands twice; nothing is counted."""
    admission = await admitted(storage, hit(cost=1))
    with pytest.raises(ValueError, match="below 0"):
        await storage.windows.correct(admission, {"a": -1})
    with pytest.raises(KeyError):
        await storage.windows.correct(admission, {"b": 1})
    with pytest.raises(ValueError, match="below 0"):
        await storage.windows.acquire([hit(cost=-1)])
    with pytest.raises(ValueError, match="twice"):
        await storage.windows.acquire([hit(), hit()])
    assert await left(storage, "a", 10) == 9


async def test_slots_are_taken_and_given_back(storage: Storage) -> None:
    """At most the limit at once; giving back twice frees one place."""
    slots = (Slot("user", 2), Slot("model", 5))
    first = await admitted(storage, slots=slots)
    second = await admitted(storage, slots=slots)
    assert await storage.windows.acquire([], slots) == Refusal("user", 2, 1.0)
    await storage.windows.release(first)
    await storage.windows.release(first)
    await admitted(storage, slots=slots)
    assert isinstance(await storage.windows.acquire([], slots), Refusal)
    await storage.windows.release(second)
    await admitted(storage, slots=slots)


async def test_a_place_given_back_is_free_for_who_comes_next(storage: Storage) -> None:
    """Verbs that are queued together count in their order: one place was given back, once, whoever says it twice."""
    slot = Slot("user", 2)
    first, _ = await admitted(storage, slots=(slot,)), await admitted(storage, slots=(slot,))
    refused, _, _, won, lost = await asyncio.gather(
        storage.windows.acquire([], [slot]),
        storage.windows.release(first),
        storage.windows.release(first),
        storage.windows.acquire([], [slot]),
        storage.windows.acquire([], [slot]),
    )
    assert [type(one) for one in (refused, won, lost)] == [Refusal, Admission, Refusal]


async def test_two_hundred_at_once_never_hold_more_slots(storage: Storage) -> None:
    """Exactly the limit, also while some are given back."""
    slot = Slot("user", 7)
    verdicts = await asyncio.gather(*[storage.windows.acquire([], [slot]) for _ in range(200)])
    held = [verdict for verdict in verdicts if isinstance(verdict, Admission)]
    assert len(held) == 7
    await asyncio.gather(*map(storage.windows.release, held[:3]))
    verdicts = await asyncio.gather(*[storage.windows.acquire([], [slot]) for _ in range(50)])
    assert sum(isinstance(verdict, Admission) for verdict in verdicts) == 3


async def test_nothing_asked_is_always_admitted(storage: Storage) -> None:
    """A request without rules takes nothing and gives nothing back."""
    admission = await admitted(storage)
    await storage.windows.correct(admission, {})
    await storage.windows.release(admission)
    assert admission.hits == ()


async def test_memory_forgets_keys_that_count_nothing() -> None:
    """However many keys come by, those of one window at most are kept."""
    clock = Clock()
    windows = MemoryWindows(clock)
    for number in range(2000):
        await windows.acquire([hit(f"key-{number}"), hit("always", ROOMY)])
        clock.advance(1)
    assert len(windows._windows) < 200
    storage = MemoryStorage(clock=clock)
    assert repr(storage) == "MemoryStorage()"
