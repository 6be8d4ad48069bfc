"""Reasoning as each Gemini takes it, and what is known of the models."""

from typing import Any

import pytest

from asgi_gateway.canonical import Losses, Reasoning
from asgi_gateway.dialects.google_generate.models import abilities_of
from asgi_gateway.dialects.google_generate.thinking import write_thinking
from support.google_generate import noted

SHOWN = {"includeThoughts": True}
NEAR = ["approximated:reasoning"]
GONE = ["dropped:reasoning"]


@pytest.mark.parametrize(
    ("model", "reasoning", "config", "losses"),
    [
        ("gemini-2.5-pro", Reasoning(budget=50), {"thinkingBudget": 128, **SHOWN}, NEAR),
        ("gemini-2.5-pro", Reasoning(budget=99999), {"thinkingBudget": 32768, **SHOWN}, NEAR),
        ("gemini-2.5-pro", Reasoning(enabled=False), {"thinkingBudget": 128}, NEAR),
        ("gemini-2.5-pro", Reasoning(budget=-1), {"thinkingBudget": -1, **SHOWN}, []),
        ("models/gemini-2.5-flash", Reasoning(effort="low"), {"thinkingBudget": 1024, **SHOWN}, []),
        ("gemini-2.5-flash", Reasoning(effort="none"), {"thinkingBudget": 0}, []),
        ("gemini-2.5-flash", Reasoning(effort="max"), {"thinkingBudget": 24576, **SHOWN}, NEAR),
        ("gemini-2.5-flash", Reasoning(enabled=True, adaptive=True), {"thinkingBudget": -1, **SHOWN}, []),
        ("gemini-2.5-flash-lite-06-17", Reasoning(budget=100), {"thinkingBudget": 512, **SHOWN}, NEAR),
        ("gemini-2.5-flash", Reasoning(visible=True), SHOWN, []),
        ("gemini-2.5-flash", Reasoning(visible=False), {"includeThoughts": False}, []),
        ("gemini-2.5-flash", Reasoning(summary="auto"), SHOWN, []),
        ("gemini-2.5-flash", Reasoning(), None, []),
        ("gemini-3-pro-preview", Reasoning(effort="low"), {"thinkingLevel": "LOW", **SHOWN}, []),
        ("gemini-3-pro-preview", Reasoning(effort="medium"), {"thinkingLevel": "HIGH", **SHOWN}, NEAR),
        ("gemini-3-pro-preview", Reasoning(effort="none"), {"thinkingLevel": "LOW"}, NEAR),
        ("gemini-3.1-pro-preview", Reasoning(effort="medium"), {"thinkingLevel": "MEDIUM", **SHOWN}, []),
        ("gemini-3-flash-preview", Reasoning(effort="minimal"), {"thinkingLevel": "MINIMAL", **SHOWN}, []),
        ("gemini-3-flash-preview", Reasoning(effort="xhigh"), {"thinkingLevel": "HIGH", **SHOWN}, NEAR),
        ("gemini-3-flash-preview", Reasoning(budget=8192), {"thinkingLevel": "MEDIUM", **SHOWN}, NEAR),
        ("gemini-3-flash-preview", Reasoning(budget=-1), SHOWN, []),
        ("gemini-3.8-flash", Reasoning(effort="minimal"), {"thinkingLevel": "LOW", **SHOWN}, NEAR),
        ("gemini-3-pro-image-preview", Reasoning(effort="high"), SHOWN, GONE),
        ("gemini-2.0-flash", Reasoning(effort="high"), None, GONE),
        ("gemini-2.0-flash", Reasoning(enabled=False), None, []),
        ("gemini-2.5-flash-preview-tts", Reasoning(budget=5), None, GONE),
        ("my-alias", Reasoning(budget=5), {"thinkingBudget": 5, **SHOWN}, []),
        ("my-alias", Reasoning(effort="max"), {"thinkingLevel": "HIGH", **SHOWN}, []),
        ("my-alias", Reasoning(effort="low"), {"thinkingLevel": "LOW", **SHOWN}, []),
        ("my-alias", Reasoning(effort="none"), {"thinkingBudget": 0}, []),
    ],
)
def test_reasoning_is_written_as_the_model_takes_it(
    model: str, reasoning: Reasoning, config: dict[str, Any] | None, losses: list[str]
) -> None:
    """A budget for 2.5, a level for 3; what lies outside is moved to the next, and noted."""
    lost = Losses("request")
    assert write_thinking(reasoning, model, lost) == config
    assert noted(lost) == losses


@pytest.mark.parametrize(
    ("model", "generation", "strict"),
    [
        ("publishers/google/models/gemini-2.5-pro", 2.5, False),
        ("gemini-1.5-flash-002", 1.5, False),
        ("gemini-3-pro-preview", 3.0, True),
        ("gemini-3.5-flash", 3.5, True),
        ("gemini-flash-latest", 3.0, True),
        ("gemini-4", 4.0, True),
        ("gemma-3-27b-it", 0.0, False),
        ("gemini-exp", 0.0, False),
    ],
)
def test_a_models_generation_is_read_from_its_name(model: str, generation: float, strict: bool) -> None:
    """From the third on calls must be signed, and results may hold media."""
    known = abilities_of(model)
    assert (known.generation, known.strict_signatures, known.media_in_results) == (generation, strict, strict)
