"""Undoes `content-encoding` piece by piece, never producing much more than a limit at once.

A bomb is stopped by the count of what came out, before it is all there; so is one layer of several.
"""

import zlib
from typing import Protocol

from asgi_gateway.errors import InvalidRequest, PayloadTooLarge

__all__ = ["Decoder", "decoder", "too_large"]

STEP = 1 << 16

ZSTD_PIECE = 256
"""Bytes fed to the zstd decoder at once: a block of 4 bytes can stand for 128 KiB (RFC 8878, 3.1.1.2)."""

ZSTD_WINDOW = 1 << 23
"""What a decoder of HTTP content needs at most (RFC 9659); a frame that asks for more is refused."""


class Decoder(Protocol):
    """Takes encoded pieces, gives decoded ones.

    Raises `ValueError` for what is not of its encoding, `PayloadTooLarge` where more than its limit comes out at once.
    """

    def feed(self, data: bytes, *, last: bool) -> bytes: ...


def too_large(limit: int) -> PayloadTooLarge:
    """The error of a body above its limit."""
    return PayloadTooLarge(f"The request body is larger than {limit} bytes, counted after decompression.")


class _Identity:
    def feed(self, data: bytes, *, last: bool) -> bytes:
        return data


class _Gzip:
    """gzip (RFC 1952), also of several members."""

    window = 16 + zlib.MAX_WBITS

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._inflate = zlib.decompressobj(self.window)

    def feed(self, data: bytes, *, last: bool) -> bytes:
        out = bytearray()
        while data:
            if self._inflate.eof:
                self._next()
            try:
                out += self._inflate.decompress(data, STEP)
            except zlib.error as broken:
                raise ValueError(str(broken)) from broken
            data = self._inflate.unconsumed_tail or self._inflate.unused_data
            if len(out) > self._limit:
                raise too_large(self._limit)
        if last:
            out += self._inflate.flush()  # no more than the few bytes of one unfinished copy
            if not self._inflate.eof:
                raise ValueError("it ends too soon")
        return bytes(out)

    def _next(self) -> None:
        self._inflate = zlib.decompressobj(self.window)


class _Deflate(_Gzip):
    """zlib (RFC 1950), and the raw deflate (RFC 1951) that some clients send under the same name."""

    window = zlib.MAX_WBITS

    def __init__(self, limit: int) -> None:
        super().__init__(limit)
        self._first: bytes | None = b""  # until two bytes tell which of the two it is

    def feed(self, data: bytes, *, last: bool) -> bytes:
        if self._first is not None:
            data = self._first + data
            if len(data) < 2 and not last:
                self._first = data
                return b""
            self._first = None
            if not _is_zlib(data):
                self._inflate = zlib.decompressobj(-zlib.MAX_WBITS)
        return super().feed(data, last=last)

    def _next(self) -> None:
        raise ValueError("data after its end")


def _is_zlib(data: bytes) -> bool:
    """Whether these bytes begin with a zlib header (RFC 1950, 2.2)."""
    return len(data) >= 2 and data[0] & 0x0F == 8 and (data[0] << 8 | data[1]) % 31 == 0


class _Brotli:
    """Brotli (RFC 7932)."""

    def __init__(self, limit: int) -> None:
        import brotli  # type: ignore[import-untyped]  # it has no type information

        self._limit = limit
        self._error = brotli.error
        self._inflate = brotli.Decompressor()

    def feed(self, data: bytes, *, last: bool) -> bytes:
        out = bytearray()
        try:
            piece = self._inflate.process(data, output_buffer_limit=STEP) if data else b""
            # All input may be taken while output is still to come: only an empty piece says that there is none.
            while piece:
                out += piece
                if len(out) > self._limit:
                    raise too_large(self._limit)
                piece = b"" if self._inflate.is_finished() else self._inflate.process(b"", output_buffer_limit=STEP)
        except self._error as broken:
            raise ValueError(str(broken)) from broken
        if last and not self._inflate.is_finished():
            raise ValueError("it ends too soon")
        return bytes(out)


class _Zstandard:
    """Zstandard (RFC 8878), several frames too."""

    def __init__(self, limit: int) -> None:
        import zstandard

        self._limit = limit
        self._error = zstandard.ZstdError
        self._make = zstandard.ZstdDecompressor(max_window_size=ZSTD_WINDOW).decompressobj
        self._inflate = self._make()

    def feed(self, data: bytes, *, last: bool) -> bytes:
        out = bytearray()
        try:
            for offset in range(0, len(data), ZSTD_PIECE):
                self._step(data[offset : offset + ZSTD_PIECE], out)
                if len(out) > self._limit:
                    raise too_large(self._limit)
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
            return _Gzip(limit)
        case b"deflate":
            return _Deflate(limit)
        case b"br":
            return _Brotli(limit)
        case b"zstd":
            return _Zstandard(limit)
        case _:
            raise InvalidRequest(f"Unknown content encoding {name.decode('latin-1')!r}.", status=415)
