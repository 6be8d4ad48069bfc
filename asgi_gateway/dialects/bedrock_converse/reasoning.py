"""How models on Bedrock are asked to think, each family in its own fields; see `models`."""

from typing import Any

from asgi_gateway.canonical import Effort, Losses, Reasoning, Sampling, budget_of, effort_of
from asgi_gateway.dialects.bedrock_converse.models import family_of, is_adaptive, takes_no_sampling

__all__ = ["Asked", "read_reasoning", "write_reasoning"]

LEAST_BUDGET = 1024
MOST_BUDGET = 65_536

EFFORTS: tuple[Effort, ...] = ("none", "minimal", "low", "medium", "high", "xhigh", "max")

Asked = tuple[dict[str, Any], str]
"""Members of the additional fields, and `outputConfig.effort` or ""."""


def read_reasoning(additional: dict[str, Any], effort: str, losses: Losses) -> Reasoning | None:
    """What a request says about thinking; what was read is taken out of `additional`."""
    level = _effort(effort, losses)
    thinking = additional.get("thinking", additional.get("reasoning_config"))
    if isinstance(thinking, dict) and isinstance(thinking.get("type"), str):
        additional.pop("thinking", None)
        additional.pop("reasoning_config", None)
        return _claude(thinking, level, losses)
    nova = additional.get("reasoningConfig")
    if isinstance(nova, dict) and isinstance(nova.get("type"), str):
        del additional["reasoningConfig"]
        enabled = nova["type"] == "enabled"
        return Reasoning(enabled=enabled, effort=_effort(nova.get("maxReasoningEffort"), losses) if enabled else None)
    word = additional.get("reasoning_effort")
    if isinstance(word, str):
        del additional["reasoning_effort"]
        level = _effort(word, losses)
    return Reasoning(effort=level) if level is not None else None


def write_reasoning(reasoning: Reasoning, model: str, sampling: Sampling, forced: bool, losses: Losses) -> Asked:
    """The fields for a model. `forced`: the request wants a certain tool called, which a thinking Claude refuses."""
    if reasoning.summary:
        losses.dropped("reasoning.summary")
    match family_of(model):
        case "claude":
            return _for_claude(reasoning, model, sampling, forced, losses)
        case "nova":
            return _for_nova(reasoning, losses)
        case "gpt-oss":
            return _for_gpt_oss(reasoning, losses)
        case "deepseek" | "other":
            if effort_of(reasoning) != "none":
                losses.dropped("reasoning")
            return {}, ""


def _claude(thinking: dict[str, Any], level: Effort | None, losses: Losses) -> Reasoning:
    kind, budget, display = thinking["type"], thinking.get("budget_tokens"), thinking.get("display")
    for name in thinking:
        if name not in ("type", "budget_tokens", "display"):
            losses.dropped(f"additionalModelRequestFields.thinking.{name}")
    return Reasoning(
        enabled=kind != "disabled",
        budget=budget if type(budget) is int and kind == "enabled" else None,
        effort=level,
        adaptive=kind == "adaptive",
        visible=None if display is None else display != "omitted",
    )


def _effort(word: Any, losses: Losses) -> Effort | None:
    if not word:
        return None
    found = next((effort for effort in EFFORTS if effort == word), None)
    if found is None:
        losses.dropped("effort")
    return found


def _for_claude(reasoning: Reasoning, model: str, sampling: Sampling, forced: bool, losses: Losses) -> Asked:
    effort = effort_of(reasoning)
    if effort == "none":
        return ({"thinking": {"type": "disabled"}}, "") if reasoning.enabled is False else ({}, "")
    if forced:
        losses.dropped("reasoning")
        return {}, ""
    if is_adaptive(model):
        return _adaptive(reasoning, effort, model, losses)
    budget = budget_of(reasoning, least=LEAST_BUDGET, most=MOST_BUDGET)
    if budget is None and not reasoning.enabled and not reasoning.adaptive:
        return {}, ""
    if budget is None or budget < 0:
        budget = LEAST_BUDGET * 8
        losses.invented("thinking.budget_tokens")
    elif reasoning.budget != budget:
        losses.approximated("reasoning.effort" if reasoning.budget is None else "reasoning.budget")
    if sampling.max_output is not None and budget >= sampling.max_output:
        if sampling.max_output <= LEAST_BUDGET:
            losses.dropped("reasoning")
            return {}, ""
        budget = sampling.max_output - 1
        losses.approximated("reasoning.budget")
    return {"thinking": {"type": "enabled", "budget_tokens": budget}}, ""


def _adaptive(reasoning: Reasoning, effort: Effort | None, model: str, losses: Losses) -> Asked:
    """Models that think by effort; those up to 4.6 take a budget, too."""
    if reasoning.budget is not None and reasoning.budget > 0 and not takes_no_sampling(model):
        budget = max(reasoning.budget, LEAST_BUDGET)
        return {"thinking": {"type": "enabled", "budget_tokens": budget}}, reasoning.effort or ""
    if reasoning.budget is not None and reasoning.effort is None:
        losses.approximated("reasoning.budget")
    if effort == "minimal":
        losses.approximated("reasoning.effort")
        effort = "low"
    thinking: dict[str, Any] = {"type": "adaptive"}
    if reasoning.visible is not None and takes_no_sampling(model):
        thinking["display"] = "summarized" if reasoning.visible else "omitted"
    return {"thinking": thinking}, effort or ""


def _for_nova(reasoning: Reasoning, losses: Losses) -> Asked:
    effort = effort_of(reasoning)
    if effort == "none":
        return {"reasoningConfig": {"type": "disabled"}}, ""
    if effort is None:
        if not reasoning.enabled and not reasoning.adaptive:
            return {}, ""
        losses.invented("reasoningConfig.maxReasoningEffort")
        effort = "medium"
    return {"reasoningConfig": {"type": "enabled", "maxReasoningEffort": _of_three(effort, reasoning, losses)}}, ""


def _for_gpt_oss(reasoning: Reasoning, losses: Losses) -> Asked:
    effort = effort_of(reasoning)
    if effort is None:
        return {}, ""
    return {"reasoning_effort": _of_three(effort, reasoning, losses)}, ""


def _of_three(effort: Effort, reasoning: Reasoning, losses: Losses) -> str:
    """Low, medium or high, whichever is nearest."""
    if effort in ("low", "medium", "high"):
        if reasoning.budget is not None and reasoning.effort is None:
            losses.approximated("reasoning.budget")
        return effort
    losses.approximated("reasoning.effort")
    return "low" if effort in ("none", "minimal") else "high"
