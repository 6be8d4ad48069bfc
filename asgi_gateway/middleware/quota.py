"""Sets quota aside before the upstream sees anything, and settles by the real usage afterwards.

Outside retry: one call is charged once, whatever the attempts. Inside the mapping: the price is the real model's.
Needs `caller`, `body`, `model`; uses `usage`, `outcome`, `reached_upstream`, `route`, `attempts` once the inside
returned; writes `reservation`, `settlement`.

The reservation is durable before the inside is called. The settlement is queued in the order of the calls and done by
the ledger whatever happens to this request, also when it is cancelled.
"""

import logging
import time
from decimal import Decimal
from time import perf_counter
from typing import ClassVar, Literal

from asgi_gateway.dialects.contract import Operation
from asgi_gateway.directory import PricedCatalogueHolder
from asgi_gateway.errors import CallerLeft, GatewayError, ServiceUnavailable, UnpricedModel
from asgi_gateway.exchange import SCOPE_KEY, Exchange
from asgi_gateway.middleware.entry import enter
from asgi_gateway.policies.pricing import Tariff, settle_usage
from asgi_gateway.storage.ids import ledger_key, new_id
from asgi_gateway.storage.protocols import Ledger
from asgi_gateway.storage.records import Account, Outcome, Price, Reservation, Settlement
from asgi_gateway.types import ASGIApp, Receive, Scope, Send

__all__ = ["QuotaMiddleware"]

logger = logging.getLogger("asgi_gateway")

FREE = Price(input=Decimal(0), output=Decimal(0), version="free")


class QuotaMiddleware:
    """Reserve, settle, release.

    `unpriced` says what becomes of a model without a price: "refuse" it, or serve it "free" (self-use).
    `default_output` is how many output tokens are set aside where the caller set no limit.
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
    ) -> None:
        if unpriced not in ("refuse", "free"):
            raise ValueError(f"unpriced is 'refuse' or 'free', not {unpriced!r}")
        self.app = app
        self.ledger = ledger
        self.directory = directory
        self.unpriced = unpriced
        self.default_output = default_output
        self._free = Tariff(FREE, Decimal(1))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange: Exchange | None = scope.get(SCOPE_KEY)
        if exchange is None:
            await enter(self, self.app, scope, receive, send)
            return
        tariff = await self._tariff(exchange)
        prompt_bytes = await _prompt_bytes(exchange)
        reservation = self._reservation(exchange, tariff, prompt_bytes)
        await self.ledger.reserve(reservation)
        exchange.reservation = reservation
        failure: BaseException | None = None
        try:
            await self.app(scope, receive, send)
        except BaseException as error:  # every ending is settled, and goes on
            failure = error
            raise
        finally:
            exchange.settlement = _settlement(exchange, tariff, prompt_bytes, failure)
            self._settle(reservation, exchange.settlement)

    def _settle(self, reservation: Reservation, settlement: Settlement) -> None:
        try:
            self.ledger.settle(reservation, settlement)
        except ServiceUnavailable as reason:
            # The storage was closed before the exchange was over. The caller has its answer or its error already;
            # the reservation is closed by recovery.
            logger.error("the settlement of %s was not taken: %s", reservation.request_id, reason)

    async def _tariff(self, exchange: Exchange) -> Tariff:
        assert exchange.model is not None and exchange.caller is not None  # `compose` checked that somebody writes them
        if exchange.operation is Operation.TOKEN_COUNT:
            return self._free
        model, ratio = exchange.model.resolved, self.directory.catalogue.ratio(exchange.caller.group)
        tariff = self.directory.priced(model, ratio) or await self.directory.tariff(model, ratio)
        if tariff is not None:
            return tariff
        if self.unpriced == "refuse":
            raise UnpricedModel(f"The model `{exchange.model.asked}` has no price here.", param="model")
        return self._free

    def _reservation(self, exchange: Exchange, tariff: Tariff, prompt_bytes: int) -> Reservation:
        caller, outline, model = exchange.caller, exchange.outline, exchange.model
        assert caller is not None and model is not None
        amount, prompt_amount = tariff.estimate(
            prompt_bytes=prompt_bytes,
            max_output=outline.max_output if outline is not None else None,
            default_output=self.default_output if exchange.operation.has_output else 0,
            choices=outline.choices if outline is not None else 1,
        )
        user = Account("user", caller.user.id)
        token = caller.token
        return Reservation(
            key=_ledger_key(exchange),
            amount=amount,
            prompt_amount=prompt_amount,
            accounts=(user,) if token is None else (user, Account("token", token.id)),
            request_id=exchange.request_id,
            client_id=exchange.client_id,
            user=caller.user.name,
            token=token.name if token is not None else "",
            group=caller.group,
            model=model.resolved,
            operation=exchange.operation,
            price_version=tariff.price.version,
            created=time.time(),
        )


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
    served = exchange.reached_upstream and outcome is not Outcome.UPSTREAM_FAILED
    if isinstance(failure, CallerLeft):
        outcome = Outcome.CALLER_LEFT  # also one who left while we waited for the next attempt, after one that failed
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
    )
