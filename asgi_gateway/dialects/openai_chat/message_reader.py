"""The messages of a request as turns.

Follows `ChatCompletionRequestMessage` of OpenAI's OpenAPI document, the older `function` role included, and what
look-alikes put into an assistant's message: `reasoning_content`, `reasoning`, `reasoning_details`, `images`,
`extra_content`.
"""

from collections.abc import Iterator
from typing import Any

import msgspec

from asgi_gateway.canonical import (
    Inline,
    Losses,
    Media,
    Native,
    Part,
    Refusal,
    Seal,
    Stored,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
    Turn,
)
from asgi_gateway.dialects.node import Node, plain_path
from asgi_gateway.dialects.openai_chat.content import cache_mark, content_of, image_of, note_unread
from asgi_gateway.dialects.openai_chat.reasoning_details import google_seal, thinking_in

__all__ = ["MessageReader"]


class MessageReader:
    """Reads one conversation: the system texts in front of it, and the turns.

    Calls of the older form have no ids; they get ids of their place ("call_legacy_0"), and so have their results.
    """

    def __init__(self, losses: Losses) -> None:
        self._losses = losses
        self._custom: set[str] = set()
        self._functions: list[tuple[str, str]] = []  # calls of the older form without a result yet: name, id
        self._count = 0
        self.instructions: list[Text] = []
        self.turns: list[Turn] = []

    def read(self, messages: Iterator[Node]) -> None:
        """Take all messages. Raises `InvalidRequest` with `param` for a role or a field that is none."""
        for message in messages:
            match message.text("role"):
                case "system" | "developer":
                    self._system(message)
                case "user":
                    parts = content_of(message, self._losses)
                    self.turns.append(Turn("user", tuple(parts), message.text("name")))
                    message.skip(*(name for name in ("tool_calls",) if not message.value.get(name)))
                case "assistant":
                    self._assistant(message)
                case "tool":
                    self._result(message, message.require_text("tool_call_id"))
                case "function":
                    self._result(message, self._function(message.require_text("name")))
                case _:
                    raise message.unknown("role", "'system', 'developer', 'user', 'assistant', 'tool' and 'function'")
            note_unread(message, self._losses)

    def _system(self, message: Node) -> None:
        parts = content_of(message, self._losses)
        if self.turns:
            self.turns.append(Turn("system", tuple(parts), message.text("name")))
            return
        for part in parts:
            if isinstance(part, Text):
                self.instructions.append(part)
            else:
                self._losses.dropped("messages[].content[]")

    def _assistant(self, message: Node) -> None:
        losses = self._losses
        calls = [*self._calls(message), *self._legacy(message)]
        details = message.any("reasoning_details")
        text = message.text("reasoning_content") or _text(message.any("reasoning"))
        message.skip("reasoning", "thought_signature", "extra_content")
        listed = details if isinstance(details, list) else []
        thinking, seals = thinking_in(text, listed, (call.id for call in calls), losses)
        content = content_of(message, losses)
        said: list[Part] = [*thinking, *content]
        refusal = message.text("refusal")
        if refusal:
            said.append(Refusal(refusal))
        said += self._media(message)
        _seal_text(said, google_seal(message.value))
        said += [_sealed(call, seals) for call in calls]
        message.skip(*(name for name in ("annotations", "prefix") if not message.value.get(name)))
        self.turns.append(Turn("assistant", tuple(said), message.text("name")))

    def _calls(self, message: Node) -> Iterator[ToolCall]:
        for node in message.objects("tool_calls"):
            node.skip("type", "index", "extra_content", "thought_signature")
            id, custom = node.require_text("id"), node.any("custom")
            inner = node.object("custom" if _is_custom(node) else "function")
            if inner is None:
                raise node.missing("function")
            if _is_custom(node):
                self._custom.add(id)
                call = ToolCall(id=id, name=inner.require_text("name"), arguments=inner.text("input"), custom=True)
            else:
                node.skip("custom") if isinstance(custom, dict) else None
                call = ToolCall(id=id, name=inner.require_text("name"), arguments=_arguments(inner))
            yield msgspec.structs.replace(call, seal=google_seal(node.value), cache=cache_mark(node, self._losses))
            note_unread(inner, self._losses)
            note_unread(node, self._losses)

    def _legacy(self, message: Node) -> Iterator[ToolCall]:
        call = message.object("function_call")
        if call is not None and call.text("name"):
            id = f"call_legacy_{self._count}"
            self._count += 1
            self._functions.append((call.text("name"), id))
            yield ToolCall(id=id, name=call.text("name"), arguments=_arguments(call))

    def _function(self, name: str) -> str:
        """The id of the call that a result of the older form answers: the first of its name that has none."""
        for number, (called, id) in enumerate(self._functions):
            if called == name:
                del self._functions[number]
                return id
        self._count += 1
        return f"call_legacy_{self._count - 1}"

    def _media(self, message: Node) -> Iterator[Part]:
        for value in message.list("images"):
            image = image_of(value)
            if image is None:
                self._losses.dropped("messages[].images")
            else:
                yield image
        audio = message.object("audio")
        if audio is not None and audio.text("id"):
            transcript, data = audio.text("transcript"), audio.text("data")
            source = Inline("audio/wav", data) if data else Stored(audio.text("id"), "openai", "audio/wav")
            expires = audio.integer("expires_at", 0, 1 << 40) or 0
            id = audio.text("id")
            yield Media(kind="audio", source=source, id=id, transcript=transcript, expires=expires)

    def _result(self, message: Node, id: str) -> None:
        parts: list[Text | Media | Native] = []
        for part in content_of(message, self._losses):
            if isinstance(part, Text | Media | Native):
                parts.append(part)
            else:
                self._losses.dropped(plain_path(message.at("content")))
        cache = None
        if parts and not isinstance(parts[-1], Native) and (cache := parts[-1].cache) is not None:
            parts[-1] = msgspec.structs.replace(parts[-1], cache=None)
        result = ToolResult(
            call_id=id, parts=tuple(parts), name=message.text("name"), custom=id in self._custom, cache=cache
        )
        if self.turns and self.turns[-1].role == "tool":
            self.turns[-1] = Turn("tool", (*self.turns[-1].parts, result))
        else:
            self.turns.append(Turn("tool", (result,)))


def _is_custom(node: Node) -> bool:
    kind = node.text("type")
    return kind == "custom" or (not kind and "function" not in node and "custom" in node)


def _arguments(call: Node) -> str:
    """Arguments as JSON text; some clients send them decoded."""
    value = call.any("arguments")
    if isinstance(value, dict | list):
        return msgspec.json.encode(value).decode()
    return call.text("arguments")


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _seal_text(said: list[Part], seal: Seal | None) -> None:
    """Put the seal of a whole message to its last text, or in front of all where it has none."""
    if seal is None:
        return
    for number in range(len(said) - 1, -1, -1):
        part = said[number]
        if isinstance(part, Text):
            said[number] = msgspec.structs.replace(part, seal=seal)
            return
    said.insert(0, Thinking("", seal))


def _sealed(call: ToolCall, seals: dict[str, Seal]) -> ToolCall:
    seal = seals.get(call.id)
    return msgspec.structs.replace(call, seal=seal) if seal is not None and call.seal is None else call
