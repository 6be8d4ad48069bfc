"""Requests of OpenAI's interface: what is read of them, what is refused, what is changed in them."""

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asgi_gateway.dialects import DIALECTS
from asgi_gateway.dialects.contract import RequestOutline
from asgi_gateway.dialects.openai_chat.request import by_members
from asgi_gateway.dialects.openai_wire.fields import Fields
from asgi_gateway.errors import InvalidRequest

CHAT = DIALECTS["openai_chat"]
COMPLETIONS = DIALECTS["openai_completions"]
EMBEDDINGS = DIALECTS["openai_embeddings"]
MODERATIONS = DIALECTS["openai_moderations"]

MESSAGES = [{"role": "user", "content": "Hi"}]


def chat(**fields: Any) -> bytes:
    """A chat request with some fields more, or others."""
    return json.dumps({"model": "m", "messages": MESSAGES, **fields}).encode()


@pytest.mark.parametrize(
    ("fields", "outline"),
    [
        ({}, RequestOutline(model="m")),
        ({"stream": True}, RequestOutline(model="m", stream=True)),
        ({"stream": None, "n": None, "max_tokens": None, "stream_options": None}, RequestOutline(model="m")),
        (
            {"stream": True, "stream_options": {"include_usage": True}},
            RequestOutline(model="m", stream=True, wants_usage=True),
        ),
        ({"stream": True, "stream_options": {"include_usage": None}}, RequestOutline(model="m", stream=True)),
        ({"stream": False, "stream_options": {"include_usage": True}}, RequestOutline(model="m")),
        ({"max_tokens": 7}, RequestOutline(model="m", max_output=7)),
        ({"service_tier": "priority"}, RequestOutline(model="m", service_tier="priority")),
        ({"service_tier": "auto"}, RequestOutline(model="m")),
        ({"service_tier": 7}, RequestOutline(model="m")),
        ({"max_completion_tokens": 9}, RequestOutline(model="m", max_output=9)),
        ({"max_completion_tokens": 9, "max_tokens": 700}, RequestOutline(model="m", max_output=700)),
        ({"max_tokens": 100.0}, RequestOutline(model="m", max_output=100)),
        ({"n": 128}, RequestOutline(model="m", choices=128)),
        ({"model": "模/x:free"}, RequestOutline(model="模/x:free")),
    ],
)
def test_the_outline_of_a_chat_request(fields: dict[str, Any], outline: RequestOutline) -> None:
    """What the layers need to know."""
    assert CHAT.outline(chat(**fields)) == outline


def test_the_last_of_equal_names_counts() -> None:
    """Also where an earlier one has a wrong type; names may be written with escapes."""
    body = b'\xef\xbb\xbf {"model":1,"n":"x","messages":{},"messages":[1],"n":2,"mod\\u0065l":"b"}'
    assert CHAT.outline(body) == RequestOutline(model="b", choices=2)
    assert json.loads(CHAT.rewrite(body, model="c")[3:])["model"] == "c"


@pytest.mark.parametrize(
    ("fields", "param", "code"),
    [
        ({"model": 5}, "model", "invalid_type"),
        ({"model": ["m"]}, "model", "invalid_type"),
        ({"model": "m" * 257}, "model", "string_above_max_length"),
        ({"messages": "Hi"}, "messages", "invalid_type"),
        ({"messages": None}, "messages", "invalid_type"),
        ({"messages": {}}, "messages", "invalid_type"),
        ({"messages": []}, "messages", "empty_array"),
        ({"stream": "true"}, "stream", "invalid_type"),
        ({"stream": 1}, "stream", "invalid_type"),
        ({"stream_options": []}, "stream_options", "invalid_type"),
        ({"stream_options": {"include_usage": "yes"}}, "stream_options.include_usage", "invalid_type"),
        ({"max_tokens": "7"}, "max_tokens", "invalid_type"),
        ({"max_tokens": True}, "max_tokens", "invalid_type"),
        ({"max_tokens": 7.5}, "max_tokens", "invalid_type"),
        ({"max_tokens": 0}, "max_tokens", "integer_below_min_value"),
        ({"max_tokens": -(10**30)}, "max_tokens", "integer_below_min_value"),
        ({"max_completion_tokens": 2**31}, "max_completion_tokens", "integer_above_max_value"),
        ({"max_completion_tokens": 1e300}, "max_completion_tokens", "integer_above_max_value"),
        ({"n": 0}, "n", "integer_below_min_value"),
        ({"n": 129}, "n", "integer_above_max_value"),
        ({"n": [1]}, "n", "invalid_type"),
    ],
)
def test_wrong_fields_of_a_chat_request_are_refused(fields: dict[str, Any], param: str, code: str) -> None:
    """With the type, code and param that OpenAI sets."""
    with pytest.raises(InvalidRequest) as refused:
        CHAT.outline(chat(**fields))
    error = refused.value
    assert (error.status, error.type, error.param, error.code) == (400, "invalid_request_error", param, code)


