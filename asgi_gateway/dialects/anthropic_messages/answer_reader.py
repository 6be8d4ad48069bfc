"""Reads plain answers into events."""

import msgspec

from asgi_gateway.canonical import (
    ChatResponse,
    Choice,
    Event,
    HostedCall,
    Losses,
    Native,
    Part,
    Seal,
    Started,
    Text,
    Thinking,
    ToolCall,
    unfold,
)
from asgi_gateway.dialects.anthropic_messages.block_reader import hosted_result, read_seal
from asgi_gateway.dialects.anthropic_messages.citations import read_citations
from asgi_gateway.dialects.anthropic_messages.errors import error_inside
from asgi_gateway.dialects.anthropic_messages.names import NAME, Json, hosted_kind, result_kind
from asgi_gateway.dialects.anthropic_messages.reasons import BESIDE, read_reason
from asgi_gateway.dialects.anthropic_messages.usage import usage_of
from asgi_gateway.errors import MalformedUpstream

__all__ = ["details_of", "given_part", "note_caller", "read_response", "started"]

TIERS = {"standard": "default", "priority": "priority", "batch": "batch"}

READ = frozenset({"id", "type", "role", "model", "content", "stop_reason", "stop_sequence", "usage"})


class _Block(msgspec.Struct):
    input: msgspec.Raw = msgspec.Raw(b"")


class _Message(msgspec.Struct):
    content: list[_Block]


_message = msgspec.json.Decoder(_Message)
_encoder = msgspec.json.Encoder()


def read_response(body: bytes, losses: Losses) -> list[Event]:
    """The events of a whole answer. Raises `UpstreamError` for an error, `MalformedUpstream` for what is no message."""
    try:
        message = msgspec.json.decode(body)
    except (ValueError, RecursionError) as wrong:
        raise MalformedUpstream("the upstream's answer is no complete JSON object") from wrong
    if isinstance(message, dict) and (message.get("type") == "error" or message.get("error")):
        raise error_inside(message)
    content = message.get("content") if isinstance(message, dict) else None
    if not isinstance(content, list) or not all(isinstance(block, dict) for block in content):
        raise MalformedUpstream("the upstream's answer is no message")
    for name in message:
        if name not in READ and name not in BESIDE:
            losses.dropped(str(name)[:64])
    stopped = read_reason(message.get("stop_reason"), message.get("stop_sequence"), details_of(message))
    response = ChatResponse(
        started=started(message),
        choices=(Choice(parts=tuple(_parts(content, body, losses)), stopped=stopped),),
        usage=usage_of(message.get("usage")),
    )
    return list(unfold(response))


def details_of(*holders: Json) -> Json | None:
    """What tells of the answer as a whole, by name; None when nothing does."""
    found = {name: holder[name] for holder in holders for name in BESIDE if holder.get(name) is not None}
    return found or None


def started(message: Json) -> Started:
    """The beginning, by the message object."""
    usage = message.get("usage")
    tier = usage.get("service_tier") if isinstance(usage, dict) else None
    return Started(
        _text(message, "id"), _text(message, "model"), 0, TIERS.get(tier, "") if isinstance(tier, str) else ""
    )


def _parts(content: list[Json], body: bytes, losses: Losses) -> list[Part]:
    """The parts, with the seals of calls that stand in thinking blocks of ours put to their calls."""
    seals: dict[str, Seal] = {}
    parts: list[Part] = []
    # As the model wrote it: numbers and the order of keys do not change.
    inputs = _message.decode(body).content if any(block.get("type") == "tool_use" for block in content) else []
    for place, block in enumerate(content):
        match block.get("type"):
            case "text":
                parts.append(Text(_text(block, "text"), read_citations(block.get("citations"))))
            case "thinking" | "redacted_thinking" as kind:
                seal, call = read_seal(_text(block, "signature" if kind == "thinking" else "data"), kind)
                if seal is not None and call:
                    seals[call] = seal
                if not call or _text(block, "thinking"):
                    parts.append(Thinking(_text(block, "thinking"), None if call else seal))
            case "tool_use":
                note_caller(block, losses)
                arguments = bytes(inputs[place].input).decode() if block.get("input") else "{}"
                parts.append(ToolCall(id=_text(block, "id"), name=_text(block, "name"), arguments=arguments))
            case str():
                parts.append(given_part(block))
            case _:
                losses.dropped("content[]")
    for place, part in enumerate(parts):
        if isinstance(part, ToolCall) and part.id in seals:
            parts[place] = msgspec.structs.replace(part, seal=seals.pop(part.id))
    if seals:
        losses.dropped("content[].signature")
    return parts


def note_caller(block: Json, losses: Losses) -> None:
    """That the model itself calls goes without saying; that code of its does is a loss."""
    caller = block.get("caller")
    if isinstance(caller, dict) and caller.get("type") != "direct":
        losses.dropped("content[].caller")


def given_part(block: Json) -> Part:
    """A block that comes whole: a hosted tool's call or result, or what only Anthropic knows."""
    kind = str(block.get("type"))
    if kind in ("server_tool_use", "mcp_tool_use"):
        name = _text(block, "name")
        return HostedCall(
            id=_text(block, "id"),
            tool="mcp" if kind == "mcp_tool_use" else hosted_kind(name),
            arguments=_encoder.encode(block.get("input") or {}).decode(),
            dialect=NAME,
            native=block,
        )
    if result_kind(kind):
        return hosted_result(block)
    return Native(NAME, f"content[].{kind[:64]}", block)


def _text(block: Json, name: str) -> str:
    value = block.get(name)
    return value if isinstance(value, str) else ""
