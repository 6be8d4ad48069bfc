"""Writes turns as Converse messages for an upstream."""

from typing import Any, assert_never

import msgspec

from asgi_gateway.canonical import (
    CacheMark,
    ChatRequest,
    HostedCall,
    HostedResult,
    Losses,
    Media,
    Native,
    Part,
    Refusal,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
)
from asgi_gateway.dialects.bedrock_converse.citations import write_citation
from asgi_gateway.dialects.bedrock_converse.media import Json, write_media
from asgi_gateway.dialects.bedrock_converse.models import family_of
from asgi_gateway.dialects.bedrock_converse.names import NAME, tool_use_id
from asgi_gateway.dialects.bedrock_converse.seals import MAKER, write_thinking
from asgi_gateway.errors import InvalidRequest

__all__ = ["BlockWriter", "cache_point", "tool_input"]

FILLER = "."
"""Stands where Bedrock wants a text and the conversation has none: blanks are refused."""


def cache_point(mark: CacheMark) -> Json:
    """A mark as a block of its own."""
    point = {"type": "default"} if mark.ttl == "5m" else {"type": "default", "ttl": mark.ttl}
    return {"cachePoint": point}


def tool_input(call: ToolCall, losses: Losses) -> Any:
    """A call's arguments as an object: a free text stands under `input`, what is no object under `arguments`."""
    arguments = call.arguments
    if call.custom:
        losses.approximated("tool_calls[].custom")
        return {"input": arguments}
    try:
        value = msgspec.json.decode(arguments) if arguments.strip() else {}
    except (ValueError, RecursionError):
        value = arguments
    if isinstance(value, dict):
        return value
    losses.approximated("tool_calls[].arguments")
    return {"arguments": value}


class BlockWriter:
    """The messages of one request."""

    def __init__(self, request: ChatRequest, losses: Losses) -> None:
        self._request = request
        self._losses = losses
        self._family = family_of(request.model)
        self._names: set[str] = set()
        self.called: dict[str, None] = {}
        """Names of the tools that the conversation called, or had results of."""

    @property
    def caches(self) -> bool:
        """Whether the model takes marks for its cache."""
        return self._family in ("claude", "nova")

    def messages(self) -> list[Json]:
        """All of them: roles alternate, and the user's comes first."""
        written: list[Json] = []
        for turn in self._request.turns:
            if turn.name:
                self._losses.dropped("messages[].name")
            if turn.role == "system":
                self._losses.approximated("messages[].role")
            role = "assistant" if turn.role == "assistant" else "user"
            blocks = self._blocks(turn.parts)
            if not blocks:
                continue
            if not written and role == "assistant":
                self._losses.invented("messages[].content[].text")
                written.append({"role": "user", "content": [{"text": FILLER}]})
            if written and written[-1]["role"] == role:
                written[-1]["content"] += blocks
            else:
                written.append({"role": role, "content": blocks})
        for message in written:
            self._complete(message["content"])
        return written

    def marked(self, block: Json, mark: CacheMark | None) -> list[Json]:
        """A block, and behind it its mark for the cache, where the model takes one."""
        if mark is None:
            return [block]
        if not self.caches:
            self._losses.dropped("cache_control")
            return [block]
        if self._family == "nova" and mark.ttl != "5m":
            self._losses.approximated("cache_control.ttl")
            mark = CacheMark()
        return [block, cache_point(mark)]

    def _complete(self, blocks: list[Json]) -> None:
        """A document must not stand without a text."""
        if any("document" in block for block in blocks) and not any("text" in block for block in blocks):
            self._losses.invented("messages[].content[].text")
            blocks.append({"text": FILLER})

    def _blocks(self, parts: tuple[Part, ...]) -> list[Json]:
        return [block for part in parts for block in self._block(part)]

    def _block(self, part: Part) -> list[Json]:
        """The blocks of a part; none when it has no place, which is noted."""
        match part:
            case Text():
                return self._text(part)
            case Refusal():
                self._losses.approximated("messages[].content[].refusal")
                return [{"text": part.text}] if part.text.strip() else []
            case Thinking():
                return self._thinking(part)
            case ToolCall():
                return self._call(part)
            case ToolResult():
                return self.marked({"toolResult": self._result(part)}, part.cache)
            case Media():
                return self.marked(write_media(part, self._names, self._losses), part.cache)
            case HostedCall() | HostedResult():
                return self._hosted(part)
            case Native():
                return self._native(part)
            case _:
                assert_never(part)

    def _text(self, part: Text) -> list[Json]:
        if not part.text.strip():  # blank texts are refused
            return []
        own = [citation for citation in part.citations if citation.dialect == NAME]
        if len(own) < len(part.citations):
            self._losses.dropped("citations")
        if not own:
            return self.marked({"text": part.text}, part.cache)
        cited = {"content": [{"text": part.text}], "citations": [write_citation(citation) for citation in own]}
        return self.marked({"citationsContent": cited}, part.cache)

    def _thinking(self, part: Thinking) -> list[Json]:
        """Claude wants its own seals and nothing else; the others have none, and take the text alone."""
        if self._family == "claude":
            if part.seal is not None and part.seal.maker == MAKER and part.seal.kind != "encrypted":
                return [write_thinking(part)]
        elif part.text.strip() and self._family != "deepseek":
            return [{"reasoningContent": {"reasoningText": {"text": part.text}}}]
        self._losses.dropped("messages[].content[].thinking")
        return []

    def _call(self, call: ToolCall) -> list[Json]:
        self.called[call.name] = None
        given = tool_input(call, self._losses)
        return self.marked(
            {"toolUse": {"toolUseId": tool_use_id(call.id), "name": call.name, "input": given}}, call.cache
        )

    def _result(self, result: ToolResult) -> Json:
        content: list[Json] = []
        for part in result.parts:
            if isinstance(part, Text):
                content.append({"text": part.text})
                continue
            if isinstance(part, Media) and part.kind == "audio":
                raise InvalidRequest(
                    "A tool's result has no place for audio here.", param="messages", code="unsupported_content"
                )
            content += [block for block in self._block(part) if "cachePoint" not in block]
        block: Json = {"toolUseId": tool_use_id(result.call_id), "content": content}
        if result.failed:
            if self._family in ("claude", "nova"):
                block["status"] = "error"
            else:
                self._losses.dropped("tool_result.failed")
        return block

    def _hosted(self, part: HostedCall | HostedResult) -> list[Json]:
        if part.dialect != NAME or not isinstance(part.native, dict):
            self._losses.dropped(f"messages[].content[].{part.tool}")
            return []
        return [{"toolUse" if isinstance(part, HostedCall) else "toolResult": part.native}]

    def _native(self, part: Native) -> list[Json]:
        if part.dialect == NAME and isinstance(part.value, dict):
            return [part.value]
        if part.essential:
            raise InvalidRequest(
                f"This model's provider takes no content of this kind here: {part.field}.",
                param="messages",
                code="unsupported_content",
            )
        self._losses.dropped(part.field)
        return []