@pytest.mark.parametrize("digits", ["9" * 5000, "-" + "9" * 5000])
def test_more_digits_than_a_number_has_are_out_of_range(digits: str) -> None:
    """They are no fault of the JSON."""
    with pytest.raises(InvalidRequest) as refused:
        CHAT.outline(b'{"model":"m","messages":[1],"n":' + digits.encode() + b"}")
    assert refused.value.code in ("integer_above_max_value", "integer_below_min_value")
    assert refused.value.param == "n"


@pytest.mark.parametrize(
    "body", [b'{"messages":[1]}', b'{"model":"","messages":[1]}', b'{"model":null,"messages":[1]}']
)
def test_a_missing_model_is_refused_as_openai_does(body: bytes) -> None:
    """Without param and code."""
    with pytest.raises(InvalidRequest) as refused:
        CHAT.outline(body)
    assert (refused.value.message, refused.value.param, refused.value.code) == (
        "you must provide a model parameter",
        None,
        None,
    )


@pytest.mark.parametrize(
    ("name", "body", "param"),
    [
        ("openai_chat", b'{"model":"m"}', "messages"),
        ("openai_completions", b'{"model":"m"}', "prompt"),
        ("openai_embeddings", b'{"model":"m"}', "input"),
        ("openai_moderations", b"{}", "input"),
    ],
)
def test_a_missing_field_is_named(name: str, body: bytes, param: str) -> None:
    """Each format has one that must be there."""
    with pytest.raises(InvalidRequest) as refused:
        DIALECTS[name].outline(body)
    assert (refused.value.param, refused.value.code) == (param, "missing_required_parameter")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"  ",
        b"{",
        b"nonsense",
        b'{"model":"m","messages":[1],}',
        b'{"model":"m","messages":[1],"n":NaN}',
        b'{"model":"m","messages":[1],"n":01}',
        b'{"model":"m","messages":[tru]}',
        b'{"model":"m","messages":[1]} {}',
        b"\xff\xfe{\x00}\x00",
        b'{"model":"m","messages":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    ],
)
def test_what_is_no_json_is_refused(body: bytes) -> None:
    """Nesting that no parser takes included."""
    with pytest.raises(InvalidRequest, match="could not parse the JSON body") as refused:
        CHAT.outline(body)
    assert (refused.value.status, refused.value.type, refused.value.code) == (400, "invalid_request_error", None)


@pytest.mark.parametrize("body", [b"[]", b'"model"', b"1", b"null"])
def test_json_that_is_no_object_is_refused(body: bytes) -> None:
    """There is nothing in it to read."""
    with pytest.raises(InvalidRequest, match="JSON object"):
        CHAT.outline(body)


@pytest.mark.parametrize("name", [b'"\xff"', b'"\\ud800"'])
def test_a_model_that_is_no_text_is_refused(name: bytes) -> None:
    """Bytes that are no UTF-8, or half a character."""
    with pytest.raises(InvalidRequest, match="could not parse the JSON body"):
        CHAT.outline(b'{"model":' + name + b',"messages":[1]}')


@pytest.mark.parametrize(
    ("fields", "choices"),
    [
        ({"prompt": "Hi"}, 1),
        ({"prompt": None}, 1),
        ({"prompt": [1, 2, 3]}, 1),
        ({"prompt": ["a", "b", "c"]}, 3),
        ({"prompt": [[1, 2], [3]], "n": 2}, 4),
        ({"prompt": "Hi", "n": 2, "best_of": 5}, 5),
        ({"prompt": "Hi", "best_of": 0}, 1),
    ],
)
def test_the_outline_of_a_completion_counts_what_is_written(fields: dict[str, Any], choices: int) -> None:
    """Each prompt is completed, and all of `best_of` are paid."""
    body = json.dumps(
        {"model": "m", "max_tokens": 0, "stream": True, "stream_options": {"include_usage": True}, **fields}
    )
    assert COMPLETIONS.outline(body.encode()) == RequestOutline(
        model="m", max_output=0, choices=choices, stream=True, wants_usage=True
    )


