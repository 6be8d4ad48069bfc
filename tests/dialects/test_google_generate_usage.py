"""Google's usage, as kinds that add up."""

from typing import Any

import pytest

from asgi_gateway.canonical import Losses, Usage
from asgi_gateway.dialects.google_generate.usage import usage_of, write_usage
from support.google_generate import noted


def details(**counts: int) -> list[dict[str, Any]]:
    """Counts by modality."""
    return [{"modality": name, "tokenCount": count} for name, count in counts.items()]


@pytest.mark.parametrize(
    ("reported", "usage"),
    [
        (
            {"promptTokenCount": 10, "candidatesTokenCount": 5, "thoughtsTokenCount": 7, "totalTokenCount": 22},
            Usage(input=10, output=5, reasoning=7),
        ),
        (
            {
                "promptTokenCount": 100,
                "cachedContentTokenCount": 60,
                "toolUsePromptTokenCount": 8,
                "candidatesTokenCount": 5,
                "totalTokenCount": 113,
            },
            Usage(input=48, cache_read=60, output=5),
        ),
        (
            {
                "promptTokenCount": 100,
                "cachedContentTokenCount": 30,
                "promptTokensDetails": details(TEXT=40, AUDIO=50, IMAGE=10),
                "cacheTokensDetails": details(AUDIO=30),
                "candidatesTokenCount": 20,
                "candidatesTokensDetails": details(IMAGE=15, AUDIO=3),
                "totalTokenCount": 120,
            },
            Usage(
                input=40, cache_read=30, audio_input=20, image_input=10, output=2, image_output=15, audio_output=3
            ),
        ),
        (
            {"promptTokenCount": 9, "promptTokensDetails": [{"modality": 1, "tokenCount": 9}], "totalTokenCount": 9},
            Usage(input=9),
        ),
        (
            {"promptTokenCount": 9, "promptTokensDetails": [{"modality": 4, "tokenCount": 9}], "totalTokenCount": 9},
            Usage(audio_input=9),
        ),
        (
            {"promptTokenCount": 9, "promptTokensDetails": details(VIDEO=5, DOCUMENT=4), "totalTokenCount": 9},
            Usage(input=9),
        ),
        ({"promptTokenCount": 9, "totalTokenCount": 12}, Usage(input=9, output=3)),
        ({"candidatesTokenCount": 3, "totalTokenCount": 12}, Usage(input=9, output=3)),
        ({"candidatesTokenCount": 18, "thoughtsTokenCount": 58}, Usage(output=18, reasoning=58)),
        ({"promptTokenCount": 9, "candidatesTokenCount": 3, "totalTokenCount": 13},
         Usage(input=9, output=3, inconsistent=True)),
        ({"promptTokenCount": 9, "cachedContentTokenCount": 12, "totalTokenCount": 9},
         Usage(cache_read=9, inconsistent=True)),
        ({"promptTokenCount": 9, "promptTokensDetails": details(AUDIO=6, IMAGE=6), "totalTokenCount": 9},
         Usage(audio_input=6, image_input=3, inconsistent=True)),
        ({"promptTokenCount": 0, "candidatesTokenCount": 2, "candidatesTokensDetails": details(AUDIO=3, IMAGE=6)},
         Usage(audio_output=2, inconsistent=True)),
    ],
)  # fmt: skip
def test_kinds_are_disjoint(reported: dict[str, Any], usage: Usage) -> None:
    """What does not add up is marked; totals are kept."""
    assert usage_of(reported) == usage


@pytest.mark.parametrize("reported", [{"trafficType": "ON_DEMAND"}, {}, 5, None, {"promptTokenCount": -1}])
def test_a_report_without_figures_is_none(reported: Any) -> None:
    """Vertex sends such ones in its streams; absent differs from zero."""
    assert usage_of(reported) is None


def test_usage_is_written_with_its_details() -> None:
    """Thoughts beside the candidates; what was written to a cache belongs to the prompt."""
    losses = Losses("response")
    usage = Usage(
        input=10, cache_read=20, cache_write=5, audio_input=3, image_input=2, output=7, reasoning=4, image_output=1
    )
    assert write_usage(usage, losses) == {
        "promptTokenCount": 40,
        "candidatesTokenCount": 8,
        "totalTokenCount": 52,
        "thoughtsTokenCount": 4,
        "cachedContentTokenCount": 20,
        "promptTokensDetails": details(TEXT=35, AUDIO=3, IMAGE=2),
        "cacheTokensDetails": details(TEXT=20),
        "candidatesTokensDetails": details(TEXT=7, IMAGE=1),
    }
    assert noted(losses) == ["approximated:usage.cache_write"]


def test_usage_written_and_read_is_the_same() -> None:
    """But for what Google has no word for."""
    usage = Usage(input=10, cache_read=20, audio_input=3, image_input=2, output=7, reasoning=4, audio_output=9)
    assert usage_of(write_usage(usage, Losses("response"))) == usage
    assert usage_of(write_usage(Usage(), Losses("response"))) == Usage()
