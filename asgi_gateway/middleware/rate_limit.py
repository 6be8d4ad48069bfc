"""Limits requests, answered requests, tokens and open requests, by any number of rules.

Outside quota, so that nothing is reserved for what is refused. Needs `model` and, for rules per token, user or group,
`caller`; uses `usage`, `output_estimate`, `settlement`, `outcome` once the inside returned; writes nothing.

All rules of a request are decided at once: a refused request uses nothing up.
Tokens are taken by an estimate and corrected by what the exchange is charged for, or by the usage where nothing is
charged; an unanswered request gives `successes` back.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field

from msgspec import Struct

from asgi_gateway.config.settings import RateLimit
from asgi_gateway.errors import RateLimited, ServiceUnavailable
from asgi_gateway.exchange import SCOPE_KEY, Caller, Exchange
from asgi_gateway.middleware.answer import NotedAnswer
from asgi_gateway.middleware.entry import enter
from asgi_gateway.policies.pricing import settle_usage
from asgi_gateway.policies.windows import parse_rate
from asgi_gateway.storage.protocols import Admission, Hit, Refusal, Slot, Windows
from asgi_gateway.storage.records import Outcome
from asgi_gateway.types import ASGIApp, Receive, Scope, Send

__all__ = ["RateLimitMiddleware"]

logger = logging.getLogger("asgi_gateway")


KEPT = 10_000
"""Subjects of one rule whose keys are kept, so that they need not be made for each request."""


class _Counted(Struct, frozen=True):
    """What one subject of a rule takes with every request, and the keys of what is corrected, "" where nothing is."""

    hits: tuple[Hit, ...]
    slots: tuple[Slot, ...]
    successes: str
    tokens: str


@dataclass(frozen=True, slots=True)
class _Limit:
    """A rule, read once."""

    rule: RateLimit
    name: str
    requests: tuple[int, float] | None
    successes: tuple[int, float] | None
    tokens: tuple[int, float] | None
    kept: dict[object, _Counted] = field(default_factory=dict)


class RateLimitMiddleware:
    """Refuses what exceeds a rule, with `Retry-After`."""

    uses_after = frozenset({"usage"})
    writes: frozenset[str] = frozenset()

    def __init__(self, app: ASGIApp, *, windows: Windows, rules: Sequence[RateLimit] = ()) -> None:
        self.app = app
        self.windows = windows
        self._limits = tuple(_read(index, rule) for index, rule in enumerate(rules))
        by_caller = any(rule.groups or rule.per in ("token", "user", "group") for rule in rules)
        by_model = any(rule.models or rule.tokens or rule.per == "model" for rule in rules)
        self.needs = frozenset(({"caller"} if by_caller else set()) | ({"model"} if by_model else set()))
        if not any(rule.tokens for rule in rules):
            self.uses_after = frozenset()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange: Exchange | None = scope.get(SCOPE_KEY)
        if exchange is None:
            await enter(self, self.app, scope, receive, send)
            return
        hits, slots, counted = self._wanted(exchange)
        if not counted:
            await self.app(scope, receive, send)
            return
        verdict = await self.windows.acquire(hits, slots)
        if isinstance(verdict, Refusal):
            raise _refused(verdict)
        answer = NotedAnswer.of(send)
        try:
            await self.app(scope, receive, answer)
        finally:
            await self._give_back(verdict, exchange, counted, answered=answer.good)

    def _wanted(self, exchange: Exchange) -> "tuple[list[Hit], list[Slot], list[_Counted]]":
        """What this request takes, and by which rules."""
        hits: list[Hit] = []
        slots: list[Slot] = []
        found: list[_Counted] = []
        for limit in self._limits:
            subject = _subject(limit.rule, exchange)
            if subject is None:
                continue
            counted = limit.kept.get(subject)
            if counted is None:
                counted = _keep(limit, subject)
            found.append(counted)
            hits += counted.hits
            slots += counted.slots
            if limit.tokens is not None:
                hits.append(Hit(counted.tokens, limit.tokens[0], limit.tokens[1], _tokens_expected(exchange)))
        return hits, slots, found

    async def _give_back(
        self, admission: Admission, exchange: Exchange, found: "list[_Counted]", *, answered: bool
    ) -> None:
        costs: dict[str, int] = {}
        for counted in found:
            if counted.successes and not answered:
                costs[counted.successes] = 0
            if counted.tokens:
                costs[counted.tokens] = _tokens_used(exchange)
        try:
            if costs:
                await self.windows.correct(admission, costs)
        except ServiceUnavailable as reason:  # the answer went well, and its estimate stands until it expires
            logger.warning("the limits were not corrected: %s", reason)
        finally:
            if admission.slots:
                await self.windows.release(admission)


def _read(index: int, rule: RateLimit) -> _Limit:
    def rate(text: str) -> tuple[int, float] | None:
        return parse_rate(text) if text else None

    return _Limit(rule, f"rule{index}:{rule.per}", rate(rule.requests), rate(rule.successes), rate(rule.tokens))


def _keep(limit: _Limit, subject: object) -> _Counted:
    key = f"{limit.name}:{subject}"
    hits = []
    if limit.requests is not None:
        hits.append(Hit(key + ":requests", *limit.requests))
    if limit.successes is not None:
        hits.append(Hit(key + ":successes", *limit.successes))
    concurrency = limit.rule.concurrency
    counted = _Counted(
        hits=tuple(hits),
        slots=(Slot(key, concurrency),) if concurrency else (),
        successes=key + ":successes" if limit.successes is not None else "",
        tokens=key + ":tokens" if limit.tokens is not None else "",
    )
    if len(limit.kept) >= KEPT:
        limit.kept.clear()
    limit.kept[subject] = counted
    return counted


def _subject(rule: RateLimit, exchange: Exchange) -> object | None:
    """Whose requests a rule counts this one among; None when the rule is not about it."""
    caller, model = exchange.caller, exchange.model
    if rule.groups and (caller is None or _group_of(caller) not in rule.groups):
        return None
    if rule.models and (model is None or model.resolved not in rule.models):
        return None
    match rule.per:
        case "token":
            return caller.token.id if caller is not None and caller.token else None
        case "user":
            return caller.user.id if caller is not None else None
        case "group":
            return _group_of(caller) if caller is not None else None
        case "model":
            return model.resolved if model is not None else None
        case "address":
            return exchange.address or None


def _group_of(caller: Caller) -> str:
    """Under which group a caller is counted: the one asked for, or its own where it left that open."""
    return caller.home if caller.groups else caller.group


def _tokens_expected(exchange: Exchange) -> int:
    """Tokens taken before they are known: prompt bytes / 3, and what the caller lets the answer have."""
    size = exchange.body.size if exchange.body is not None else 0
    outline = exchange.outline
    return -(-size // 3) + ((outline.max_output or 0) * outline.choices if outline is not None else 0)


def _tokens_used(exchange: Exchange) -> int:
    """The tokens that count in the end: also of an answer without a usage, or one that the caller left."""
    settlement = exchange.settlement
    if settlement is not None:
        usage = settlement.usage
    else:
        usage = settle_usage(
            exchange.outcome or Outcome.REFUSED,
            exchange.usage,
            prompt_bytes=exchange.body.size if exchange.body is not None else 0,
            output_estimate=exchange.output_estimate,
            reached_upstream=exchange.reached_upstream,
        )
    return usage.total_input + usage.total_output


def _refused(refusal: Refusal) -> RateLimited:
    _, per, *_ = refusal.key.split(":")
    kind = refusal.key.rsplit(":", 1)[-1]
    what = kind if kind in ("requests", "successes", "tokens") else "open requests"
    return RateLimited(
        f"Rate limit reached for this {per}: at most {refusal.limit} {what}. Try again in {refusal.retry_after:.1f} s.",
        retry_after=refusal.retry_after,
    )
