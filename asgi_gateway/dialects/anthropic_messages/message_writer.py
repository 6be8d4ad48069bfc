"""Writes turns as messages for an upstream: neighbours of one role are one message, and the user's comes first.

A system text between turns stays one where the model knows such and where Anthropic lets it stand: behind the user's
message, and in front of the assistant's or at the end. Elsewhere it becomes the user's words.
"""

from collections.abc import Sequence

import msgspec

from asgi_gateway.canonical import ChatRequest, Losses, OutputFormat, Turn
from asgi_gateway.dialects.anthropic_messages.block_writer import write_part
from asgi_gateway.dialects.anthropic_messages.media import write_cache
from asgi_gateway.dialects.anthropic_messages.names import Json

__all__ = ["may_go_on_thinking", "write_messages", "write_system"]

FILLER = "."
"""Stands where Anthropic wants a user's text and the conversation has none: blank texts are refused."""

JSON_ONLY = "Answer with one JSON object and nothing else."
"""Stands behind the instructions where any JSON object is wanted: the format can only be told a schema."""

JSON_OF = "Answer with one JSON object and nothing else. It must be valid by this JSON schema:\n"
"""The same with a schema, for models that cannot be held to one."""

Message = tuple[str, list[Json]]


def write_system(request: ChatRequest, losses: Losses, *, schemas: bool) -> Sequence[Json] | str:
    """The instructions; one bare text is written as such. `schemas`: the model can be held to one."""
    blocks = [
        write_cache({"type": "text", "text": text.text}, text.cache)
        for text in request.instructions
        if text.text.strip()
    ]
    words = "" if request.output is None else _form(request.output, schemas)
    if words:
        losses.approximated("response_format")
        blocks.append({"type": "text", "text": words})
    return _bare(blocks)


def _form(output: OutputFormat, schemas: bool) -> str:
    """The form of the answer in words, where a model cannot be held to it."""
    if output.kind == "text":
        return ""
    if output.kind == "json" or output.schema is None:
        return JSON_ONLY
    return "" if schemas else JSON_OF + msgspec.json.encode(output.schema).decode()


def write_messages(request: ChatRequest, losses: Losses, *, system: bool) -> list[Json]:
    """All of them. `system`: the model takes system texts between turns."""
    messages = _joined([(_role(turn), _blocks(turn, losses)) for turn in request.turns])
    kept = [_in_its_place(messages, place, losses, system) for place in range(len(messages))]
    messages = _joined(kept)
    if not messages or messages[0][0] == "assistant":
        losses.invented("messages[].content[].text")
        messages.insert(0, ("user", [{"type": "text", "text": FILLER}]))
    _end(messages[-1], losses)
    return [{"role": role, "content": _bare(_results_first(blocks))} for role, blocks in messages]


def may_go_on_thinking(messages: Sequence[Json]) -> bool:
    """Whether a budget is taken: a turn that waits for results of tools must have begun with thinking then."""
    if len(messages) < 2 or "tool_result" not in _kinds(messages[-1]):
        return True
    kinds = _kinds(messages[-2])
    return "tool_use" not in kinds or kinds[0] in ("thinking", "redacted_thinking")


def _kinds(message: Json) -> list[str]:
    content = message.get("content")
    if not isinstance(content, list):
        return ["text"]
    return [str(block.get("type")) for block in content if isinstance(block, dict)]


def _role(turn: Turn) -> str:
    return "user" if turn.role == "tool" else turn.role


def _blocks(turn: Turn, losses: Losses) -> list[Json]:
    if turn.name:
        losses.dropped("messages[].name")
    said = turn.role == "assistant"
    return [block for part in turn.parts for block in write_part(part, losses, said=said)]


def _joined(messages: Sequence[Message]) -> list[Message]:
    """Without what is empty, neighbours of one role as one."""
    joined: list[Message] = []
    for role, blocks in messages:
        if blocks and joined and joined[-1][0] == role:
            joined[-1][1].extend(blocks)
        elif blocks:
            joined.append((role, list(blocks)))
    return joined


def _in_its_place(messages: list[Message], place: int, losses: Losses, system: bool) -> Message:
    """A message; a system text that must not stand there as the user's."""
    role, blocks = messages[place]
    if role != "system":
        return role, blocks
    behind = messages[place - 1][0] if place else ""
    before = messages[place + 1][0] if place + 1 < len(messages) else "assistant"
    plain = all(block["type"] in ("text", "tool_addition", "tool_removal") for block in blocks)
    if system and plain and behind == "user" and before == "assistant":
        return role, blocks
    losses.approximated("messages[].role")
    return "user", blocks


def _end(message: Message, losses: Losses) -> None:
    """White space at the end of an answer that is to be continued is refused."""
    role, blocks = message
    last = blocks[-1]
    if role == "assistant" and last["type"] == "text" and last["text"] != last["text"].rstrip():
        losses.approximated("messages[].content[].text")
        blocks[-1] = {**last, "text": last["text"].rstrip()}


def _results_first(blocks: list[Json]) -> list[Json]:
    """Results stand in front of what else the user says."""
    results = [block for block in blocks if block["type"] == "tool_result"]
    return [*results, *(block for block in blocks if block["type"] != "tool_result")] if results else blocks


def _bare(blocks: list[Json]) -> list[Json] | str:
    """One text with nothing beside it is written as such."""
    if len(blocks) == 1 and blocks[0].keys() == {"type", "text"}:
        return str(blocks[0]["text"])
    return blocks
