"""A caller who leaves ends the work, whenever it leaves; nothing else is mistaken for that, and nothing lingers."""

import asyncio
from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asgi_gateway.departure import Departure
from asgi_gateway.errors import CallerLeft, GatewayError, ServiceUnavailable, UpstreamUnreachable
from asgi_gateway.types import Message

LEFT: Message = {"type": "http.disconnect"}


class Line:
    """A `receive` that counts who waits in it."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[Message | BaseException] = asyncio.Queue()
        self.waiting = 0
        self.calls = 0

    def leave(self) -> None:
        self.queue.put_nowait(LEFT)

    async def receive(self) -> Message:
        self.calls += 1
        self.waiting += 1
        try:
            message = await self.queue.get()
        finally:
            self.waiting -= 1
        if isinstance(message, BaseException):
            raise message
        return message


async def turns(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


def cancelling() -> int:
    task = asyncio.current_task()
    assert task is not None
    return task.cancelling()


async def forever() -> None:
    await asyncio.get_running_loop().create_future()


async def watched(line: Line) -> None:
    """Return when somebody waits for the caller."""
    async with asyncio.timeout(5):
        while not line.waiting:
            await turns(1)


async def test_work_that_ends_in_time_pays_for_no_second_task() -> None:
    """Within its patience the departure never calls `receive`, nor later, when the block is long over."""
    line = Line()
    async with Departure(line.receive, patience=0.02):
        await turns(5)
    await asyncio.sleep(0.06)
    assert line.calls == 0


async def test_a_caller_who_leaves_ends_the_work() -> None:
    """The block ends with `CallerLeft`, and the task can go on as if it had never been cancelled."""
    line = Line()
    asyncio.get_running_loop().call_soon(line.leave)
    with pytest.raises(CallerLeft):
        async with Departure(line.receive, patience=0):
            await forever()
    assert cancelling() == 0
    await turns(3)


async def test_a_caller_who_left_before_the_work_began_ends_it() -> None:
    """A disconnect that waits already is noticed as soon as somebody looks."""
    line = Line()
    line.leave()
    with pytest.raises(CallerLeft):
        async with Departure(line.receive, patience=0):
            await asyncio.get_running_loop().create_future()


async def test_other_messages_are_no_departure() -> None:
    """Only a disconnect ends the work; a WebSocket's counts as one."""
    line = Line()
    line.queue.put_nowait({"type": "http.request", "body": b"", "more_body": False})
    async with Departure(line.receive, patience=0):
        await watched(line)
        await turns(3)
    line.queue.put_nowait({"type": "websocket.disconnect", "code": 1001})
    with pytest.raises(CallerLeft):
        async with Departure(line.receive, patience=0):
            await asyncio.get_running_loop().create_future()


async def test_nobody_waits_in_receive_afterwards() -> None:
    """However the block ends, whoever calls `receive` next is alone in it."""
    line = Line()
    async with Departure(line.receive, patience=0):
        await watched(line)
    assert line.waiting == 0

    async def fail() -> None:
        await watched(line)
        raise UpstreamUnreachable("broken")

    with pytest.raises(UpstreamUnreachable):
        async with Departure(line.receive, patience=0):
            await fail()
    assert line.waiting == 0


async def test_the_works_own_result_and_error_go_on() -> None:
    """While the caller stays, what the work raises is raised."""
    line = Line()

    async def fail() -> None:
        await watched(line)
        raise KeyError("a fault of ours")

    with pytest.raises(KeyError):
        async with Departure(line.receive, patience=0):
            await fail()


async def test_a_cancellation_from_outside_is_not_swallowed() -> None:
    """A task that is cancelled by somebody else is cancelled, with and without somebody waiting for the caller."""
    for patience in (0, 60):
        line = Line()

        async def work(line: Line = line, patience: float = patience) -> None:
            async with Departure(line.receive, patience=patience):
                await asyncio.get_running_loop().create_future()

        task = asyncio.create_task(work())
        await turns(5)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        assert line.waiting == 0


async def test_a_cancellation_while_the_waiting_is_ended_is_not_swallowed() -> None:
    """Also in the moment after the work, when the departure waits for its own task to end."""
    ending, slow = asyncio.Event(), asyncio.Event()

    async def receive() -> Message:
        begun.set()
        try:
            await forever()
        finally:
            ending.set()
            await slow.wait()
        raise AssertionError("unreachable")

    async def work() -> None:
        async with Departure(receive, patience=0):
            await begun.wait()
        after.append("went on")

    begun = asyncio.Event()
    after: list[str] = []
    task = asyncio.create_task(work())
    await asyncio.wait_for(ending.wait(), 5)
    task.cancel()
    await asyncio.wait([task], timeout=5)
    slow.set()
    await turns(3)
    assert task.cancelled()
    assert after == []


