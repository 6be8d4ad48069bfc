"""Recorded traffic of the Gemini API and of Vertex, through every function of the dialect."""

import json
import random
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest

from asgi_gateway.canonical import (
    ChatRequest,
    ChatResponse,
    Event,
    Losses,
    Native,
    ToolCall,
    collect,
    unfold,
)
from asgi_gateway.dialects.contract import AnswerContext, Head, RequestOutline, Target
from asgi_gateway.dialects.google_generate import GOOGLE_GENERATE as GOOGLE
from asgi_gateway.dialects.google_generate.names import is_made, seal_of
from asgi_gateway.dialects.google_generate.spelling import camel_case, listed
from asgi_gateway.errors import InvalidRequest
from support.recordings import HOME, Recording, recordings, wire_of

pytestmark = pytest.mark.skipif(not HOME.is_dir(), reason=f"no recordings in {HOME.name}/ beside the repository")

BESIDE = {"groundingMetadata", "urlContextMetadata", "citationMetadata"}


def target_of(recording: Recording) -> Target:
    """Where the request went."""
    path, _, query = recording["request"]["path"].partition("?")
    return Target(path, query.encode())


def chunks_of(wire: bytes, seed: str) -> Iterator[bytes]:
    """The bytes cut at places that depend on the recording alone."""
    dice = random.Random(seed)
    edges = sorted({0, len(wire), *(dice.randrange(len(wire) + 1) for _ in range(dice.choice([0, 3, 40])))})
    return (wire[a:b] for a, b in pairwise(edges))


def events_of(recording: Recording, losses: Losses) -> list[Event]:
    """The answer, read the way it was framed."""
    wire = wire_of(recording["response"])
    if "body" not in recording["response"]:
        return GOOGLE.read_response(wire, losses)
    reader = GOOGLE.reader(losses)
    return [event for piece in chunks_of(wire, recording["id"]) for event in reader.feed(piece)] + reader.finish()


def good() -> Iterator[Recording]:
    """The recordings with a good answer."""
    return (recording for recording in recordings("gemini.generate") if recording["response"]["status"] < 400)


def asked() -> Iterator[tuple[Recording, bytes]]:
    """The recordings with a request that Google took, and its body."""
    for recording in good():
        if recording["request"].get("json") is not None:
            yield recording, wire_of(recording["request"])


def test_every_request_is_read_and_written_with_the_same_meaning() -> None:
    """What is read again of what was written is what was read; only what is documented differs."""
    count = 0
    for recording, body in asked():
        losses = Losses("request")
        target = target_of(recording)
        outline = GOOGLE.outline(body, target)
        request = GOOGLE.read_request(body, outline, losses)
        assert not losses, recording["id"]
        written = GOOGLE.write_request(request, losses)
        again = GOOGLE.read_request(written, outline, losses)
        assert normal(again) == normal(request), recording["id"]
        assert all(loss.kind != "dropped" for loss in losses.noted()), (recording["id"], losses.noted())
        assert_same_json(json.loads(written), camel_case(body, json.loads(body)), recording["id"])
        count += 1
    assert count > 150


def normal(request: ChatRequest) -> ChatRequest:
    """A budget on a model that takes levels becomes one; mixed tools are announced."""
    extras = tuple(extra for extra in request.extras if extra.name != "toolConfig.includeServerSideToolInvocations")
    return ChatRequest(
        model=request.model,
        turns=request.turns,
        instructions=request.instructions,
        tools=request.tools,
        tool_choice=request.tool_choice,
        sampling=request.sampling,
        output=request.output,
        extras=extras,
        cached_content=request.cached_content,
        modalities=request.modalities,
    )


def assert_same_json(written: Any, given: dict[str, Any], name: str) -> None:
    """The contents of both, part by part: roles, texts, calls, results, media and signatures."""
    ours = [part for content in written["contents"] for part in content["parts"]]
    contents = listed(given, "contents")["contents"]
    theirs = [part for content in contents for part in listed(content, "parts").get("parts", [])]
    theirs = [part for part in theirs if part and part != {"text": ""}]
    assert len(ours) == len(theirs), name
    for our, their in zip(map(plain_part, ours), map(plain_part, theirs), strict=True):
        assert our == their, name


def plain_part(part: dict[str, Any]) -> dict[str, Any]:
    """A part without what is documented to differ: placeholders, empty arguments and results, names of files."""
    part = camel_case(b'{"a_b": 1}', part)
    if seal_of(part.get("thoughtSignature", "")) is None:
        part.pop("thoughtSignature", None)
    call = part.get("functionResponse") or part.get("functionCall") or {}
    if not call.get("args", True):
        del call["args"]
    if call.get("response") == {}:
        call["response"] = {"result": ""}
    for data in (data for inner in call.get("parts", []) for data in inner.values()):
        data.pop("displayName", None)
    return part


