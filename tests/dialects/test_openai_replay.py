"""Recorded traffic of OpenAI and its look-alikes, through every function of its dialect."""

import json
import random
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest

from asgi_gateway.dialects import DIALECTS
from asgi_gateway.dialects.contract import Dialect, Head, RequestOutline
from asgi_gateway.errors import UpstreamError
from asgi_gateway.storage.records import Usage
from support.recordings import HOME, Recording, recordings, wire_of

pytestmark = pytest.mark.skipif(not HOME.is_dir(), reason=f"no recordings in {HOME.name}/ beside the repository")

FORMATS = {
    "openai.chat": "openai_chat",
    "openai.completions": "openai_completions",
    "openai.embeddings": "openai_embeddings",
    "openai.moderations": "openai_moderations",
}
OUTLINE = RequestOutline(model="m")


def each(*, stream: bool | None = None) -> Iterator[tuple[Recording, Dialect]]:
    """All recordings with their dialect."""
    for recorded, name in FORMATS.items():
        for recording in recordings(recorded, stream=stream):
            yield recording, DIALECTS[name]


def chunks_of(wire: bytes, seed: str) -> Iterator[bytes]:
    """The bytes cut at places that depend on the recording alone."""
    dice = random.Random(seed)
    edges = sorted({0, len(wire), *(dice.randrange(len(wire) + 1) for _ in range(dice.choice([0, 3, 40])))})
    return (wire[a:b] for a, b in pairwise(edges))


def reported_in(recording: Recording) -> dict[str, Any] | None:
    """The last usage object of an answer, found by parsing all of it."""
    if not recording["stream"]:
        payload = recording["response"].get("json")
        return payload.get("usage") if isinstance(payload, dict) else None
    found = None
    for line in recording["response"]["body"].splitlines():
        data = line.removeprefix("data:").strip()
        if not line.startswith("data:") or data == "[DONE]":
            continue
        chunk = json.loads(data)
        found = chunk.get("usage") or (chunk.get("x_groq") or {}).get("usage") or found
    return found


def check_usage(usage: Usage | None, recording: Recording) -> None:
    """What a tap learnt is what stands in the answer."""
    reported = reported_in(recording)
    if not reported:
        assert usage is None, recording["id"]
        return
    assert usage is not None, recording["id"]
    total, completion = reported["total_tokens"], reported.get("completion_tokens", 0)
    prompt = reported.get("prompt_tokens", total - completion)
    assert usage.total_input == prompt, recording["id"]
    assert usage.total_output in (completion, total - prompt), recording["id"]
    details = reported.get("prompt_tokens_details") or {}
    cached = details.get("cached_tokens", reported.get("prompt_cache_hit_tokens", reported.get("cached_tokens", 0)))
    assert usage.cache_read == min(cached, prompt), recording["id"]
    reasoning = (reported.get("completion_tokens_details") or {}).get("reasoning_tokens") or 0
    assert usage.reasoning == min(reasoning, usage.total_output), recording["id"]


def test_requests_are_outlined_and_rewritten() -> None:
    """Model and stream are read as they stand; a rewrite changes what it should and nothing else."""
    seen = 0
    for recording, dialect in each():
        request = recording["request"].get("json")
        if not request or "model" not in request:  # Azure has it in the path
            continue
        seen += 1
        body = wire_of(recording["request"])
        outline = dialect.outline(body)
        streamed = bool(request.get("stream"))
        asked = bool((request.get("stream_options") or {}).get("include_usage"))
        assert (outline.model, outline.stream, outline.wants_usage) == (request["model"], streamed, streamed and asked)
        assert outline.choices >= (request.get("n") or 1)
        assert 0 < dialect.prompt_bytes(body) <= len(body)
        assert json.loads(dialect.rewrite(body, model="other/é")) == {**request, "model": "other/é"}, recording["id"]
        if dialect.stream_usage:
            options = {**(request.get("stream_options") or {}), "include_usage": True}
            result = json.loads(dialect.rewrite(body, include_usage=True))
            assert result == {**request, "stream_options": options}, recording["id"]
    assert seen > 400