@pytest.mark.parametrize(
    ("name", "fields", "param"),
    [
        ("openai_completions", {"prompt": {}}, "prompt"),
        ("openai_completions", {"prompt": []}, "prompt"),
        ("openai_completions", {"prompt": "a", "best_of": 21}, "best_of"),
        ("openai_embeddings", {"input": 3}, "input"),
        ("openai_embeddings", {"input": []}, "input"),
        ("openai_moderations", {"input": False}, "input"),
    ],
)
def test_wrong_fields_of_the_thin_formats_are_refused(name: str, fields: dict[str, Any], param: str) -> None:
    """As in chat requests."""
    with pytest.raises(InvalidRequest) as refused:
        DIALECTS[name].outline(json.dumps({"model": "m", **fields}).encode())
    assert refused.value.param == param


def test_moderations_have_a_model_of_their_own() -> None:
    """It may be left out, and is put in when the channel has another."""
    body = b'{"input": "x", "about": {"model": "y"}}'
    assert MODERATIONS.outline(body).model == "omni-moderation-latest"
    assert MODERATIONS.rewrite(body, model="m") == b'{"model":"m","input": "x", "about": {"model": "y"}}'


def test_embeddings_are_outlined_by_their_model() -> None:
    """They have no stream and no output."""
    body = b'{"model":"e","input":["a"],"encoding_format":"base64","stream":true}'
    assert EMBEDDINGS.outline(body) == RequestOutline(model="e")
    assert EMBEDDINGS.rewrite(body, include_usage=True) == body


@pytest.mark.parametrize(
    ("given_options", "expected"),
    [
        (b"", b'"stream_options":{"include_usage":true},'),
        (b'"stream_options": null,', b'"stream_options": {"include_usage":true},'),
        (b'"stream_options": { },', b'"stream_options": {"include_usage":true },'),
        (b'"stream_options":{"include_usage" : false},', b'"stream_options":{"include_usage" : true},'),
        (
            b'"stream_options":{"include_obfuscation":false},',
            b'"stream_options":{"include_usage":true,"include_obfuscation":false},',
        ),
    ],
)
def test_the_usage_is_asked_for_in_place(given_options: bytes, expected: bytes) -> None:
    """What else the options say stays, and every byte around them."""
    rest = b'"model":"m", "messages":[{"stream_options":1}],"stream":true }'
    assert CHAT.rewrite(b"{" + given_options + rest, include_usage=True) == b"{" + expected + rest


def test_the_last_stream_options_ask_for_the_usage() -> None:
    """Where there are two, both do."""
    body = b'{"model":"m","stream_options":{"a":1},"stream_options":{"include_usage":false,"b":2}}'
    assert json.loads(CHAT.rewrite(body, include_usage=True))["stream_options"] == {"include_usage": True, "b": 2}


def test_overrides_win() -> None:
    """A channel's own fields are set or removed, whatever else was to be written there."""
    body = b'{"model":"m","messages":[1],"temperature":1,"stream_options":{"a":1},"top_p":0.5}'
    result = CHAT.rewrite(
        body,
        model="x",
        include_usage=True,
        overrides={"temperature": {"deep": [1, "é"]}, "stream_options": None, "seed": 7, "absent": None},
    )
    assert json.loads(result) == {
        "model": "x",
        "messages": [1],
        "temperature": {"deep": [1, "é"]},
        "top_p": 0.5,
        "seed": 7,
    }
    assert json.loads(CHAT.rewrite(body, model="x", overrides={"model": "y"}))["model"] == "y"


def test_a_body_that_cannot_be_edited_is_refused() -> None:
    """It is the caller's fault: long fields given twice, or no object at all."""
    long = b"[" + b'"a",' * 100_000 + b"1]"
    for body in (b"[]", b'{"messages":' + long + b',"messages":[1],"model":"m"}'):
        with pytest.raises(InvalidRequest, match="could not edit"):
            CHAT.rewrite(body, model="x")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text('ab"\\{}[]:,é模\n', max_size=6),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["model", "a", "usage"]), inner, max_size=3)
    ),
    max_leaves=6,
)


