"""Writes plain answers."""

import msgspec

from asgi_gateway.canonical import ChatResponse, Choice, Refusal, ToolCall
from asgi_gateway.dialects.anthropic_messages.answer_blocks import answer_blocks, message_id
from asgi_gateway.dialects.anthropic_messages.reasons import beside, write_reason
from asgi_gateway.dialects.anthropic_messages.usage import write_usage
from asgi_gateway.dialects.contract import AnswerContext

__all__ = ["write_response"]


def write_response(response: ChatResponse, context: AnswerContext) -> bytes:
    """A message. Of several answers the first alone has a place."""
    losses = context.losses
    if len(response.choices) > 1:
        losses.dropped("choices")
    choice = response.choices[0] if response.choices else Choice()
    if choice.logprobs is not None:
        losses.dropped("logprobs")
    if response.usage is None:
        losses.invented("usage")
    content = [block for part in choice.parts for block in answer_blocks(part, losses)]
    called = any(isinstance(part, ToolCall) for part in choice.parts)
    refused = any(isinstance(part, Refusal) for part in choice.parts)
    reason, sequence = write_reason(choice.stopped, losses, called=called, refused=refused)
    message = {
        "id": message_id(response.started.id, context.id),
        "type": "message",
        "role": "assistant",
        "model": response.started.model or context.request.model,
        "content": content,
        "stop_reason": reason,
        "stop_sequence": sequence,
        **beside(choice.stopped),
        "usage": write_usage(response.usage, losses, tier=response.started.service_tier),
    }
    return msgspec.json.encode(message)
