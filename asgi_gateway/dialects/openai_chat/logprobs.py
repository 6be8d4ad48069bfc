"""Probabilities of tokens: `ChatCompletionTokenLogprob` of OpenAI's OpenAPI document, read and written."""

from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import Struct

from asgi_gateway.canonical import Event, LogprobsGiven, Losses, TokenLogprob

__all__ = ["LogprobsReader", "logprobs_out"]


class _Token(Struct):
    token: str
    logprob: float
    bytes: list[int] | None = None
    top_logprobs: "list[_Token] | None" = None


class _Logprobs(Struct):
    content: list[_Token] | None = None
    refusal: list[_Token] | None = None


class LogprobsReader:
    """Keeps the tokens of a choice until there is a part that they belong to."""

    __slots__ = ("_losses", "_tokens")

    def __init__(self, losses: Losses) -> None:
        self._losses = losses
        self._tokens: list[TokenLogprob] = []

    def take(self, value: Any) -> None:
        """Take a chunk's `logprobs`; what has another shape is noted."""
        try:
            found = msgspec.convert(value, _Logprobs)
        except msgspec.ValidationError:
            self._losses.dropped("choices[].logprobs")
            return
        for token in (*(found.content or ()), *(found.refusal or ())):
            self._tokens.append(_read(token))

    def give(self, index: int, events: list[Event]) -> None:
        """Give the tokens to a part."""
        if self._tokens:
            events.append(LogprobsGiven(index, tuple(self._tokens)))
            self._tokens.clear()

    def end(self) -> None:
        """The choice is over: tokens without any part are noted."""
        if self._tokens:
            self._losses.dropped("choices[].logprobs")


def _read(token: _Token) -> TokenLogprob:
    raw = None if token.bytes is None else tuple(token.bytes)
    return TokenLogprob(token.token, token.logprob, raw, tuple(map(_read, token.top_logprobs or ())))


def logprobs_out(tokens: Sequence[TokenLogprob]) -> dict[str, Any]:
    """A choice's `logprobs`."""
    content = [{**_written(token), "top_logprobs": [_written(top) for top in token.top]} for token in tokens]
    return {"content": content, "refusal": None}


def _written(token: TokenLogprob) -> dict[str, Any]:
    return {"token": token.token, "logprob": token.logprob, "bytes": token.bytes}