def test_plain_answers_pass_and_are_read() -> None:
    """Good ones are released and lose no byte; their usage is what they say."""
    seen = 0
    for recording, dialect in each(stream=False):
        if recording["response"]["status"] >= 400:
            continue
        seen += 1
        body = wire_of(recording["response"])
        assert dialect.head(body, stream=False, complete=True) is Head.RELEASE, recording["id"]
        tap = dialect.tap(OUTLINE, stream=False)
        assert b"".join(map(tap.feed, chunks_of(body, recording["id"]))) + tap.finish() == body
        check_usage(tap.usage, recording)
        if tap.usage is not None and tap.usage.output > 200 and dialect.name == "openai_chat":
            # A rough count is right within a factor, where the whole output is text that passed.
            assert tap.output_estimate < 20 * tap.usage.total_output, recording["id"]
    assert seen > 350


def test_streams_pass_and_are_read() -> None:
    """Whole ones lose no byte, wherever they are cut; their usage is what they say."""
    seen = 0
    for recording, dialect in each(stream=True):
        if {"truncated", "stream_error"} & set(recording["features"]):
            continue
        seen += 1
        wire = wire_of(recording["response"])
        tap = dialect.tap(OUTLINE, stream=True)
        assert b"".join(map(tap.feed, chunks_of(wire, recording["id"]))) + tap.finish() == wire, recording["id"]
        check_usage(tap.usage, recording)
        assert tap.output_estimate > 0 or not {"text", "thinking", "tool_call"} & set(recording["features"])
    assert seen > 100


def test_streams_are_released_before_their_end() -> None:
    """At an event early on: what is held back until then carries no output."""
    for recording, dialect in each(stream=True):
        wire = wire_of(recording["response"])
        events = wire.replace(b"\r\n", b"\n").split(b"\n\n")
        for count in range(1, len(events) + 1):
            held = b"\n\n".join(events[:count]) + b"\n\n"
            if dialect.head(held, stream=True, complete=False) is Head.RELEASE:
                break
        else:
            pytest.fail(f"{recording['id']} is never released")
        assert b'"finish_reason":"' in events[count - 1] or count < len(events) - 1, recording["id"]
        for silent in events[: count - 1]:
            chunk = json.loads(silent.removeprefix(b"data:")) if silent.startswith(b"data:") else {}
            assert not any((choice.get("delta") or {}).get("content") for choice in chunk.get("choices") or ())


def test_only_the_usage_event_is_withheld() -> None:
    """Where there is one: everything else passes, and the usage is read all the same."""
    withheld = 0
    for recording, dialect in each(stream=True):
        if {"truncated", "stream_error"} & set(recording["features"]):
            continue
        wire = wire_of(recording["response"])
        tap = dialect.tap(OUTLINE, stream=True, withhold_usage=True)
        passed = b"".join(map(tap.feed, chunks_of(wire, recording["id"]))) + tap.finish()
        check_usage(tap.usage, recording)
        missing = [event for event in wire.split(b"\n\n") if event not in passed.split(b"\n\n")]
        withheld += len(missing)
        for event in missing:
            chunk = json.loads(event.removeprefix(b"data:"))
            assert chunk["choices"] == [], recording["id"]
            assert chunk["usage"], recording["id"]
        assert len(passed) == len(wire) - sum(len(event) + 2 for event in missing)
    assert withheld > 50


def test_broken_streams_end_with_an_error() -> None:
    """Those that were cut, and those that tell of an error: nothing behind it passes."""
    seen = 0
    for recording, dialect in each(stream=True):
        if not {"truncated", "stream_error"} & set(recording["features"]):
            continue
        seen += 1
        wire = wire_of(recording["response"])
        tap = dialect.tap(OUTLINE, stream=True)
        passed = b"".join(map(tap.feed, chunks_of(wire, recording["id"])))
        with pytest.raises(UpstreamError):
            tap.finish()
        assert wire.startswith(passed)
        assert b'"error":{' not in passed
        check_usage(tap.usage, recording)
    assert seen == 3


def test_error_answers_are_read() -> None:
    """With their status, text, type and code; secrets do not stay."""
    seen = 0
    for recording, dialect in each(stream=False):
        status = recording["response"]["status"]
        if status < 400:
            continue
        seen += 1
        error = dialect.read_error(status, {}, wire_of(recording["response"]))
        payload = recording["response"]["json"]
        told = payload.get("error", payload)
        assert (error.status, error.original_status) == (status, status)
        assert error.message[:12] == (told.get("message") or told.get("detail"))[:12], recording["id"]
        assert "://" not in error.message
        assert error.code == (None if told.get("code") is None else str(told["code"])), recording["id"]
        assert error.type == told.get("type", error.type), recording["id"]
        written = json.loads(dialect.write_error(error))["error"]
        assert written["message"] == error.message
    assert seen == 27
