"""The usual shapes of an answer, decoded in one step: `GenerateContentResponse` with texts and whole function calls.

What does not fit them (media, hosted tools, streamed arguments, grounding, …) is no error: `usual` gives None, and the
slower reader, which knows every member, decides.
"""

from typing import Any

import msgspec

from asgi_gateway.dialects.google_generate.usage import Reported

__all__ = ["Answer", "Candidate", "Content", "FunctionCall", "Piece", "usual"]


class FunctionCall(msgspec.Struct, forbid_unknown_fields=True):
    """A whole call; `args` as they stand on the wire, empty for none."""

    name: str
    id: str = ""
    args: msgspec.Raw = msgspec.Raw()


class Piece(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    """A part."""

    text: str | None = None
    thought: bool = False
    thought_signature: str = ""
    function_call: FunctionCall | None = None


class Content(msgspec.Struct, forbid_unknown_fields=True):
    """The parts of a candidate."""

    parts: list[Piece] = []
    role: str = ""


class Candidate(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    """A candidate."""

    content: Content | None = None
    finish_reason: str = ""
    index: int = 0


class Answer(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    """An answer, or one chunk of a stream."""

    candidates: list[Candidate] = []
    usage_metadata: Reported | None = None
    model_version: str = ""
    response_id: str = ""
    create_time: Any = ""


_decoder = msgspec.json.Decoder(Answer)


def usual(data: bytes) -> Answer | None:
    """The answer, when it has nothing but texts and whole calls."""
    try:
        return _decoder.decode(data)
    except (ValueError, RecursionError):
        return None
