"""Reasoning as the model behind an upstream wants to be asked for it, by the family of its name.

| family | written |
|---|---|
| "openai" | `reasoning_effort` where the model reasons, nearest to what it has; else nothing |
| "qwen" | `enable_thinking`, `thinking_budget` (https://www.alibabacloud.com/help/en/model-studio/deep-thinking) |
| "deepseek", "glm", "doubao" | `thinking` with its `type`, and `reasoning_effort` where an effort was asked for |
| "kimi", "mimo" | `thinking` with its `type` |
| a router's "claude" or "gemini", a budget given | `reasoning.max_tokens` (OpenRouter) |
| others | `reasoning_effort` |

Names with a vendor in front (`qwen/qwen3-32b`) are a router's: it is asked with `reasoning_effort` whatever the family.
"""

import re
from typing import Any

from asgi_gateway.canonical import Effort, Losses, Reasoning, budget_of, effort_of
from asgi_gateway.dialects.openai_wire.families import Family

__all__ = ["asked_effort", "write_reasoning"]

_SWITCHED = frozenset({"deepseek", "glm", "doubao", "kimi", "mimo"})
_WITH_EFFORT = frozenset({"deepseek", "glm", "doubao"})
QWENS_MOST = 32768
"""Tokens of thinking that every Qwen takes which thinks."""

_HIGHEST = re.compile(r"(?:.*codex-max|gpt-5\.[2-9]|gpt-[6-9])")


def asked_effort(reasoning: Reasoning | None, model: str, family: Family) -> Effort | None:
    """The effort to ask an OpenAI model for: the nearest that it has.

    o-series: low to high. GPT-5: minimal to high. Later ones: none to high, and xhigh from GPT-5.2 on.
    """
    effort = None if reasoning is None else effort_of(reasoning)
    if effort is None or not family.is_openai:
        return effort
    name = model.lower().rpartition("/")[2]
    later = family.version > (5, 0)
    if effort == "none":
        return "none" if later else ("minimal" if family.version == (5, 0) else "low")
    if effort == "minimal":
        return "minimal" if family.version == (5, 0) else "low"
    if effort in ("xhigh", "max"):
        return "xhigh" if _HIGHEST.match(name) else "high"
    return effort


def write_reasoning(reasoning: Reasoning, model: str, family: Family, losses: Losses) -> dict[str, Any]:
    """The fields that ask for it; empty where nothing is to be said."""
    if reasoning.summary:
        losses.dropped("reasoning.summary")
    effort = asked_effort(reasoning, model, family)
    if family.is_openai and not family.reasons:
        if effort_of(reasoning) not in (None, "none"):
            losses.dropped("reasoning")
        return {}
    if family.name == "qwen" and not family.routed:
        return _qwen(reasoning, effort, losses)
    if family.name in _SWITCHED and not family.routed:
        return _switched(reasoning, effort, family, losses)
    if family.routed and family.name in ("claude", "gemini") and (reasoning.budget or 0) > 0:
        return {"reasoning": {"max_tokens": reasoning.budget}}
    if effort is None:
        return {}
    if effort != effort_of(reasoning) or (reasoning.effort is None and (reasoning.budget or 0) > 0):
        losses.approximated("reasoning")
    return {"reasoning_effort": effort}


def _qwen(reasoning: Reasoning, effort: Effort | None, losses: Losses) -> dict[str, Any]:
    if effort is None and reasoning.enabled is None and not reasoning.adaptive:
        return {}
    fields: dict[str, Any] = {"enable_thinking": effort != "none"}
    budget = budget_of(reasoning, most=QWENS_MOST)
    if budget is not None and budget > 0:
        fields["thinking_budget"] = budget
        if budget != reasoning.budget:
            losses.approximated("reasoning")
    return fields


def _switched(reasoning: Reasoning, effort: Effort | None, family: Family, losses: Losses) -> dict[str, Any]:
    if effort is None and reasoning.enabled is None and not reasoning.adaptive:
        return {}
    if effort == "none":
        return {"thinking": {"type": "disabled"}}
    fields: dict[str, Any] = {"thinking": {"type": "enabled"}}
    if effort is None:
        return fields
    if family.name in _WITH_EFFORT:
        fields["reasoning_effort"] = effort
    else:
        losses.approximated("reasoning")
    return fields
