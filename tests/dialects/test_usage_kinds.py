"""Beside tokens: tools and classes of service, as every dialect tells them, plain, streamed and passing."""

import json
from typing import Any

import pytest

from asgi_gateway.canonical import Losses, Usage, collect
from asgi_gateway.canonical.usage import TOOL_KINDS
from asgi_gateway.dialects.anthropic_messages.usage import usage_of as anthropic_usage
from asgi_gateway.dialects.cohere_chat.usage import usage_of as cohere_usage
from asgi_gateway.dialects.cohere_chat.usage import write_usage as write_cohere
from asgi_gateway.dialects.openai_wire.usage import usage_of as chat_usage
from asgi_gateway.dialects.service_tiers import NAMES, tier_of
from asgi_gateway.dialects.tool_counts import counted, figure
from asgi_gateway.errors import UpstreamError
from support.bedrock_converse import stream as frames
from support.conversion import read_plain, read_stream
from support.recordings import HOME, recordings, wire_of
from support.usages import LONG, both, both_streamed, events, tapped

# Names


@pytest.mark.parametrize(
    ("stated", "tier"),
    [
        *((name, tier) for name, tier in NAMES.items()),
        ("DEFAULT", ""),
        ("flex", "flex"),
        ("Priority", "priority"),
        ("batch", "batch"),
        ("ON_DEMAND_FLEX", "flex"),
        ("brand-new", "brand-new"),
        ("x" * 99, "x" * 32),
        (None, ""),
        (2, ""),
    ],
)
def test_a_class_of_service_has_one_name(stated: Any, tier: str) -> None:
    """The ordinary one has none, whatever a vendor calls it."""
    assert tier_of(stated) == tier


def test_tools_are_counted_by_kind_in_order() -> None:
    """Each once; unknown names are one kind, and none is below one."""
    assert counted({"mcp": 1, "web_search": 2, "dreaming": 3, "other": 4, "web_fetch": 0, "file_search": -1}) == (
        ("web_search", 2),
        ("mcp", 1),
        ("other", 7),
    )
    assert counted({}) == ()
    assert counted(dict.fromkeys(TOOL_KINDS, 1)) == tuple((kind, 1) for kind in TOOL_KINDS)


@pytest.mark.parametrize(("value", "count"), [(3, 3), (3.0, 3), (-1, 0), (True, 0), ("3", 0), (None, 0), (1e99, 0)])
def test_a_figure_is_a_count_or_nothing(value: Any, count: int) -> None:
    """Whatever a vendor writes in its place."""
    assert figure(value) == count


# Anthropic


def test_anthropic_charges_iterations_beside_its_totals() -> None:
    """Making short and advice are added; what the totals hold is not added again."""
    counts = {"input_tokens": 10, "output_tokens": 5}
    short = {
        "type": "compaction",
        "input_tokens": 100,
        "cache_creation_input_tokens": 50,
        "cache_read_input_tokens": 7,
        "output_tokens": 20,
        "output_tokens_details": {"thinking_tokens": 4},
    }
    reported = {
        **counts,
        "server_tool_use": {"web_search_requests": 1},
        "speed": "fast",
        "iterations": [short, {"type": "message", **counts}, {"type": "advisor_message", **counts}, 1],
    }
    assert anthropic_usage(reported) == Usage(
        input=120,
        cache_read=7,
        cache_write=50,
        output=26,
        reasoning=4,
        tools=(("web_search", 1),),
        service_tier="fast",
    )
    assert anthropic_usage({**counts, "service_tier": "batch", "iterations": None}) == Usage(
        input=10, output=5, service_tier="batch"
    )


def test_anthropic_names_its_classes_of_service() -> None:
    """In its usage, where a stream begins."""
    message = {"type": "message", "id": "m", "model": "m", "content": [], "role": "assistant", "stop_reason": None}
    usage = {"input_tokens": 3, "output_tokens": 1, "service_tier": "priority"}
    answer = {**message, "content": [{"type": "text", "text": "a"}], "stop_reason": "end_turn", "usage": usage}
    assert both("anthropic_messages", answer).service_tier == "priority"
    wire = events(
        {"type": "message_start", "message": {**message, "usage": usage}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 9}},
        {"type": "message_stop"},
        named=True,
    )
    assert both_streamed("anthropic_messages", wire) == Usage(input=3, output=9, service_tier="priority")


# OpenAI's chat, and those who look like it

COUNTS = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}


@pytest.mark.parametrize(
    ("more", "usage"),
    [
        ({"server_tool_use": {"web_search_requests": 2}}, Usage(input=10, output=5, tools=(("web_search", 2),))),
        (
            {
                "server_tool_use": {"web_search_requests": 2},
                "server_tool_use_details": {"tool_calls_executed": 5, "tool_calls_requested": 9},
            },
            Usage(input=10, output=5, tools=(("web_search", 2), ("other", 3))),
        ),
        ({"server_tool_use_details": {"tool_calls_executed": 1}}, Usage(input=10, output=5, tools=(("other", 1),))),
        ({"search_context_size": "low"}, Usage(input=10, output=5, tools=(("web_search", 1),))),
        (
            {"search_context_size": "low", "num_search_queries": 4},
            Usage(input=10, output=5, tools=(("web_search", 4),)),
        ),
        ({"prompt_audio_seconds": 1.5}, Usage(input=10, output=5, milliseconds=1500)),
        ({"prompt_audio_seconds": "1"}, Usage(input=10, output=5)),
        ({"prompt_audio_seconds": -1}, Usage(input=10, output=5)),
        ({"num_cached_tokens": 4}, Usage(input=6, cache_read=4, output=5)),
        ({"service_tier": "flex"}, Usage(input=10, output=5, service_tier="flex")),
        ({"service_tier": "standard"}, Usage(input=10, output=5)),
    ],
)
def test_look_alikes_tell_tools_in_their_own_words(more: dict[str, Any], usage: Usage) -> None:
    """In the usage itself; it is the same read at once and through an answer."""
    assert chat_usage({**COUNTS, **more}) == usage
    assert both("openai_chat", chat(usage={**COUNTS, **more})) == usage


