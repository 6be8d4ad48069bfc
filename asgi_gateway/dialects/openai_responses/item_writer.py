"""Writes turns as `input`, for an upstream.

A text of the assistant's stands as an easy message; several in a row, cited texts and refusals are one message of
output. Reasoning that OpenAI encrypted goes back as it came. Of other reasoning the text goes along to servers that
are not OpenAI's; theirs take none that they did not make.
"""

from typing import Any, assert_never

from asgi_gateway.canonical import (
    HostedCall,
    HostedResult,
    Inline,
    Losses,
    Media,
    Native,
    Part,
    Refusal,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
    Turn,
)
from asgi_gateway.dialects.openai_responses.annotations import write_annotation
from asgi_gateway.dialects.openai_responses.content import ContentWriter
from asgi_gateway.dialects.openai_responses.hosted import write_search_call
from asgi_gateway.dialects.openai_responses.names import NAME, short_id
from asgi_gateway.dialects.openai_responses.seals import is_own
from asgi_gateway.dialects.openai_wire.families import Family
from asgi_gateway.errors import InvalidRequest

__all__ = ["ItemWriter", "native_or_none"]

Json = dict[str, Any]


def native_or_none(part: Native, losses: Losses) -> Any:
    """What only one dialect knows: as it is in its own; else None and noted. Raises `InvalidRequest` when essential."""
    if part.dialect == NAME:
        return part.value
    if part.essential:
        raise InvalidRequest(
            f"'{part.field}' is not supported for this model here: its provider has nothing like it.",
            param=part.field,
            code="unsupported_parameter",
        )
    losses.dropped(part.field)
    return None


