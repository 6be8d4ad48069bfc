"""Results of functions for a Gemini upstream: one content for all results that stand together, in the order of calls.

Follows https://ai.google.dev/api/caching#FunctionResponse. A text that is a JSON object goes as it is, any other as
`{"result": text}`, a failure as `{"error": text}`. Gemini 3 takes images and documents inside a result; for the others,
and for sounds and films, they follow behind the results, noted as approximated.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from asgi_gateway.canonical import Losses, Media, Native, Text, ToolCall, ToolResult, Turn
from asgi_gateway.dialects.google_generate.media import write_media
from asgi_gateway.dialects.google_generate.names import NAME, is_made
from asgi_gateway.errors import InvalidRequest

__all__ = ["ResultWriter"]

_object = msgspec.json.Decoder(dict[str, msgspec.Raw])


class ResultWriter:
    """Knows the calls of a conversation, so that each result can be named."""

    def __init__(self, losses: Losses, *, media_inside: bool) -> None:
        self._losses = losses
        self._media_inside = media_inside
        self._names: dict[str, str] = {}
        self._order: dict[str, int] = {}

    def note(self, turn: Turn) -> None:
        """Remember the calls of a model's turn."""
        for part in turn.parts:
            if isinstance(part, ToolCall):
                self._names[part.id] = part.name
                self._order[part.id] = len(self._order)

    def write(self, turns: Sequence[Turn]) -> list[dict[str, Any]]:
        """The parts for turns of results that follow each other."""
        results = [part for turn in turns for part in turn.parts if isinstance(part, ToolResult)]
        results.sort(key=lambda result: self._order.get(result.call_id, len(self._order)))
        behind: list[dict[str, Any]] = []
        written = [self._result(result, behind) for result in results]
        return written + behind

    def _result(self, result: ToolResult, behind: list[dict[str, Any]]) -> dict[str, Any]:
        if result.cache is not None:
            self._losses.dropped("cache_control")
        response: dict[str, Any] = {} if is_made(result.call_id) or not result.call_id else {"id": result.call_id}
        response["name"] = self._name(result)
        texts = [part.text for part in result.parts if isinstance(part, Text)]
        response["response"] = _response("\n".join(texts), failed=result.failed)
        inside: list[dict[str, Any]] = []
        for part in result.parts:
            if isinstance(part, Native):
                inside += self._native(part)
            elif isinstance(part, Media):
                (inside if self._fits(part) else behind).append(self._media(part))
        if inside:
            response["parts"] = inside
        return {"functionResponse": response}

    def _fits(self, media: Media) -> bool:
        """Whether a result may hold this."""
        if self._media_inside and media.kind in ("image", "document"):
            return True
        self._losses.approximated("tool_result.media")
        return False

    def _media(self, media: Media) -> dict[str, Any]:
        written = write_media(media, self._losses)
        if media.name and self._fits(media):
            next(iter(written.values()))["displayName"] = media.name
        return written

    def _name(self, result: ToolResult) -> str:
        name = result.name or self._names.get(result.call_id, "")
        if not name:
            self._losses.invented("functionResponse.name")
        return name or "tool"

    def _native(self, part: Native) -> list[dict[str, Any]]:
        if part.dialect == NAME:
            return [dict(part.value)]
        if part.essential:
            raise InvalidRequest(
                f"'{part.field}' is not supported for this model here: its provider has nothing like it.",
                param=part.field,
                code="unsupported_content",
            )
        self._losses.dropped(part.field)
        return []


def _response(text: str, *, failed: bool) -> Any:
    if failed:
        return {"error": text}
    if text.lstrip().startswith("{"):
        try:
            data = text.encode()
            _object.decode(data)
        except (ValueError, RecursionError):
            return {"result": text}
        return msgspec.Raw(data)
    return {"result": text}
