"""The ledger: exact balances whatever comes at once, and one charge per key."""

import asyncio
import logging

import pytest

from asgi_gateway.errors import InsufficientQuota
from asgi_gateway.storage.protocols import Storage
from asgi_gateway.storage.records import Account, Balance, Charge, Outcome, Reservation
from support.ledger_records import TOKEN, USER, Clock, reservation, settlement


async def fund(storage: Storage, units: int = 1000) -> None:
    """Grant both accounts the same."""
    await storage.ledger.grant(USER, units)
    await storage.ledger.grant(TOKEN, units)


def sums(balance: Balance) -> tuple[int, int, int, int]:
    """Granted, spent, reserved, available."""
    return balance.granted, balance.spent, balance.reserved, balance.available


async def test_a_reservation_sets_its_amount_aside_on_every_account(storage: Storage) -> None:
    """What is reserved is not available, and not spent."""
    await fund(storage)
    await storage.ledger.reserve(reservation(300))
    for account in (USER, TOKEN):
        assert sums(await storage.ledger.balance(account)) == (1000, 0, 300, 700)
    assert await storage.ledger.open_reservations() == 1


async def test_a_settlement_takes_the_charge_and_gives_the_rest_back(storage: Storage, clock: Clock) -> None:
    """The charge is stored with everything that the reservation and the settlement told."""
    await fund(storage)
    reserved, settled = reservation(300), settlement(120)
    await storage.ledger.reserve(reserved)
    clock.advance(2.5)
    charge = await storage.ledger.settle(reserved, settled)
    assert charge == Charge(reservation=reserved, settlement=settled, charged=120, shortfall=0, time=clock())
    assert sums(await storage.ledger.balance(USER)) == (1000, 120, 0, 880)
    assert sums(await storage.ledger.balance(TOKEN)) == (1000, 120, 0, 880)
    assert await storage.ledger.open_reservations() == 0
    assert await storage.usage_log.find(reserved.request_id) == charge


async def test_a_release_is_a_settlement_without_a_charge(storage: Storage) -> None:
    """All that was reserved comes back, and the record says why."""
    await fund(storage)
    reserved = reservation(300)
    await storage.ledger.reserve(reserved)
    charge = await storage.ledger.settle(reserved, settlement(0, outcome=Outcome.REFUSED))
    assert (charge.charged, charge.settlement.outcome) == (0, Outcome.REFUSED)
    assert sums(await storage.ledger.balance(USER)) == (1000, 0, 0, 1000)


async def test_an_uncovered_reservation_is_refused_and_counts_nothing(storage: Storage) -> None:
    """If one account lacks the amount, none is touched, whichever comes first."""
    await storage.ledger.grant(USER, 1000)
    await storage.ledger.grant(TOKEN, 50)
    for accounts in ((USER, TOKEN), (TOKEN, USER)):
        with pytest.raises(InsufficientQuota, match="The token's quota does not cover this request: 51 units needed"):
            await storage.ledger.reserve(reservation(51, accounts=accounts))
    assert sums(await storage.ledger.balance(USER)) == (1000, 0, 0, 1000)
    assert sums(await storage.ledger.balance(TOKEN)) == (50, 0, 0, 50)
    assert await storage.ledger.open_reservations() == 0
    await storage.ledger.reserve(reservation(50))


async def test_a_refused_key_may_be_tried_again(storage: Storage) -> None:
    """A refusal leaves no trace of the key."""
    wanted = reservation(100)
    with pytest.raises(InsufficientQuota):
        await storage.ledger.reserve(wanted)
    await fund(storage)
    await storage.ledger.reserve(wanted)
    assert await storage.ledger.open_reservations() == 1


async def test_an_unknown_account_has_nothing(storage: Storage) -> None:
    """It reads as zero, covers nothing, and lets pass what costs nothing."""
    stranger = Account("user", 77)
    assert sums(await storage.ledger.balance(stranger)) == (0, 0, 0, 0)
    with pytest.raises(InsufficientQuota):
        await storage.ledger.reserve(reservation(1, accounts=(stranger,)))
    free = reservation(0, accounts=(stranger,))
    await storage.ledger.reserve(free)
    assert (await storage.ledger.settle(free, settlement(0))).charged == 0


