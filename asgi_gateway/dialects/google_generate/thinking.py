"""Reasoning as `generationConfig.thinkingConfig`, and back.

Follows https://ai.google.dev/gemini-api/docs/thinking. Written is what the model takes: a budget for Gemini 2.5,
a level for Gemini 3. Effort and budget turn into each other by `asgi_gateway.canonical.reasoning`; what lies outside
a model's bounds is moved to the next that it takes, and noted. Thoughts are shown where reasoning was asked for,
unless the caller said otherwise: other dialects show them by default.
"""

from typing import Any

from asgi_gateway.canonical import Effort, Losses, Reasoning, budget_of, effort_of
from asgi_gateway.dialects.google_generate.models import Abilities, abilities_of
from asgi_gateway.dialects.node import Node

__all__ = ["read_thinking", "write_thinking"]

FIELD = "reasoning"
"""How losses name it."""

_EFFORTS: dict[str, Effort] = {"minimal": "minimal", "low": "low", "medium": "medium", "high": "high", "xhigh": "xhigh"}

_ORDER = ("none", "minimal", "low", "medium", "high", "xhigh", "max")


def read_thinking(config: Node) -> Reasoning | None:
    """A `thinkingConfig`; None when it says nothing. A budget of -1 leaves it to the model."""
    visible = config.flag("includeThoughts")
    budget = config.integer("thinkingBudget", -1)
    level = config.text("thinkingLevel").lower()
    effort = _EFFORTS.get(level)
    if level and effort is None and level != "thinking_level_unspecified":
        raise config.unknown("thinkingLevel", "MINIMAL, LOW, MEDIUM, HIGH")
    if budget is None and effort is None:
        return None if visible is None else Reasoning(visible=visible)
    if budget is not None and effort is None:
        return Reasoning(enabled=budget != 0, budget=budget, adaptive=budget < 0, visible=visible)
    return Reasoning(enabled=True, effort=effort, budget=budget, visible=visible)


def write_thinking(reasoning: Reasoning, model: str, losses: Losses) -> dict[str, Any] | None:
    """The `thinkingConfig` for a model; None when it takes none, or nothing is asked."""
    known = abilities_of(model)
    if not known.thinks and known.generation:
        if reasoning.enabled or reasoning.budget or reasoning.effort not in (None, "none"):
            losses.dropped(FIELD)
        return None
    config: dict[str, Any] = {}
    if known.budget is not None:
        config = _budget(reasoning, known, known.budget, losses)
    elif known.levels:
        config = _level(reasoning, known.levels, losses)
    elif effort_of(reasoning) is not None:
        if known.thinks:
            losses.dropped(FIELD)
        else:
            config = _unknown(reasoning)
    visible = reasoning.visible
    if visible is None and reasoning.summary:
        visible = True
    if visible is None and _asked(reasoning):
        visible = True
    if visible is not None:
        config["includeThoughts"] = visible
    return config or None


def _asked(reasoning: Reasoning) -> bool:
    """Whether the caller wants the model to think."""
    if reasoning.enabled is False or reasoning.effort == "none" or reasoning.budget == 0:
        return False
    return bool(reasoning.enabled or reasoning.effort or reasoning.budget or reasoning.adaptive)


def _budget(reasoning: Reasoning, known: Abilities, bounds: tuple[int, int], losses: Losses) -> dict[str, Any]:
    least, most = bounds
    exact = budget_of(reasoning)
    budget = budget_of(reasoning, least=least, most=most)
    if budget is None:
        return {"thinkingBudget": -1} if reasoning.enabled or reasoning.adaptive else {}
    if budget == 0 and not known.can_stop:
        budget = least
    if budget != exact:
        losses.approximated(FIELD)
    return {"thinkingBudget": budget}


def _level(reasoning: Reasoning, levels: tuple[str, ...], losses: Losses) -> dict[str, Any]:
    """The least level that is no less than the effort, else the highest."""
    effort = effort_of(reasoning)
    if effort is None:
        return {}
    wish = _ORDER.index(effort)
    level = next((level for level in levels if _ORDER.index(level) >= wish), levels[-1])
    if level != effort or (reasoning.effort is None and reasoning.budget is not None):
        losses.approximated(FIELD)
    return {"thinkingLevel": level.upper()}


def _unknown(reasoning: Reasoning) -> dict[str, Any]:
    """For a model whose name says nothing: a budget as a budget, an effort as a level."""
    if reasoning.budget is not None:
        return {"thinkingBudget": reasoning.budget}
    effort = effort_of(reasoning)
    assert effort is not None  # the caller of this asked
    if effort == "none":
        return {"thinkingBudget": 0}
    return {"thinkingLevel": {"xhigh": "HIGH", "max": "HIGH"}.get(effort, effort.upper())}
