"""Blocks of a stream that make sense only whole: what Amazon's own tools are called with and give, and images."""

from typing import Any

import msgspec

from asgi_gateway.canonical import Inline, Losses, Media, Part, Text
from asgi_gateway.dialects.bedrock_converse.block_reader import hosted_call, hosted_result
from asgi_gateway.dialects.bedrock_converse.names import media_type_of

__all__ = ["Gathering"]


class Gathering:
    """One such block. `kind` is the block's name, `about` what its start said."""

    __slots__ = ("_about", "_kind", "_pieces")

    def __init__(self, kind: str, about: dict[str, Any]) -> None:
        self._kind = kind
        self._about = about
        self._pieces: list[Any] = []

    def add(self, piece: Any) -> None:
        """A delta's own part."""
        self._pieces.append(piece)

    def part(self, losses: Losses) -> Part | None:
        """What came of it; None when nothing did."""
        if self._kind == "toolUse":
            return self._call()
        if self._kind == "toolResult":
            return self._result()
        return self._image(losses)

    def _call(self) -> Part:
        arguments = "".join(piece for piece in self._pieces if isinstance(piece, str)) or "{}"
        try:
            given = msgspec.json.decode(arguments)
        except (ValueError, RecursionError):
            given = {}
        native = {**self._about, "input": given}
        return hosted_call(self._about["toolUseId"], self._about["name"], arguments, native)

    def _result(self) -> Part:
        contents = [piece for piece in self._pieces if isinstance(piece, dict)]
        parts = [Text(piece["text"]) for piece in contents if isinstance(piece.get("text"), str)]
        parts += [Text(msgspec.json.encode(piece["json"]).decode()) for piece in contents if "json" in piece]
        failed = self._about.get("status") == "error"
        native = {**self._about, "content": contents}
        id, kind = str(self._about.get("toolUseId", "")), str(self._about.get("type") or "")
        return hosted_result(id, kind, parts, failed, native)

    def _image(self, losses: Losses) -> Part | None:
        data = ""
        for piece in self._pieces:
            source = piece.get("source") if isinstance(piece, dict) else None
            if isinstance(source, dict) and isinstance(source.get("bytes"), str):
                data += source["bytes"]
        if not data:
            losses.dropped("image")
            return None
        return Media(kind="image", source=Inline(media_type_of("image", str(self._about.get("format", "png"))), data))
