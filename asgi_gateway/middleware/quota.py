"""Sets quota aside before the upstream sees anything, and settles by the real usage afterwards.

Outside retry: one call is charged once, whatever the attempts. Inside the mapping: the price is the real model's.
Needs `caller`, `body`, `model`; uses `usage`, `outcome`, `reached_upstream`, `route`, `attempts` once the inside
returned; writes `reservation`, `settlement`.

The reservation is durable before the inside is called. The settlement is queued in the order of the calls and done by
the ledger whatever happens to this request, also when it is cancelled.

Charged are the balances of the user and of the token, and what their budgets and that of the user's group leave in the
day, week and month of now. For a caller whose group is "auto" it is set aside at the highest ratio of the groups that
may come to serve it, and settled at the ratio of the one that did.

An answer whose caller set no limit may pass what is set aside: then more is, while it comes (`growth.py`).
"""

import logging
import time
from collections.abc import Callable
from datetime import UTC, tzinfo
from decimal import Decimal
from time import perf_counter
from typing import ClassVar, Literal

from asgi_gateway.dialects.contract import Operation
from asgi_gateway.directory import Catalogue, PricedCatalogueHolder
from asgi_gateway.errors import (
    CallerLeft,
    EmptyUpstream,
    GatewayError,
    InsufficientQuota,
    ServiceUnavailable,
    UnpricedModel,
)
from asgi_gateway.exchange import SCOPE_KEY, Caller, Exchange
from asgi_gateway.middleware.candidates import candidate_groups
from asgi_gateway.middleware.entry import enter
from asgi_gateway.middleware.growth import GrowingAnswer
from asgi_gateway.policies.billing import prompt_tokens, settle_usage
from asgi_gateway.policies.budgets import Calendar, accounts_of, end_of
from asgi_gateway.policies.groups import ratio_of
from asgi_gateway.policies.pricing import Tariff
from asgi_gateway.storage.ids import ledger_key, new_id
from asgi_gateway.storage.protocols import Ledger
from asgi_gateway.storage.records import Outcome, Price, Reservation, Settlement
from asgi_gateway.types import ASGIApp, Receive, Scope, Send

__all__ = ["QuotaMiddleware"]

logger = logging.getLogger("asgi_gateway")

FAILED = (Outcome.UPSTREAM_FAILED, Outcome.EMPTY)

FREE = Price(input=Decimal(0), output=Decimal(0), version="free")