def test_every_answer_is_read_whole() -> None:
    """No event is lost, no part is unknown; what stands beside the parts is kept."""
    count = 0
    for recording in good():
        losses = Losses("response")
        response = collect(events_of(recording, losses))
        assert not losses, (recording["id"], losses.noted())
        assert response.failed is None
        assert response.choices
        for choice in response.choices:
            assert choice.stopped is not None
            unknown = [part for part in choice.parts if isinstance(part, Native) and part.field not in BESIDE]
            assert not unknown, recording["id"]
        assert response.usage is None or not response.usage.inconsistent, recording["id"]
        assert (response.usage is not None) == any(
            "promptTokenCount" in piece or "candidatesTokenCount" in piece for piece in reports_of(recording)
        )
        count += 1
    assert count > 250


def reports_of(recording: Recording) -> list[dict[str, Any]]:
    """All usage objects of an answer, found by parsing all of it."""
    response = recording["response"]
    if "body" in response:
        chunks = [json.loads(line[5:]) for line in response["body"].splitlines() if line.startswith("data:")]
    else:
        chunks = response["json"] if isinstance(response["json"], list) else [response["json"]]
    return [chunk["usageMetadata"] for chunk in chunks if "usageMetadata" in chunk]


def without_ids(response: ChatResponse) -> list[Any]:
    """The choices without ids that we made: they depend on the answer's own."""
    return [
        (
            [
                (part.name, part.arguments or "{}", part.seal)
                if isinstance(part, ToolCall) and is_made(part.id)
                else part
                for part in choice.parts
            ],
            choice.stopped,
            choice.logprobs,
        )
        for choice in response.choices
    ]


def test_every_answer_is_written_and_read_again_the_same() -> None:
    """Plain, as events, and as an array."""
    for recording in good():
        response = collect(events_of(recording, Losses("response")))
        losses = Losses("response")
        request = ChatRequest(model="m", turns=())
        for framing in ("plain", "sse", "json-array"):
            context = AnswerContext(request=request, losses=losses, framing=framing, id="made")
            if framing == "plain":
                events = GOOGLE.read_response(GOOGLE.write_response(response, context), Losses("response"))
            else:
                writer = GOOGLE.writer(context)
                wire = writer.write(list(unfold(response))) + writer.finish()
                reader = GOOGLE.reader(Losses("response"))
                sse = framing == "sse"
                events = reader.feed(wire) + reader.finish() if sse else GOOGLE.read_response(wire, Losses("response"))
            again = collect(events)
            assert without_ids(again) == without_ids(response), (recording["id"], framing)
            assert again.usage == response.usage
        assert not losses


def test_every_answer_passes_the_tap_unchanged() -> None:
    """Judged good, its usage read; as an array the payloads are the same."""
    for recording in good():
        wire = wire_of(recording["response"])
        stream = "body" in recording["response"]
        assert GOOGLE.head(wire, stream=stream, complete=True) is Head.RELEASE
        expected = collect(events_of(recording, Losses("response"))).usage
        tap = GOOGLE.tap(RequestOutline(model="m", stream=stream), stream=stream)
        given = b"".join(tap.feed(piece) for piece in chunks_of(wire, recording["id"]))
        assert given + tap.finish() == wire
        if "json-array" not in recording["response"].get("framing", ""):
            assert tap.usage == expected, recording["id"]
        if stream:
            tap = GOOGLE.tap(RequestOutline(model="m", stream=True, framing="json-array"), stream=True)
            given = b"".join(tap.feed(piece) for piece in chunks_of(wire, recording["id"])) + tap.finish()
            lines = recording["response"]["body"].splitlines()
            assert json.loads(given) == [json.loads(line[5:]) for line in lines if line.startswith("data:")]


def test_every_error_keeps_its_status_and_name() -> None:
    """Read and written again."""
    count = 0
    for recording in recordings("gemini.generate"):
        status = recording["response"]["status"]
        if status < 400:
            continue
        error = GOOGLE.read_error(status, {}, wire_of(recording["response"]))
        given, written = recording["response"]["json"]["error"], json.loads(GOOGLE.write_error(error))["error"]
        assert (written["code"], written["status"]) == (given["code"], given["status"])
        count += 1
    assert count >= 6


def test_a_request_that_google_refused_for_its_role_is_refused() -> None:
    """Here, by the field's path."""
    (recording,) = [r for r in recordings("gemini.generate") if "invalid_role" in r["id"]]
    body = wire_of(recording["request"])
    outline = GOOGLE.outline(body, target_of(recording))
    with pytest.raises(InvalidRequest):
        GOOGLE.read_request(body, outline, Losses("request"))
