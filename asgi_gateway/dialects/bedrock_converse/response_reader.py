"""Reads a plain answer of Converse as events."""

import msgspec

from asgi_gateway.canonical import ChatResponse, Choice, Event, HostedCall, Losses, Started, unfold
from asgi_gateway.dialects.bedrock_converse.block_reader import read_blocks
from asgi_gateway.dialects.bedrock_converse.errors import error_inside
from asgi_gateway.dialects.bedrock_converse.reasons import read_reason
from asgi_gateway.dialects.bedrock_converse.usage import tools_in, usage_of
from asgi_gateway.dialects.node import Node
from asgi_gateway.errors import MalformedUpstream

__all__ = ["read_response"]


def read_response(body: bytes, losses: Losses) -> list[Event]:
    """A plain answer, whole. Raises `UpstreamError` for an error inside it, `MalformedUpstream` for what is none."""
    try:
        payload = msgspec.json.decode(body)
    except (ValueError, RecursionError) as wrong:
        raise MalformedUpstream("the upstream's answer is no complete JSON object") from wrong
    if not isinstance(payload, dict):
        raise MalformedUpstream("the upstream's answer is no JSON object")
    answer = Node(payload, "", _malformed)
    output = answer.object("output")
    message = None if output is None else output.object("message")
    if message is None:
        if payload.get("message") or payload.get("__type"):
            raise error_inside(str(payload.get("__type", "")), payload)
        raise MalformedUpstream("the upstream's answer has no message")
    answer.skip("metrics", "performanceConfig")
    message.skip("role")
    tier = answer.object("serviceTier")
    parts = read_blocks(message.objects("content"), losses)
    stopped = read_reason(answer.text("stopReason"), answer.any("additionalModelResponseFields"), losses)
    trace = answer.any("trace")
    if trace is not None:
        stopped = msgspec.structs.replace(stopped, details=trace)
    response = ChatResponse(
        started=Started(service_tier="" if tier is None else tier.text("type")),
        choices=(Choice(parts=tuple(parts), stopped=stopped),),
        usage=usage_of(
            answer.any("usage"),
            None if tier is None else tier.value,
            tools_in(part.native for part in parts if isinstance(part, HostedCall)),
        ),
    )
    for name in answer.unread():
        losses.dropped(name)
    return list(unfold(response))


def _malformed(path: str, expected: str, given: str) -> MalformedUpstream:
    return MalformedUpstream(f"the upstream's answer has {given} where {expected} belongs: {path}")
