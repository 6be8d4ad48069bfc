"""Writes a plain answer: the response with which its stream would end."""

from asgi_gateway.canonical import ChatResponse, unfold
from asgi_gateway.dialects.contract import AnswerContext
from asgi_gateway.dialects.openai_responses.event_lines import json_of
from asgi_gateway.dialects.openai_responses.stream_writer import StreamWriter

__all__ = ["write_response"]


def write_response(response: ChatResponse, context: AnswerContext) -> bytes:
    """A plain answer: the first choice of the response."""
    writer = StreamWriter(context)
    writer.write(list(unfold(response)))
    writer.finish()
    return json_of(writer.response)
