"""How a model is asked to think, and what of the sampling it takes then; `models` tells the generations apart.

Effort and budget turn into each other by `asgi_gateway.canonical.reasoning`. A budget is at least 1 024 and leaves room
in `max_tokens`: it is lowered to four fifths of that, or, where that would be too little, `max_tokens` is raised.
A model that hides its thinking unless it is asked to show it is asked, as other dialects show it by default.
"""

from typing import Any

import msgspec
from msgspec import Struct

from asgi_gateway.canonical import BUDGETS, Effort, Losses, Reasoning, Sampling, budget_of, effort_of
from asgi_gateway.dialects.anthropic_messages.models import LEAST_BUDGET, Traits
from asgi_gateway.dialects.anthropic_messages.names import Json
from asgi_gateway.dialects.node import Node, plain_path

__all__ = ["Asked", "read_reasoning", "write_reasoning"]

EFFORTS: tuple[Effort, ...] = ("none", "minimal", "low", "medium", "high", "xhigh", "max")

KINDS = ("enabled", "disabled", "adaptive", "between_tools")

DEFAULT_BUDGET = 8192
"""Where thinking is asked for, and neither a budget nor an effort."""

LEAST_ANSWER = 1024
"""Tokens left for the answer, beside the budget, where `max_tokens` must be raised for it."""

LEAST_TOP_P = 0.95
"""What a thinking model takes of it."""


class Asked(Struct, frozen=True):
    """What to write: `thinking` (None: nothing), the effort or "", the sampling that is taken, and `max_tokens`."""

    thinking: Json | None
    effort: str
    sampling: Sampling
    max_output: int

    @property
    def thinks(self) -> bool:
        """Whether the model was asked to think."""
        return self.thinking is not None and self.thinking["type"] in ("enabled", "adaptive")


def read_reasoning(body: Node, losses: Losses) -> Reasoning | None:
    """What a request says: `thinking` and `output_config.effort`. `between_tools` is hardly any thinking: none."""
    effort = _effort(body, losses)
    thinking = body.object("thinking")
    if thinking is None:
        return None if effort is None else Reasoning(effort=effort)
    kind = thinking.require_text("type")
    if kind not in KINDS:
        raise thinking.unknown("type", ", ".join(f"'{known}'" for known in KINDS))
    display = thinking.text("display")
    budget = thinking.integer("budget_tokens", 0)
    if kind == "between_tools":
        losses.approximated("thinking.type")
    for name in thinking.unread():
        losses.dropped(plain_path(thinking.at(name)))
    if effort is not None and kind in ("disabled", "between_tools"):
        losses.dropped("output_config.effort")  # of an answer without thinking: others know no such thing
        effort = None
    return Reasoning(
        enabled=kind in ("enabled", "adaptive"),
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
    reasoning: Reasoning | None, traits: Traits, sampling: Sampling, *, forced: bool, losses: Losses
) -> Asked:
    """What to write for a model. `forced`: a tool must be called.

    Where a model does not take that while thinking, thinking gives way: a tool is a feature, an effort is a wish.
    """
    thinking: Json | None = None
    effort = ""
    if reasoning is not None:
        if reasoning.summary and reasoning.summary != "auto":
            losses.dropped("reasoning.summary")
        thinking, effort = _written(reasoning, traits, forced, losses)
    thinks = thinking is not None and thinking["type"] in ("enabled", "adaptive")
    budget = thinking.get("budget_tokens") if thinking is not None else None
    max_output = sampling.max_output
    if max_output is None:
        losses.invented("max_tokens")
        wanted = budget or (BUDGETS[effort_of(reasoning) or "medium"] if reasoning is not None and thinks else 0)
        max_output = min(traits.most, traits.output + wanted)
    if thinking is not None and budget is not None and budget >= max_output:
        if max_output > 2 * LEAST_BUDGET:
            thinking["budget_tokens"] = max(LEAST_BUDGET, max_output * 4 // 5)
            losses.approximated("reasoning.budget")
        else:
            thinking["budget_tokens"] = LEAST_BUDGET
            max_output = LEAST_BUDGET + max(max_output, LEAST_ANSWER)
            losses.approximated("max_tokens")
    return Asked(thinking, effort, _taken(sampling, traits, thinks, losses), max_output)


def _written(reasoning: Reasoning, traits: Traits, forced: bool, losses: Losses) -> tuple[Json | None, str]:
    effort = effort_of(reasoning)
    if effort == "none":
        return _off(traits, losses)
    if not (reasoning.enabled or reasoning.adaptive or reasoning.budget or effort):
        return None, ""
    if not traits.thinks or (forced and traits.forced == "unless_thinking"):
        losses.dropped("reasoning")
        return None, ""
    own = _nearest(reasoning.effort, traits, losses)
    if traits.budgets and (not traits.efforts or (reasoning.budget or 0) > 0):
        return _budgeted(reasoning, losses), own
    if reasoning.effort is None and (reasoning.budget or 0) > 0:
        losses.approximated("reasoning.budget")
        own = _nearest(effort, traits, losses)
    thinking: Json = {"type": "adaptive"}
    if reasoning.visible is False:
        thinking["display"] = "omitted"
    elif traits.hides:
        thinking["display"] = "summarized"
    return thinking, own


def _off(traits: Traits, losses: Losses) -> tuple[Json | None, str]:
    """Not to think; the least effort, where a model cannot be kept from it."""
    match traits.off:
        case "nothing":
            return None, ""
        case "never":
            losses.approximated("reasoning.effort")
            return None, "low"
        case kind:
            return {"type": kind}, ""


def _nearest(effort: Effort | None, traits: Traits, losses: Losses) -> str:
    """The effort that a model knows, or the highest of those below; the lowest for less."""
    if effort is None or not traits.efforts:
        return ""
    if effort in traits.efforts:
        return effort
    losses.approximated("reasoning.effort")
    below = [known for known in traits.efforts if EFFORTS.index(known) < EFFORTS.index(effort)]
    return below[-1] if below else traits.efforts[0]


def _budgeted(reasoning: Reasoning, losses: Losses) -> Json:
    budget = budget_of(reasoning, least=LEAST_BUDGET)
    if budget is None or budget < 0:
        budget = DEFAULT_BUDGET
        losses.invented("thinking.budget_tokens")
    elif reasoning.budget is None:
        losses.approximated("reasoning.effort")
    elif reasoning.budget != budget:
        losses.approximated("reasoning.budget")
    return {"type": "enabled", "budget_tokens": budget}


def _taken(sampling: Sampling, traits: Traits, thinks: bool, losses: Losses) -> Sampling:
    """The sampling without what a thinking or a newer model refuses. A temperature of 1 is what they have anyway."""
    left: dict[str, Any] = {}
    temperature, top_p = sampling.temperature, sampling.top_p
    if temperature is not None and temperature > 1:
        losses.approximated("temperature")
        temperature = left["temperature"] = 1.0
    fixed = thinks or traits.sampling == "none"
    if fixed and temperature not in (None, 1):
        losses.dropped("temperature")
        left["temperature"] = None
    if traits.sampling == "none":
        left["temperature"] = None
    beside = traits.sampling == "one" and left.get("temperature", temperature) is not None
    if top_p is not None and (traits.sampling == "none" or beside or (thinks and top_p < LEAST_TOP_P)):
        left["top_p"] = None
        losses.dropped("top_p")
    if fixed and sampling.top_k is not None:
        left["top_k"] = None
        losses.dropped("top_k")
    return msgspec.structs.replace(sampling, **left) if left else sampling
