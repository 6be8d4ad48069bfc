"""Plain answers of OpenAI's interface: judged before they are released, read on their way."""

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asgi_gateway.dialects import DIALECTS
from asgi_gateway.dialects.contract import Head, RequestOutline
from asgi_gateway.dialects.openai_wire.plain import WHOLE_LIMIT
from asgi_gateway.errors import MalformedUpstream, UpstreamError
from asgi_gateway.storage.records import Usage

CHAT = DIALECTS["openai_chat"]
OUTLINE = RequestOutline(model="m")
USAGE = {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13}


def answer(content: str = "Hello", **fields: Any) -> bytes:
    """A chat completion."""
    choice = {"index": 0, "message": {"role": "assistant", "content": content}, "finish_reason": "stop"}
    return json.dumps({"id": "c", "choices": [choice], **fields}, ensure_ascii=False).encode()


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("openai_chat", answer()),
        ("openai_chat", b"\xef\xbb\xbf\r\n" + answer(error=None)),
        ("openai_completions", b'{"choices":[{"text":""}]}'),
        ("openai_embeddings", b'{"data":[{"embedding":[0.1]}]}'),
        ("openai_moderations", b'{"results":[{"flagged":false}]}'),
    ],
)
def test_a_whole_answer_is_released(name: str, body: bytes) -> None:
    """When it has what its format promises; half of it waits."""
    dialect = DIALECTS[name]
    assert dialect.head(body, stream=False, complete=True) is Head.RELEASE
    assert dialect.head(body[:-3], stream=False, complete=False) is Head.WAIT
    assert dialect.head(b"", stream=False, complete=False) is Head.WAIT


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\n",
        b"<html>sorry</html>",
        b"ok",
        b"[]",
        b'{"choices":[{"message":{}}',
        b'{"choices":' + b"[" * 100_000,
        b"{}",
        b'{"choices":null}',
        b'{"choices":[ ]}',
        b'{"data":[1]}',
    ],
)
def test_what_is_no_answer_is_malformed(body: bytes) -> None:
    """It can still be asked for elsewhere."""
    with pytest.raises(MalformedUpstream):
        CHAT.head(body, stream=False, complete=True)


def test_a_page_is_known_by_its_first_byte() -> None:
    """There is no need to wait for the rest of it."""
    with pytest.raises(MalformedUpstream):
        CHAT.head(b"<!doctype", stream=False, complete=False)


def test_an_error_inside_a_good_status_is_an_error() -> None:
    """With the status that it names."""
    with pytest.raises(UpstreamError) as raised:
        CHAT.head(b'{"error":{"message":"slow down","code":429},"choices":[1]}', stream=False, complete=True)
    assert (raised.value.status, raised.value.message) == (429, "slow down")


def run(body: bytes, cuts: list[int], name: str = "openai_chat") -> tuple[bytes, Usage | None, int]:
    """What a tap gives back and learns when the body comes in pieces."""
    tap = DIALECTS[name].tap(OUTLINE, stream=False)
    edges = sorted({0, len(body), *(cut % (len(body) + 1) for cut in cuts)})
    given_back = b"".join(tap.feed(body[a:b]) for a, b in pairwise(edges)) + tap.finish()
    return given_back, tap.usage, tap.output_estimate


@given(st.lists(st.integers(0, 500)))
def test_chunk_boundaries_do_not_matter(cuts: list[int]) -> None:
    """All bytes pass, and the usage is read."""
    body = answer("Grüße 模型", usage=USAGE, error=None)
    assert run(body, cuts) == (body, Usage(input=9, output=4), run(body, [])[2])


@pytest.mark.parametrize(("first", "size"), [(True, 1), (False, 1), (True, 40), (False, 40)])
@pytest.mark.parametrize("step", [1 << 30, 65_536, 9_999, 200_000])
def test_the_usage_of_a_long_answer_is_found_at_its_edges(first: bool, size: int, step: int) -> None:
    """It is not kept whole: embeddings are long."""
    data = [{"embedding": "A" * (WHOLE_LIMIT // size + 100)}] * size
    usage = {"prompt_tokens": 8, "total_tokens": 8, "details": {"x": [1]}}
    fields = {"usage": usage, "data": data} if first else {"data": data, "model": "m", "usage": usage}
    body = json.dumps(fields).encode()
    cuts = list(range(0, len(body), step))
    assert run(body, cuts, "openai_embeddings") == (body, Usage(input=8), 0)


def test_no_usage_is_none() -> None:
    """Null, absent, or of another kind; long or short."""
    for fields in ({}, {"usage": None}, {"usage": []}, {"usage": {}}):
        for content in ("", "x" * WHOLE_LIMIT):
            body = answer(content, **fields)
            assert run(body, [100_000])[:2] == (body, None)


def test_a_usage_cut_by_the_edge_is_not_taken() -> None:
    """Only whole objects are read; one inside a text has escaped quotes and is none."""
    text = '"usage": {"prompt_tokens": 1}'
    body = answer("x" * WHOLE_LIMIT + text)
    assert run(body, [])[1] is None
    halves = b'{"data":[' + b"1," * WHOLE_LIMIT + b'1],"usage":{"prompt_tokens":5},"usage":{"prompt_tokens"}'
    assert run(halves, [], "openai_embeddings")[1] == Usage(input=5)


@pytest.mark.parametrize("body", [answer()[:-1], b"", b"{" + b"x" * WHOLE_LIMIT])
def test_half_an_answer_is_malformed(body: bytes) -> None:
    """However long it is; its last byte is kept, so that it is never whole."""
    tap = CHAT.tap(OUTLINE, stream=False)
    assert tap.feed(body) == body[:-1]
    with pytest.raises(MalformedUpstream):
        tap.finish()
    assert tap.usage is None


@pytest.mark.parametrize(
    ("name", "body", "tokens"),
    [
        ("openai_chat", answer("12345678"), 2),
        ("openai_chat", answer("123456789"), 3),
        ("openai_chat", answer("模型"), 2),
        ("openai_chat", answer(""), 0),
        (
            "openai_chat",
            b'{"choices":[{"message":{"content":null,"reasoning_content":"1234","refusal":"12345678"}}]}',
            3,
        ),
        ("openai_chat", b'{"choices":[{"message":{"tool_calls":[{"function":{"arguments":"{\\"a\\":1}"}}]}}]}', 3),
        ("openai_chat", b'{"choices":[{"message":{"content":[{"type":"text","text":"12345678"}]}}]}', 2),
        ("openai_chat", b'{"choices":[{"message":{"content":"1234567', 2),
        ("openai_chat", b'{"choices":[{"text":"1234"}]}', 0),
        ("openai_completions", b'{"choices":[{"text":"1234"},{"text":"5678"}]}', 2),
        ("openai_embeddings", b'{"data":[{"text":"1234","content":"x"}]}', 0),
        ("openai_chat", answer("x" * WHOLE_LIMIT), (len(answer("x" * WHOLE_LIMIT)) + 3) // 4),
    ],
)
def test_output_is_estimated_from_what_came(name: str, body: bytes, tokens: int) -> None:
    """Four bytes of ASCII or three others are a token, also of an answer that was cut."""
    tap = DIALECTS[name].tap(OUTLINE, stream=False)
    tap.feed(body)
    assert tap.output_estimate == tokens
    assert tap.output_estimate == tokens
