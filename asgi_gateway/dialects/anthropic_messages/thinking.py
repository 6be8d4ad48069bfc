"""How a model is asked to think, and what of the sampling it takes then; `models` tells the generations apart."""

from typing import Any

import msgspec
from msgspec import Struct

from asgi_gateway.canonical import Effort, Losses, Reasoning, Sampling, budget_of, effort_of
from asgi_gateway.dialects.anthropic_messages.models import (
    LEAST_BUDGET,
    is_adaptive,
    samples_by_one,
    takes_no_sampling,
)
from asgi_gateway.dialects.anthropic_messages.names import Json
from asgi_gateway.dialects.node import Node, plain_path

__all__ = ["Asked", "read_reasoning", "write_reasoning", "write_sampling"]

EFFORTS: tuple[Effort, ...] = ("none", "minimal", "low", "medium", "high", "xhigh", "max")

DEFAULT_BUDGET = 8192
"""Where thinking is asked for, and neither a budget nor an effort."""

LEAST_ANSWER = 1024
"""Tokens left for the answer, beside the budget, where `max_tokens` must be raised for it."""

LEAST_TOP_P = 0.95
"""What a thinking model takes of it."""


class Asked(Struct, frozen=True):
    """The members `thinking` and `output_config`, and what they make of the sampling and of `max_tokens`."""

    body: Json
    sampling: Sampling
    max_output: int | None


def read_reasoning(body: Node, losses: Losses) -> Reasoning | None:
    """What a request says: `thinking` and `output_config.effort`."""
    effort = _effort(body, losses)
    thinking = body.object("thinking")
    if thinking is None:
        return None if effort is None else Reasoning(effort=effort)
    kind = thinking.require_text("type")
    display = thinking.text("display")
    budget = thinking.integer("budget_tokens", 0)
    for name in thinking.unread():
        losses.dropped(plain_path(thinking.at(name)))
    if kind not in ("enabled", "disabled", "adaptive"):
        raise thinking.unknown("type", "'enabled', 'disabled', 'adaptive'")
    return Reasoning(
        enabled=kind != "disabled",
        effort=effort,
        budget=budget if kind == "enabled" else None,
        adaptive=kind == "adaptive",
        visible=None if not display else display != "omitted",
    )


def _effort(body: Node, losses: Losses) -> Effort | None:
    config = body.object("output_config")
    word = config.text("effort") if config is not None else ""
    if not word:
        return None
    found = next((effort for effort in EFFORTS if effort == word), None)
    if found is None:
        losses.dropped("output_config.effort")
    return found


def write_reasoning(
    reasoning: Reasoning | None, model: str, sampling: Sampling, *, forced: bool, losses: Losses
) -> Asked:
    """What to write for a model. `forced`: a certain tool must be called, which Anthropic refuses while thinking.

    `sampling.max_output` None: the model's default is taken by whoever writes the request.
    """
    body: Json = {}
    max_output = sampling.max_output
    if reasoning is not None:
        if reasoning.summary and reasoning.summary != "auto":
            losses.dropped("reasoning.summary")
        body, max_output = _written(reasoning, model, max_output, forced, losses)
    thinks = body.get("thinking", {}).get("type") in ("enabled", "adaptive")
    return Asked(body, write_sampling(sampling, model, thinks, losses), max_output)


def _written(
    reasoning: Reasoning, model: str, max_output: int | None, forced: bool, losses: Losses
) -> tuple[Json, int | None]:
    effort = effort_of(reasoning)
    if effort == "none":
        return {"thinking": {"type": "disabled"}}, max_output
    asked = bool(reasoning.enabled or reasoning.adaptive or reasoning.budget or effort)
    if not asked:
        return {}, max_output
    if forced:
        losses.dropped("reasoning")
        return {}, max_output
    if is_adaptive(model) and (takes_no_sampling(model) or not reasoning.budget or reasoning.effort is not None):
        return _adaptive(reasoning, effort, model, losses), max_output
    return _budgeted(reasoning, max_output, losses)


def _adaptive(reasoning: Reasoning, effort: Effort | None, model: str, losses: Losses) -> Json:
    if reasoning.budget is not None and reasoning.effort is None and reasoning.budget > 0:
        losses.approximated("thinking.budget_tokens")
    if effort == "minimal":
        losses.approximated("reasoning.effort")
        effort = "low"
    thinking: Json = {"type": "adaptive"}
    if takes_no_sampling(model) and reasoning.visible is not False:
        thinking["display"] = "summarized"  # these show nothing unless they are asked to
    elif reasoning.visible is False and takes_no_sampling(model):
        thinking["display"] = "omitted"
    return {"thinking": thinking, "output_config": {"effort": effort}} if effort else {"thinking": thinking}


def _budgeted(reasoning: Reasoning, max_output: int | None, losses: Losses) -> tuple[Json, int | None]:
    budget = budget_of(reasoning, least=LEAST_BUDGET)
    if budget is None or budget < 0:
        budget = DEFAULT_BUDGET
        losses.invented("thinking.budget_tokens")
    elif reasoning.budget is None:
        losses.approximated("reasoning.effort")
    elif reasoning.budget != budget:
        losses.approximated("thinking.budget_tokens")
    if max_output is not None and budget >= max_output:
        if max_output > LEAST_BUDGET * 2:
            budget = max(LEAST_BUDGET, max_output * 4 // 5)
            losses.approximated("thinking.budget_tokens")
        else:
            budget = min(budget, LEAST_BUDGET)
            max_output = budget + max(max_output, LEAST_ANSWER)
            losses.approximated("max_tokens")
    return {"thinking": {"type": "enabled", "budget_tokens": budget}}, max_output


def write_sampling(sampling: Sampling, model: str, thinks: bool, losses: Losses) -> Sampling:
    """The sampling without what a thinking or a newer model refuses."""
    left: dict[str, Any] = {}
    temperature, top_p, top_k = sampling.temperature, sampling.top_p, sampling.top_k
    if temperature is not None and temperature > 1:
        losses.approximated("temperature")
        temperature = left["temperature"] = 1.0
    if thinks or takes_no_sampling(model):
        if temperature is not None:
            left["temperature"] = None
            if temperature != 1:
                losses.dropped("temperature")
        if top_p is not None and (takes_no_sampling(model) or top_p < LEAST_TOP_P):
            left["top_p"] = None
            losses.dropped("top_p")
        if top_k is not None:
            left["top_k"] = None
            losses.dropped("top_k")
    elif samples_by_one(model) and temperature is not None and top_p is not None:
        left["top_p"] = None
        losses.dropped("top_p")
    return msgspec.structs.replace(sampling, **left) if left else sampling