async def test_a_known_key_is_not_reserved_again(storage: Storage) -> None:
    """Neither while it is open nor when it is settled."""
    await fund(storage)
    reserved = reservation(100)
    await storage.ledger.reserve(reserved)
    with pytest.raises(ValueError, match="already known"):
        await storage.ledger.reserve(reserved)
    await storage.ledger.settle(reserved, settlement())
    with pytest.raises(ValueError, match="already known"):
        await storage.ledger.reserve(reserved)
    assert sums(await storage.ledger.balance(USER)) == (1000, 60, 0, 940)


async def test_settling_twice_changes_nothing(storage: Storage) -> None:
    """The second settlement gets the first one's charge, whatever it asked for."""
    await fund(storage)
    reserved = reservation(100)
    await storage.ledger.reserve(reserved)
    first = await storage.ledger.settle(reserved, settlement(60))
    again = await storage.ledger.settle(reserved, settlement(90, outcome=Outcome.TRUNCATED))
    assert again == first
    assert sums(await storage.ledger.balance(USER)) == (1000, 60, 0, 940)


async def test_settling_twice_at_once_charges_once(storage: Storage) -> None:
    """The same in one batch."""
    await fund(storage)
    reserved = reservation(100)
    await storage.ledger.reserve(reserved)
    charges = await asyncio.gather(*[storage.ledger.settle(reserved, settlement(n)) for n in range(60, 70)])
    assert charges == [charges[0]] * 10
    assert charges[0].charged == 60
    assert len(await storage.usage_log.recent()) == 1


async def test_settling_what_was_never_reserved_fails(storage: Storage, caplog: pytest.LogCaptureFixture) -> None:
    """The future carries a `KeyError`; the log has a line, and asyncio none of its own if nobody asks."""
    with caplog.at_level(logging.ERROR, logger="asgi_gateway.backends"):
        storage.ledger.settle(reservation(key="nobody"), settlement())
        with pytest.raises(KeyError, match="never"):
            await storage.ledger.settle(reservation(key="never"), settlement())
        await storage.ledger.drain()
    assert [line.split(":")[0] for line in caplog.messages] == [
        "settlement of nobody failed",
        "settlement of never failed",
    ]
    assert await storage.usage_log.recent() == []


async def test_settlements_need_not_be_awaited(storage: Storage) -> None:
    """What was queued is done when `drain` returns."""
    await fund(storage, 10_000)
    reserved = [reservation(100) for _ in range(20)]
    await asyncio.gather(*map(storage.ledger.reserve, reserved))
    for one in reserved:
        storage.ledger.settle(one, settlement(10))
    await storage.ledger.drain()
    assert sums(await storage.ledger.balance(USER)) == (10_000, 200, 0, 9_800)


async def test_a_charge_above_the_reservation_takes_what_is_available(storage: Storage) -> None:
    """What no limited account has is the shortfall; nobody's balance falls below zero."""
    await storage.ledger.grant(USER, 1000)
    await storage.ledger.grant(TOKEN, 250)
    reserved = reservation(100)
    await storage.ledger.reserve(reserved)
    charge = await storage.ledger.settle(reserved, settlement(400))
    assert (charge.charged, charge.shortfall) == (250, 150)
    assert sums(await storage.ledger.balance(USER)) == (1000, 250, 0, 750)
    assert sums(await storage.ledger.balance(TOKEN)) == (250, 250, 0, 0)


async def test_the_reservations_of_others_are_not_taken_for_a_shortfall(storage: Storage) -> None:
    """A charge reaches for what is available, never for what others set aside."""
    await fund(storage, 300)
    mine, other = reservation(100), reservation(150)
    await storage.ledger.reserve(mine)
    await storage.ledger.reserve(other)
    charge = await storage.ledger.settle(mine, settlement(1000))
    assert (charge.charged, charge.shortfall) == (150, 850)
    assert sums(await storage.ledger.balance(USER)) == (300, 150, 150, 0)


