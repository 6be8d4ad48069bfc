"""Records of the ledger as rows, in the order of the columns in `schema`, and back.

The hot path writes tuples: a mapping per row would cost as much as the insert.
"""

from collections.abc import Sequence
from typing import Any, Literal, cast

from msgspec import msgpack

from asgi_gateway.storage.records import Account, Charge, Outcome, Reservation, Settlement, Usage

__all__ = ["account_name", "charge_of", "charge_row", "reservation_of", "reservation_row"]

Row = Sequence[Any]

SETTLED_FROM = 13
"""Where a charge's row goes on from its reservation's part."""


def account_name(account: Account) -> str:
    """An account as it is named in tables: "user:1"."""
    return f"{account.kind}:{account.id}"


def _accounts_of(text: str) -> tuple[Account, ...]:
    accounts = []
    for name in text.split():
        kind, _, id = name.partition(":")
        accounts.append(Account(cast('Literal["user", "token"]', kind), int(id)))
    return tuple(accounts)


def reservation_row(reservation: Reservation, accounts: str, lease: str) -> tuple[object, ...]:
    """A row of `gateway_reservations`. `accounts` are its accounts' names with blanks between them."""
    content = msgpack.encode(
        (
            reservation.prompt_amount,
            reservation.request_id,
            reservation.client_id,
            reservation.user,
            reservation.token,
            reservation.group,
            reservation.model,
            reservation.operation,
            reservation.price_version,
        )
    )
    return reservation.key, lease, reservation.amount, accounts, reservation.created, content


def reservation_of(row: Row) -> Reservation:
    """The reservation in a row of `gateway_reservations`."""
    key, _, amount, accounts, created, content = row
    prompt_amount, *texts = msgpack.decode(content)
    return _reservation_of((key, amount, prompt_amount, accounts, *texts, created))


def _reservation_of(row: Row) -> Reservation:
    return Reservation(
        key=row[0],
        amount=row[1],
        prompt_amount=row[2],
        accounts=_accounts_of(row[3]),
        request_id=row[4],
        client_id=row[5],
        user=row[6],
        token=row[7],
        group=row[8],
        model=row[9],
        operation=row[10],
        price_version=row[11],
        created=row[12],
    )


def charge_row(charge: Charge, accounts: str) -> tuple[object, ...]:
    """A row of `gateway_charges`, without its number."""
    reservation, settlement = charge.reservation, charge.settlement
    usage = settlement.usage
    return (
        reservation.key,
        reservation.amount,
        reservation.prompt_amount,
        accounts,
        reservation.request_id,
        reservation.client_id,
        reservation.user,
        reservation.token,
        reservation.group,
        reservation.model,
        reservation.operation,
        reservation.price_version,
        reservation.created,
        settlement.charge,
        settlement.outcome.value,
        settlement.channel,
        settlement.upstream_model,
        settlement.status,
        settlement.attempts,
        settlement.duration,
        settlement.first_byte,
        settlement.stream,
        settlement.error,
        settlement.ratio,
        usage.input,
        usage.cache_read,
        usage.cache_write,
        usage.cache_write_1h,
        usage.audio_input,
        usage.image_input,
        usage.output,
        usage.reasoning,
        usage.audio_output,
        usage.image_output,
        usage.tool_calls,
        usage.estimated,
        usage.inconsistent,
        charge.charged,
        charge.shortfall,
        charge.time,
    )


def charge_of(row: Row) -> Charge:
    """The charge in a row of `gateway_charges`, without its number."""
    (
        cost,
        outcome,
        channel,
        upstream_model,
        status,
        attempts,
        duration,
        first_byte,
        stream,
        error,
        ratio,
        *counts,
        estimated,
        inconsistent,
        charged,
        shortfall,
        time,
    ) = row[SETTLED_FROM:]
    settlement = Settlement(
        charge=cost,
        outcome=Outcome(outcome),
        usage=_usage_of(counts, estimated=bool(estimated), inconsistent=bool(inconsistent)),
        channel=channel,
        upstream_model=upstream_model,
        status=status,
        attempts=attempts,
        duration=duration,
        first_byte=first_byte,
        stream=bool(stream),
        error=error,
        ratio=ratio,
    )
    return Charge(
        reservation=_reservation_of(row), settlement=settlement, charged=charged, shortfall=shortfall, time=time
    )


def _usage_of(counts: Sequence[int], *, estimated: bool, inconsistent: bool) -> Usage:
    return Usage(
        input=counts[0],
        cache_read=counts[1],
        cache_write=counts[2],
        cache_write_1h=counts[3],
        audio_input=counts[4],
        image_input=counts[5],
        output=counts[6],
        reasoning=counts[7],
        audio_output=counts[8],
        image_output=counts[9],
        tool_calls=counts[10],
        estimated=estimated,
        inconsistent=inconsistent,
    )
