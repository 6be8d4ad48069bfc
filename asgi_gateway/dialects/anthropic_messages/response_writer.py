"""Writes plain answers."""

import msgspec

from asgi_gateway.canonical import ChatResponse
from asgi_gateway.dialects.anthropic_messages.answer_blocks import answer_blocks, message_id
from asgi_gateway.dialects.anthropic_messages.reasons import write_reason
from asgi_gateway.dialects.anthropic_messages.usage import write_usage
from asgi_gateway.dialects.contract import AnswerContext

__all__ = ["write_response"]


def write_response(response: ChatResponse, context: AnswerContext) -> bytes:
    """A message. Of several answers the first alone has a place."""
    losses = context.losses
    if len(response.choices) > 1:
        losses.dropped("choices")
    choice = response.choices[0] if response.choices else None
    if choice is not None and choice.logprobs is not None:
        losses.dropped("logprobs")
    if response.usage is None:
        losses.invented("usage")
    content = [block for part in (choice.parts if choice is not None else ()) for block in answer_blocks(part, losses)]
    reason, sequence = write_reason(choice.stopped if choice is not None else None, losses)
    message = {
        "id": message_id(response.started.id, context.id),
        "type": "message",
        "role": "assistant",
        "model": response.started.model or context.request.model,
        "content": content,
        "stop_reason": reason,
        "stop_sequence": sequence,
        "usage": write_usage(response.usage),
    }
    return msgspec.json.encode(message)
