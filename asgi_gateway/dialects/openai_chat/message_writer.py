"""Turns as messages for an upstream.

Thinking of earlier turns, by the family of the model's name (`openai_wire.families`):

| family | written |
|---|---|
| "openai" | nothing: OpenAI refuses fields that it does not know |
| "mistral" | parts of the type `thinking` in the content |
| "gpt-oss" | `reasoning`, as Groq and vLLM want it |
| others | `reasoning_content` of every assistant's turn: DeepSeek and Kimi want it back while tools are being called |

Seals go where the model's maker gave them: Google's as `extra_content` of their call or message; those of a router's
models, and of Claude anywhere, as `reasoning_details`. Seals of another maker are dropped, their text stays.
"""

from collections.abc import Iterator, Sequence
from typing import Any, assert_never

from asgi_gateway.canonical import (
    ChatRequest,
    HostedCall,
    HostedResult,
    Losses,
    Media,
    Native,
    Part,
    Refusal,
    Seal,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
    Turn,
)
from asgi_gateway.dialects.openai_chat.content import DIALECT
from asgi_gateway.dialects.openai_chat.marks import Marks
from asgi_gateway.dialects.openai_chat.media import image_out, write_media
from asgi_gateway.dialects.openai_chat.reasoning_details import call_detail, details_of, google_content
from asgi_gateway.dialects.openai_chat.tools import is_legacy
from asgi_gateway.dialects.openai_wire.families import Family
from asgi_gateway.errors import InvalidRequest

__all__ = ["MessageWriter"]

Message = dict[str, Any]


