"""How reasoning is asked for by the names of models, and spliced into a body; seals in `reasoning_details`."""

import json
from typing import Any

import pytest

from asgi_gateway.canonical import Losses, Reasoning, Seal, Thinking
from asgi_gateway.dialects.openai_chat import OPENAI_CHAT
from asgi_gateway.dialects.openai_chat.efforts import write_reasoning
from asgi_gateway.dialects.openai_chat.reasoning_details import details_of, thinking_in
from asgi_gateway.dialects.openai_wire.families import Family, family_of
from asgi_gateway.errors import InvalidRequest


@pytest.mark.parametrize(
    ("model", "family"),
    [
        ("gpt-4o", Family("openai", version=(4, 0))),
        ("GPT-5.6-sol", Family("openai", reasons=True, version=(5, 6))),
        ("gpt-5-2025-08-07", Family("openai", reasons=True, version=(5, 0))),
        ("gpt-5.2-chat-latest", Family("openai", version=(5, 2))),
        ("gpt-10", Family("openai", reasons=True, version=(10, 0))),
        ("chatgpt-4o-latest", Family("openai")),
        ("o1", Family("openai", reasons=True)),
        ("o3-pro", Family("openai", reasons=True)),
        ("openrouter/openai/o4-mini", Family("openai", routed=True, reasons=True)),
        ("openai/gpt-oss-120b", Family("gpt-oss", routed=True)),
        ("ollama", Family("")),
        ("qwq-32b", Family("qwen")),
        ("codestral-latest", Family("mistral")),
        ("kimi-k2-thinking", Family("kimi")),
        ("llama-3", Family("")),
    ],
)
def test_families(model: str, family: Family) -> None:
    """A name tells who answers."""
    assert family_of(model) == family


def test_makers_of_families() -> None:
    """Whose seals a model reads."""
    makers = {name: family_of(name).maker for name in ("claude-x", "gemini-x", "gpt-4o", "grok-4", "llama")}
    assert makers == {"claude-x": "anthropic", "gemini-x": "google", "gpt-4o": "openai", "grok-4": "xai", "llama": ""}


