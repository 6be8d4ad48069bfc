"""A plain answer to a caller: one `GenerateContentResponse`.

Follows https://ai.google.dev/api/generate-content#generatecontentresponse.
"""

from typing import Any

import msgspec

from asgi_gateway.canonical import ChatResponse, Choice, Stopped, TokenLogprob
from asgi_gateway.dialects.contract import AnswerContext
from asgi_gateway.dialects.google_generate.answer_parts import CandidateWriter
from asgi_gateway.dialects.google_generate.usage import write_usage

__all__ = ["blocked", "identity", "write_logprobs", "write_response"]


def write_response(response: ChatResponse, context: AnswerContext) -> bytes:
    """The body."""
    body: dict[str, Any] = {}
    feedback = _feedback(response)
    if feedback is not None:
        body["promptFeedback"] = feedback
    else:
        choices = response.choices or (Choice(),)
        body["candidates"] = [_candidate(number, choice, context) for number, choice in enumerate(choices)]
    if response.usage is not None:
        body["usageMetadata"] = write_usage(response.usage, context.losses)
    body.update(identity(response.started.id, response.started.model, context))
    return msgspec.json.encode(body)


def identity(id: str, model: str, context: AnswerContext) -> dict[str, str]:
    """Which model answered, and the answer's id."""
    return {"modelVersion": model or context.request.model, "responseId": id or context.id}


def blocked(stopped: Stopped | None) -> Any:
    """What Google said of a prompt that it blocked; None when it did not."""
    details = stopped.details if stopped is not None else None
    return details.get("promptFeedback") if isinstance(details, dict) else None


def _feedback(response: ChatResponse) -> Any:
    if len(response.choices) != 1 or response.choices[0].parts:
        return None
    return blocked(response.choices[0].stopped)


def _candidate(number: int, choice: Choice, context: AnswerContext) -> dict[str, Any]:
    writer = CandidateWriter(number, context.losses)
    parts = [written for part in choice.parts for written in writer.parts(part)]
    made = {"content": {"parts": parts, "role": "model"}, **writer.end(choice.stopped)}
    if choice.logprobs is not None:
        made["logprobsResult"] = write_logprobs(choice.logprobs)
    return made


def write_logprobs(tokens: tuple[TokenLogprob, ...]) -> dict[str, Any]:
    """Probabilities of tokens, and of those that might have stood in their place."""
    made: dict[str, Any] = {"chosenCandidates": [_token(token) for token in tokens]}
    if any(token.top for token in tokens):
        made["topCandidates"] = [{"candidates": [_token(other) for other in token.top]} for token in tokens]
    return made


def _token(token: TokenLogprob) -> dict[str, Any]:
    return {"token": token.token, "logProbability": token.logprob}