class MessageWriter:
    """Writes the messages of one request."""

    def __init__(self, request: ChatRequest, family: Family, marks: Marks, losses: Losses) -> None:
        self._request = request
        self._family = family
        self._marks = marks
        self._losses = losses
        self._legacy = is_legacy(request)
        self._names: dict[str, str] = {}  # of the calls, for results of the older form
        self._details = bool(family.maker) and (family.routed or family.name in ("claude", "grok"))

    def messages(self) -> list[Message]:
        """All messages."""
        written: list[Message] = []
        role = self._system_role()
        if self._request.instructions:
            written.append({"role": role, "content": self._content(self._request.instructions)})
        for turn in self._joined(self._request.turns):
            match turn.role:
                case "system":
                    written.append(self._said(turn, role))
                case "user":
                    written += self._user(turn)
                case "assistant":
                    written.append(self._assistant(turn))
                case "tool":
                    written += self._results(turn.parts)
                case _:
                    assert_never(turn.role)
        return written

    def _joined(self, turns: Sequence[Turn]) -> list[Turn]:
        """The turns; one that goes on behind calls is of the same message, for results must follow their calls."""
        joined: list[Turn] = []
        for turn in turns:
            before = joined[-1] if joined else None
            if before is not None and turn.role == before.role == "assistant" and _calls(before):
                self._losses.approximated("messages[]")
                joined[-1] = Turn("assistant", (*before.parts, *turn.parts), before.name)
            else:
                joined.append(turn)
        return joined

    def _system_role(self) -> str:
        name = self._request.model.rpartition("/")[2].lower()
        return "developer" if self._family.reasons and not name.startswith(("o1-mini", "o1-preview")) else "system"

    def _user(self, turn: Turn) -> Iterator[Message]:
        """A user's message; results of tools that stand in it come first."""
        results = [part for part in turn.parts if isinstance(part, ToolResult)]
        if results:
            yield from self._results(results)
            rest = tuple(part for part in turn.parts if not isinstance(part, ToolResult))
            if not rest:
                return
            turn = Turn(turn.role, rest, turn.name)
        yield self._said(turn, "user")

    def _said(self, turn: Turn, role: str) -> Message:
        message: Message = {"role": role, "content": self._content(turn.parts)}
        if turn.name:
            message["name"] = turn.name
        return message

    def _content(self, parts: Sequence[Part]) -> str | list[Any]:
        """The content: a string for a single text that is not to be cached."""
        items = [item for part in parts if (item := self._part(part)) is not None]
        if not items:
            return ""
        if len(items) == 1 and items[0].keys() == {"type", "text"} and items[0]["type"] == "text":
            text: str = items[0]["text"]
            return text
        return items

    def _part(self, part: Part) -> Message | None:
        match part:
            case Text():
                return self._marks.marked({"type": "text", "text": part.text}, part.cache)
            case Media():
                return self._marks.marked(write_media(part, self._family, self._losses), part.cache)
            case Refusal():
                return {"type": "refusal", "refusal": part.text}
            case Native():
                return self._native(part)
            case Thinking():
                return self._dropped("thinking")
            case ToolCall() | ToolResult():
                return self._dropped("tool_call")
            case HostedCall() | HostedResult():
                return self._dropped(part.tool)
            case _:
                assert_never(part)

    def _dropped(self, name: str) -> Message | None:
        self._losses.dropped(name)
        return None

    def _native(self, part: Native) -> Message | None:
        if part.dialect == DIALECT and isinstance(part.value, dict):
            return part.value
        if part.essential:
            raise InvalidRequest(
                f"'{part.field}' is not supported for this model here: its provider has nothing like it.",
                param=part.field,
                code="unsupported_parameter",
            )
        return self._dropped(part.field)

    def _assistant(self, turn: Turn) -> Message:
        thoughts = [part for part in turn.parts if isinstance(part, Thinking)]
        calls = _calls(turn)
        said = [part for part in turn.parts if not isinstance(part, Thinking | ToolCall | Media)]
        message: Message = {"role": "assistant"}
        content = self._content(said)
        if isinstance(content, list) and len(content) == 1 and content[0].get("type") == "refusal":
            message |= {"content": None, "refusal": content[0]["refusal"]}
        else:
            message["content"] = content or (None if calls else "")
        if turn.name:
            message["name"] = turn.name
        self._media(turn, message)
        self._think(message, thoughts)
        seals = [part.seal for part in said if isinstance(part, Text) and part.seal is not None]
        if seals and self._takes_google(seals[-1]):
            message["extra_content"] = google_content(seals[-1])
        if calls:
            self._calls(message, calls)
        return message

    def _media(self, turn: Turn, message: Message) -> None:
        """What a model drew or spoke: OpenAI has spoken answers by their ids, routers have images."""
        for part in turn.parts:
            if not isinstance(part, Media):
                continue
            if part.kind == "audio" and part.id:
                message["audio"] = {"id": part.id}
            elif part.kind == "image" and self._family.routed and (image := image_out(part)) is not None:
                message.setdefault("images", []).append(image)
            else:
                self._losses.dropped(part.kind)

    def _think(self, message: Message, thoughts: Sequence[Thinking]) -> None:
        text = "".join(part.text for part in thoughts)
        name = self._family.name
        if text and name == "openai" and not self._family.routed:
            self._losses.dropped("thinking")
        elif text and name == "mistral" and not self._family.routed:
            said = message["content"] or []
            listed = [{"type": "text", "text": said}] if isinstance(said, str) else said
            message["content"] = [{"type": "thinking", "thinking": [{"type": "text", "text": text}]}, *listed]
        elif text:
            message["reasoning" if name == "gpt-oss" else "reasoning_content"] = text
        sealed = [part for part in thoughts if part.seal is not None]
        if not sealed:
            return
        if self._details and all(part.seal is not None and self._takes(part.seal) for part in sealed):
            details: list[dict[str, Any]] = []
            for part in thoughts:
                details += details_of(part, len(details))
            message["reasoning_details"] = details
        else:
            self._losses.dropped("thinking.signature")

    def _takes(self, seal: Seal) -> bool:
        return seal.maker == self._family.maker

    def _takes_google(self, seal: Seal) -> bool:
        if seal.maker == "google" and self._family.name == "gemini":
            return True
        self._losses.dropped("signature")
        return False

    def _calls(self, message: Message, calls: Sequence[ToolCall]) -> None:
        if self._legacy and len(calls) == 1 and not calls[0].custom:
            self._names[calls[0].id] = calls[0].name
            message["function_call"] = {"name": calls[0].name, "arguments": calls[0].arguments or "{}"}
            return
        message["tool_calls"] = [self._call(call, message) for call in calls]

    def _call(self, call: ToolCall, message: Message) -> Message:
        if call.custom:
            written: Message = {
                "id": call.id,
                "type": "custom",
                "custom": {"name": call.name, "input": call.arguments},
            }
        else:
            function = {"name": call.name, "arguments": call.arguments or "{}"}
            written = {"id": call.id, "type": "function", "function": function}
        if call.cache is not None:
            self._losses.dropped("cache_control")
        if call.seal is not None and self._takes_google(call.seal):
            written["extra_content"] = google_content(call.seal)
            if self._details:
                listed = message.setdefault("reasoning_details", [])
                listed.append(call_detail(call.seal, call.id, len(listed)))
        return written

    def _results(self, parts: Sequence[Part]) -> list[Message]:
        """Results of tools. Media stand in a user's message behind them: a tool's message holds texts alone."""
        written: list[Message] = []
        shown: list[Any] = []
        for part in parts:
            if not isinstance(part, ToolResult):
                self._losses.dropped("messages[]")
                continue
            texts = [item for item in part.parts if not isinstance(item, Media)]
            media = [item for item in part.parts if isinstance(item, Media)]
            written.append(self._result(part, texts))
            if media:
                self._losses.approximated("tool_result.content")
                shown.append({"type": "text", "text": f"Result of the tool call {part.call_id}:"})
                shown += [self._part(item) for item in media]
        if shown:
            written.append({"role": "user", "content": shown})
        return written

    def _result(self, result: ToolResult, texts: Sequence[Text | Native]) -> Message:
        if result.failed:
            self._losses.dropped("tool_result.is_error")
        content = self._content(texts)
        if result.cache is not None:
            listed = [{"type": "text", "text": content}] if isinstance(content, str) else content
            self._marks.marked(listed[-1], result.cache)
            content = listed if len(listed[-1]) > 2 else content
        if result.call_id in self._names:
            return {"role": "function", "name": self._names[result.call_id], "content": content}
        return {"role": "tool", "tool_call_id": result.call_id, "content": content}


def _calls(turn: Turn) -> list[ToolCall]:
    return [part for part in turn.parts if isinstance(part, ToolCall)]
