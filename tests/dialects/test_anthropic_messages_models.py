"""How each generation of Claude is asked to think, and what it takes beside that."""

from typing import Any

import msgspec
import pytest

from asgi_gateway.canonical import (
    ChatRequest,
    FunctionTool,
    Losses,
    OutputFormat,
    Reasoning,
    Sampling,
    Text,
    ToolChoice,
    Turn,
)
from asgi_gateway.dialects.anthropic_messages.models import traits_of
from support.anthropic_messages import noted, written

ASKED = ChatRequest(model="m", turns=(Turn("user", (Text("Hi"),)),), sampling=Sampling(max_output=9000))
TOOLS = (FunctionTool(name="f", parameters={"type": "object"}),)
SHOWN = {"type": "adaptive", "display": "summarized"}


def asked(model: str, losses: Losses | None = None, **fields: Any) -> dict[str, Any]:
    """The body for a model."""
    return written(msgspec.structs.replace(ASKED, model=model, **fields), losses)


@pytest.mark.parametrize(
    ("model", "like"),
    [
        ("claude-2.1", "claude"),
        ("claude-3-haiku-20240307", "claude-3-opus-latest"),
        ("claude-3-5-haiku-latest", "claude-3-5-sonnet-20241022"),
        ("claude-3-7-sonnet-20250219", "claude-sonnet-4-20250514"),
        ("claude-opus-4@20250514", "claude-opus-4-0"),
        ("anthropic/claude-opus-4.1", "claude-opus-4-1-20250805"),
        ("us.anthropic.claude-haiku-4-5-20251001-v1:0", "claude-sonnet-4-5-20250929"),
        ("anthropic/claude-4.6-sonnet", "claude-opus-4-6"),
        ("CLAUDE-OPUS-4-7", "claude-4.7-opus-20260416"),
        ("claude-mythos-5", "claude-fable-5"),
        ("claude-fable-5-1", "claude-opus-5-5"),
        ("claude-opus-6", "claude-fable-5-2"),
    ],
)
def test_names_tell_the_generation(model: str, like: str) -> None:
    """With a platform's prefix, a date, or the family behind the version."""
    assert traits_of(model) == traits_of(like)


@pytest.mark.parametrize(
    ("model", "output"),
    [
        ("claude-3-opus-20240229", 4096),
        ("claude-3-5-haiku-latest", 8192),
        ("an-alias", 8192),
        ("claude-sonnet-4-5", 16_384),
        ("claude-haiku-5-5", 16_384),
    ],
)
def test_a_limit_that_nobody_gave_is_invented(model: str, output: int) -> None:
    """What the generation gives at least, and with thinking room for both."""
    losses = Losses("request")
    assert asked(model, losses, sampling=Sampling())["max_tokens"] == output
    assert noted(losses) == {"invented:max_tokens"}
    thinking = asked("claude-sonnet-4-5", sampling=Sampling(), reasoning=Reasoning(effort="high"))
    assert thinking["max_tokens"] == 16_384 + thinking["thinking"]["budget_tokens"]
    assert asked("claude-opus-4-1", sampling=Sampling(), reasoning=Reasoning(effort="max"))["max_tokens"] == 32_000


@pytest.mark.parametrize(
    ("model", "reasoning", "thinking", "effort", "losses"),
    [
        ("claude-3-5-sonnet-latest", Reasoning(effort="high"), None, None, {"dropped:reasoning"}),
        ("claude-3-5-sonnet-latest", Reasoning(enabled=False), None, None, set()),
        (
            "claude-sonnet-4-5",
            Reasoning(enabled=True, budget=2000),
            {"type": "enabled", "budget_tokens": 2000},
            None,
            set(),
        ),
        (
            "claude-sonnet-4-5",
            Reasoning(enabled=True, budget=100),
            {"type": "enabled", "budget_tokens": 1024},
            None,
            {"approximated:reasoning.budget"},
        ),
        (
            "claude-sonnet-4-5",
            Reasoning(effort="low"),
            {"type": "enabled", "budget_tokens": 1024},
            None,
            {"approximated:reasoning.effort"},
        ),
        (
            "claude-sonnet-4-5",
            Reasoning(enabled=True),
            {"type": "enabled", "budget_tokens": 8192},
            None,
            {"invented:thinking.budget_tokens"},
        ),
        (
            "an-alias",
            Reasoning(budget=-1),
            {"type": "enabled", "budget_tokens": 8192},
            None,
            {"invented:thinking.budget_tokens"},
        ),
        ("claude-sonnet-4-5", Reasoning(enabled=False), {"type": "disabled"}, None, set()),
        ("claude-sonnet-4-5", Reasoning(effort="none"), {"type": "disabled"}, None, set()),
        ("claude-sonnet-4-5", Reasoning(visible=True), None, None, set()),
        ("claude-opus-4-6", Reasoning(effort="low"), {"type": "adaptive"}, "low", set()),
        ("claude-opus-4-6", Reasoning(effort="xhigh"), {"type": "adaptive"}, "high", {"approximated:reasoning.effort"}),
        (
            "claude-opus-4-6",
            Reasoning(enabled=True, budget=2000),
            {"type": "enabled", "budget_tokens": 2000},
            None,
            set(),
        ),
        (
            "claude-opus-4-6",
            Reasoning(adaptive=True, visible=False),
            {"type": "adaptive", "display": "omitted"},
            None,
            set(),
        ),
        ("claude-opus-4-7", Reasoning(effort="minimal"), SHOWN, "low", {"approximated:reasoning.effort"}),
        ("claude-opus-4-7", Reasoning(budget=9000), SHOWN, "high", {"approximated:reasoning.budget"}),
        ("claude-opus-4-7", Reasoning(enabled=False), None, None, set()),
        ("claude-sonnet-5", Reasoning(enabled=True, summary="detailed"), SHOWN, None, {"dropped:reasoning.summary"}),
        ("claude-sonnet-5", Reasoning(enabled=False), {"type": "disabled"}, None, set()),
        ("claude-sonnet-5-5", Reasoning(enabled=False), {"type": "between_tools"}, None, set()),
        ("claude-fable-5-1", Reasoning(enabled=False), None, "low", {"approximated:reasoning.effort"}),
        ("claude-mythos-preview", Reasoning(effort="max"), SHOWN, "max", set()),
    ],
)
def test_each_generation_is_asked_to_think_as_it_takes_it(
    model: str, reasoning: Reasoning, thinking: Any, effort: str | None, losses: set[str]
) -> None:
    """By a budget, adaptively with an effort, or not at all; what is not meant so exactly is noted."""
    told = Losses("request")
    body = asked(model, told, reasoning=reasoning)
    assert body.get("thinking") == thinking
    assert body.get("output_config", {}).get("effort") == effort
    assert noted(told) == losses


