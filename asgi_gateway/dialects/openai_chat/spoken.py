"""Audio that a model speaks: `audio` of a message, which comes in pieces in a stream.

A piece of data is base64 of its own, so pieces are joined as bytes. Follows
https://platform.openai.com/docs/guides/audio.
"""

from base64 import b64decode, b64encode
from binascii import Error
from typing import Any

from asgi_gateway.canonical import Inline, Media
from asgi_gateway.dialects.openai_wire.data_urls import sniffed_audio

__all__ = ["SpokenAudio", "audio_out"]


class SpokenAudio:
    """One spoken answer, piece by piece."""

    __slots__ = ("_data", "_expires", "_id", "_transcript")

    def __init__(self) -> None:
        self._id = ""
        self._expires = 0
        self._data: list[str] = []
        self._transcript: list[str] = []

    def add(self, audio: dict[str, Any]) -> None:
        """Take a piece."""
        id, expires = audio.get("id"), audio.get("expires_at")
        if isinstance(id, str) and id:
            self._id = id
        if isinstance(expires, int):
            self._expires = expires
        for name, pieces in (("data", self._data), ("transcript", self._transcript)):
            value = audio.get(name)
            if isinstance(value, str) and value:
                pieces.append(value)

    def media(self) -> Media | None:
        """The whole; None when nothing was said: some fill every field that there is, with nothing."""
        if not (self._id or self._data or self._transcript):
            return None
        data = self._data[0] if len(self._data) == 1 else _joined(self._data)
        return Media(
            kind="audio",
            source=Inline(sniffed_audio(data), data),
            id=self._id,
            transcript="".join(self._transcript),
            expires=self._expires,
        )


def _joined(pieces: list[str]) -> str:
    try:
        return b64encode(b"".join(b64decode(piece) for piece in pieces)).decode()
    except (Error, ValueError):
        return "".join(pieces)


def audio_out(media: Media, id: str) -> dict[str, Any]:
    """A message's `audio`; `id` is one to use where the answer has none."""
    data = media.source.data if isinstance(media.source, Inline) else ""
    return {"id": media.id or id, "data": data, "transcript": media.transcript, "expires_at": media.expires}
