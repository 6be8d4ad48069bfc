"""What the layers learn of a request to Google's interface, and what is spliced into one."""

import json

import pytest

from asgi_gateway.canonical import Reasoning
from asgi_gateway.dialects import DIALECTS, classify
from asgi_gateway.dialects.contract import Operation, Target
from asgi_gateway.dialects.google_generate import GOOGLE_GENERATE as GOOGLE
from asgi_gateway.errors import InvalidRequest

BODY = b'{"contents": [{"role": "user", "parts": [{"text": "Hi"}]}]}'
PLAIN = Target("/v1beta/models/gemini-2.5-pro:generateContent")


@pytest.mark.parametrize(
    ("path", "model", "stream"),
    [
        ("/v1beta/models/gemini-2.5-pro:generateContent", "gemini-2.5-pro", False),
        ("/v1/models/gemini-2.5-pro:streamGenerateContent", "gemini-2.5-pro", True),
        ("/v1beta/models/team/fast:v2:generateContent", "team/fast:v2", False),
        ("/v1/publishers/google/models/gemini-3-pro-preview:streamGenerateContent", "gemini-3-pro-preview", True),
        (
            "/v1beta1/projects/p/locations/global/publishers/google/models/gemini-2.5-flash:generateContent",
            "gemini-2.5-flash",
            False,
        ),
    ],
)
def test_model_and_stream_are_read_from_the_path(path: str, model: str, stream: bool) -> None:
    """On every path that Google's and Vertex's clients use."""
    assert classify("POST", path) == (Operation.CHAT, DIALECTS["google_generate"])
    outline = GOOGLE.outline(BODY, Target(path, b"alt=sse"))
    assert (outline.model, outline.stream) == (model, stream)


@pytest.mark.parametrize(
    ("query", "framing"),
    [
        (b"alt=sse", "sse"),
        (b"key=k&alt=sse", "sse"),
        (b"%24alt=sse", "sse"),
        (b"", "json-array"),
        (b"alt=json", "json-array"),
        (b"salt=sse", "json-array"),
    ],
)
def test_a_stream_is_an_array_unless_events_are_asked_for(query: bytes, framing: str) -> None:
    """As Google frames it."""
    target = Target("/v1beta/models/gemini-2.5-pro:streamGenerateContent", query)
    assert GOOGLE.outline(BODY, target).framing == framing


@pytest.mark.parametrize(
    "config",
    [
        {"generationConfig": {"maxOutputTokens": 100, "candidateCount": 2}},
        {"generation_config": {"max_output_tokens": 100, "candidate_count": 2}},
    ],
)
def test_limits_are_read_in_both_spellings(config: dict[str, object]) -> None:
    """Quota is reserved for what may be answered."""
    outline = GOOGLE.outline(json.dumps({**json.loads(BODY), **config}).encode(), PLAIN)
    assert (outline.max_output, outline.choices) == (100, 2)


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b"{}", "contents"),
        (b'{"contents": []}', "contents"),
        (b'{"contents": 5}', "contents"),
        (b'{"contents": [{"parts": [{"text": "Hi"}]}], "generationConfig": 5}', "generationConfig"),
        (
            b'{"contents": [{"parts": [{"text": "Hi"}]}], "generationConfig": {"maxOutputTokens": 0}}',
            "generationConfig.maxOutputTokens",
        ),
        (b"[1]", None),
        (b"{", None),
    ],
)
def test_what_google_refuses_is_refused_by_name(body: bytes, param: str | None) -> None:
    """With the path of the field."""
    with pytest.raises(InvalidRequest) as refused:
        GOOGLE.outline(body, PLAIN)
    assert refused.value.param == param


@pytest.mark.parametrize("path", ["", "/v1/projects/p:generateContent", f"/v1/models/{'m' * 300}:generateContent"])
def test_a_path_without_a_model_is_refused(path: str) -> None:
    """A project alone is none."""
    with pytest.raises(InvalidRequest):
        GOOGLE.outline(BODY, Target(path))


