"""Writes turns as Cohere messages."""

from base64 import b64decode
from binascii import Error
from collections.abc import Iterable
from typing import Any, assert_never

import msgspec

from asgi_gateway.canonical import (
    ChatRequest,
    HostedCall,
    HostedResult,
    Inline,
    Losses,
    Media,
    Native,
    Part,
    PlainText,
    Refusal,
    Remote,
    Source,
    Stored,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
    Turn,
)
from asgi_gateway.dialects.cohere_chat.citations import NAME, write_citations
from asgi_gateway.dialects.cohere_chat.thinking import thinks
from asgi_gateway.errors import InvalidRequest

__all__ = ["MessageWriter", "write_arguments"]

Json = dict[str, Any]


def write_arguments(call: ToolCall, losses: Losses) -> str:
    """The arguments of a call as JSON text; a free text stands under `input`."""
    if call.custom:
        losses.approximated("tool_calls[].custom")
        return msgspec.json.encode({"input": call.arguments}).decode()
    return call.arguments or "{}"


class MessageWriter:
    """The messages of one request."""

    def __init__(self, request: ChatRequest, losses: Losses) -> None:
        self._request = request
        self._losses = losses
        self._plans = not thinks(request.model)

    def messages(self) -> list[Json]:
        """All of them, instructions first."""
        request = self._request
        written: list[Json] = []
        if request.instructions:
            written.append(self._spoken(Turn("system", request.instructions)))
        for turn in _joined(request.turns):
            if turn.name:
                self._losses.dropped("messages[].name")
            if turn.role == "assistant":
                message = self._assistant(turn)
                if len(message) > 1:  # there is something in it
                    written.append(message)
                continue
            results = [part for part in turn.parts if isinstance(part, ToolResult)]
            written += self._results(results)
            if turn.role != "tool" and len(results) < len(turn.parts):
                written.append(self._spoken(turn))
        return written

    def _spoken(self, turn: Turn) -> Json:
        """A message of the system or of the user."""
        content = [written for part in turn.parts if (written := self._content(part)) is not None]
        return {"role": turn.role, "content": _alone(content)}

    def _assistant(self, turn: Turn) -> Json:
        calls = [part for part in turn.parts if isinstance(part, ToolCall)]
        plan = self._plan(turn) if calls and self._plans else ""
        content, citations = self._answer(turn, without_thinking=bool(calls) and self._plans)
        message: Json = {"role": "assistant"}
        if plan:
            message["tool_plan"] = plan
        if content:
            message["content"] = _alone(content)
        if calls:
            message["tool_calls"] = [self._call(call) for call in calls]
        if citations:
            message["citations"] = citations
        return message

    def _plan(self, turn: Turn) -> str:
        """The thinking of a turn with calls, for a model that plans."""
        return "\n".join(part.text for part in turn.parts if isinstance(part, Thinking) and part.text)

    def _answer(self, turn: Turn, *, without_thinking: bool) -> tuple[list[Json], list[Json]]:
        """What the assistant said, and its citations. An empty text is nothing."""
        content: list[Json] = []
        citations: list[Json] = []
        called = False
        for part in turn.parts:
            called = called or isinstance(part, ToolCall)
            if (without_thinking and isinstance(part, Thinking)) or (isinstance(part, Text) and not part.text):
                continue
            written = self._content(part)
            if written is None:
                continue
            if called:
                self._losses.approximated("messages[].tool_calls")  # a text behind a call comes to stand before it
            if isinstance(part, Text):
                citations += write_citations(part.citations, part.text, len(content), self._losses)
            content.append(written)
        return content, citations

    def _call(self, call: ToolCall) -> Json:
        self._note_cache(call.cache is not None)
        function = {"name": call.name, "arguments": write_arguments(call, self._losses)}
        return {"id": call.id, "type": "function", "function": function}

    def _content(self, part: Part) -> Json | None:
        """One content of a message; None: the format has no place for it, which is noted."""
        match part:
            case Text():
                self._note_cache(part.cache is not None)
                return {"type": "text", "text": part.text}
            case Refusal():
                self._losses.approximated("messages[].content[].refusal")
                return {"type": "text", "text": part.text}
            case Thinking():
                if part.text:
                    return {"type": "thinking", "thinking": part.text}
                self._losses.dropped("messages[].content[].thinking")
                return None
            case Media():
                self._note_cache(part.cache is not None)
                return self._media(part)
            case HostedCall() | HostedResult():
                self._losses.dropped(f"messages[].content[].{part.tool}")
                return None
            case Native():
                return self._native(part)
            case ToolCall() | ToolResult():  # written by their own rules
                return None
            case _:
                assert_never(part)

    def _media(self, media: Media) -> Json:
        if media.kind == "image":
            return self._image(media)
        if media.kind == "document":
            self._losses.approximated("messages[].content[].document")
            text = _text_of(media.source)
            return {"type": "text", "text": f"{media.title}\n\n{text}" if media.title else text}
        raise _refused(media.kind)

    def _image(self, media: Media) -> Json:
        source = media.source
        match source:
            case Inline():
                url = f"data:{source.media_type};base64,{source.data}"
            case Remote():
                url = source.url
            case Stored() | PlainText():
                raise _refused("stored file")
            case _:
                assert_never(source)
        image = {"url": url}
        if media.detail:
            image["detail"] = media.detail
        return {"type": "image_url", "image_url": image}

    def _native(self, part: Native) -> Json | None:
        if part.dialect == NAME and isinstance(part.value, dict):
            return part.value
        if part.essential:
            raise _refused(part.field)
        self._losses.dropped(part.field)
        return None

    def _results(self, results: Iterable[ToolResult]) -> list[Json]:
        """Tool messages, and behind them one of the user with the images, for which a tool message has no place."""
        written: list[Json] = []
        images: list[Json] = []
        for result in results:
            if result.failed:
                self._losses.dropped("tool_result.failed")
            self._note_cache(result.cache is not None)
            content: list[Json] = []
            for part in result.parts:
                if isinstance(part, Media) and part.kind == "image":
                    self._losses.approximated("tool_result.image")
                    images.append(self._image(part))
                elif isinstance(part, Media) and part.kind == "document":
                    content.append(_document(part))
                elif (one := self._content(part)) is not None:
                    content.append(one)
            written.append({"role": "tool", "tool_call_id": result.call_id, "content": _alone(content)})
        if images:
            written.append({"role": "user", "content": images})
        return written

    def _note_cache(self, marked: bool) -> None:
        if marked:
            self._losses.dropped("cache_control")


