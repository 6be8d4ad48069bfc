"""`reasoning` of a request: effort and summary, as the model behind an upstream takes them.

OpenAI's models have these efforts; the nearest is asked for.

| model | efforts |
|---|---|
| o-series | low, medium, high |
| GPT-5 | minimal, low, medium, high |
| GPT-5.1 | none, low, medium, high |
| GPT-5.2 and later, codex-max | none, low, medium, high, xhigh |
| other models of OpenAI's | nothing is asked for: dropped |
| models of others | as it was asked for |
"""

import re
from typing import Any

from asgi_gateway.canonical import Effort, Losses, Reasoning, effort_of
from asgi_gateway.dialects.node import Node
from asgi_gateway.dialects.openai_responses.content import note_unread
from asgi_gateway.dialects.openai_wire.families import Family

__all__ = ["read_reasoning", "refuses_sampling", "write_reasoning"]

_EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")

_HIGHEST = re.compile(r"(?:.*codex-max|gpt-5\.[2-9]|gpt-[6-9])")


def read_reasoning(node: Node, losses: Losses) -> Reasoning | None:
    """The object of a request; None when it says nothing."""
    effort = node.text("effort")
    if effort and effort not in _EFFORTS:
        raise node.unknown("effort", ", ".join(f"'{known}'" for known in _EFFORTS))
    summary = node.text("summary") or node.text("generate_summary")
    note_unread(node, losses)
    if not effort and not summary:
        return None
    return Reasoning(
        effort=effort or None,  # type: ignore[arg-type]  # one of the literals, as was checked
        summary=summary,
        visible=True if summary else None,
    )


def write_reasoning(reasoning: Reasoning, model: str, family: Family, losses: Losses) -> dict[str, Any]:
    """The object for an upstream; empty when nothing is to be said."""
    if family.is_openai and not family.reasons:
        if effort_of(reasoning) not in (None, "none"):
            losses.dropped("reasoning")
        return {}
    asked, effort = effort_of(reasoning), _effort(reasoning, model, family)
    if effort != asked or (reasoning.effort is None and (reasoning.budget or 0) > 0):
        losses.approximated("reasoning")
    written: dict[str, Any] = {}
    if effort is not None:
        written["effort"] = effort
    if reasoning.summary or (reasoning.visible and effort != "none"):
        written["summary"] = reasoning.summary or "auto"
    return written


def refuses_sampling(reasoning: Reasoning | None, model: str, family: Family) -> bool:
    """Whether the model takes no temperature and the like: OpenAI's reasoning models, unless they do not reason."""
    return family.reasons and (reasoning is None or _effort(reasoning, model, family) != "none")


def _effort(reasoning: Reasoning, model: str, family: Family) -> Effort | None:
    effort = effort_of(reasoning)
    if effort is None or not family.is_openai:
        return effort
    if effort == "none":
        return "none" if family.version > (5, 0) else ("minimal" if family.version == (5, 0) else "low")
    if effort == "minimal":
        return "minimal" if family.version == (5, 0) else "low"
    if effort in ("xhigh", "max"):
        return "xhigh" if _HIGHEST.match(model.lower().rpartition("/")[2]) else "high"
    return effort