async def test_a_departure_and_a_cancellation_after_the_work_are_told_apart() -> None:
    """Work that ignored our cancellation, and is cancelled from outside while the departure ends: cancelled."""
    ending, slow = asyncio.Event(), asyncio.Event()

    async def receive() -> Message:
        try:
            await forever()
        finally:
            ending.set()
            await slow.wait()
        raise AssertionError("unreachable")

    async def work() -> None:
        async with (departure := Departure(receive, patience=0)):
            await turns(3)
            departure.interrupt(ServiceUnavailable("closing"))
            with suppress(asyncio.CancelledError):
                await forever()
        after.append("went on")

    after: list[str] = []
    task = asyncio.create_task(work())
    await asyncio.wait_for(ending.wait(), 5)
    task.cancel()
    await asyncio.wait([task], timeout=5)
    slow.set()
    await turns(3)
    assert task.cancelled()
    assert after == []


async def test_a_cancellation_from_outside_wins_over_a_departure() -> None:
    """When both come at once the task is cancelled: its owner asked for it."""
    line = Line()

    async def work() -> None:
        async with Departure(line.receive, patience=0):
            await asyncio.get_running_loop().create_future()

    task = asyncio.create_task(work())
    await turns(4)
    line.leave()
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()


async def test_work_begun_in_a_task_that_was_cancelled_before_still_notices() -> None:
    """A cancellation that an owner survived without `uncancel` does not turn later departures into cancellations."""
    line = Line()

    async def work() -> None:
        with suppress(asyncio.CancelledError):
            await asyncio.get_running_loop().create_future()
        line.leave()
        async with Departure(line.receive, patience=0):
            await asyncio.get_running_loop().create_future()

    task = asyncio.create_task(work())
    await turns(2)
    task.cancel()
    with pytest.raises(CallerLeft):
        await task


async def test_a_timeout_inside_stays_a_timeout() -> None:
    """`asyncio.timeout` and a departure do not take each other's cancellations."""
    line = Line()
    with pytest.raises(TimeoutError):
        async with Departure(line.receive, patience=0), asyncio.timeout(0.01):
            await asyncio.get_running_loop().create_future()
    line.leave()
    with pytest.raises(CallerLeft):
        async with Departure(line.receive, patience=0), asyncio.timeout(60):
            await asyncio.get_running_loop().create_future()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01), Departure(line.receive, patience=0):
            await forever()
    assert cancelling() == 0


async def test_an_interrupt_ends_the_work_with_its_error() -> None:
    """`interrupt` raises inside the block what it was given, waiting or not; the first one counts."""
    for patience in (0, 60):
        line = Line()
        departure = Departure(line.receive, patience=patience)
        asyncio.get_running_loop().call_later(0.001, departure.interrupt, ServiceUnavailable("closing"))
        asyncio.get_running_loop().call_later(0.001, departure.interrupt, UpstreamUnreachable("later"))
        with pytest.raises(ServiceUnavailable, match="closing"):
            async with departure:
                await asyncio.get_running_loop().create_future()
        assert cancelling() == 0


async def test_an_interrupt_before_and_after_the_block_does_nothing() -> None:
    """What has not begun or has ended cannot be interrupted, and its task is left alone."""
    departure = Departure(Line().receive)
    departure.interrupt(ServiceUnavailable("early"))
    async with departure:
        await turns(2)
    departure.interrupt(ServiceUnavailable("late"))
    await turns(2)
    assert cancelling() == 0


async def test_without_a_receive_only_an_interrupt_ends_the_work() -> None:
    """Where somebody else reads the caller's messages, the departure never does."""
    departure = Departure(None, patience=0)
    asyncio.get_running_loop().call_later(0.01, departure.interrupt, ServiceUnavailable("closing"))
    with pytest.raises(ServiceUnavailable):
        async with departure:
            await asyncio.get_running_loop().create_future()


async def test_the_last_message_is_not_cut() -> None:
    """After `finish` neither a leaving nor an interrupt ends the work: all that remains is to say the end."""
    line = Line()
    said = False
    async with Departure(line.receive, patience=0) as departure:
        await watched(line)
        departure.finish()
        line.leave()
        departure.interrupt(ServiceUnavailable("closing"))
        await turns(5)
        said = True
    assert said
    assert cancelling() == 0


async def test_a_receive_that_raises_ends_the_work_with_that_error() -> None:
    """A broken `receive` is told at once and where the work is, not later and not in silence."""
    line = Line()
    line.queue.put_nowait(RuntimeError("no more messages"))
    with pytest.raises(RuntimeError, match="no more messages"):
        async with Departure(line.receive, patience=0):
            await forever()
    assert cancelling() == 0


async def test_a_receive_that_breaks_when_it_is_no_longer_needed_harms_nobody() -> None:
    """An error that `receive` raises because the waiting is ended does not replace the work's own result."""

    async def receive() -> Message:
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            raise RuntimeError("cancelled in the middle") from None
        raise AssertionError("unreachable")

    async def fail() -> None:
        await turns(3)
        raise UpstreamUnreachable("broken")

    async with Departure(receive, patience=0):
        await turns(3)
    with pytest.raises(UpstreamUnreachable):
        async with Departure(receive, patience=0):
            await fail()
    assert cancelling() == 0