def test_one_content_may_stand_for_a_list() -> None:
    """Google's parser allows it."""
    outline = GOOGLE.outline(b'{"contents": {"parts": {"text": "Hi"}}}', PLAIN)
    assert outline.model == "gemini-2.5-pro"


def test_media_is_no_prompt_but_short_arguments_of_that_name_are() -> None:
    """The estimate leaves out what is carried in base64."""
    media = b'{"inlineData": {"mimeType": "image/png", "data": "' + b"A" * 4000 + b'"}}'
    assert GOOGLE.prompt_bytes(media) == len(media) - 4000
    call = b'{"inlineData": 1, "args": {"data": "short"}}'
    assert GOOGLE.prompt_bytes(call) == len(call)
    assert GOOGLE.prompt_bytes(BODY) == len(BODY)


def test_nothing_to_splice_leaves_every_byte() -> None:
    """The model stands in the path."""
    assert GOOGLE.rewrite(BODY, model="other", include_usage=True) == BODY


def test_a_model_in_the_body_goes_when_it_changes() -> None:
    """It would contradict the path."""
    body = b'{"model": "models/a", "contents": []}'
    assert GOOGLE.rewrite(body, model="b") == b'{"contents": []}'
    assert GOOGLE.rewrite(body, overrides={}) == body


def test_reasoning_is_spliced_where_the_body_has_none() -> None:
    """By what the model takes; every other byte stays."""
    asked = Reasoning(effort="high", enabled=True)
    done = json.loads(GOOGLE.rewrite(BODY, model="gemini-2.5-flash", reasoning=asked))
    assert done["generationConfig"] == {"thinkingConfig": {"thinkingBudget": 24576, "includeThoughts": True}}
    body = BODY[:-1] + b', "generationConfig": {"topK": 5}}'
    done = json.loads(GOOGLE.rewrite(body, model="gemini-3-pro-preview", reasoning=asked))
    thinking = {"thinkingLevel": "HIGH", "includeThoughts": True}
    assert done["generationConfig"] == {"thinkingConfig": thinking, "topK": 5}
    null = BODY[:-1] + b', "generationConfig": null}'
    done = json.loads(GOOGLE.rewrite(null, model="gemini-3-pro-preview", reasoning=asked))
    assert done["generationConfig"] == {"thinkingConfig": thinking}


@pytest.mark.parametrize(
    "config",
    [
        b'"generationConfig": {"thinkingConfig": {"thinkingBudget": 0}}',
        b'"generation_config": {"thinking_config": {}}',
    ],
)
def test_reasoning_of_the_body_wins(config: bytes) -> None:
    """The name's suffix is only a default."""
    body = BODY[:-1] + b", " + config + b"}"
    assert GOOGLE.rewrite(body, model="gemini-2.5-flash", reasoning=Reasoning(effort="high")) == body


def test_reasoning_that_a_model_lacks_changes_nothing() -> None:
    """A model without thinking is left alone."""
    assert GOOGLE.rewrite(BODY, model="gemini-2.0-flash", reasoning=Reasoning(effort="high")) == BODY


def test_overrides_replace_add_and_remove_fields() -> None:
    """Also one inside an object that the body has."""
    body = b'{"contents": [], "labels": {"a": "b"}, "toolConfig": {"x": 1, "y": 2}}'
    done = GOOGLE.rewrite(body, overrides={"labels": None, "serviceTier": "flex", "toolConfig.x": None, "none.y": 1})
    assert json.loads(done) == {"serviceTier": "flex", "contents": [], "toolConfig": {"y": 2}}


def test_a_body_that_cannot_be_edited_is_refused() -> None:
    """It is no JSON object."""
    with pytest.raises(InvalidRequest):
        GOOGLE.rewrite(b"[]", overrides={"a": 1})


def test_the_dialect_describes_itself() -> None:
    """Google's clients send seals back; its streams always carry usage."""
    assert (GOOGLE.name, GOOGLE.maker, GOOGLE.keeps_seals) == ("google_generate", "google", True)
    assert (GOOGLE.stream_usage, GOOGLE.stream_type) == (False, b"text/event-stream")
