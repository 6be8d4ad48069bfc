"""Reads a plain answer of Cohere as events."""

from typing import Any

import msgspec

from asgi_gateway.canonical import (
    ChatResponse,
    Choice,
    Event,
    Losses,
    Part,
    Started,
    Text,
    Thinking,
    TokenLogprob,
    ToolCall,
    unfold,
)
from asgi_gateway.dialects.cohere_chat.errors import error_inside, failure
from asgi_gateway.dialects.cohere_chat.message_reader import attach_citations
from asgi_gateway.dialects.cohere_chat.reasons import FAILURES, read_reason
from asgi_gateway.dialects.cohere_chat.usage import usage_of
from asgi_gateway.dialects.node import Node, plain_path
from asgi_gateway.errors import MalformedUpstream

__all__ = ["read_logprobs", "read_response"]


def read_response(body: bytes, losses: Losses) -> list[Event]:
    """A plain answer, whole. Raises `UpstreamError` for an error inside it, `MalformedUpstream` for what is none."""
    try:
        payload = msgspec.json.decode(body)
    except (ValueError, RecursionError) as wrong:
        raise MalformedUpstream("the upstream's answer is no complete JSON object") from wrong
    if not isinstance(payload, dict):
        raise MalformedUpstream("the upstream's answer is no JSON object")
    if not isinstance(payload.get("message"), dict):
        if payload.get("message") or payload.get("error"):
            raise error_inside(payload)
        raise MalformedUpstream("the upstream's answer has no message")
    answer = Node(payload, "", _malformed)
    reason = answer.text("finish_reason")
    if reason in FAILURES:
        raise failure(reason, payload.get("error"))
    message = answer.object("message")
    assert message is not None
    logprobs: list[TokenLogprob] = []
    for item in answer.objects("logprobs"):
        logprobs += read_logprobs(item.value)
    choice = Choice(
        parts=tuple(_parts(message, losses)),
        stopped=read_reason(reason),
        logprobs=tuple(logprobs) or None,
    )
    usage = usage_of(answer.any("usage"))
    response = ChatResponse(started=Started(id=answer.text("id")), choices=(choice,), usage=usage)
    for name in (*answer.unread(), *(f"message.{name}" for name in message.unread())):
        losses.dropped(name)
    return list(unfold(response))


def read_logprobs(item: Any) -> list[TokenLogprob]:
    """The tokens of one `LogprobItem`: a text, and a logarithm for each token in it. Token ids are left out.

    Which piece of the text is which token is not said: the first gets all of it.
    """
    if not isinstance(item, dict):
        return []
    text, numbers = item.get("text"), item.get("logprobs")
    if not isinstance(numbers, list):
        return []
    found = [float(number) for number in numbers if isinstance(number, int | float)]
    first = text if isinstance(text, str) else ""
    return [TokenLogprob("" if place else first, number) for place, number in enumerate(found)]


def _parts(message: Node, losses: Losses) -> list[Part]:
    message.skip("role")
    contents: list[Part] = []
    for node in message.objects("content"):
        kind = node.text("type")
        if kind == "thinking":
            contents.append(Thinking(node.text("thinking")))
        else:
            contents.append(Text(node.text("text")))
            if kind != "text":
                losses.dropped(f"message.content[].{kind[:64]}")
        node.skip("type")
        for name in node.unread():
            losses.dropped(plain_path(node.at(name)))
    contents = attach_citations(contents, message.list("citations"), losses)
    plan = message.text("tool_plan")
    parts: list[Part] = [Thinking(plan)] if plan else []
    parts += contents
    for call in message.objects("tool_calls"):
        function = call.object("function") or Node({}, "", _malformed)
        parts.append(ToolCall(id=call.text("id"), name=function.text("name"), arguments=function.text("arguments")))
    return parts


def _malformed(path: str, expected: str, given: str) -> MalformedUpstream:
    return MalformedUpstream(f"the upstream's answer has {given} where {expected} belongs: {path}")
