"""Decoded requests are read with a word for everything that is wrong."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asgi_gateway.dialects.node import LARGEST, Node, decode_object, plain_path
from asgi_gateway.errors import GatewayError, InvalidRequest, MalformedUpstream

BODY = Node(
    {
        "text": "t",
        "empty": "",
        "none": None,
        "flag": True,
        "number": 1.5,
        "whole": 2.0,
        "object": {"inner": {"text": 3}, "list": [1]},
        "objects": [{"a": 1}, {"a": 2}],
        "mixed": [{"a": 1}, "x"],
        "texts": ["a", "b"],
    }
)


def refused(read: object) -> InvalidRequest:
    assert callable(read)
    with pytest.raises(InvalidRequest) as wrong:
        read()
    return wrong.value


def test_what_is_absent_or_null_is_not_there() -> None:
    """Each kind has its way to say so."""
    for name in ("none", "nothing"):
        assert name not in BODY
        assert BODY.any(name) is None
        assert BODY.text(name) == ""
        assert BODY.text(name, "default") == "default"
        assert BODY.flag(name) is None
        assert BODY.integer(name) is None
        assert BODY.number(name) is None
        assert BODY.object(name) is None
        assert BODY.list(name) == []
        assert list(BODY.objects(name)) == []
        assert BODY.texts(name) == ()


def test_what_is_there_is_given() -> None:
    """Each kind by its name, with its path."""
    assert "text" in BODY
    assert BODY.text("text") == BODY.require_text("text") == "t"
    assert BODY.flag("flag") is True
    assert BODY.number("number") == 1.5
    assert BODY.integer("whole") == 2
    assert BODY.texts("texts") == ("a", "b")
    inner = BODY.object("object")
    assert inner is not None
    assert inner.path == "object"
    deeper = inner.object("inner")
    assert deeper is not None
    assert deeper.path == "object.inner"
    assert [node.path for node in BODY.objects("objects")] == ["objects[0]", "objects[1]"]


@pytest.mark.parametrize(
    ("method", "name", "path", "words"),
    [
        ("text", "number", "number", "expected a string, but got a number instead"),
        ("text", "flag", "flag", "expected a string, but got a boolean instead"),
        ("flag", "text", "text", "expected a boolean, but got a string instead"),
        ("number", "flag", "flag", "expected a number, but got a boolean instead"),
        ("number", "object", "object", "expected a number, but got an object instead"),
        ("integer", "number", "number", "expected a whole number, but got a number instead"),
        ("integer", "text", "text", "expected a number, but got a string instead"),
        ("object", "texts", "texts", "expected an object, but got an array instead"),
        ("list", "object", "object", "expected an array, but got an object instead"),
        ("texts", "mixed", "mixed[0]", "expected a string, but got an object instead"),
    ],
)
def test_a_wrong_type_is_told_with_its_path(method: str, name: str, path: str, words: str) -> None:
    """What was expected, what came, and where."""
    wrong = refused(lambda: getattr(BODY, method)(name))
    assert (wrong.param, wrong.code) == (path, "invalid_type")
    assert words in wrong.message


def test_a_wrong_member_of_an_array_is_told_with_its_position() -> None:
    """Members are read one by one: what stands before is given."""
    found = BODY.objects("mixed")
    assert next(found).path == "mixed[0]"
    assert refused(lambda: next(found)).param == "mixed[1]"
    assert "null" in refused(lambda: list(Node({"a": [None]}).objects("a"))).message


def test_bounds_are_told() -> None:
    """Below, above, and what is no number of ours at all."""
    body = Node({"n": 0, "big": LARGEST + 1, "nan": float("nan"), "inf": float("inf")})
    assert body.integer("n", 0) == 0
    assert body.integer("big", most=LARGEST + 1) == LARGEST + 1
    low = refused(lambda: body.integer("n", 1))
    assert (low.param, low.code) == ("n", "invalid_value")
    assert "Expected a value >= 1" in low.message
    assert f"above {LARGEST}" in refused(lambda: body.integer("big")).message
    assert "whole number" in refused(lambda: body.integer("nan")).message
    assert "whole number" in refused(lambda: body.integer("inf")).message


def test_what_must_be_there_is_missed_by_its_path() -> None:
    """Absent, null and empty are the same."""
    for name in ("empty", "none", "nothing"):
        wrong = refused(lambda name=name: BODY.require_text(name))
        assert (wrong.param, wrong.code) == (name, "missing_required_parameter")


def test_an_unknown_word_is_told_with_the_known_ones() -> None:
    """And is cut where it is long."""
    wrong = Node({"kind": "x" * 100}, "tools[0]").unknown("kind", "a, b")
    assert wrong.param == "tools[0].kind"
    assert wrong.message.endswith("Supported values are: a, b.")
    assert "x" * 65 not in wrong.message


def test_what_nobody_read_is_known() -> None:
    """But for nulls, and for what need not be read."""
    body = Node({"a": 1, "b": None, "c": 2, "d": 3})
    body.skip("d")
    body.any("a")
    assert body.unread() == {"c": 2}


def test_the_error_is_the_readers_choice() -> None:
    """An answer that is wrong is the upstream's fault: at every depth."""

    def malformed(path: str, expected: str, given_kind: str) -> GatewayError:
        return MalformedUpstream(f"{path} is {given_kind}, not {expected}")

    body = Node({"a": {"b": [{"c": 1}]}, "d": "x"}, wrong=malformed)
    inner = body.object("a")
    assert inner is not None
    with pytest.raises(MalformedUpstream, match=r"a\.b\[0\]\.c is a number, not a string"):
        next(inner.objects("b")).text("c")
    with pytest.raises(MalformedUpstream, match="d is a string, not an object"):
        body.object("d")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "parse"),
        (b'{"a": 1', "parse"),
        (b"\xff\xfe", "parse"),
        (b'{"a": 1}}', "parse"),
        (b'{"a":' * 100_000, "parse"),
        (b"[" * 100_000 + b"]" * 100_000, "nested too deeply"),
        (b"[]", "must be a JSON object"),
        (b'"x"', "must be a JSON object"),
        (b"null", "must be a JSON object"),
    ],
)
def test_a_body_that_is_no_object_is_refused(body: bytes, words: str) -> None:
    """With the decoder's own reason, and never by another exception."""
    assert words in refused(lambda: decode_object(body)).message


def test_a_byte_order_mark_is_let_pass() -> None:
    """Some clients send one."""
    assert decode_object(b'\xef\xbb\xbf{"a": 1}') == {"a": 1}


def test_positions_are_left_out_of_plain_paths() -> None:
    """As losses name fields."""
    assert plain_path("messages[3].content[10].x") == "messages[].content[].x"
    assert plain_path("seed") == "seed"


_json = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("ab"), inner, max_size=2),
    max_leaves=6,
)


@given(
    _json, st.sampled_from(["text", "flag", "number", "integer", "object", "list", "objects", "texts", "require_text"])
)
def test_reading_gives_the_value_or_says_what_is_wrong(value: object, method: str) -> None:
    """Whatever JSON holds, there is no other exception."""
    param: str | None = "a"
    try:
        read = getattr(Node({"a": value}), method)("a")
        if method == "objects":
            list(read)
    except InvalidRequest as wrong:
        param = wrong.param
    assert param is not None
    assert param.startswith("a")
