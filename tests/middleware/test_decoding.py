"""Content encodings are undone piece by piece, however they are cut, and a bomb never goes off."""

import gzip
import zlib
from collections.abc import Callable

import brotli
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from asgi_gateway.errors import InvalidRequest, PayloadTooLarge
from asgi_gateway.middleware.decoding import decoder


def raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


ENCODERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "x-gzip": gzip.compress,
    "deflate": zlib.compress,
    "deflate, raw": raw_deflate,
    "br": brotli.compress,
    "zstd": zstandard.compress,
    "identity": bytes,
    "": bytes,
}
PACKED = [name for name in ENCODERS if name not in ("identity", "")]


def header(name: str) -> bytes:
    return name.removesuffix(", raw").encode()


def decoded(encoding: bytes, pieces: list[bytes], limit: int = 1 << 20) -> bytes:
    decode = decoder(encoding, limit)
    out = b""
    for number, piece in enumerate(pieces, 1):
        out += decode.feed(piece, last=number == len(pieces))
    return out


def cut(data: bytes, where: list[int]) -> list[bytes]:
    cuts = sorted(place % (len(data) + 1) for place in where)
    return [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]


@pytest.mark.parametrize("name", ENCODERS)
@given(data=st.binary(max_size=3000), where=st.lists(st.integers(0, 1 << 16), max_size=6))
def test_however_it_is_cut_the_same_body_comes_out(name: str, data: bytes, where: list[int]) -> None:
    """Every encoding, in pieces of any size, empty ones too."""
    assert decoded(header(name), cut(ENCODERS[name](data), where)) == data


@pytest.mark.parametrize("name", ENCODERS)
def test_a_large_body_comes_out_whole(name: str) -> None:
    """Much more than is made in one step, out of one piece and out of many; the limit itself is allowed."""
    data = b"".join(b"%d some text that repeats itself " % (number % 1000) for number in range(30_000))
    packed = ENCODERS[name](data)
    assert decoded(header(name), [packed], len(data)) == data
    pieces = [packed[offset : offset + 1000] for offset in range(0, len(packed), 1000)]
    assert decoded(header(name), pieces, len(data)) == data


@given(data=st.binary(max_size=500), names=st.lists(st.sampled_from(PACKED), min_size=2, max_size=4))
def test_stacked_encodings_are_undone_from_the_last_to_the_first(data: bytes, names: list[str]) -> None:
    """`gzip, br` was gzip first; each byte for itself is the hardest way to send it."""
    packed = data
    for name in names:
        packed = ENCODERS[name](packed)
    encoding = b", ".join(header(name) for name in names)
    assert decoded(encoding, [packed]) == data
    assert decoded(encoding, [bytes([byte]) for byte in packed]) == data


@pytest.mark.parametrize("name", PACKED)
def test_a_body_that_ends_too_soon_is_not_taken_for_a_whole(name: str) -> None:
    """Cut anywhere, it is refused: also when nothing came at all."""
    packed = ENCODERS[name](b"some text that is long enough to be cut" * 3)
    for end in range(len(packed)):
        with pytest.raises(ValueError, match=r"ends too soon|error|zlib|decompress"):
            decoded(header(name), [packed[:end]])


@pytest.mark.parametrize("name", PACKED)
def test_garbage_is_refused(name: str) -> None:
    """What is not of its encoding is a `ValueError`, at its beginning and behind its end."""
    packed = ENCODERS[name](b"text")
    for wrong in (b"\xff" * 40, b"{}", packed + b"\xff\xff\xff"):
        with pytest.raises(ValueError, match=r"."):
            decoded(header(name), [wrong])


@given(first=st.binary(max_size=200), second=st.binary(max_size=200), name=st.sampled_from(["gzip", "zstd"]))
def test_several_members_follow_each_other(first: bytes, second: bytes, name: str) -> None:
    """gzip members and zstd frames may be strung together."""
    packed = ENCODERS[name](first) + ENCODERS[name](second)
    assert decoded(header(name), [packed]) == first + second
    assert decoded(header(name), [packed[:1], packed[1:]]) == first + second


@pytest.mark.parametrize("name", PACKED)
def test_a_bomb_is_stopped_before_it_is_all_there(name: str) -> None:
    """Of 256 MiB in a few hundred bytes little more than the limit is ever made."""
    size, limit = 1 << 28, 1 << 16
    packed = bomb(name, size)
    assert len(packed) < size >> 8
    made = 0
    decode = decoder(header(name), limit)

    def feed() -> None:
        nonlocal made
        for offset in range(0, len(packed), 1 << 16):
            made += len(decode.feed(packed[offset : offset + (1 << 16)], last=False))
            assert made <= 2 * limit

    with pytest.raises(PayloadTooLarge):
        feed()


def bomb(name: str, size: int) -> bytes:
    piece = bytes(1 << 20)
    pieces = size // len(piece)
    if name == "br":
        compressor = brotli.Compressor(quality=1)
        return b"".join([compressor.process(piece) for _ in range(pieces)]) + compressor.finish()
    if name == "zstd":
        frame = zstandard.ZstdCompressor(level=1).compressobj()
        return b"".join([frame.compress(piece) for _ in range(pieces)]) + frame.flush()
    wbits = {"deflate": zlib.MAX_WBITS, "deflate, raw": -zlib.MAX_WBITS}.get(name, 16 + zlib.MAX_WBITS)
    deflate = zlib.compressobj(9, wbits=wbits)
    return b"".join([deflate.compress(piece) for _ in range(pieces)]) + deflate.flush()


def test_a_bomb_inside_another_encoding_is_stopped_too() -> None:
    """The limit holds for each layer of a stack, also for one that shrinks again in the next."""
    with pytest.raises(PayloadTooLarge):
        decoded(b"gzip, gzip", [gzip.compress(gzip.compress(bytes(1 << 22)))], 1 << 16)
    many_empty_members = gzip.compress(b"") * 20_000
    with pytest.raises(PayloadTooLarge):
        decoded(b"gzip, gzip", [gzip.compress(many_empty_members)], 1 << 16)


def test_a_window_larger_than_http_allows_is_refused() -> None:
    """A zstd frame may not make us set aside more than 8 MiB (RFC 9659)."""
    parameters = zstandard.ZstdCompressionParameters.from_level(19, window_log=25)
    frame = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    packed = frame.compress(bytes(1 << 16)) + frame.flush()
    with pytest.raises(ValueError, match=r"memory|window"):
        decoded(b"zstd", [packed])


def test_unknown_encodings_are_refused_by_name() -> None:
    """415 for what we cannot undo, and for stacks that nobody honest sends."""
    for encoding, text in ((b"lzma", "lzma"), (b"gzip, \xff", "\xff"), (b"gzip," * 5, "Too many")):
        with pytest.raises(InvalidRequest, match=text) as refused:
            decoder(encoding, 100)
        assert refused.value.status == 415


def test_names_are_read_in_any_case_and_with_empty_places() -> None:
    """`GZIP,, identity` is gzip."""
    assert decoded(b" GZIP ,, identity", [gzip.compress(b"text")]) == b"text"
    assert decoded(b" , ", [b"text"]) == b"text"
