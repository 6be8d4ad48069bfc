"""The usage log: charges to find, to page through, and to sum up."""

from datetime import UTC, datetime

from asgi_gateway.backends import MemoryStorage
from asgi_gateway.storage.ids import ledger_key, new_request_id
from asgi_gateway.storage.protocols import Storage, UsageSum
from asgi_gateway.storage.records import Charge, Usage
from support.ledger_records import USER, Clock, reservation, settlement


async def spend(storage: Storage, charge: int, *, request_id: str = "", **fields: str) -> Charge:
    """One whole exchange."""
    channel = fields.pop("channel", "main")
    extra = {"request_id": request_id} if request_id else {}
    reserved = reservation(1000, accounts=(USER,), **fields, **extra)
    await storage.ledger.reserve(reserved)
    usage = Usage(input=1, cache_read=2, cache_write=3, cache_write_1h=4, audio_input=5, image_input=6, output=10)
    return await storage.ledger.settle(reserved, settlement(charge, channel=channel, usage=usage))


async def test_the_newest_charges_come_first(storage: Storage, clock: Clock) -> None:
    """As many as were asked for."""
    await storage.ledger.grant(USER, 10**6)
    charges = []
    for number in range(5):
        clock.advance(1)
        charges.append(await spend(storage, number))
    assert list(await storage.usage_log.recent()) == charges[::-1]
    assert list(await storage.usage_log.recent(2)) == [charges[4], charges[3]]


async def test_a_request_is_found_by_its_id(storage: Storage, clock: Clock) -> None:
    """The newest, where there are several; None where there is none."""
    await storage.ledger.grant(USER, 10**6)
    await spend(storage, 1, request_id="r1")
    clock.advance(1)
    latest = await spend(storage, 2, request_id="r1")
    await spend(storage, 3, request_id="r2")
    assert await storage.usage_log.find("r1") == latest
    assert await storage.usage_log.find("r3") is None


async def test_a_request_of_several_charges_is_found_by_the_ledger_key(storage: Storage, clock: Clock) -> None:
    """The newest of those whose keys begin with the request's id."""
    await storage.ledger.grant(USER, 10**6)
    request_id, other = new_request_id(), new_request_id()
    charges = []
    for id, again in ((request_id, False), (request_id, True), (other, False)):
        held = reservation(10, key=ledger_key(id, again=again), accounts=(USER,), request_id=id)
        await storage.ledger.reserve(held)
        charges.append(await storage.ledger.settle(held, settlement(1)))
        clock.advance(1)
    assert await storage.usage_log.find(request_id) == charges[1]
    assert await storage.usage_log.find(other) == charges[2]


async def test_sums_begin_at_any_charge(storage: Storage, clock: Clock) -> None:
    """Whatever moment is asked for, all charges from then on count, and no earlier one."""
    await storage.ledger.grant(USER, 10**6)
    times = []
    for _ in range(9):
        times.append(clock())
        await spend(storage, 1)
        clock.advance(1)
    for number, time in enumerate(times):
        (total,) = await storage.usage_log.sums("user", datetime.fromtimestamp(time, UTC))
        assert total.requests == 9 - number
    assert list(await storage.usage_log.sums("user", datetime.fromtimestamp(clock(), UTC))) == []


async def test_charges_are_summed_by_name(storage: Storage, clock: Clock) -> None:
    """Largest charge first; tokens of all kinds count."""
    await storage.ledger.grant(USER, 10**6)
    await spend(storage, 10, user="alice", token="a", model="x", channel="main")
    clock.advance(100)
    middle = clock()
    await spend(storage, 20, user="bob", token="b", model="x", channel="backup")
    await spend(storage, 30, user="alice", token="c", model="y", channel="main")

    def total(name: str, requests: int, charged: int) -> UsageSum:
        return UsageSum(
            name=name, requests=requests, input_tokens=21 * requests, output_tokens=10 * requests, charged=charged
        )

    assert list(await storage.usage_log.sums("user")) == [total("alice", 2, 40), total("bob", 1, 20)]
    assert list(await storage.usage_log.sums("token")) == [total("c", 1, 30), total("b", 1, 20), total("a", 1, 10)]
    assert list(await storage.usage_log.sums("model")) == [total("x", 2, 30), total("y", 1, 30)]
    assert list(await storage.usage_log.sums("channel")) == [total("main", 2, 40), total("backup", 1, 20)]
    since = datetime.fromtimestamp(middle, UTC)
    assert list(await storage.usage_log.sums("user", since)) == [total("alice", 1, 30), total("bob", 1, 20)]


async def test_an_empty_log_sums_to_nothing(storage: Storage) -> None:
    """No charge, no row."""
    assert list(await storage.usage_log.sums("user")) == []
    assert list(await storage.usage_log.recent()) == []


async def test_memory_forgets_old_charges_and_no_balance() -> None:
    """The log is a ring; a key that fell out of it counts as never reserved."""
    storage = MemoryStorage(charges=3)
    await storage.ledger.grant(USER, 10**6)
    charges = [await spend(storage, 10, request_id=f"r{number % 4}") for number in range(8)]
    assert list(await storage.usage_log.recent()) == charges[:4:-1]
    assert await storage.usage_log.find("r0") is None
    assert await storage.usage_log.find("r1") == charges[5]
    assert (await storage.ledger.balance(USER)).spent == 80
    assert await storage.ledger.settle(charges[7].reservation, settlement(99)) == charges[7]