@pytest.mark.parametrize(
    ("model", "reasoning", "expected", "lost"),
    [
        ("gpt-5", Reasoning(effort="high"), {"reasoning_effort": "high"}, "none"),
        ("gpt-5", Reasoning(effort="none"), {"reasoning_effort": "minimal"}, "approximated:reasoning"),
        ("o3", Reasoning(effort="none"), {"reasoning_effort": "low"}, "approximated:reasoning"),
        ("gpt-5.1", Reasoning(enabled=False), {"reasoning_effort": "none"}, "none"),
        ("gpt-5.1", Reasoning(budget=0), {"reasoning_effort": "none"}, "none"),
        ("gpt-5", Reasoning(enabled=False), {"reasoning_effort": "minimal"}, "approximated:reasoning"),
        ("gpt-5.1", Reasoning(effort="minimal"), {"reasoning_effort": "low"}, "approximated:reasoning"),
        ("gpt-5", Reasoning(effort="xhigh"), {"reasoning_effort": "high"}, "approximated:reasoning"),
        ("gpt-5.2", Reasoning(effort="max"), {"reasoning_effort": "xhigh"}, "approximated:reasoning"),
        ("gpt-5.1-codex-max", Reasoning(effort="xhigh"), {"reasoning_effort": "xhigh"}, "none"),
        ("o3", Reasoning(budget=8000), {"reasoning_effort": "medium"}, "approximated:reasoning"),
        ("o3", Reasoning(adaptive=True, summary="auto"), {}, "dropped:reasoning.summary"),
        ("gpt-4o", Reasoning(effort="low"), {}, "dropped:reasoning"),
        ("gpt-4o", Reasoning(effort="none"), {}, "none"),
        (
            "qwen3-max",
            Reasoning(effort="high"),
            {"enable_thinking": True, "thinking_budget": 24576},
            "approximated:reasoning",
        ),
        ("qwen3-max", Reasoning(enabled=True), {"enable_thinking": True}, "none"),
        ("qwen3-max", Reasoning(budget=99), {"enable_thinking": True, "thinking_budget": 99}, "none"),
        ("qwen3-max", Reasoning(enabled=False), {"enable_thinking": False}, "none"),
        ("qwen3-max", Reasoning(visible=True), {}, "none"),
        ("qwen/qwen3-32b", Reasoning(effort="low"), {"reasoning_effort": "low"}, "none"),
        ("deepseek-chat", Reasoning(enabled=True), {"thinking": {"type": "enabled"}}, "none"),
        ("deepseek-chat", Reasoning(effort="none"), {"thinking": {"type": "disabled"}}, "none"),
        (
            "glm-5",
            Reasoning(effort="high"),
            {"thinking": {"type": "enabled"}, "reasoning_effort": "high"},
            "none",
        ),
        ("kimi-k2", Reasoning(effort="high"), {"thinking": {"type": "enabled"}}, "approximated:reasoning"),
        ("kimi-k2", Reasoning(visible=True), {}, "none"),
        ("anthropic/claude-x", Reasoning(budget=99), {"reasoning": {"max_tokens": 99}}, "none"),
        ("anthropic/claude-x", Reasoning(effort="max"), {"reasoning_effort": "max"}, "none"),
        ("llama", Reasoning(effort="low"), {"reasoning_effort": "low"}, "none"),
    ],
)
def test_asking_for_reasoning(model: str, reasoning: Reasoning, expected: dict[str, Any], lost: str) -> None:
    """Each family in its own way; what comes nearest is noted."""
    losses = Losses("request")
    assert write_reasoning(reasoning, model, family_of(model), losses) == expected
    assert losses.header() == lost


def spliced(fields: dict[str, Any], reasoning: Reasoning, **more: Any) -> dict[str, Any]:
    """A body with reasoning spliced in."""
    body = json.dumps({"model": "o3-mini", **fields}).encode()
    found: dict[str, Any] = json.loads(OPENAI_CHAT.rewrite(body, reasoning=reasoning, **more))
    return found


def test_reasoning_is_spliced_in() -> None:
    """Sampling that it forbids goes, and the limit gets its other name."""
    given = {"temperature": 0.5, "top_p": 0.1, "max_tokens": 5, "seed": 1, "stop": ["x"]}
    assert spliced(given, Reasoning(effort="high")) == {
        "reasoning_effort": "high",
        "max_completion_tokens": 5,
        "model": "o3-mini",
        "seed": 1,
    }


def test_the_upstreams_name_decides() -> None:
    """And other bytes stay."""
    body = b'{ "model": "fast-high", "temperature": 1, "max_tokens": 5 }'
    effort = Reasoning(effort="low")
    assert OPENAI_CHAT.rewrite(body, model="llama", reasoning=effort) == (
        b'{"reasoning_effort":"low", "model": "llama", "temperature": 1, "max_tokens": 5 }'
    )
    assert json.loads(OPENAI_CHAT.rewrite(body, model="gpt-5.1", reasoning=Reasoning(effort="none"))) == {
        "model": "gpt-5.1",
        "temperature": 1,
        "reasoning_effort": "none",
        "max_completion_tokens": 5,
    }


@pytest.mark.parametrize(
    "said", [{"reasoning_effort": "low"}, {"reasoning": {}}, {"thinking": {}}, {"enable_thinking": False}]
)
def test_what_the_body_says_wins(said: dict[str, Any]) -> None:
    """Whatever it says about reasoning, and in whichever way."""
    assert spliced({**said, "temperature": 2}, Reasoning(effort="high")) == {
        "model": "o3-mini",
        "temperature": 2,
        **said,
    }


