"""How Cohere is asked to think: `thinking: {"type": "enabled" | "disabled", "token_budget"}`.

Models that think (Command A Reasoning, Command A+, North) give their thinking as content. The others plan: with tool
calls they give one text, `tool_plan`. Both are read as thinking.
"""

import re
from typing import Any

from asgi_gateway.canonical import Losses, Reasoning, budget_of
from asgi_gateway.dialects.node import Node

__all__ = ["read_thinking", "thinks", "write_thinking"]

_THINKS = re.compile(r"reasoning|command-a-plus|north", re.IGNORECASE)


def thinks(model: str) -> bool:
    """Whether the model thinks in content; the others have `tool_plan`."""
    return _THINKS.search(model) is not None


def read_thinking(node: Node, losses: Losses) -> Reasoning:
    """The `thinking` of a request."""
    kind = node.text("type", "enabled")
    if kind not in ("enabled", "disabled"):
        raise node.unknown("type", "'enabled' and 'disabled'")
    budget = node.integer("token_budget", least=0)
    for name in node.unread():
        losses.dropped(f"thinking.{name}")
    return Reasoning(enabled=kind == "enabled", budget=budget)


def write_thinking(reasoning: Reasoning, model: str, losses: Losses | None) -> dict[str, Any] | None:
    """The `thinking` for a request; None: nothing is to be said. `losses` None: they are of no interest."""
    if losses is not None:
        if reasoning.visible is False:
            losses.dropped("reasoning.visible")
        if reasoning.summary:
            losses.dropped("reasoning.summary")
    budget = budget_of(reasoning)
    if budget == 0:
        return {"type": "disabled"} if thinks(model) or reasoning.enabled is False else None
    if budget is None and not reasoning.enabled and not reasoning.adaptive:
        return None
    if budget is None or budget < 0:
        return {"type": "enabled"}
    if reasoning.budget is None and losses is not None:
        losses.approximated("reasoning.effort")
    return {"type": "enabled", "token_budget": budget}
