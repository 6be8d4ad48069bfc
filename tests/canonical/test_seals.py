"""Seals travel through foreign fields and come back as they were."""

import base64
import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asgi_gateway.canonical import Seal, is_wrapped, unwrap, wrap
from support.canonical_strategies import seals


@given(seals, st.text(max_size=20))
def test_unwrapping_undoes_wrapping(seal: Seal, call: str) -> None:
    """Any maker, kind, text and id of a call, in letters that every opaque field allows."""
    wrapped = wrap(seal, call=call)
    assert unwrap(wrapped) == (seal, call)
    assert is_wrapped(wrapped)
    assert re.fullmatch(r"[A-Za-z0-9+/]+=*", wrapped)
    assert len(wrapped) % 4 == 0


@pytest.mark.parametrize(
    "text",
    [
        "",
        "EqoBCkYIBRgCKkDx",
        "WyJhZ3cxIg",  # the prefix alone, without its padding
        wrap(Seal(maker="a", kind="signature", data="d"))[:-4],
        wrap(Seal(maker="a", kind="signature", data="d")) + "!",
        base64.b64encode(b'["agw1","a","signature","d"]').decode(),
        base64.b64encode(b'["agw1","a","stamp","","d"]').decode(),
        base64.b64encode(b'["agw12","a","signature","","d"]').decode(),
        base64.b64encode(b'["agw1" ,1,"signature","","d"]').decode(),
    ],
)
def test_what_is_no_wrapped_seal_is_left_alone(text: str) -> None:
    """A maker's own text, and ours that is cut or changed: no exception, none of ours."""
    assert unwrap(text) is None


def test_the_wrapping_is_bounded() -> None:
    """A third more, and a few dozen characters: signatures of sixty thousand characters exist."""
    seal = Seal(maker="google", kind="signature", data="A" * 61_608)
    assert len(wrap(seal)) < 61_608 * 4 / 3 + 64
    assert json.loads(base64.b64decode(wrap(seal)))[0] == "agw1"
