"""How many tokens a request has, by a stated rule: for upstreams that do not count.

- Four bytes of ASCII, or three other bytes, are a token: texts, names, arguments, and schemas as compact JSON.
- An image is 1 100 tokens, a page of a PDF about as much (one for each 50 000 bytes), a second of sound 32 (16 000
  bytes), a second of film 300 (150 000 bytes); what is only named by an address or an id is taken for one image.
- Each turn and each tool adds 4.

It is an estimate: real tokenizers differ by a quarter to both sides, and by more for other scripts.
"""

from collections.abc import Iterable

import msgspec

from asgi_gateway.canonical.parts import (
    HostedCall,
    HostedResult,
    Inline,
    Media,
    Native,
    Part,
    PlainText,
    Refusal,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
)
from asgi_gateway.canonical.request import ChatRequest, CustomTool, FunctionTool

__all__ = ["estimate_tokens"]

IMAGE = 1100
FRAME = 4
"""Tokens around a turn or a tool."""

_BYTES_A_TOKEN = {"document": 50_000 / IMAGE, "audio": 500.0, "video": 500.0}

_ASCII = bytes(range(128))


class _Sum:
    """Tokens so far."""

    def __init__(self) -> None:
        self.ascii = 0
        self.other = 0
        self.tokens = 0

    def text(self, text: str) -> None:
        data = text.encode("utf-8", "surrogatepass")
        other = 0 if text.isascii() else len(data.translate(None, _ASCII))
        self.other += other
        self.ascii += len(data) - other

    def json(self, value: object) -> None:
        self.text(msgspec.json.encode(value).decode())

    def parts(self, parts: Iterable[Part]) -> None:
        for part in parts:
            self.part(part)

    def part(self, part: Part) -> None:
        match part:
            case Text() | Refusal() | Thinking():
                self.text(part.text)
            case ToolCall():
                self.text(part.name + part.arguments)
            case ToolResult():
                self.parts(part.parts)
            case HostedCall():
                self.text(part.arguments)
            case HostedResult():
                self.parts(part.parts)
            case Media():
                self.media(part)
            case Native():
                self.json(part.value)

    def media(self, media: Media) -> None:
        if isinstance(media.source, PlainText):
            self.text(media.source.text)
        elif isinstance(media.source, Inline) and media.kind != "image":
            size = len(media.source.data) * 3 // 4
            self.tokens += max(1, round(size / _BYTES_A_TOKEN[media.kind]))
        else:
            self.tokens += IMAGE


def estimate_tokens(request: ChatRequest) -> int:
    """Tokens of everything that the model reads: instructions, turns, tools, and the form of the answer."""
    found = _Sum()
    found.parts(request.instructions)
    for turn in request.turns:
        found.parts(turn.parts)
    for tool in request.tools:
        if isinstance(tool, FunctionTool | CustomTool):
            found.text(tool.name + tool.description)
        if isinstance(tool, FunctionTool) and tool.parameters:
            found.json(tool.parameters)
    if request.output is not None and request.output.schema:
        found.json(request.output.schema)
    frames = len(request.turns) + len(request.tools) + bool(request.instructions)
    return found.tokens + FRAME * frames - (-(3 * found.ascii + 4 * found.other) // 12)