def chat(**more: Any) -> dict[str, Any]:
    message = {"role": "assistant", "content": "a"}
    return {"model": "m", "choices": [{"index": 0, "message": message, "finish_reason": "stop"}], **more}


def chunks(**more: Any) -> bytes:
    choice = {"index": 0, "delta": {"content": "a"}, "finish_reason": "stop"}
    return events({"model": "m", "choices": [choice]}, {"choices": [], "usage": COUNTS, **more}) + b"data: [DONE]\n\n"


@pytest.mark.parametrize(
    ("more", "usage"),
    [
        ({"service_tier": "flex"}, Usage(input=10, output=5, service_tier="flex")),
        ({"service_tier": "on_demand"}, Usage(input=10, output=5)),
        ({"service_tier": 1, "model": 1}, Usage(input=10, output=5)),
        ({"model": "gpt-4o-search-preview-2025-03-11"}, Usage(input=10, output=5, tools=(("web_search", 1),))),
        ({"model": "gpt-5-search-api"}, Usage(input=10, output=5, tools=(("web_search", 1),))),
        (
            {"model": "gpt-4o-mini-search-preview", "service_tier": "priority"},
            Usage(input=10, output=5, tools=(("web_search", 1),), service_tier="priority"),
        ),
    ],
)
def test_chat_tells_tier_and_searches_beside_the_usage(more: dict[str, Any], usage: Usage) -> None:
    """By the answer's own members: plain, long, streamed."""
    assert both("openai_chat", chat(usage=COUNTS, **more)) == usage
    assert both_streamed("openai_chat", chunks(**more)) == usage
    long = json.dumps({**more, "choices": chat()["choices"], "padding": LONG, "usage": COUNTS}).encode()
    assert tapped("openai_chat", long, size=9999) == usage


# Amazon and Cohere

NOVA = {"toolUseId": "t", "name": "nova_grounding", "type": "server_tool_use", "input": {}}
OWN = {"toolUseId": "o", "name": "f", "input": {}}
CONVERSED = {"inputTokens": 10, "outputTokens": 5, "totalTokens": 15}


def test_amazon_tells_tier_and_tools_beside_the_usage() -> None:
    """In the message, and in the frames of a stream."""
    content = [{"toolUse": NOVA}, {"toolUse": {**NOVA, "name": "new"}}, {"toolUse": OWN}, {"text": "a"}]
    usage = Usage(input=10, output=5, tools=(("web_search", 1), ("other", 1)), service_tier="priority")
    beside = {"usage": CONVERSED, "serviceTier": {"type": "priority"}}
    whole = {"output": {"message": {"role": "assistant", "content": content}}, "stopReason": "end_turn", **beside}
    assert both("bedrock_converse", whole) == usage
    blocks: list[dict[str, Any]] = []
    for number, block in enumerate(content[:3]):
        blocks.append({"contentBlockStart": {"contentBlockIndex": number, "start": {"toolUse": block["toolUse"]}}})
        blocks.append({"contentBlockStop": {"contentBlockIndex": number}})
    wire = frames(
        {"messageStart": {"role": "assistant"}},
        {"contentBlockStart": {"contentBlockIndex": 9}},
        *blocks,
        {"messageStop": {"stopReason": "end_turn"}},
        {"metadata": {**beside, "metrics": {"latencyMs": 1}}},
    )
    assert both_streamed("bedrock_converse", wire) == usage
    odd = {**beside, "output": {"message": {"content": "a"}}}
    assert tapped("bedrock_converse", json.dumps(odd).encode()) == Usage(input=10, output=5, service_tier="priority")


def test_cohere_counts_units_of_search() -> None:
    """They come and go as calls of a tool of no other kind."""
    reported = {"billed_units": {"input_tokens": 1, "output_tokens": 2, "search_units": 3}}
    usage = Usage(input=1, output=2, tools=(("other", 3),))
    assert cohere_usage(reported) == usage
    assert cohere_usage(write_cohere(usage)) == usage


# Recorded

FOLDERS = {
    "openai.chat": "openai_chat",
    "mistral.chat": "openai_chat",
    "openai.responses": "openai_responses",
    "anthropic.messages": "anthropic_messages",
    "gemini.generate": "google_generate",
    "cohere.chat": "cohere_chat",
}


@pytest.mark.skipif(not HOME.exists(), reason="no recordings beside the repository")
@pytest.mark.parametrize("folder", FOLDERS)
def test_an_answer_that_passes_is_charged_like_one_that_is_converted(folder: str) -> None:
    """Every recorded answer that is whole and one alone: both ways read the same usage."""
    dialect, seen, wrong = FOLDERS[folder], 0, []
    for recording in recordings(folder):
        response = recording["response"]
        first_version = dialect == "cohere_chat" and "/v1/" in recording["request"]["path"]
        if response["status"] >= 400 or first_version or response.get("framing") == "json-array":
            continue
        wire = wire_of(response)
        if wire.count(b"event: message_start") > 1:  # several answers, one behind the other
            continue
        try:
            read = read_stream if recording["stream"] else read_plain
            converted = collect(read(dialect, wire, Losses("response")))
            passed = tapped(dialect, wire, stream=recording["stream"])
        except UpstreamError:
            continue
        seen += 1
        if converted.usage != passed:
            wrong.append(recording["id"])
    assert wrong == []
    assert seen > 30
