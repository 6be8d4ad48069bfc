"""Records of the ledger as rows, in the order of the columns in `schema`, and back.

The hot path writes tuples: a mapping per row would cost as much as the insert.
"""

from collections.abc import Sequence
from typing import Any, Literal, cast
from urllib.parse import quote, unquote

from msgspec import Struct, json, msgpack

from asgi_gateway.storage.records import Account, Charge, Outcome, Reservation, Settlement, Usage

__all__ = ["account_name", "charge_of", "charge_row", "reservation_of", "reservation_row"]

Row = Sequence[Any]

SETTLED_FROM = 13
"""Where a charge's row goes on from its reservation's part."""


def account_name(account: Account) -> str:
    """An account as it is named in tables: "user:1", "token:7/2026-11-25", "group:vip/2026-11"."""
    if account.period:
        return f"{account.kind}:{quote(str(account.id), safe='')}/{account.period}"
    return f"{account.kind}:{account.id}"


def _accounts_of(text: str) -> tuple[Account, ...]:
    accounts = []
    for name in text.split():
        kind, _, rest = name.partition(":")
        id, _, period = rest.partition("/")
        whose = unquote(id) if kind == "group" else int(id)
        accounts.append(Account(cast('Literal["user", "token", "group"]', kind), whose, period))
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
        settlement.group,
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
        _other_usage(usage),
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
        group,
        *counts,
        other,
        estimated,
        inconsistent,
        charged,
        shortfall,
        time,
    ) = row[SETTLED_FROM:]
    settlement = Settlement(
        charge=cost,
        outcome=Outcome(outcome),
        usage=_usage_of(counts, other, estimated=bool(estimated), inconsistent=bool(inconsistent)),
        channel=channel,
        upstream_model=upstream_model,
        status=status,
        attempts=attempts,
        duration=duration,
        first_byte=first_byte,
        stream=bool(stream),
        error=error,
        ratio=ratio,
        group=group,
    )
    return Charge(
        reservation=_reservation_of(row), settlement=settlement, charged=charged, shortfall=shortfall, time=time
    )


class _Other(Struct, omit_defaults=True):
    """What a usage counts beside tokens."""

    tools: tuple[tuple[str, int], ...] = ()
    images: tuple[tuple[str, int], ...] = ()
    milliseconds: int = 0
    characters: int = 0
    service_tier: str = ""


_NOTHING = _Other()
_decode_other = json.Decoder(_Other).decode


def _other_usage(usage: Usage) -> str:
    if usage.tools or usage.images or usage.milliseconds or usage.characters or usage.service_tier:
        other = _Other(usage.tools, usage.images, usage.milliseconds, usage.characters, usage.service_tier)
        return json.encode(other).decode()
    return ""


def _usage_of(counts: Sequence[int], text: str, *, estimated: bool, inconsistent: bool) -> Usage:
    other = _decode_other(text) if text else _NOTHING
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
        tools=other.tools,
        images=other.images,
        milliseconds=other.milliseconds,
        characters=other.characters,
        service_tier=other.service_tier,
        estimated=estimated,
        inconsistent=inconsistent,
    )
