"""OpenAI's usage object as disjoint kinds of tokens."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asgi_gateway.dialects.openai_wire.ordinary import LARGEST, OrdinaryUsage, ordinary_usage
from asgi_gateway.dialects.openai_wire.usage import usage_of
from asgi_gateway.storage.records import Usage


@pytest.mark.parametrize(
    ("reported", "usage"),
    [
        ({"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}, Usage(input=10, output=5)),
        ({"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}, Usage()),
        (
            {
                "prompt_tokens": 100,
                "completion_tokens": 50,
                "total_tokens": 150,
                "prompt_tokens_details": {
                    "cached_tokens": 40,
                    "audio_tokens": 10,
                    "image_tokens": 5,
                    "cache_write_tokens": 20,
                },
                "completion_tokens_details": {"reasoning_tokens": 30, "audio_tokens": 5, "image_tokens": 2},
            },
            Usage(
                input=25,
                cache_read=40,
                audio_input=10,
                image_input=5,
                cache_write=20,
                output=13,
                reasoning=30,
                audio_output=5,
                image_output=2,
            ),
        ),
        # DeepSeek
        (
            {"prompt_tokens": 9, "completion_tokens": 1, "prompt_cache_hit_tokens": 4, "prompt_cache_miss_tokens": 5},
            Usage(input=5, cache_read=4, output=1),
        ),
        # Moonshot, Together
        ({"prompt_tokens": 9, "completion_tokens": 1, "cached_tokens": 4}, Usage(input=5, cache_read=4, output=1)),
        # the details go before what stands beside them
        ({"prompt_tokens": 9, "cached_tokens": 4, "prompt_tokens_details": {"cached_tokens": 0}}, Usage(input=9)),
        # xAI: reasoning beside the completion
        (
            {
                "prompt_tokens": 12,
                "completion_tokens": 1,
                "total_tokens": 241,
                "prompt_tokens_details": {"cached_tokens": 2},
                "completion_tokens_details": {"reasoning_tokens": 228},
            },
            Usage(input=10, cache_read=2, output=1, reasoning=228),
        ),
        # OpenRouter: more reasoning than completion; the total holds
        (
            {
                "prompt_tokens": 43,
                "completion_tokens": 10,
                "total_tokens": 53,
                "completion_tokens_details": {"reasoning_tokens": 11},
            },
            Usage(input=43, reasoning=10, inconsistent=True),
        ),
        # embeddings, and Voyage's with a total alone
        ({"prompt_tokens": 8, "total_tokens": 8}, Usage(input=8)),
        ({"total_tokens": 3}, Usage(input=3)),
        ({"completion_tokens": 3, "total_tokens": 10}, Usage(input=7, output=3)),
        ({"prompt_tokens": 3, "total_tokens": 10}, Usage(input=3, output=7)),
        (
            {"input_tokens": 3, "output_tokens": 4, "input_tokens_details": {"cached_tokens": 1}},
            Usage(input=2, cache_read=1, output=4),
        ),
        # Mistral, Hugging Face: null details
        (
            {
                "prompt_tokens": 3,
                "completion_tokens": 4,
                "prompt_tokens_details": None,
                "completion_tokens_details": None,
            },
            Usage(input=3, output=4),
        ),
        # figures that are none
        ({"prompt_tokens": 3.0, "completion_tokens": True, "total_tokens": -1}, Usage(input=3)),
        (
            {"prompt_tokens": 3, "completion_tokens": "4", "prompt_tokens_details": {"cached_tokens": None}},
            Usage(input=3),
        ),
    ],
)
def test_kinds_are_disjoint(reported: dict[str, Any], usage: Usage) -> None:
    """And add up to what the upstream says in all."""
    assert usage_of(reported) == usage


@pytest.mark.parametrize(
    "reported", [None, {}, [], "usage", {"cost": 1}, {"prompt_tokens": None}, {"prompt_tokens": LARGEST + 1}]
)
def test_no_usage_is_not_zero(reported: Any) -> None:
    """An answer that reports nothing is estimated by us; one that reports zero is not."""
    assert usage_of(reported) is None


FIGURES = st.one_of(
    st.integers(-5, 50), st.none(), st.booleans(), st.floats(allow_nan=True), st.just("7"), st.just(10**40)
)
DETAILS = st.none() | st.dictionaries(
    st.sampled_from(["cached_tokens", "audio_tokens", "reasoning_tokens", "image_tokens", "cache_write_tokens"]),
    FIGURES,
)


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "prompt_tokens": FIGURES,
            "completion_tokens": FIGURES,
            "total_tokens": FIGURES,
            "cached_tokens": FIGURES,
            "prompt_tokens_details": DETAILS,
            "completion_tokens_details": DETAILS,
        },
    )
)
def test_no_kind_is_negative_whatever_is_reported(reported: dict[str, Any]) -> None:
    """And a stated prompt is always the sum of its kinds."""
    usage = usage_of(reported)
    if usage is None:
        return
    kinds = [usage.input, usage.cache_read, usage.cache_write, usage.audio_input, usage.image_input]
    kinds += [usage.output, usage.reasoning, usage.audio_output, usage.image_output]
    assert all(isinstance(kind, int) and kind >= 0 for kind in kinds)
    prompt = reported.get("prompt_tokens")
    if isinstance(prompt, int) and not isinstance(prompt, bool) and 0 <= prompt <= LARGEST:
        assert usage.total_input == prompt


COUNTS = st.integers(min_value=0, max_value=300) | st.integers(min_value=0, max_value=2 * LARGEST)
INSIDE = ("cached_tokens", "audio_tokens", "image_tokens", "cache_write_tokens", "cached_creation_tokens")
OUTSIDE = ("reasoning_tokens", "audio_tokens", "image_tokens")


@given(
    st.fixed_dictionaries(
        {"prompt_tokens": COUNTS, "total_tokens": COUNTS},
        optional={
            "completion_tokens": COUNTS,
            "prompt_tokens_details": st.none() | st.dictionaries(st.sampled_from(INSIDE), COUNTS),
            "completion_tokens_details": st.none() | st.dictionaries(st.sampled_from(OUTSIDE), COUNTS),
            "prompt_cache_hit_tokens": COUNTS,
            "cached_tokens": COUNTS,
            "input_tokens_details": st.fixed_dictionaries({"cached_tokens": COUNTS}),
        },
    ),
    st.booleans(),
)
def test_the_quick_reader_says_what_the_general_one_does_or_nothing(reported: dict[str, Any], agreeing: bool) -> None:
    """Where the usual shape is read in one step, the usage is the same as member by member."""
    if agreeing:
        reported["total_tokens"] = reported["prompt_tokens"] + reported.get("completion_tokens", 0)
    try:
        quick = ordinary_usage(msgspec.json.decode(msgspec.json.encode(reported), type=OrdinaryUsage))
    except msgspec.ValidationError:
        quick = None
    assert quick in (None, usage_of(reported))


def test_the_quick_reader_reads_what_openai_sends() -> None:
    """The shape of OpenAI's own answers is no exception for the general reader."""
    reported = {
        "prompt_tokens": 100,
        "completion_tokens": 50,
        "total_tokens": 150,
        "prompt_tokens_details": {"cached_tokens": 40, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 30, "accepted_prediction_tokens": 0},
    }
    quick = ordinary_usage(msgspec.convert(reported, OrdinaryUsage))
    assert quick == Usage(input=60, cache_read=40, output=20, reasoning=30)
