"""Reads `input` into instructions and turns.

Items of the model in a row (reasoning, messages, calls, hosted calls) are one turn of the assistant; outputs of
functions in a row are one turn of tools. System messages in front of everything are instructions.
A sealed reasoning item of ours that names a call gives its seal to that call, wherever it stands.
"""

import msgspec

from asgi_gateway.canonical import (
    Losses,
    Media,
    Native,
    Part,
    Refusal,
    Role,
    Seal,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
    Turn,
)
from asgi_gateway.dialects.node import Node, plain_path
from asgi_gateway.dialects.openai_responses.content import note_unread, read_content
from asgi_gateway.dialects.openai_responses.hosted import CALLS, OUTPUTS, read_hosted
from asgi_gateway.dialects.openai_responses.names import BREAK, NAME
from asgi_gateway.dialects.openai_responses.output_reader import BEFORE, read_image
from asgi_gateway.dialects.openai_responses.seals import read_seal

__all__ = ["read_input"]

_OF_USER = frozenset({"mcp_approval_response", "compaction_trigger"})
_OF_SYSTEM = frozenset({"additional_tools", "configuration_update"})
_UNIMPORTANT = frozenset({"mcp_list_tools", "program", "program_output"})
"""Items that only one dialect knows, and whose absence changes nothing that was said."""


def read_input(node: Node, losses: Losses) -> tuple[tuple[Text, ...], tuple[Turn, ...]]:
    """The instructions and the turns of a request."""
    reader = _Items(losses)
    instructions = node.any("instructions")
    if isinstance(instructions, str):
        if instructions:
            reader.instructions.append(Text(instructions))
    elif instructions is not None:
        for item in node.objects("instructions"):  # as a response echoes them
            reader.read(item)
    given = node.any("input")
    if isinstance(given, str):
        reader.add("user", Text(given))
    else:
        for item in node.objects("input"):
            reader.read(item)
    return tuple(reader.instructions), reader.finished()


class _Items:
    """The items so far."""

    def __init__(self, losses: Losses) -> None:
        self.instructions: list[Text] = []
        self._losses = losses
        self._turns: list[tuple[Role, list[Part]]] = []
        self._seals: dict[str, Seal] = {}

    def add(self, role: Role, *parts: Part, alone: bool = False) -> None:
        """Add to the last turn when it is of the same role, and of the assistant or of tools."""
        joins = role in ("assistant", "tool") and not alone
        if joins and self._turns and self._turns[-1][0] == role:
            self._turns[-1][1].extend(parts)
        else:
            self._turns.append((role, list(parts)))

    def finished(self) -> tuple[Turn, ...]:
        """The turns, each call with its seal."""
        return tuple(Turn(role, tuple(map(self._sealed, parts))) for role, parts in self._turns)

    def _sealed(self, part: Part) -> Part:
        if isinstance(part, ToolCall) and part.id in self._seals:
            return msgspec.structs.replace(part, seal=self._seals[part.id])
        return part

    def read(self, item: Node) -> None:
        """One item."""
        kind = item.text("type") or ("message" if "role" in item else "")
        match kind:
            case "message":
                self._message(item)
            case "reasoning":
                self._reasoning(item)
            case "function_call" | "custom_tool_call":
                self._call(item, custom=kind == "custom_tool_call")
            case "function_call_output" | "custom_tool_call_output":
                self._output(item, custom=kind == "custom_tool_call_output")
            case "image_generation_call" if isinstance(item.value.get("result"), str):
                self.add("assistant", self._image(item))
            case _ if kind in CALLS or kind in OUTPUTS:
                self.add("assistant", *read_hosted(item.value))
            case _:
                self._native(kind or "item_reference", item)

    def _message(self, item: Node) -> None:
        role = item.text("role", "user")
        if role not in ("user", "assistant", "system", "developer"):
            raise item.unknown("role", "'user', 'assistant', 'system' and 'developer'")
        item.skip("id", "status")
        parts: list[Part] = []
        content = item.any("content")
        if isinstance(content, str):
            parts.append(Text(content))
        else:
            parts += [read_content(part, self._losses) for part in item.objects("content")]
        note_unread(item, self._losses)
        if role in ("system", "developer"):
            self._system(parts)
        elif role == "assistant":
            self.add("assistant", *parts)
        else:
            self.add("user", *parts)

    def _system(self, parts: list[Part]) -> None:
        texts = [part for part in parts if isinstance(part, Text)]
        if not self._turns and len(texts) == len(parts):
            self.instructions += texts
        else:
            self.add("system", *parts)

    def _reasoning(self, item: Node) -> None:
        item.skip("status")
        texts = [part.text("text") for part in item.objects("summary")]
        content = [part.text("text") for part in item.objects("content")]
        if texts and content:
            self._losses.dropped(plain_path(item.at("content")))
        text = BREAK.join(texts or content)
        seal, call = read_seal(item.text("encrypted_content"))
        id = item.text("id")
        note_unread(item, self._losses)
        if seal is not None and call == BEFORE:
            self._seal_before(seal)
        elif seal is not None and call:
            self._seals[call] = seal
        else:
            self.add("assistant", Thinking(text, seal, id))

    def _seal_before(self, seal: Seal) -> None:
        """Give a seal to the part in front of it."""
        if self._turns and self._turns[-1][0] == "assistant":
            parts = self._turns[-1][1]
            if parts and isinstance(parts[-1], Text | Media):
                parts[-1] = msgspec.structs.replace(parts[-1], seal=seal)
                return
        self.add("assistant", Thinking("", seal))

    def _call(self, item: Node, *, custom: bool) -> None:
        item.skip("id", "status")
        call = ToolCall(
            id=item.require_text("call_id"),
            name=item.require_text("name"),
            arguments=item.text("input" if custom else "arguments"),
            custom=custom,
        )
        note_unread(item, self._losses)
        self.add("assistant", call)

    def _output(self, item: Node, *, custom: bool) -> None:
        item.skip("id", "status")
        parts: list[Text | Media | Native] = []
        output = item.any("output")
        if isinstance(output, str):
            parts.append(Text(output))
        else:
            for node in item.objects("output"):
                part = read_content(node, self._losses)
                parts.append(Text(part.text) if isinstance(part, Refusal) else part)
        call_id, name = item.require_text("call_id"), item.text("name")
        result = ToolResult(call_id=call_id, parts=tuple(parts), name=name, custom=custom)
        note_unread(item, self._losses)
        self.add("tool", result)

    def _image(self, item: Node) -> Media:
        media = read_image(item.value)
        item.skip(*item.value)
        return media

    def _native(self, kind: str, item: Node) -> None:
        role: Role = "user" if kind in _OF_USER else "system" if kind in _OF_SYSTEM else "assistant"
        part = Native(NAME, plain_path(f"{item.path}.{kind}"), dict(item.value), kind not in _UNIMPORTANT)
        self.add(role, part)