async def test_a_receive_that_is_cancelled_by_its_owner_is_just_over() -> None:
    """A `receive` that ends cancelled says nothing about the caller; the work goes on."""

    async def receive() -> Message:
        raise asyncio.CancelledError

    worked = False
    async with Departure(receive, patience=0):
        await turns(5)
        worked = True
    assert worked


async def test_an_error_that_our_cancellation_became_is_the_departures() -> None:
    """A transport that turns its cancellation into an error of its own does not hide why it was cancelled."""
    line = Line()

    async def translate() -> None:
        line.leave()
        try:
            await forever()
        except asyncio.CancelledError:
            raise UpstreamUnreachable("the connection broke") from None

    with pytest.raises(CallerLeft):
        async with Departure(line.receive, patience=0):
            await translate()
    assert cancelling() == 0


async def test_work_that_goes_on_to_its_end_in_spite_of_the_cancellation_has_ended() -> None:
    """What was finished is not declared unfinished."""
    line = Line()
    async with Departure(line.receive, patience=0):
        line.leave()
        with suppress(asyncio.CancelledError):
            await forever()
    assert cancelling() == 0
    await turns(2)


async def test_an_interrupt_by_the_work_itself_does_not_linger() -> None:
    """A cancellation that was not delivered inside the block is taken back, and hits nobody behind it."""
    departure = Departure(Line().receive)
    async with departure:
        departure.interrupt(ServiceUnavailable("closing"))
    await turns(3)
    departure = Departure(Line().receive)

    def fail() -> None:
        departure.interrupt(ServiceUnavailable("closing"))
        raise UpstreamUnreachable("the work's own")

    with pytest.raises(ServiceUnavailable):
        async with departure:
            fail()
    await turns(3)
    assert cancelling() == 0


STEPS = st.lists(st.sampled_from(["turn", "leave", "interrupt", "cancel", "work"]), min_size=1, max_size=12)


@given(steps=STEPS, fails=st.booleans(), patience=st.sampled_from([0.0, 60.0]))
@settings(deadline=None, max_examples=300)
def test_every_order_of_events_ends_in_one_of_the_honest_ways(
    *, steps: list[str], fails: bool, patience: float
) -> None:
    """In whatever order things happen: one cause is told, outside cancellations arrive, nobody is left in receive."""

    async def scenario() -> None:
        line = Line()
        departure = Departure(line.receive, patience=patience)
        release = asyncio.Event()
        lingering: list[int] = []

        async def work() -> str:
            try:
                async with departure:
                    await release.wait()
                    if fails:
                        raise UpstreamUnreachable("broken")
            finally:
                task = asyncio.current_task()
                assert task is not None
                lingering.append(task.cancelling())
            await turns(4)
            return "done"

        task = asyncio.create_task(work())
        await turns(3)
        actions: dict[str, Callable[[], object]] = {
            "leave": line.leave,
            "interrupt": lambda: departure.interrupt(ServiceUnavailable("closing")),
            "cancel": task.cancel,
            "work": release.set,
        }
        for step in steps:
            if step == "turn":
                await turns(1)
            else:
                actions[step]()
        release.set()
        await asyncio.wait([task], timeout=5)
        assert task.done()
        assert line.waiting == 0
        first_turn = "turn" in steps
        if task.cancelled():
            assert "cancel" in steps
        elif "cancel" in steps and not first_turn and "work" not in steps:
            raise AssertionError("the cancellation was swallowed")
        else:
            error = task.exception()
            allowed: set[type[BaseException]] = {type(None)} if not fails else {UpstreamUnreachable}
            if "leave" in steps:
                allowed.add(CallerLeft)
            if "interrupt" in steps:
                allowed.add(ServiceUnavailable)
            assert type(error) in allowed
            if "cancel" not in steps:
                assert lingering == [0]

    asyncio.run(scenario())


async def test_the_end_and_the_departure_at_once_never_leave_a_cancellation_behind() -> None:
    """Released and left in the same turn of the loop, in both orders: the task is as it was."""
    for first in (0, 1):
        line = Line()
        release = asyncio.Event()
        outcome: list[str] = []

        async def work(line: Line = line, release: asyncio.Event = release, outcome: list[str] = outcome) -> None:
            try:
                async with Departure(line.receive, patience=0):
                    await release.wait()
                outcome.append("done")
            except CallerLeft:
                outcome.append("left")
            await turns(4)
            outcome.append(f"{cancelling()}")

        task = asyncio.create_task(work())
        await watched(line)
        actions: list[Callable[[], object]] = [line.leave, release.set]
        actions[first]()
        actions[1 - first]()
        await asyncio.wait_for(task, 5)
        assert outcome[0] in ("done", "left")
        assert outcome[1] == "0"


def test_the_departures_own_errors_are_no_gateway_errors_to_render() -> None:
    """`CallerLeft` is never rendered: it is no `GatewayError`."""
    assert not issubclass(CallerLeft, GatewayError)