class ItemWriter:
    """The items of one request. `stored`: the upstream keeps the conversation, and knows items by their ids."""

    __slots__ = ("_content", "_family", "_losses", "_said", "_stored", "items")

    def __init__(self, family: Family, losses: Losses, *, stored: bool = False) -> None:
        self.items: list[Any] = []
        self._stored = stored
        self._family = family
        self._losses = losses
        self._content = ContentWriter(family, losses)
        self._said: list[Text | Refusal | Native] = []

    def system(self, part: Text) -> None:
        """An instruction in front of the turns that is not the first."""
        self.items.append({"role": "system", "content": self._plain((part,))})

    def turn(self, turn: Turn) -> None:
        """One turn."""
        if turn.name:
            self._losses.dropped("messages[].name")
        match turn.role:
            case "assistant":
                for part in turn.parts:
                    self._of_assistant(part)
                self._say()
            case "tool":
                for part in turn.parts:
                    if isinstance(part, ToolResult):
                        self._result(part)
            case "user" | "system":
                self._message(turn.role, turn.parts)
            case _:
                assert_never(turn.role)

    def _message(self, role: str, parts: tuple[Part, ...]) -> None:
        """A message of the user's or the system's; items among its parts stand by themselves."""
        content: list[Json] = []
        texts: list[Part] = []
        for part in parts:
            match part:
                case Text():
                    content.append(self._content.text(part))
                    texts.append(part)
                case Media():
                    content.append(self._content.media(part))
                case Refusal():
                    content.append(self._content.text(Text(part.text)))
                case ToolResult():
                    self._result(part)
                case Native():
                    value = native_or_none(part, self._losses)
                    if value is not None:
                        (content if _is_content(part) else self.items).append(value)
                case Thinking() | ToolCall() | HostedCall() | HostedResult():
                    self._losses.dropped(f"{role}.{type(part).__name__.lower()}")
                case _:
                    assert_never(part)
        if not content:
            return
        if len(content) == len(texts) == 1 and len(parts) == 1:
            self.items.append({"role": role, "content": self._plain(parts)})
        else:
            self.items.append({"role": role, "content": content})

    def _plain(self, parts: tuple[Part, ...]) -> Any:
        """One text: a string, unless it is marked."""
        (part,) = parts
        assert isinstance(part, Text)
        written = self._content.text(part)
        return written["text"] if len(written) == 2 else [written]

    def _of_assistant(self, part: Part) -> None:
        if isinstance(part, Text | Refusal) or (isinstance(part, Native) and _is_content(part)):
            self._said.append(part)
            return
        self._say()
        match part:
            case Thinking():
                self._thinking(part)
            case ToolCall():
                self._call(part)
            case Media():
                self._image(part)
            case HostedCall():
                self._hosted(part)
            case HostedResult():
                self._hosted_result(part)
            case Native():
                self._native(part)
            case ToolResult():
                self._result(part)
            case _:
                assert_never(part)

    def _say(self) -> None:
        """The assistant's words so far, as one message."""
        said = self._said
        if not said:
            return
        first = said[0]
        for part in said:
            if isinstance(part, Text):
                self._note(part)
        if len(said) == 1 and isinstance(first, Text) and not first.citations:
            self.items.append({"role": "assistant", "content": first.text})
        else:
            content = [self._spoken(part) for part in said]
            id = f"msg_{len(self.items)}"
            message = {"type": "message", "id": id, "role": "assistant", "status": "completed", "content": content}
            self.items.append(message)
        said.clear()

    def _spoken(self, part: Text | Refusal | Native) -> Any:
        if isinstance(part, Native):
            return part.value
        if isinstance(part, Refusal):
            return {"type": "refusal", "refusal": part.text}
        length = len(part.text)
        annotations = [write_annotation(citation, length, self._losses) for citation in part.citations]
        return {"type": "output_text", "text": part.text, "annotations": annotations, "logprobs": []}

    def _note(self, part: Text | ToolCall | Media) -> None:
        if part.cache is not None:
            self._losses.dropped("cache_control")
        if part.seal is not None:
            self._losses.dropped("signature")

    def _thinking(self, part: Thinking) -> None:
        item: Json = {"type": "reasoning"}
        if is_own(part.seal):
            assert part.seal is not None
            if part.id:
                item["id"] = part.id
            item["summary"] = _summary(part.text)
            item["encrypted_content"] = part.seal.data
        elif part.seal is None and part.id and self._stored:
            item.update(id=part.id, summary=_summary(part.text))
        elif part.text and not self._family.is_openai:
            if part.seal is not None:
                self._losses.dropped("signature")
            item["id"] = part.id or f"rs_{len(self.items)}"
            if self._family.name == "gpt-oss":
                item["summary"], item["content"] = [], [{"type": "reasoning_text", "text": part.text}]
            else:
                item["summary"] = _summary(part.text)
        else:
            self._losses.dropped("thinking")
            return
        self.items.append(item)

    def _call(self, part: ToolCall) -> None:
        self._note(part)
        call: Json = {"type": "custom_tool_call" if part.custom else "function_call"}
        call["call_id"] = short_id(part.id)
        call["name"] = part.name
        if part.custom:
            call["input"] = part.arguments
        else:
            call["arguments"] = part.arguments or "{}"
        self.items.append(call)

    def _result(self, part: ToolResult) -> None:
        if part.cache is not None:
            self._losses.dropped("cache_control")
        if part.failed:
            self._losses.dropped("tool_result.is_error")
        output: Any
        if len(part.parts) == 1 and isinstance(part.parts[0], Text):
            output = self._plain(part.parts)
        elif not part.parts:
            output = ""
        else:
            output = [written for each in part.parts if (written := self._given(each)) is not None]
        kind = "custom_tool_call_output" if part.custom else "function_call_output"
        self.items.append({"type": kind, "call_id": short_id(part.call_id), "output": output})

    def _given(self, part: Text | Media | Native) -> Any:
        if isinstance(part, Text):
            return self._content.text(part)
        return self._content.media(part) if isinstance(part, Media) else native_or_none(part, self._losses)

    def _image(self, part: Media) -> None:
        self._note(part)
        if part.kind != "image" or not isinstance(part.source, Inline):
            self._losses.dropped(f"assistant.{part.kind}")
            return
        id = part.id if part.id.startswith("ig_") else f"ig_{len(self.items)}"
        result = part.source.data
        self.items.append({"type": "image_generation_call", "id": id, "status": "completed", "result": result})

    def _hosted(self, part: HostedCall) -> None:
        if part.dialect == NAME and part.native is not None:
            self.items.append(part.native)
        elif part.tool == "web_search":
            self.items.append(write_search_call(f"ws_{len(self.items)}", part, ()))
        else:
            self._losses.dropped(part.tool)

    def _hosted_result(self, part: HostedResult) -> None:
        if part.dialect != NAME:
            if part.tool != "web_search":
                self._losses.dropped(f"{part.tool}_result")
        elif part.native is not None:  # else it stands in its call's item
            self.items.append(part.native)

    def _native(self, part: Native) -> None:
        value = native_or_none(part, self._losses)
        if value is not None:
            self.items.append(value)


def _is_content(part: Native) -> bool:
    """Whether it is a part of a message, not an item."""
    return part.dialect == NAME and "content[]" in part.field


def _summary(text: str) -> list[Json]:
    return [{"type": "summary_text", "text": text}] if text else []