@given(
    fields=st.dictionaries(st.sampled_from(["temperature", "tools", "stream", "user", "model_"]), JSON, max_size=4),
    options=st.none() | st.fixed_dictionaries({}, optional={"include_usage": JSON, "include_obfuscation": JSON}),
    indent=st.sampled_from([None, 2]),
    ascii_only=st.booleans(),
    model=st.none() | st.text('ab"\\é模/', min_size=1, max_size=6),
    ask=st.booleans(),
)
def test_a_rewrite_is_the_same_request_with_the_edit(
    fields: dict[str, Any],
    options: dict[str, Any] | None,
    indent: int | None,
    ascii_only: bool,
    model: str | None,
    ask: bool,
) -> None:
    """A parser sees what it would have seen, but for the model and the question for the usage."""
    request = {**fields, "model": "m", "messages": [fields], "stream_options": options}
    body = json.dumps(request, indent=indent, ensure_ascii=ascii_only).encode()
    expected = dict(request)
    if model is not None:
        expected["model"] = model
    if ask:
        expected["stream_options"] = {**(options or {}), "include_usage": True}
    assert json.loads(CHAT.rewrite(body, model=model, include_usage=ask)) == expected


def test_prompt_bytes_leave_media_out() -> None:
    """Images, audio and files in base64 are no prompt by the byte; addresses of media are short."""
    data = base64.b64encode(b"\xff" * 30_000).decode()
    parts = [
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{data}", "detail": "low"}},
        {"type": "image_url", "image_url": {"url": "https://example.com/cat.png"}},
        {"type": "input_audio", "input_audio": {"data": data, "format": "wav"}},
        {"type": "file", "file": {"filename": "a.pdf", "file_data": f"data:application/pdf;base64,{data}"}},
    ]
    body = chat(messages=[{"role": "user", "content": parts}])
    assert len(body) > 120_000
    assert len(body) - 3 * len(data) - 100 < CHAT.prompt_bytes(body) < len(body) - 3 * len(data)
    slashed = body.replace(b"/", b"\\/")
    assert CHAT.prompt_bytes(slashed) < 1_000


def test_prompt_bytes_of_text_are_its_bytes() -> None:
    """A text that speaks of base64 does not become cheaper by it."""
    texts = ["plain", "data:text/plain;base64," + "A" * 5000, 'say "input_audio" and "data": "' + "B" * 500, ";base64,"]
    body = chat(messages=[{"role": "user", "content": text} for text in texts])
    assert CHAT.prompt_bytes(body) == len(body)


@pytest.mark.parametrize("body", [b'{"x":";base64,', b'{"a":"input_audio","input_audio":{"data":"', b""])
def test_prompt_bytes_of_half_a_body_are_no_failure(body: bytes) -> None:
    """It is never negative."""
    assert 0 <= CHAT.prompt_bytes(body) <= len(body)


ORDINARY = st.fixed_dictionaries(
    {"messages": st.lists(st.fixed_dictionaries({"role": st.just("user"), "content": st.text()}), max_size=3)},
    optional={
        "model": st.text(max_size=20) | st.integers(),
        "stream": st.booleans() | st.none() | st.integers(),
        "stream_options": st.none() | st.dictionaries(st.just("include_usage"), st.booleans() | st.none()),
        "max_tokens": st.integers(-1, 2**33) | st.none() | st.floats(allow_nan=False, allow_infinity=False),
        "max_completion_tokens": st.integers(1, 100),
        "n": st.integers(0, 200) | st.none(),
    },
)


def judged(read: Callable[[bytes], RequestOutline], body: bytes) -> RequestOutline | str:
    """What a reader makes of a body: the outline, or its refusal."""
    try:
        return read(body)
    except InvalidRequest as refusal:
        return f"{refusal.message} {refusal.param} {refusal.code}"


@given(ORDINARY)
def test_the_quick_reader_of_chats_says_what_the_general_one_does(body: dict[str, Any]) -> None:
    """Decoded in one step or member by member, a body has the same outline or the same refusal."""
    data = json.dumps(body).encode()
    assert judged(CHAT.outline, data) == judged(lambda data: by_members(Fields(data)), data)
