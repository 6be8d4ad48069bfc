"""Windows in memory and windows in SQLite decide alike, whatever is asked of them."""

import asyncio
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from asgi_gateway.backends import MemoryStorage, SqlStorage
from asgi_gateway.storage.protocols import Admission, Hit, Refusal, Slot, Storage
from support.ledger_records import Clock

hits = st.lists(
    st.tuples(st.sampled_from("ab"), st.integers(1, 8), st.sampled_from([1.0, 10.0]), st.integers(0, 5)),
    max_size=2,
    unique_by=lambda one: one[0],
)
slots = st.lists(st.tuples(st.sampled_from("xy"), st.integers(0, 3)), max_size=2, unique_by=lambda one: one[0])
acquire = st.tuples(st.just("acquire"), hits, slots)
correct = st.tuples(st.just("correct"), st.integers(0, 10), st.integers(0, 9))
release = st.tuples(st.just("release"), st.integers(0, 10), st.just(0))
advance = st.tuples(st.just("advance"), st.integers(0, 800), st.just(0))


class Pair:
    """Both storages on one clock and one loop; each example has keys of its own."""

    def __init__(self, path: Path) -> None:
        self.clock = Clock()
        self.runner = asyncio.Runner()
        self.examples = count()
        self.storages: tuple[Storage, ...] = (
            MemoryStorage(wall=self.clock, clock=self.clock),
            SqlStorage(f"sqlite:///{path}", True, wall=self.clock),
        )
        for storage in self.storages:
            self.runner.run(storage.open())

    def close(self) -> None:
        """Disconnect."""
        for storage in self.storages:
            self.runner.run(storage.close())
        self.runner.close()

    async def play(self, storage: Storage, prefix: str, steps: list[tuple[object, ...]]) -> list[object]:
        """What a storage answers to the steps."""
        admissions: list[Admission] = []
        told: list[object] = []
        for step in steps:
            match step:
                case ("acquire", wanted, places):
                    verdict = await storage.windows.acquire(
                        [Hit(prefix + key, limit, seconds, cost) for key, limit, seconds, cost in wanted],
                        [Slot(prefix + key, limit) for key, limit in places],
                    )
                    if isinstance(verdict, Admission):
                        admissions.append(verdict)
                        told.append((verdict.time, verdict.hits, verdict.slots))
                    else:
                        told.append(verdict)
                case ("correct", int(index), cost) if index < len(admissions):
                    hit, *_ = admissions[index].hits or (None,)
                    if hit is not None:
                        await storage.windows.correct(admissions[index], {hit.key: cost})
                case ("release", int(index), _) if index < len(admissions):
                    await storage.windows.release(admissions[index])
                case ("advance", int(steps_of_clock), _):
                    self.clock.advance(steps_of_clock / 64)
        return told


@pytest.fixture
def pair(path: Path) -> Iterator[Pair]:
    """Both storages."""
    both = Pair(path)
    yield both
    both.close()


@settings(
    deadline=None,
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(steps=st.lists(st.one_of(acquire, acquire, correct, release, advance), max_size=30))
def test_memory_and_sqlite_decide_alike(pair: Pair, steps: list[tuple[object, ...]]) -> None:
    """The same verbs at the same times get the same answers, waits included."""
    prefix = f"{next(pair.examples)}-"
    start = pair.clock()
    answers = []
    for storage in pair.storages:
        pair.clock.now = start
        answers.append(pair.runner.run(pair.play(storage, prefix, steps)))
    assert answers[0] == answers[1]
    assert all(isinstance(one, Refusal | tuple) for one in answers[0])