@pytest.mark.parametrize(
    ("given", "limit", "budget", "loss"),
    [
        (8000, 5000, 4000, "approximated:reasoning.budget"),
        (8000, 1500, 1024, "approximated:max_tokens"),
    ],
)
def test_a_budget_leaves_room_for_the_answer(given: int, limit: int, budget: int, loss: str) -> None:
    """It is lowered, or the limit raised where the least of it would not fit."""
    losses = Losses("request")
    sampling = Sampling(max_output=limit)
    body = asked("claude-sonnet-4-5", losses, reasoning=Reasoning(budget=given), sampling=sampling)
    assert body["thinking"]["budget_tokens"] == budget
    assert body["max_tokens"] > budget
    assert noted(losses) == {loss}


@pytest.mark.parametrize(
    ("model", "reasoning", "taken", "losses"),
    [
        ("claude-sonnet-4-0", None, {"temperature": 1.0, "top_p": 0.5, "top_k": 3}, {"approximated:temperature"}),
        (
            "claude-sonnet-4-5",
            None,
            {"temperature": 1.0, "top_k": 3},
            {"approximated:temperature", "dropped:top_p"},
        ),
        (
            "claude-sonnet-4-0",
            Reasoning(budget=2000),
            {"temperature": 1.0},
            {"approximated:temperature", "dropped:top_p", "dropped:top_k"},
        ),
        ("claude-opus-4-7", None, {}, {"approximated:temperature", "dropped:top_p", "dropped:top_k"}),
    ],
)
def test_sampling_is_written_as_far_as_it_is_taken(
    model: str, reasoning: Reasoning | None, taken: dict[str, Any], losses: set[str]
) -> None:
    """A temperature of 1 is what a thinking model has anyway."""
    told = Losses("request")
    sampling = Sampling(max_output=9000, temperature=1.5, top_p=0.5, top_k=3)
    body = asked(model, told, reasoning=reasoning, sampling=sampling)
    assert {name: body[name] for name in ("temperature", "top_p", "top_k") if name in body} == taken
    assert noted(told) == losses
    cold = Losses("request")
    sampling = Sampling(max_output=9000, temperature=0.5, top_p=0.97)
    body = asked("claude-sonnet-4-5", cold, reasoning=Reasoning(budget=2000), sampling=sampling)
    assert (body.get("temperature"), body.get("top_p")) == (None, 0.97)
    assert noted(cold) == {"dropped:temperature"}


@pytest.mark.parametrize(
    ("model", "thinking", "choice", "losses"),
    [
        ("claude-sonnet-4-5", False, "any", {"dropped:reasoning"}),
        ("claude-opus-4-6", True, "any", set()),
        ("claude-sonnet-5-5", True, "auto", {"approximated:tool_choice"}),
    ],
)
def test_forced_tools_and_thinking(model: str, thinking: bool, choice: str, losses: set[str]) -> None:
    """Thinking gives way where both are not taken; where no force is taken the model chooses."""
    told = Losses("request")
    forced = ToolChoice("required")
    body = asked(model, told, reasoning=Reasoning(effort="high"), tools=TOOLS, tool_choice=forced)
    assert ("thinking" in body, body["tool_choice"]["type"]) == (thinking, choice)
    assert noted(told) == losses


def test_schemas_are_told_in_words_to_older_models() -> None:
    """Newer ones are held to them."""
    output = OutputFormat(kind="schema", schema={"type": "object"}, name="n", description="d")
    strict = (FunctionTool(name="f", parameters={"type": "object"}, strict=True),)
    losses = Losses("request")
    body = asked("claude-3-5-haiku-latest", losses, output=output, tools=strict)
    assert body["system"].endswith('JSON schema:\n{"type":"object"}')
    assert "output_config" not in body
    assert "strict" not in body["tools"][0]
    assert noted(losses) == {"approximated:response_format", "dropped:tools[].strict"}
    losses = Losses("request")
    body = asked("claude-sonnet-4-5", losses, output=output, tools=strict)
    closed = {"type": "object", "additionalProperties": False}
    assert body["output_config"] == {"format": {"type": "json_schema", "schema": closed}}
    assert body["tools"] == [{"name": "f", "input_schema": closed, "strict": True}]
    assert "system" not in body
    assert noted(losses) == {
        "approximated:response_format.schema",
        "dropped:response_format.description",
        "approximated:tools[].input_schema",
    }
