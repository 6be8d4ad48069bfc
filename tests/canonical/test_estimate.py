"""Tokens of a request, by the stated rule."""

import pytest

from asgi_gateway.canonical import (
    ChatRequest,
    CustomTool,
    FunctionTool,
    HostedCall,
    HostedResult,
    HostedTool,
    Inline,
    Media,
    Native,
    OutputFormat,
    PlainText,
    Refusal,
    Remote,
    Stored,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
    Turn,
    estimate_tokens,
)
from asgi_gateway.canonical.parts import Part


def of(*parts: Part) -> int:
    """Without the turn's own frame."""
    return estimate_tokens(ChatRequest(model="m", turns=(Turn("user", parts),))) - 4


@pytest.mark.parametrize(
    ("part", "tokens"),
    [
        (Text("x" * 40), 10),
        (Text("x"), 1),
        (Text("ü" * 3), 2),
        (Text("\ud800"), 1),
        (Refusal("x" * 8), 2),
        (Thinking("x" * 8), 2),
        (ToolCall(id="long id that nobody reads", name="f" * 4, arguments="{}  "), 2),
        (ToolResult(call_id="x", parts=(Text("x" * 4), Text("x" * 4))), 2),
        (HostedCall(id="x", tool="web_search", arguments="x" * 4), 1),
        (HostedResult(call_id="x", tool="web_search", parts=(Text("x" * 4),)), 1),
        (Native("a", "b", {"k": 1}), 2),
        (Media(kind="image", source=Inline("image/png", "A" * 4000)), 1100),
        (Media(kind="image", source=Remote("https://x.test/a.png")), 1100),
        (Media(kind="document", source=Stored("file-1", "openai")), 1100),
        (Media(kind="document", source=Inline("application/pdf", "A" * 200_000)), 3300),
        (Media(kind="document", source=PlainText("x" * 40)), 10),
        (Media(kind="audio", source=Inline("audio/wav", "A" * 4000)), 6),
        (Media(kind="video", source=Inline("video/mp4", "A" * 4)), 1),
    ],
)
def test_each_kind_of_part_has_its_rule(part: Part, tokens: int) -> None:
    """Text by its bytes, media by kind and size."""
    assert of(part) == tokens


def test_what_stands_beside_the_turns_counts_too() -> None:
    """Instructions, tools with their schemas, the form of the answer; four for each frame."""
    request = ChatRequest(
        model="m",
        instructions=(Text("x" * 8),),
        turns=(),
        tools=(
            FunctionTool(name="f" * 4, description="d" * 4, parameters={"type": "object"}),
            FunctionTool(name="f" * 4),
            CustomTool(name="c" * 4),
            HostedTool(kind="web_search", dialect="x", native={}),
        ),
        output=OutputFormat(kind="schema", schema={"a": 1}),
    )
    assert estimate_tokens(request) == 4 * 5 + -(-(8 + 8 + 17 + 4 + 4 + 7) // 4)
