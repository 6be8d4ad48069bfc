"""What the dialects of OpenAI's interface have in common, for each to derive from."""

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

from asgi_gateway.canonical import Reasoning
from asgi_gateway.dialects.contract import NOWHERE, Head, OwnedRoute, RequestOutline, ResponseTap, Target
from asgi_gateway.dialects.openai_wire import errors, requests
from asgi_gateway.dialects.openai_wire.plain import PlainTap, judge_plain
from asgi_gateway.dialects.openai_wire.stream import StreamTap, judge_stream
from asgi_gateway.errors import GatewayError, UpstreamError

__all__ = ["OpenAIDialect"]


class OpenAIDialect(ABC):
    """A `Dialect` of JSON requests and of answers in JSON or, where `stream_usage` is set, event streams."""

    name: str
    routes: Sequence[OwnedRoute]
    stream_usage: bool = False
    forwarded: frozenset[bytes] = frozenset()
    answer: str
    """The member that every good answer has."""
    text: re.Pattern[bytes] | None = None
    """Finds the output in an answer; None when answers hold no tokens."""

    @abstractmethod
    def outline(self, body: bytes, target: Target = NOWHERE) -> RequestOutline:
        """Read what the layers need."""

    def prompt_bytes(self, body: bytes) -> int:
        """Bytes of the body without embedded media."""
        return requests.prompt_bytes(body)

    def rewrite(
        self,
        body: bytes,
        *,
        model: str | None = None,
        include_usage: bool = False,
        reasoning: Reasoning | None = None,
        overrides: Mapping[str, Any] | None = None,
    ) -> bytes:
        """Splice in another model, a request for the usage in the stream, or top-level fields."""
        ask = include_usage and self.stream_usage
        return requests.rewrite(body, model=model, include_usage=ask, overrides=overrides)

    def head(self, data: bytes, *, stream: bool, complete: bool) -> Head:
        """Judge the first bytes of an answer."""
        if stream:
            return judge_stream(data, complete=complete)
        return judge_plain(data, complete=complete, answer=self.answer)

    def tap(self, outline: RequestOutline, *, stream: bool, withhold_usage: bool = False) -> ResponseTap:
        """A reader for one answer."""
        if stream and self.text is not None:
            return StreamTap(self.text, withhold_usage=withhold_usage)
        return PlainTap(self.text)

    def read_error(self, status: int, headers: Mapping[bytes, bytes], body: bytes) -> UpstreamError:
        """The upstream's error body as an error."""
        return errors.read_error(status, headers, body)

    def write_error(self, error: GatewayError) -> bytes:
        """An error as a JSON body."""
        return errors.write_error(error)

    def write_error_event(self, error: GatewayError) -> bytes:
        """An error as the last event of a stream."""
        return errors.write_error_event(error)
