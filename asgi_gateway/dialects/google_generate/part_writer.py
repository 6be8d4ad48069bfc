"""Turns as `contents` for a Gemini upstream.

Signatures of Google's own go back where they were. Thinking that another maker sealed is left out and noted.
Gemini 3 refuses calls of the current turn without a signature: the first call of a step that another model made gets
the placeholder that Google documents for this (https://ai.google.dev/gemini-api/docs/thought-signatures), noted.
"""

from typing import Any, assert_never

import msgspec

from asgi_gateway.canonical import (
    HostedCall,
    HostedResult,
    Losses,
    Media,
    Native,
    Part,
    Refusal,
    Seal,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
    Turn,
)
from asgi_gateway.dialects.google_generate.arguments import arguments_object
from asgi_gateway.dialects.google_generate.media import write_media
from asgi_gateway.dialects.google_generate.names import MAKER, NAME, UNSIGNED, is_made
from asgi_gateway.errors import InvalidRequest

__all__ = ["assistant_parts", "user_parts"]

_object = msgspec.json.Decoder(dict[str, Any])


def user_parts(turn: Turn, losses: Losses) -> list[dict[str, Any]]:
    """The parts of a user's turn, or of a system's between others."""
    if turn.name:
        losses.dropped("messages[].name")
    written = (_part(part, losses) for part in turn.parts)
    return [part for part in written if part is not None]


def assistant_parts(turn: Turn, losses: Losses, *, placeholder: bool) -> list[dict[str, Any]]:
    """The parts of a model's turn. `placeholder`: its first call must have a signature."""
    if turn.name:
        losses.dropped("messages[].name")
    parts: list[dict[str, Any]] = []
    for part in turn.parts:
        written = _part(part, losses)
        if written is None:
            continue
        if isinstance(part, ToolCall):
            if placeholder and "thoughtSignature" not in written:
                written["thoughtSignature"] = UNSIGNED
                losses.invented("thoughtSignature")
            placeholder = False
        parts.append(written)
    return parts


def _part(part: Part, losses: Losses) -> dict[str, Any] | None:
    match part:
        case Text():
            return _text(part, losses)
        case Refusal():
            losses.approximated("refusal")
            return {"text": part.text} if part.text else None
        case Thinking():
            return _thinking(part, losses)
        case ToolCall():
            return _call(part, losses)
        case Media():
            return _sealed(write_media(part, losses), part.seal)
        case HostedCall():
            return _hosted_call(part, losses)
        case HostedResult():
            return _hosted_result(part, losses)
        case Native():
            return _native(part, losses)
        case ToolResult():
            raise AssertionError("results stand in turns of their own")
    assert_never(part)


def _sealed(written: dict[str, Any], seal: Seal | None) -> dict[str, Any]:
    if seal is not None and seal.maker == MAKER:
        written["thoughtSignature"] = seal.data
    return written


def _text(part: Text, losses: Losses) -> dict[str, Any] | None:
    if part.cache is not None:
        losses.dropped("cache_control")
    if part.citations:
        losses.dropped("citations")
    written = _sealed({"text": part.text}, part.seal)
    return written if part.text or len(written) > 1 else None


def _thinking(part: Thinking, losses: Losses) -> dict[str, Any] | None:
    if (part.seal is not None and part.seal.maker != MAKER) or (part.seal is None and not part.text):
        losses.dropped("thinking")
        return None
    return _sealed({"text": part.text, "thought": True}, part.seal)


def _call(part: ToolCall, losses: Losses) -> dict[str, Any]:
    if part.cache is not None:
        losses.dropped("cache_control")
    call: dict[str, Any] = {} if is_made(part.id) or not part.id else {"id": part.id}
    call["name"] = part.name
    if part.arguments or part.custom:
        call["args"] = msgspec.Raw(arguments_object(part, losses))
    return _sealed({"functionCall": call}, part.seal)


def _hosted_call(part: HostedCall, losses: Losses) -> dict[str, Any] | None:
    if part.dialect == NAME:
        return dict(part.native)
    code = _code(part) if part.tool == "code_execution" else None
    if code is None:
        losses.dropped(f"{part.tool}_call")
        return None
    losses.approximated("code_execution_call")
    return {"executableCode": {"language": "PYTHON", "code": code}}


def _code(part: HostedCall) -> str | None:
    try:
        code = _object.decode(part.arguments).get("code")
    except (ValueError, RecursionError):
        return None
    return code if isinstance(code, str) else None


def _hosted_result(part: HostedResult, losses: Losses) -> dict[str, Any] | None:
    if part.dialect == NAME:
        return dict(part.native)
    if part.tool != "code_execution":
        losses.dropped(f"{part.tool}_result")
        return None
    losses.approximated("code_execution_result")
    output = "\n".join(shown.text for shown in part.parts if isinstance(shown, Text))
    outcome = "OUTCOME_FAILED" if part.failed else "OUTCOME_OK"
    return {"codeExecutionResult": {"outcome": outcome, "output": output}}


def _native(part: Native, losses: Losses) -> dict[str, Any] | None:
    if part.dialect == NAME:
        # What stands beside the parts of an answer is no part of a request.
        return dict(part.value) if part.field.startswith("contents[]") else None
    if part.essential:
        raise InvalidRequest(
            f"'{part.field}' is not supported for this model here: its provider has nothing like it.",
            param=part.field,
            code="unsupported_content",
        )
    losses.dropped(part.field)
    return None