async def test_unlimited_accounts_are_counted_and_never_refused(storage: Storage) -> None:
    """Their balance goes below zero; a limited account beside them still limits."""
    await storage.ledger.declare(USER, 0, unlimited=True)
    alone = reservation(500, accounts=(USER,))
    await storage.ledger.reserve(alone)
    assert (await storage.ledger.settle(alone, settlement(700))).charged == 700
    assert (await storage.ledger.balance(USER)).unlimited
    assert sums(await storage.ledger.balance(USER)) == (0, 700, 0, -700)
    await storage.ledger.grant(TOKEN, 10)
    with pytest.raises(InsufficientQuota):
        await storage.ledger.reserve(reservation(11))
    both = reservation(10)
    await storage.ledger.reserve(both)
    assert (await storage.ledger.settle(both, settlement(12))).charged == 10


async def test_a_reservation_grows(storage: Storage) -> None:
    """The larger amount is what settlement gives back; a refused growth changes nothing."""
    await fund(storage)
    reserved = reservation(100)
    await storage.ledger.reserve(reserved)
    extended = await storage.ledger.extend(reserved, 200)
    assert (extended.amount, extended.key) == (300, reserved.key)
    with pytest.raises(InsufficientQuota):
        await storage.ledger.extend(extended, 701)
    assert sums(await storage.ledger.balance(USER)) == (1000, 0, 300, 700)
    assert (await storage.ledger.extend(reserved, 50)).amount == 350
    charge = await storage.ledger.settle(reserved, settlement(320))
    assert (charge.charged, charge.reservation.amount) == (320, 350)
    assert sums(await storage.ledger.balance(USER)) == (1000, 320, 0, 680)


async def test_only_open_reservations_grow(storage: Storage) -> None:
    """Unknown and settled keys raise `KeyError`."""
    await fund(storage)
    reserved = reservation(100)
    with pytest.raises(KeyError):
        await storage.ledger.extend(reserved, 1)
    await storage.ledger.reserve(reserved)
    await storage.ledger.settle(reserved, settlement())
    with pytest.raises(KeyError):
        await storage.ledger.extend(reserved, 1)


async def test_reserve_extend_and_settle_in_one_go(storage: Storage) -> None:
    """Verbs that are queued together are applied in their order."""
    await fund(storage)
    reserved = reservation(100)
    made = asyncio.ensure_future(storage.ledger.reserve(reserved))
    grown = asyncio.ensure_future(storage.ledger.extend(reserved, 50))
    late = asyncio.ensure_future(_settled(storage, reserved))
    await asyncio.gather(made, grown, late)
    assert late.result().reservation.amount == 150
    assert sums(await storage.ledger.balance(USER)) == (1000, 60, 0, 940)


async def _settled(storage: Storage, reserved: Reservation) -> Charge:
    return await storage.ledger.settle(reserved, settlement(60))


@pytest.mark.parametrize(
    ("amount", "prompt"),
    [(-1, 0), (-1, -1), (10, 11), (10, -1)],
)
async def test_amounts_that_would_make_credit_are_errors(storage: Storage, amount: int, prompt: int) -> None:
    """Nothing is reserved below zero, and no prompt costs more than the whole."""
    await fund(storage)
    with pytest.raises(ValueError, match="does not hold"):
        await storage.ledger.reserve(reservation(amount, prompt_amount=prompt))
    reserved = reservation(10)
    await storage.ledger.reserve(reserved)
    with pytest.raises(ValueError, match="not extended by -1"):
        await storage.ledger.extend(reserved, -1)
    with pytest.raises(ValueError, match="never negative"):
        storage.ledger.settle(reserved, settlement(-1))
    assert sums(await storage.ledger.balance(USER)) == (1000, 0, 10, 990)


