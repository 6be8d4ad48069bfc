"""A tap for answers that are one JSON object."""

import itertools
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asgi_gateway.canonical import Usage
from asgi_gateway.dialects.plain_tap import PlainTap, TokenCount
from asgi_gateway.errors import MalformedUpstream

TEXT = re.compile(rb'"text":"([^"]*)')
ANSWER = b'{"text":"hello there","usage":{"out":3}}'


def usage_of(reported: Any) -> Usage | None:
    """A usage of output alone."""
    return Usage(output=reported["out"]) if isinstance(reported, dict) and "out" in reported else None


@given(st.lists(st.integers(0, len(ANSWER)), max_size=5))
def test_chunk_boundaries_do_not_matter(cuts: list[int]) -> None:
    """Every byte comes out in its order, and the last one only at the end."""
    tap = PlainTap(usage_of, TEXT)
    edges = [0, *sorted(cuts), len(ANSWER)]
    given_out = b"".join(tap.feed(ANSWER[a:b]) for a, b in itertools.pairwise(edges))
    assert given_out == ANSWER[:-1]
    assert given_out + tap.finish() == ANSWER
    assert (tap.usage, tap.output_estimate) == (Usage(output=3), 3)


@pytest.mark.parametrize("body", [b"", b"{", b'{"usage":', ANSWER[:-1], b"x" * (1 << 19)])
def test_half_an_answer_is_malformed(body: bytes) -> None:
    """Its last byte is never given out."""
    tap = PlainTap(usage_of, TEXT)
    assert len(tap.feed(body)) == max(0, len(body) - 1)
    with pytest.raises(MalformedUpstream):
        tap.finish()
    assert tap.usage is None


@pytest.mark.parametrize(
    ("end", "usage"),
    [(b'","usage":{"out":3}}', Usage(output=3)), (b'","usage": {"a', None), (b'"}', None)],
)
def test_a_long_answer_is_not_held(end: bytes, usage: Usage | None) -> None:
    """Its usage is found at its end; every byte counts as text."""
    tap = PlainTap(usage_of, TEXT)
    for _ in range(5):
        tap.feed(b'{"text":"' + b"a" * (1 << 16))
    tap.feed(end if end.endswith(b"}") else end + b'"}')
    assert tap.finish() == b"}"
    assert tap.usage == usage
    assert tap.output_estimate > 80_000


def test_other_letters_are_more_tokens() -> None:
    """Four bytes of ASCII, or three of others."""
    count = TokenCount(TEXT)
    count.feed('"text":"abcd" "text":"日日"'.encode())
    assert count.tokens == 3
    count.add(4)
    assert count.tokens == 4
