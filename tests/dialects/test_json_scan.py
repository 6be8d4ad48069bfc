"""Members of a JSON object found by offset, and splices that leave every other byte."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asgi_gateway.dialects.json_scan import MEASURED_LIMIT, measure, members, splice

SPACE = st.sampled_from(["", " ", "\n\t", "\r\n  "])
TEXTS = st.text('ab"\\\n\t/{}[]:,é模😀', max_size=8)
SCALARS = st.one_of(st.sampled_from([None, True, False, 0.5, -1e300, 12345678901234567890]), st.integers(), TEXTS)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3), max_leaves=8
)
NAMES = ["model", "stream_options", "n", "a\\b", 'quo"te', "", "é", "模", "]},", "messages"]


def escaped(name: str) -> str:
    """The name as a JSON string in which every character is an escape."""
    return '"' + "".join(f"\\u{ord(character):04x}" for character in name) + '"'


@st.composite
def objects(draw: st.DrawFn) -> bytes:
    """JSON objects as text: odd whitespace, escapes, nesting, equal names."""
    parts = []
    for name in draw(st.lists(st.sampled_from(NAMES), max_size=6)):
        literal = draw(st.sampled_from([json.dumps(name), json.dumps(name, ensure_ascii=False), escaped(name)]))
        value = json.dumps(draw(VALUES), ensure_ascii=draw(st.booleans()), indent=draw(st.sampled_from([None, 1])))
        parts.append(literal + draw(SPACE) + ":" + draw(SPACE) + value)
    space = [draw(SPACE) for _ in range(4)]
    text = space[0] + "{" + space[1] + (space[2] + "," + space[1]).join(parts) + space[2] + "}" + space[3]
    return draw(st.sampled_from([b"", b"\xef\xbb\xbf"])) + text.encode("utf-8", "surrogatepass")


def parsed(body: bytes) -> Any:
    """What a JSON parser makes of a body; a byte order mark is let pass."""
    return json.loads(body.decode("utf-8-sig"))


@given(objects())
def test_members_are_where_the_text_has_them(body: bytes) -> None:
    """Each name and value stands at the offsets that are told, and the last of equal names is what a parser sees."""
    found = members(body)
    for name, begin, start, end in found:
        literal = json.JSONDecoder().raw_decode(body[begin:].decode())[0]
        assert literal == name
        assert body[end : end + 1] in (b",", b"}", b" ", b"\n", b"\r", b"\t")
        assert json.loads(body[start:end]) == json.loads(body[start:end].strip())
    assert {name: json.loads(body[start:end]) for name, _, start, end in found} == parsed(body)


@given(
    objects(),
    st.dictionaries(st.sampled_from([*NAMES, "new", "x"]), st.none() | SCALARS.map(lambda v: [v]), max_size=4),
)
def test_a_splice_changes_what_it_should(body: bytes, changes: dict[str, list[Any] | None]) -> None:
    """A parser sees the object with the changes, and nothing else has changed."""
    edits = {name: None if value is None else json.dumps(value).encode() for name, value in changes.items()}
    result = splice(body, edits)
    expected = parsed(body)
    for name, value in changes.items():
        if value is None:
            expected.pop(name, None)
        else:
            expected[name] = value
    assert parsed(result) == expected


@given(objects(), st.sampled_from(NAMES))
def test_every_other_byte_stays(body: bytes, name: str) -> None:
    """Outside the values that are replaced, the bytes are the same and in the same order."""
    spans = [(start, end) for found, _, start, end in members(body) if found == name]
    result = splice(body, {name: b"0"})
    if not spans:
        opened = body.index(b"{") + 1
        assert result.startswith(body[:opened])
        assert result.endswith(body[opened:])
        return
    kept, position = [], 0
    for start, end in spans:
        kept.append(body[position:start])
        position = end
    assert result == b"0".join([*kept, body[position:]])


def test_nothing_to_change_changes_nothing() -> None:
    """A body without edits comes back as it was."""
    body = b' {"model" : "a" , "n":1 } '
    assert splice(body, {}) == body


@pytest.mark.parametrize(
    ("body", "names", "expected"),
    [
        (b'{"a":1,"b":2,"c":3}', ["a"], b'{"b":2,"c":3}'),
        (b'{"a":1, "b":2, "c":3}', ["b"], b'{"a":1, "c":3}'),
        (b'{"a":1, "b":2, "c":3 }', ["c"], b'{"a":1, "b":2 }'),
        (b'{"a":1, "b":2, "c":3 }', ["b", "c"], b'{"a":1 }'),
        (b'{"a":1, "b":2, "c":3 }', ["a", "b", "c"], b"{ }"),
        (b'{"a":1,"b":2,"a":3}', ["a"], b'{"b":2}'),
    ],
)
def test_a_removed_member_takes_its_comma_along(body: bytes, names: list[str], expected: bytes) -> None:
    """Wherever it stands."""
    assert splice(body, dict.fromkeys(names)) == expected


def test_equal_names_are_all_changed() -> None:
    """An upstream whose parser takes the first of them sees no other value than we did."""
    body = b'{"model":"a","messages":[{"model":"b"}],"mod\\u0065l":["c"],"model":"d"}'
    assert splice(body, {"model": b'"x"'}) == (
        b'{"model":"x","messages":[{"model":"b"}],"mod\\u0065l":"x","model":"x"}'
    )


def test_a_value_that_begins_like_its_successor_is_told_apart() -> None:
    """Of equal names the decoder measures the last only: a common beginning does not mislead."""
    body = b'{"n":12,"n":1,"s":"a\\"b","s":"a","o":[1,2],"o":[],"model":"m"}'
    assert splice(body, {"model": b'"x"'}) == body.replace(b'"m"', b'"x"')


def test_names_inside_texts_and_nested_objects_are_not_members() -> None:
    """Only the outermost object counts."""
    body = b'{"m":"\\"model\\":1,","o":{"model":2,"x":[{"model":3}]},"model":4}'
    assert [(name, body[start:end]) for name, _, start, end in members(body) if name == "model"] == [("model", b"4")]


def test_deep_nesting_needs_no_recursion() -> None:
    """Deeper than the C decoder goes, values are measured step by step."""
    deep = b"[" * 50_000 + b"]" * 50_000
    assert splice(b'{"deep":' + deep + b',"model":"a"}', {"model": b"1"}) == b'{"deep":' + deep + b',"model":1}'
    assert measure(deep, 0) == len(deep)


def test_long_values_under_names_given_twice_are_refused() -> None:
    """Measuring them would hold up everybody else."""
    long = b"[" + b'"a",' * MEASURED_LIMIT + b"1]"
    with pytest.raises(ValueError, match="given twice"):
        members(b'{"x":' + long + b',"x":1}')


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b'"a"', b"nul", b'{"a":1', b'{"a"}', b'{"a":1,}', b'{"a":1}{', b'{"a":"\xff"', b"\xff\xfe{\x00}\x00"],
)
def test_what_is_no_object_is_refused(body: bytes) -> None:
    """Nothing is spliced into it."""
    with pytest.raises(ValueError, match=r"\S"):
        splice(body, {"model": b"1"})


@pytest.mark.parametrize("broken", [b'{"a":"x', b'{"a":[1,2', b'{"a":}', b'{"a":1]', b'{"a":1'])
def test_half_a_document_is_refused_without_the_decoder_too(broken: bytes) -> None:
    """Deep nesting in front of it does not let it through."""
    deep = b'{"deep":' + b"[" * 50_000 + b"]" * 50_000 + b","
    with pytest.raises(ValueError, match=r"JSON object|told apart"):
        members(deep + broken[1:])