class QuotaMiddleware:
    """Reserve, settle, release.

    `unpriced` says what becomes of a model without a price: "refuse" it, or serve it "free" (self-use).
    `default_output` is how many output tokens are set aside where the caller set no limit.
    `zone` is the time zone in which days, weeks and months of budgets begin; `wall` tells the time, in seconds since
    the epoch.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"caller", "body", "model"})
    uses_after: ClassVar[frozenset[str]] = frozenset({"usage", "outcome"})
    writes: ClassVar[frozenset[str]] = frozenset({"reservation", "settlement"})

    def __init__(
        self,
        app: ASGIApp,
        *,
        ledger: Ledger,
        directory: PricedCatalogueHolder,
        unpriced: Literal["refuse", "free"] = "refuse",
        default_output: int = 4096,
        zone: tzinfo = UTC,
        wall: Callable[[], float] = time.time,
    ) -> None:
        if unpriced not in ("refuse", "free"):
            raise ValueError(f"unpriced is 'refuse' or 'free', not {unpriced!r}")
        self.app = app
        self.ledger = ledger
        self.directory = directory
        self.unpriced = unpriced
        self.default_output = default_output
        self.calendar = Calendar(zone)
        self.wall = wall
        self._free = Tariff(FREE, Decimal(1))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange: Exchange | None = scope.get(SCOPE_KEY)
        if exchange is None:
            await enter(self, self.app, scope, receive, send)
            return
        catalogue = self.directory.catalogue
        tariff = await self._tariff(exchange, catalogue)
        prompt_bytes = await _prompt_bytes(exchange)
        reservation = await self._reserve(exchange, catalogue, tariff, prompt_bytes)
        exchange.reservation = reservation
        growing = None
        if reservation.amount and _is_open_ended(exchange):
            prompt = prompt_tokens(prompt_bytes)
            growing = GrowingAnswer(
                send, exchange, ledger=self.ledger, tariff=tariff, reservation=reservation, prompt=prompt
            )
        failure: BaseException | None = None
        try:
            await self.app(scope, receive, send if growing is None else growing)
        except InsufficientQuota as error:  # of an answer that began
            failure = self._explained(error)
            raise failure from None
        except BaseException as error:  # every ending is settled, and goes on
            failure = error
            raise
        finally:
            used = _used_tariff(exchange, catalogue, tariff)
            exchange.settlement = _settlement(exchange, used, prompt_bytes, failure)
            self._settle(reservation if growing is None else growing.reservation, exchange.settlement)

    def _settle(self, reservation: Reservation, settlement: Settlement) -> None:
        try:
            self.ledger.settle(reservation, settlement)
        except ServiceUnavailable as reason:
            # The storage was closed before the exchange was over. The caller has its answer or its error already;
            # the reservation is closed by recovery.
            logger.error("the settlement of %s was not taken: %s", reservation.request_id, reason)

    async def _tariff(self, exchange: Exchange, catalogue: Catalogue) -> Tariff:
        """The price of the model, at the highest ratio that may come to be charged."""
        caller, model = exchange.caller, exchange.model
        assert model is not None and caller is not None  # `compose` checked that somebody writes them
        if exchange.operation is Operation.TOKEN_COUNT:
            return self._free
        if caller.groups:
            ratio = _highest_ratio(exchange, caller, catalogue)
        else:
            ratio = ratio_of(catalogue.groups, caller.group, caller.home)
        tariff = self.directory.priced(model.resolved, ratio) or await self.directory.tariff(model.resolved, ratio)
        if tariff is not None:
            return tariff
        if self.unpriced == "refuse":
            raise UnpricedModel(f"The model `{model.asked}` has no price here.", param="model")
        return self._free

    async def _reserve(
        self, exchange: Exchange, catalogue: Catalogue, tariff: Tariff, prompt_bytes: int
    ) -> Reservation:
        caller, outline, model = exchange.caller, exchange.outline, exchange.model
        assert caller is not None and model is not None
        amount, prompt_amount = tariff.estimate(
            prompt_bytes=prompt_bytes,
            max_output=outline.max_output if outline is not None else None,
            default_output=self.default_output if exchange.operation.has_output else 0,
            choices=outline.choices if outline is not None else 1,
            service_tier=outline.service_tier if outline is not None else "",
        )
        token, now = caller.token, self.wall()
        accounts, budgets = accounts_of(caller.user, token, catalogue.group(caller.home), self.calendar, now)
        reservation = Reservation(
            key=_ledger_key(exchange),
            amount=amount,
            prompt_amount=prompt_amount,
            accounts=accounts,
            request_id=exchange.request_id,
            client_id=exchange.client_id,
            user=caller.user.name,
            token=token.name if token is not None else "",
            group=caller.group,
            model=model.resolved,
            operation=exchange.operation,
            price_version=tariff.price.version,
            created=now,
        )
        try:
            await self.ledger.reserve(reservation, budgets)
        except InsufficientQuota as error:
            raise self._explained(error) from None
        return reservation

    def _explained(self, error: InsufficientQuota) -> InsufficientQuota:
        """The error of a budget, with the time when it starts anew."""
        if not error.period:
            return error
        anew = end_of(error.period, self.calendar.zone).isoformat()
        return InsufficientQuota(f"{error.message} It starts anew at {anew}.", period=error.period)


def _is_open_ended(exchange: Exchange) -> bool:
    """Whether the answer may be longer than what is set aside for it, and comes in pieces."""
    outline = exchange.outline
    if outline is None:
        return exchange.body is None
    return outline.stream and outline.max_output is None


def _highest_ratio(exchange: Exchange, caller: Caller, catalogue: Catalogue) -> Decimal:
    """Of the groups that have a channel for the model; where none has one, of all that the caller may use for it."""
    assert exchange.model is not None
    model, groups = exchange.model.resolved, candidate_groups(exchange, catalogue)
    served = [group for group in groups if catalogue.channels.serves(group, model)]
    return max(ratio_of(catalogue.groups, group, caller.home) for group in served or groups or caller.groups)


def _used_tariff(exchange: Exchange, catalogue: Catalogue, tariff: Tariff) -> Tariff:
    """The same price at the ratio of the group that was used."""
    caller, route = exchange.caller, exchange.route
    if caller is None or not caller.groups or route is None or not route.group or tariff.price is FREE:
        return tariff
    ratio = ratio_of(catalogue.groups, route.group, caller.home)
    return tariff if ratio == tariff.ratio else Tariff(tariff.price, ratio)


def _ledger_key(exchange: Exchange) -> str:
    """Unique: a request id is made inside, never taken from a caller, and a second reservation gets another key."""
    if not exchange.request_id:  # no telemetry outside
        return new_id()
    return ledger_key(exchange.request_id, again=exchange.reservation is not None)


async def _prompt_bytes(exchange: Exchange) -> int:
    if exchange.body is None:
        return 0
    return exchange.dialect.prompt_bytes(await exchange.body.bytes())


def _settlement(exchange: Exchange, tariff: Tariff, prompt_bytes: int, failure: BaseException | None) -> Settlement:
    outcome = exchange.outcome or Outcome.REFUSED  # without an outcome nothing was sent upstream
    served = exchange.reached_upstream and outcome not in FAILED
    if isinstance(failure, CallerLeft):
        outcome = Outcome.CALLER_LEFT  # also one who left while we waited for the next attempt, after one that failed
    elif isinstance(failure, InsufficientQuota) and outcome is Outcome.TRUNCATED:
        outcome = Outcome.EXHAUSTED
    elif outcome is Outcome.EMPTY and any(attempt.error != EmptyUpstream.code for attempt in exchange.attempts):
        outcome = Outcome.UPSTREAM_FAILED
    usage = settle_usage(
        outcome,
        exchange.usage,
        prompt_bytes=prompt_bytes,
        output_estimate=exchange.output_estimate,
        reached_upstream=served,
    )
    route = exchange.route
    error = ""
    if isinstance(failure, GatewayError):
        error = failure.code or failure.type
    elif failure is not None:
        error = type(failure).__name__
    return Settlement(
        charge=tariff.cost(usage),
        outcome=outcome,
        usage=usage,
        channel=route.channel.name if route is not None else "",
        upstream_model=route.upstream_model if route is not None else "",
        status=exchange.status or (failure.status if isinstance(failure, GatewayError) else 0),
        attempts=len(exchange.attempts),
        duration=perf_counter() - exchange.started,
        first_byte=exchange.first_byte,
        stream=exchange.outline is not None and exchange.outline.stream,
        error=error,
        ratio=str(tariff.ratio),
        group=route.group if route is not None else "",
    )
