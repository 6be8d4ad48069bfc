"""Writes a plain answer of Converse."""

from typing import Any

import msgspec

from asgi_gateway.canonical import ChatResponse, Choice
from asgi_gateway.dialects.bedrock_converse.answer_blocks import answer_blocks
from asgi_gateway.dialects.bedrock_converse.reasons import write_reason
from asgi_gateway.dialects.bedrock_converse.usage import write_usage
from asgi_gateway.dialects.contract import AnswerContext

__all__ = ["TIERS", "write_response"]

TIERS = frozenset({"priority", "default", "flex", "reserved"})

_encoder = msgspec.json.Encoder()


def write_response(response: ChatResponse, context: AnswerContext) -> bytes:
    """A plain answer: the first choice of the response. How long the model took is not known: 0 is invented."""
    losses = context.losses
    choice = response.choices[0] if response.choices else Choice()
    if len(response.choices) > 1:
        losses.dropped("choices")
    if choice.logprobs is not None:
        losses.dropped("logprobs")
    if response.usage is None:
        losses.invented("usage")
    losses.invented("metrics")
    content = [block for part in choice.parts for block in answer_blocks(part, losses)]
    reason, fields = write_reason(choice.stopped, losses)
    answer: dict[str, Any] = {
        "output": {"message": {"role": "assistant", "content": content}},
        "stopReason": reason,
        "usage": write_usage(response.usage),
        "metrics": {"latencyMs": 0},
    }
    if fields is not None:
        answer["additionalModelResponseFields"] = fields
    used = response.usage.service_tier if response.usage is not None else ""
    if (tier := used or response.started.service_tier) in TIERS:
        answer["serviceTier"] = {"type": tier}
    return _encoder.encode(answer)