def test_null_says_nothing() -> None:
    """And an override wins over what was spliced in; a limit of both names keeps the newer."""
    body = {"reasoning_effort": None, "max_tokens": 1, "max_completion_tokens": 2}
    assert spliced(body, Reasoning(effort="high"), overrides={"seed": 7}) == {
        "seed": 7,
        "model": "o3-mini",
        "reasoning_effort": "high",
        "max_completion_tokens": 2,
    }


def test_bodies_without_a_model() -> None:
    """Are of no family; bodies that are none are refused."""
    assert json.loads(OPENAI_CHAT.rewrite(b'{"a": 1}', reasoning=Reasoning(effort="low"))) == {
        "a": 1,
        "reasoning_effort": "low",
    }
    with pytest.raises(InvalidRequest):
        OPENAI_CHAT.rewrite(b"[]", reasoning=Reasoning(effort="low"))


SIGNED = Seal(maker="anthropic", kind="signature", data="QQ==")
REDACTED = Seal(maker="anthropic", kind="redacted", data="QQ==")
OPENAI = Seal(maker="openai", kind="encrypted", data="QQ==")
XAI = Seal(maker="xai", kind="encrypted", data="QQ==")
OTHER = Seal(maker="cohere_chat", kind="encrypted", data="QQ==")
GOOGLE = Seal(maker="google", kind="signature", data="QQ==")


@pytest.mark.parametrize(
    "thoughts",
    [
        [Thinking("a", SIGNED)],
        [Thinking("a", SIGNED), Thinking("", REDACTED), Thinking("b", SIGNED)],
        [Thinking("a", OPENAI, "rs_1"), Thinking("", OPENAI, "rs_2"), Thinking("b", OPENAI, "rs_3")],
        [Thinking("a", OPENAI), Thinking("b", XAI), Thinking("", OPENAI)],
        [Thinking("a"), Thinking("b", OPENAI), Thinking("c")],
        [Thinking("a", OTHER), Thinking("", OTHER), Thinking("", GOOGLE), Thinking("b", GOOGLE)],
        [Thinking("a", REDACTED), Thinking("a", Seal(maker="google", kind="encrypted", data="QQ=="))],
        [Thinking("", None, "rs_1"), Thinking("a", None, "rs_2")],
    ],
)
def test_details_are_read_as_they_were_written(thoughts: list[Thinking]) -> None:
    """With the text beside them and without."""
    details: list[dict[str, Any]] = []
    for thought in thoughts:
        details += details_of(thought, len(details))
    assert [detail["index"] for detail in details] == list(range(len(details)))
    text = "".join(thought.text for thought in thoughts)
    for beside in (text, ""):
        losses = Losses("request")
        assert thinking_in(beside, details, (), losses) == (thoughts, {})
        assert not losses


def test_details_of_others() -> None:
    """OpenRouter's share an index, and leave things out; a seal without a text takes the one that stands beside it."""
    details = [
        {"type": "reasoning.summary", "summary": "a", "format": "openai-responses-v1", "index": 0},
        {"type": "reasoning.encrypted", "data": "QQ==", "format": "openai-responses-v1", "id": "rs_1", "index": 0},
        {"type": "reasoning.text", "text": "b"},
        {"type": "reasoning.text", "text": "c", "format": "unheard-of", "signature": "x"},
        {"type": "reasoning.encrypted", "data": "y", "format": None},
    ]
    assert thinking_in("", details, (), Losses("request"))[0] == [
        Thinking("a", OPENAI, "rs_1"),
        Thinking("b"),
        Thinking("c", Seal(maker="anthropic", kind="signature", data="x")),
        Thinking("", Seal(maker="unknown", kind="encrypted", data="y")),
    ]
    assert thinking_in("why", details[-1:], (), Losses("request"))[0] == [
        Thinking("why", Seal(maker="unknown", kind="encrypted", data="y"))
    ]
