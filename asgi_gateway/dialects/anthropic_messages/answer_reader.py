"""Reads plain answers into events."""

from typing import Any

import msgspec

from asgi_gateway.canonical import (
    CitationGiven,
    Event,
    HostedCall,
    Losses,
    Native,
    Part,
    PartClosed,
    PartGiven,
    PartOpened,
    SignatureDelta,
    Started,
    TextDelta,
    ThinkingDelta,
    ToolCallDelta,
    UsageReported,
)
from asgi_gateway.dialects.anthropic_messages.block_reader import hosted_result, read_seal
from asgi_gateway.dialects.anthropic_messages.citations import read_citations
from asgi_gateway.dialects.anthropic_messages.errors import error_inside
from asgi_gateway.dialects.anthropic_messages.names import HOSTED_BLOCKS, NAME, Json, hosted_kind
from asgi_gateway.dialects.anthropic_messages.reasons import read_reason
from asgi_gateway.dialects.anthropic_messages.usage import usage_of
from asgi_gateway.errors import MalformedUpstream

__all__ = ["given_part", "read_response", "started"]

TIERS = {"standard": "default", "priority": "priority", "batch": "batch"}

_encoder = msgspec.json.Encoder()


def read_response(body: bytes, losses: Losses) -> list[Event]:
    """The events of a whole answer. Raises `UpstreamError` for an error, `MalformedUpstream` for what is no message."""
    try:
        message = msgspec.json.decode(body)
    except (ValueError, RecursionError) as wrong:
        raise MalformedUpstream("the upstream's answer is no complete JSON object") from wrong
    if isinstance(message, dict) and (message.get("type") == "error" or message.get("error")):
        raise error_inside(message)
    if not isinstance(message, dict) or not isinstance(message.get("content"), list):
        raise MalformedUpstream("the upstream's answer is no message")
    events: list[Event] = [started(message)]
    calls = _sealed_calls(message["content"])
    index = 0
    for block in message["content"]:
        if isinstance(block, dict) and not _is_of_a_call(block, calls):
            events += _block_events(block, index, calls)
            index += 1
    usage = usage_of(message.get("usage"))
    if usage is not None:
        events.append(UsageReported(usage))
    if message.get("container"):
        losses.dropped("container")
    events.append(read_reason(message.get("stop_reason"), message.get("stop_sequence"), message.get("stop_details")))
    return events


def started(message: Json) -> Started:
    """The beginning, by the message object."""
    usage = message.get("usage")
    tier = usage.get("service_tier") if isinstance(usage, dict) else None
    id, model = message.get("id"), message.get("model")
    return Started(
        id if isinstance(id, str) else "",
        model if isinstance(model, str) else "",
        0,
        TIERS.get(tier, "") if isinstance(tier, str) else "",
    )


def _sealed_calls(content: list[Any]) -> dict[str, SignatureDelta]:
    """Seals of calls, which stand in thinking blocks of ours (another gateway may be the upstream)."""
    found = {}
    for block in content:
        if isinstance(block, dict) and block.get("type") == "thinking" and isinstance(block.get("signature"), str):
            seal, call = read_seal(block["signature"], "thinking")
            if call and seal is not None:
                found[call] = SignatureDelta(0, seal)
    return found


def _is_of_a_call(block: Json, calls: dict[str, SignatureDelta]) -> bool:
    if block.get("type") != "thinking" or block.get("thinking") or not calls:
        return False
    return bool(read_seal(str(block.get("signature")), "thinking")[1])


def _block_events(block: Json, index: int, calls: dict[str, SignatureDelta]) -> list[Event]:
    kind = block.get("type")
    events: list[Event]
    match kind:
        case "text":
            events = [PartOpened(index, "text")]
            if text := _text(block, "text"):
                events.append(TextDelta(index, text))
            events += [CitationGiven(index, citation) for citation in read_citations(block.get("citations"))]
        case "thinking" | "redacted_thinking":
            events = [PartOpened(index, "thinking")]
            if text := _text(block, "thinking"):
                events.append(ThinkingDelta(index, text))
            seal, call = read_seal(_text(block, "signature" if kind == "thinking" else "data"), str(kind))
            if seal is not None and not call:
                events.append(SignatureDelta(index, seal))
        case "tool_use":
            id = _text(block, "id")
            events = [PartOpened(index, "tool_call", 0, id, _text(block, "name"))]
            if id in calls:
                events.append(SignatureDelta(index, calls[id].seal))
            events.append(ToolCallDelta(index, _encoder.encode(block.get("input") or {}).decode()))
        case _:
            return [PartGiven(index, given_part(block))]
    events.append(PartClosed(index))
    return events


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
    if kind in HOSTED_BLOCKS:
        return hosted_result(block)
    return Native(NAME, f"content[].{kind[:64]}", block)


def _text(block: Json, name: str) -> str:
    value = block.get(name)
    return value if isinstance(value, str) else ""