def _joined(turns: Iterable[Turn]) -> list[Turn]:
    """Turns of the assistant in a row are one when a call stands in the first: results must follow their calls."""
    joined: list[Turn] = []
    for turn in turns:
        last = joined[-1] if joined else None
        if (
            last is not None
            and last.role == turn.role == "assistant"
            and any(isinstance(part, ToolCall) for part in last.parts)
        ):
            joined[-1] = Turn("assistant", (*last.parts, *turn.parts), last.name)
        else:
            joined.append(turn)
    return joined


def _alone(content: list[Json]) -> Any:
    """A single text as a string; Cohere wants some content, so none is an empty one."""
    if not content:
        return ""
    return content[0]["text"] if len(content) == 1 and content[0].get("type") == "text" else content


def _document(media: Media) -> Json:
    """A document of a tool: the object that its text is, or an object around the text."""
    text = _text_of(media.source)
    data: Any = None
    if not media.title and text.startswith("{"):
        try:
            data = msgspec.json.decode(text)
        except (ValueError, RecursionError):
            data = None
    if not isinstance(data, dict):
        data = {"text": text, "title": media.title} if media.title else {"text": text}
    document = {"data": data, "id": media.name} if media.name else {"data": data}
    return {"type": "document", "document": document}


def _text_of(source: Source) -> str:
    """The text of a document. Raises `InvalidRequest` for one that is no text."""
    match source:
        case PlainText():
            return source.text
        case Inline():
            if source.media_type.startswith("text/") or source.media_type == "application/json":
                try:
                    return b64decode(source.data, validate=True).decode()
                except (Error, ValueError) as wrong:
                    raise InvalidRequest("A document's data is no text in base64.", param="messages") from wrong
            raise _refused(f"document of type {source.media_type}")
        case Remote():
            raise _refused("document at an address")
        case Stored():
            raise _refused("stored file")
        case _:
            assert_never(source)


def _refused(what: str) -> InvalidRequest:
    return InvalidRequest(
        f"This model's provider takes no content of this kind here: {what}.",
        param="messages",
        code="unsupported_content",
    )
