"""Probabilities of tokens, read and written: `LogProb` of OpenAI's OpenAPI document."""

from collections.abc import Iterable
from typing import Any

from asgi_gateway.canonical import TokenLogprob

__all__ = ["read_logprobs", "write_logprobs"]


def read_logprobs(values: Any) -> tuple[TokenLogprob, ...]:
    """The tokens of a `logprobs` array; what is none of them is left out."""
    if not isinstance(values, list):
        return ()
    return tuple(
        TokenLogprob(value["token"], float(value["logprob"]), _bytes(value), read_logprobs(value.get("top_logprobs")))
        for value in values
        if isinstance(value, dict)
        and isinstance(value.get("token"), str)
        and type(value.get("logprob")) in (int, float)
    )


def write_logprobs(tokens: Iterable[TokenLogprob], *, bare: bool = False) -> list[dict[str, Any]]:
    """A `logprobs` array. `bare`: as events have it, without bytes."""
    return [{**_one(token, bare), "top_logprobs": [_one(top, bare) for top in token.top]} for token in tokens]


def _one(token: TokenLogprob, bare: bool) -> dict[str, Any]:
    if bare:
        return {"token": token.token, "logprob": token.logprob}
    raw = list(token.token.encode("utf-8", "surrogatepass")) if token.bytes is None else token.bytes
    return {"token": token.token, "bytes": raw, "logprob": token.logprob}


def _bytes(value: dict[str, Any]) -> tuple[int, ...] | None:
    raw = value.get("bytes")
    return tuple(raw) if isinstance(raw, list) and all(type(byte) is int for byte in raw) else None
