"""Writes a plain answer of Cohere."""

from typing import Any, assert_never

import msgspec

from asgi_gateway.canonical import (
    ChatResponse,
    Choice,
    HostedCall,
    HostedResult,
    Losses,
    Media,
    Native,
    Refusal,
    Text,
    Thinking,
    TokenLogprob,
    ToolCall,
    ToolResult,
)
from asgi_gateway.dialects.cohere_chat.citations import write_citations
from asgi_gateway.dialects.cohere_chat.message_writer import write_arguments
from asgi_gateway.dialects.cohere_chat.reasons import write_reason
from asgi_gateway.dialects.cohere_chat.usage import write_usage
from asgi_gateway.dialects.contract import AnswerContext

__all__ = ["note_unshown", "write_logprobs", "write_response"]

Json = dict[str, Any]

_encoder = msgspec.json.Encoder()


def write_response(response: ChatResponse, context: AnswerContext) -> bytes:
    """A plain answer: the first choice of the response."""
    losses = context.losses
    choice = response.choices[0] if response.choices else Choice()
    if len(response.choices) > 1:
        losses.dropped("choices")
    answer: Json = {
        "id": response.started.id or context.id,
        "finish_reason": write_reason(choice.stopped, losses),
        "message": _message(choice, losses),
        "usage": write_usage(response.usage),
    }
    if choice.logprobs is not None:
        answer["logprobs"] = [write_logprobs(token, losses) for token in choice.logprobs]
    return _encoder.encode(answer)


def write_logprobs(token: TokenLogprob, losses: Losses) -> Json:
    """One token. Cohere's own token ids are not known."""
    if token.top:
        losses.dropped("logprobs.top")
    return {"text": token.token, "token_ids": [], "logprobs": [token.logprob]}


def note_unshown(part: Media | HostedCall | HostedResult | ToolResult | Native, losses: Losses) -> None:
    """Note a part that no answer of Cohere's can show."""
    match part:
        case Media():
            losses.dropped(f"message.content[].{part.kind}")
        case HostedCall() | HostedResult():
            losses.dropped(part.tool)
        case Native():
            losses.dropped(part.field)
        case ToolResult():
            losses.dropped("tool_result")
        case _:
            assert_never(part)


def _message(choice: Choice, losses: Losses) -> Json:
    content: list[Json] = []
    calls: list[Json] = []
    citations: list[Json] = []
    for part in choice.parts:
        if calls and isinstance(part, Text | Refusal | Thinking):
            losses.approximated("message.tool_calls")  # what stands behind a call comes to stand before it
        match part:
            case Text():
                citations += write_citations(part.citations, part.text, len(content), losses)
                content.append({"type": "text", "text": part.text})
                _note_seal(part.seal is not None, losses)
            case Refusal():
                losses.approximated("refusal")
                content.append({"type": "text", "text": part.text})
            case Thinking():
                _note_seal(part.seal is not None, losses)
                if part.text:
                    content.append({"type": "thinking", "thinking": part.text})
            case ToolCall():
                _note_seal(part.seal is not None, losses)
                function = {"name": part.name, "arguments": write_arguments(part, losses)}
                calls.append({"id": part.id, "type": "function", "function": function})
            case Media() | HostedCall() | HostedResult() | ToolResult() | Native():
                note_unshown(part, losses)
            case _:
                assert_never(part)
    message: Json = {"role": "assistant"}
    if content:
        message["content"] = content
    if calls:
        message["tool_calls"] = calls
    if citations:
        message["citations"] = citations
    return message


def _note_seal(sealed: bool, losses: Losses) -> None:
    if sealed:
        losses.dropped("signature")
