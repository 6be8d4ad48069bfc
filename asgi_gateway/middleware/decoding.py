"""Undoes `content-encoding` piece by piece, never producing much more than a limit at once.

A bomb is stopped by the count of what came out, before it is all there.
"""

import zlib
from typing import Protocol

from asgi_gateway.errors import InvalidRequest

__all__ = ["Decoder", "decoder"]

STEP = 1 << 16


class Decoder(Protocol):
    """Takes encoded pieces, gives decoded ones. Raises `ValueError` for what is not of its encoding."""

    def feed(self, data: bytes, *, last: bool) -> bytes: ...


class _Identity:
    def feed(self, data: bytes, *, last: bool) -> bytes:
        return data


class _Zlib:
    """gzip (RFC 1952, also of several members), zlib and raw deflate (RFC 1950, 1951: both are sent as `deflate`)."""

    def __init__(self, limit: int, window: int) -> None:
        self._limit = limit
        self._window = window
        self._inflate = zlib.decompressobj(window)
        self._begun = False

    def feed(self, data: bytes, *, last: bool) -> bytes:
        out = bytearray()
        while data:
            if self._inflate.eof:  # a further member
                if self._window in (-zlib.MAX_WBITS, zlib.MAX_WBITS):
                    raise ValueError("data after its end")
                self._inflate = zlib.decompressobj(self._window)
            try:
                out += self._inflate.decompress(data, STEP)
            except zlib.error as broken:
                if self._begun or self._window != zlib.MAX_WBITS:
                    raise ValueError(str(broken)) from broken
                self._window = -zlib.MAX_WBITS  # a raw deflate stream, as some clients send
                self._inflate = zlib.decompressobj(self._window)
                continue
            self._begun = True
            data = self._inflate.unconsumed_tail or self._inflate.unused_data
            if len(out) > self._limit:
                return bytes(out)
        if last:
            out += self._inflate.flush()
            if not self._inflate.eof:
                raise ValueError("it ends too soon")
        return bytes(out)


class _Brotli:
    """Brotli (RFC 7932)."""

    def __init__(self, limit: int) -> None:
        import brotli

        self._limit = limit
        self._error = brotli.error
        self._inflate = brotli.Decompressor()

    def feed(self, data: bytes, *, last: bool) -> bytes:
        out = bytearray()
        try:
            out += self._inflate.process(data, output_buffer_limit=STEP)
            while not self._inflate.can_accept_more_data() and len(out) <= self._limit:
                out += self._inflate.process(b"", output_buffer_limit=STEP)
        except self._error as broken:
            raise ValueError(str(broken)) from broken
        if last and len(out) <= self._limit and not self._inflate.is_finished():
            raise ValueError("it ends too soon")
        return bytes(out)


class _Zstandard:
    """Zstandard (RFC 8878), several frames too."""

    def __init__(self, limit: int) -> None:
        import zstandard

        self._limit = limit
        self._error = zstandard.ZstdError
        self._make = zstandard.ZstdDecompressor(max_window_size=1 << 27).decompressobj
        self._inflate = self._make()

    def feed(self, data: bytes, *, last: bool) -> bytes:
        out = bytearray()
        try:
            # Small steps in bound what one of them can produce before it is counted.
            for offset in range(0, len(data), 1024):
                self._step(data[offset : offset + 1024], out)
                if len(out) > self._limit:
                    return bytes(out)
        except self._error as broken:
            raise ValueError(str(broken)) from broken
        if last and not self._inflate.eof:
            raise ValueError("it ends too soon")
        return bytes(out)

    def _step(self, piece: bytes, out: bytearray) -> None:
        while piece:
            if self._inflate.eof:  # a further frame
                self._inflate = self._make()
            out += self._inflate.decompress(piece)
            piece = self._inflate.unused_data if self._inflate.eof else b""


class _Chain:
    """Several encodings, undone from the last applied to the first."""

    def __init__(self, parts: list[Decoder]) -> None:
        self._parts = parts

    def feed(self, data: bytes, *, last: bool) -> bytes:
        for part in self._parts:
            data = part.feed(data, last=last)
        return data


def decoder(encoding: bytes, limit: int) -> Decoder:
    """A decoder for a `content-encoding` header. Raises `InvalidRequest` for one that we do not know.

    At most four encodings on top of each other: nobody honest sends more.
    """
    names = [name.strip().lower() for name in encoding.split(b",") if name.strip()]
    if len(names) > 4:
        raise InvalidRequest("Too many content encodings.", status=415)
    parts: list[Decoder] = [_one(name, limit) for name in reversed(names)]
    if not parts:
        return _Identity()
    return parts[0] if len(parts) == 1 else _Chain(parts)


def _one(name: bytes, limit: int) -> Decoder:
    match name:
        case b"identity":
            return _Identity()
        case b"gzip" | b"x-gzip":
            return _Zlib(limit, 16 + zlib.MAX_WBITS)
        case b"deflate":
            return _Zlib(limit, zlib.MAX_WBITS)
        case b"br":
            return _Brotli(limit)
        case b"zstd":
            return _Zstandard(limit)
        case _:
            raise InvalidRequest(f"Unknown content encoding {name.decode('latin-1')!r}.", status=415)
