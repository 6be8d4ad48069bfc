"""Whatever an upstream used: what a dialect has a place for comes back as it was, and no kind is ever below zero."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asgi_gateway.canonical import (
    ChatRequest,
    Event,
    Losses,
    PartClosed,
    PartOpened,
    Started,
    Stopped,
    TextDelta,
    Usage,
    UsageReported,
    collect,
)
from asgi_gateway.canonical.usage import TOOL_KINDS
from asgi_gateway.dialects import CHAT_DIALECTS
from asgi_gateway.dialects.anthropic_messages.usage import usage_of as anthropic_usage
from asgi_gateway.dialects.bedrock_converse.usage import usage_of as bedrock_usage
from asgi_gateway.dialects.cohere_chat.usage import usage_of as cohere_usage
from asgi_gateway.dialects.google_generate.usage import usage_of as google_usage
from asgi_gateway.dialects.openai_responses.usage import usage_of as responses_usage
from asgi_gateway.dialects.openai_wire.usage import usage_of as chat_usage
from support.conversion import plain_answer, read_plain, read_stream, streamed_answer
from support.usages import tapped

ASKED = ChatRequest(model="m", turns=(), wants_usage=True)

TOKENS = (
    "input",
    "cache_read",
    "cache_write",
    "cache_write_1h",
    "audio_input",
    "image_input",
    "output",
    "reasoning",
    "audio_output",
    "image_output",
)

COUNT = st.integers(0, 1 << 30)


@st.composite
def usages(draw: st.DrawFn) -> Usage:
    """Tokens of all kinds, some tools, and a class of service."""
    kinds: dict[str, Any] = {kind: draw(COUNT) for kind in TOKENS}
    ran = draw(st.dictionaries(st.sampled_from(TOOL_KINDS), st.integers(1, 99), max_size=3))
    tools = tuple((kind, ran[kind]) for kind in TOOL_KINDS if kind in ran)
    tier = draw(st.sampled_from(["", "flex", "priority", "batch", "scale", "provisioned", "new"]))
    return Usage(**kinds, tools=tools, service_tier=tier)


def told(usage: Usage) -> list[Event]:
    text = (PartOpened(0, "text"), TextDelta(0, "Hi"), PartClosed(0))
    return [Started("r1", "m"), *text, UsageReported(usage), Stopped("stop")]


@pytest.mark.parametrize("dialect", CHAT_DIALECTS)
@given(usages())
def test_what_came_through_once_comes_through_again(dialect: str, usage: Usage) -> None:
    """The totals never change, and a dialect keeps all of what it can express; passing on reads the same."""
    body = plain_answer(dialect, told(usage), ASKED, Losses("response")).body
    once = collect(read_plain(dialect, body, Losses("response"))).usage
    assert once is not None
    assert (once.total_input, once.total_output) == (usage.total_input, usage.total_output)
    assert not once.inconsistent
    assert tapped(dialect, body) == once
    again = plain_answer(dialect, told(once), ASKED, Losses("response")).body
    assert collect(read_plain(dialect, again, Losses("response"))).usage == once
    wire = streamed_answer(dialect, told(once), ASKED, Losses("response")).body
    streamed = collect(read_stream(dialect, wire, Losses("response"))).usage
    assert streamed is not None
    assert tapped(dialect, wire, stream=True, size=77) == streamed
    assert (streamed.total_input, streamed.total_output) == (usage.total_input, usage.total_output)
    assert streamed.tools == once.tools


FIGURE = st.one_of(st.integers(-5, 40), st.floats(-5, 40), st.none(), st.booleans(), st.just("7"), st.just([]))

NAMES: dict[str, tuple[Any, tuple[str, ...], dict[str, tuple[str, ...]]]] = {
    "openai_chat": (
        chat_usage,
        (
            "prompt_tokens", "completion_tokens", "total_tokens", "cached_tokens", "num_search_queries",
            "prompt_audio_seconds", "search_context_size", "service_tier",
        ),
        {
            "prompt_tokens_details": ("cached_tokens", "cache_write_tokens", "audio_tokens", "image_tokens"),
            "completion_tokens_details": ("reasoning_tokens", "audio_tokens", "image_tokens"),
            "server_tool_use": ("web_search_requests", "web_fetch_requests", "new"),
            "server_tool_use_details": ("tool_calls_executed",),
        },
    ),
    "openai_responses": (
        responses_usage,
        ("input_tokens", "output_tokens", "total_tokens", "num_server_side_tools_used"),
        {
            "input_tokens_details": ("cached_tokens", "cache_write_tokens", "audio_tokens", "image_tokens"),
            "output_tokens_details": ("reasoning_tokens",),
            "server_side_tool_usage_details": ("web_search_calls", "x_search_calls"),
        },
    ),
    "anthropic_messages": (
        anthropic_usage,
        (
            "input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens", "service_tier",
            "speed", "iterations",
        ),
        {
            "cache_creation": ("ephemeral_5m_input_tokens", "ephemeral_1h_input_tokens"),
            "output_tokens_details": ("thinking_tokens",),
            "server_tool_use": ("web_search_requests", "web_fetch_requests", "new"),
        },
    ),
    "google_generate": (
        google_usage,
        (
            "promptTokenCount", "candidatesTokenCount", "totalTokenCount", "thoughtsTokenCount",
            "cachedContentTokenCount", "toolUsePromptTokenCount", "trafficType",
        ),
        {},
    ),
    "cohere_chat": (
        cohere_usage,
        ("cached_tokens",),
        {
            "billed_units": ("input_tokens", "output_tokens", "search_units"),
            "tokens": ("input_tokens", "output_tokens", "image_tokens", "reasoning_tokens"),
        },
    ),
    "bedrock_converse": (
        bedrock_usage,
        ("inputTokens", "outputTokens", "totalTokens", "cacheReadInputTokens", "cacheWriteInputTokens"),
        {},
    ),
}  # fmt: skip
"""By dialect: what reads a report, its fields, and those of the objects in it."""


@pytest.mark.parametrize("dialect", NAMES)
@given(st.data())
def test_reports_that_do_not_add_up_have_no_kind_below_zero(dialect: str, data: st.DataObject) -> None:
    """Whatever stands in whichever field: kinds are counts, tools are in order and once, and JSON can hold it all."""
    read, names, inner = NAMES[dialect]
    reported: dict[str, Any] = data.draw(st.dictionaries(st.sampled_from(names), FIGURE))
    for name, fields in inner.items():
        reported[name] = data.draw(FIGURE | st.dictionaries(st.sampled_from(fields), FIGURE))
    usage = read(reported)
    if usage is None:
        return
    assert all(type(getattr(usage, kind)) is int and getattr(usage, kind) >= 0 for kind in TOKENS)
    assert usage.milliseconds >= 0
    kinds = [kind for kind, _ in usage.tools]
    assert kinds == [kind for kind in TOOL_KINDS if kind in kinds]
    assert all(count > 0 for _, count in usage.tools)
    assert msgspec.convert(json.loads(msgspec.json.encode(usage)), Usage) == usage
