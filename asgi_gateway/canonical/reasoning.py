"""Effort and budget of reasoning, each from the other, by one written table.

| effort | none | minimal | low | medium | high | xhigh | max |
|---|---|---|---|---|---|---|---|
| budget in tokens | 0 | 512 | 1 024 | 8 192 | 24 576 | 32 768 | 65 536 |

The numbers of low, medium and high are those that Google documents for its own OpenAI-shaped interface
(https://ai.google.dev/gemini-api/docs/openai#thinking). A budget is read as the least effort that covers it.
"""

from collections.abc import Mapping
from types import MappingProxyType

from asgi_gateway.canonical.request import Effort, Reasoning

__all__ = ["BUDGETS", "budget_of", "effort_of"]

BUDGETS: Mapping[Effort, int] = MappingProxyType(
    {"none": 0, "minimal": 512, "low": 1024, "medium": 8192, "high": 24576, "xhigh": 32768, "max": 65536}
)


def effort_of(reasoning: Reasoning) -> Effort | None:
    """The effort asked for, or the one that the budget comes nearest to; None when nothing is said."""
    if reasoning.effort is not None:
        return reasoning.effort
    if reasoning.enabled is False:
        return "none"
    if reasoning.budget is None or reasoning.budget < 0:
        return None
    for effort, budget in BUDGETS.items():
        if reasoning.budget <= budget:
            return effort
    return "max"


def budget_of(reasoning: Reasoning, *, least: int = 0, most: int | None = None) -> int | None:
    """The budget asked for, or the effort's, within bounds; 0: no thinking; None when nothing is said.

    Bounds hold for budgets above zero only. -1 (the model decides) is given on.
    """
    budget = reasoning.budget
    if budget is None and reasoning.effort is not None:
        budget = BUDGETS[reasoning.effort]
    if budget is None:
        return 0 if reasoning.enabled is False else None
    if budget <= 0:
        return budget
    budget = max(budget, least)
    return budget if most is None else min(budget, most)
