"""How many tokens a request has, asked and answered in three vendors' ways."""

import json

import pytest

from asgi_gateway.canonical import ChatRequest, Losses, Sampling, Text, Turn, Usage
from asgi_gateway.dialects import TOKEN_COUNTS, classify
from asgi_gateway.dialects.contract import Head, Operation, RequestOutline, Target
from asgi_gateway.dialects.token_counts import TokenCountDialect
from asgi_gateway.errors import InvalidRequest, MalformedUpstream, RateLimited

ANTHROPIC = TOKEN_COUNTS["anthropic_count_tokens"]
GOOGLE = TOKEN_COUNTS["google_count_tokens"]
OPENAI = TOKEN_COUNTS["openai_input_tokens"]

BODIES = {
    "anthropic_count_tokens": {"model": "m", "messages": [{"role": "user", "content": "Hi"}]},
    "google_count_tokens": {"contents": [{"role": "user", "parts": [{"text": "Hi"}]}]},
    "openai_input_tokens": {"model": "m", "input": "Hi"},
}
PATHS = {
    "anthropic_count_tokens": "/v1/messages/count_tokens",
    "google_count_tokens": "/v1beta/models/m:countTokens",
    "openai_input_tokens": "/v1/responses/input_tokens",
}
ALL = pytest.mark.parametrize("dialect", TOKEN_COUNTS.values(), ids=list(TOKEN_COUNTS))


def body(dialect: TokenCountDialect) -> bytes:
    return json.dumps(BODIES[dialect.name]).encode()


@ALL
def test_each_has_its_route_and_knows_the_model(dialect: TokenCountDialect) -> None:
    """In the body, or in the path."""
    path = PATHS[dialect.name]
    assert classify("POST", path) == (Operation.TOKEN_COUNT, dialect)
    assert dialect.outline(body(dialect), Target(path)) == RequestOutline(model="m")


@ALL
def test_the_request_is_read_and_written_for_each_other(dialect: TokenCountDialect) -> None:
    """What is asked about is the chat request; what has no place in a count is left out."""
    losses = Losses("request")
    request = dialect.read_request(body(dialect), RequestOutline(model="m"), losses)
    assert request.turns == (Turn("user", (Text("Hi"),)),)
    assert not losses
    whole = ChatRequest(model="m", turns=request.turns, stream=True, sampling=Sampling(max_output=7, temperature=0.5))
    written = json.loads(dialect.write_request(whole, losses))
    if dialect is GOOGLE:
        assert written["generateContentRequest"]["model"] == "models/m"
        assert written["generateContentRequest"]["contents"] == BODIES["google_count_tokens"]["contents"]
    else:
        assert written["model"] == "m"
        assert not written.keys() & {"max_tokens", "max_output_tokens", "temperature", "stream", "store"}
    again = dialect.read_request(json.dumps(written).encode(), RequestOutline(model="m"), Losses("request"))
    assert again.turns == request.turns


@ALL
def test_a_number_is_written_and_read(dialect: TokenCountDialect) -> None:
    """Also through the head and the tap, which change nothing and use nothing."""
    answer = dialect.write_count(42)
    assert dialect.read_count(answer) == 42
    assert dialect.head(answer[:3], stream=False, complete=False) is Head.WAIT
    assert dialect.head(answer, stream=False, complete=True) is Head.RELEASE
    tap = dialect.tap(RequestOutline(model="m"), stream=False)
    assert tap.feed(answer) + tap.finish() == answer
    assert (tap.usage, tap.output_estimate) == (Usage(), 0)


@ALL
@pytest.mark.parametrize(
    "answer", [b"", b"[]", b"{}", b'{"input_tokens": "7", "totalTokens": true}', b'{"totalTokens": -1}']
)
def test_an_answer_without_a_number_is_malformed(dialect: TokenCountDialect, answer: bytes) -> None:
    """It is tried elsewhere, or told as the upstream's failure."""
    with pytest.raises(MalformedUpstream):
        dialect.read_count(answer)


def test_a_body_without_a_model_is_refused() -> None:
    """By the field's name."""
    with pytest.raises(InvalidRequest) as refused:
        ANTHROPIC.outline(b'{"messages": []}')
    assert refused.value.param == "model"
    with pytest.raises(InvalidRequest):
        GOOGLE.outline(b"no json", Target("/v1beta/models/m:countTokens"))


@ALL
def test_the_rest_is_as_of_the_chat_dialect(dialect: TokenCountDialect) -> None:
    """Errors, the bytes of the prompt, and the splice of the model."""
    error = RateLimited("Slow down.", retry_after=1)
    assert dialect.write_error(error) == dialect.chat.write_error(error)
    assert dialect.write_error_event(error) == dialect.chat.write_error_event(error)
    assert dialect.read_error(429, {}, b"{}").status == 429
    assert dialect.prompt_bytes(body(dialect)) == dialect.chat.prompt_bytes(body(dialect))
    rewritten = json.loads(dialect.rewrite(body(dialect), model="real"))
    assert rewritten.get("model", "real") == "real"


def test_google_may_wrap_the_request() -> None:
    """With what stands beside the contents."""
    inner = {
        "model": "models/m",
        **BODIES["google_count_tokens"],
        "systemInstruction": {"parts": [{"text": "Be kind."}]},
    }
    wrapped = json.dumps({"generateContentRequest": inner}).encode()
    request = GOOGLE.read_request(wrapped, RequestOutline(model="m"), Losses("request"))
    assert (request.instructions, len(request.turns)) == ((Text("Be kind."),), 1)


def test_openai_names_its_object() -> None:
    """As its SDK wants it."""
    assert json.loads(OPENAI.write_count(3)) == {"object": "response.input_tokens", "input_tokens": 3}