async def test_two_hundred_at_once_never_spend_more_than_there_is(storage: Storage) -> None:
    """Exactly as many get through as the smaller balance covers, and all is accounted for."""
    await storage.ledger.grant(USER, 1700)
    await storage.ledger.grant(TOKEN, 1050)
    wanted = [reservation(100) for _ in range(200)]
    results = await asyncio.gather(*map(storage.ledger.reserve, wanted), return_exceptions=True)
    won = [one for one, result in zip(wanted, results, strict=True) if result is None]
    assert len(won) == 10
    assert sum(isinstance(result, InsufficientQuota) for result in results) == 190
    assert sums(await storage.ledger.balance(TOKEN)) == (1050, 0, 1000, 50)
    charges = await asyncio.gather(*[storage.ledger.settle(one, settlement(130)) for one in won])
    assert sum(charge.charged for charge in charges) == 1050
    assert sums(await storage.ledger.balance(TOKEN)) == (1050, 1050, 0, 0)
    assert sums(await storage.ledger.balance(USER)) == (1700, 1050, 0, 650)


async def test_reserving_and_settling_in_turn_stays_exact(storage: Storage) -> None:
    """Callers that come and go at once, each with several accounts, add up."""
    accounts = [Account("user", number) for number in range(1, 6)]
    for account in accounts:
        await storage.ledger.grant(account, 10_000)

    async def call(number: int) -> int:
        mine = (accounts[number % 5], accounts[(number + 1) % 5])
        reserved = reservation(50 + number, accounts=mine)
        await storage.ledger.reserve(reserved)
        return (await storage.ledger.settle(reserved, settlement(number))).charged

    charged = await asyncio.gather(*map(call, range(150)))
    assert list(charged) == list(range(150))
    balances = [await storage.ledger.balance(account) for account in accounts]
    assert sum(balance.spent for balance in balances) == 2 * sum(range(150))
    assert [balance.reserved for balance in balances] == [0] * 5


async def test_grants_add_and_withdraw(storage: Storage) -> None:
    """More may be withdrawn than is left: then nothing is available, and a charge becomes a shortfall."""
    assert sums(await storage.ledger.grant(USER, 500)) == (500, 0, 0, 500)
    reserved = reservation(200, accounts=(USER,))
    await storage.ledger.reserve(reserved)
    assert sums(await storage.ledger.grant(USER, -400)) == (100, 0, 200, -100)
    with pytest.raises(InsufficientQuota):
        await storage.ledger.reserve(reservation(1, accounts=(USER,)))
    charge = await storage.ledger.settle(reserved, settlement(150))
    assert (charge.charged, charge.shortfall) == (100, 50)
    assert sums(await storage.ledger.balance(USER)) == (100, 100, 0, 0)


async def test_a_declaration_grants_the_difference_once(storage: Storage) -> None:
    """Declaring the same again refills nothing; what run time granted stays when the file changes."""
    assert sums(await storage.ledger.declare(USER, 500)) == (500, 0, 0, 500)
    reserved = reservation(200, accounts=(USER,))
    await storage.ledger.reserve(reserved)
    await storage.ledger.settle(reserved, settlement(200))
    assert sums(await storage.ledger.declare(USER, 500)) == (500, 200, 0, 300)
    assert sums(await storage.ledger.grant(USER, 50)) == (550, 200, 0, 350)
    assert sums(await storage.ledger.declare(USER, 500)) == (550, 200, 0, 350)
    assert sums(await storage.ledger.declare(USER, 600)) == (650, 200, 0, 450)
    assert sums(await storage.ledger.declare(USER, 100)) == (150, 200, 0, -50)


async def test_a_first_declaration_replaces_what_was_granted_before(storage: Storage) -> None:
    """An account that the file describes from now on has what the file says; spent stays."""
    await storage.ledger.grant(USER, 900)
    reserved = reservation(200, accounts=(USER,))
    await storage.ledger.reserve(reserved)
    await storage.ledger.settle(reserved, settlement(200))
    assert sums(await storage.ledger.declare(USER, 500, unlimited=True)) == (500, 200, 0, 300)
    assert (await storage.ledger.balance(USER)).unlimited
    assert not (await storage.ledger.declare(USER, 500)).unlimited


async def test_an_own_reservation_is_never_recovered(storage: Storage, clock: Clock) -> None:
    """Whatever its age: the process that holds it is alive."""
    await fund(storage)
    await storage.ledger.reserve(reservation(100))
    clock.advance(3600)
    assert list(await storage.ledger.recover()) == []
    await storage.ledger.renew()
    assert await storage.ledger.open_reservations() == 1
