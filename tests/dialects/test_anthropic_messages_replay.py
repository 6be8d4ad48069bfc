"""Recorded traffic of Anthropic's: read whole, and written back with the same meaning."""

import json
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from asgi_gateway.canonical import ChatResponse, Failed, Losses, Thinking, collect, unfold
from asgi_gateway.dialects.anthropic_messages import ANTHROPIC_MESSAGES
from asgi_gateway.dialects.contract import Head
from asgi_gateway.errors import UpstreamError
from support.anthropic_messages import context, read_stream, streamed
from support.recordings import HOME, Recording, recordings, wire_of

pytestmark = pytest.mark.skipif(not HOME.exists(), reason="no recordings beside the repository")

FOLDER = "anthropic.messages"


def good(*, stream: bool) -> Iterator[Recording]:
    """Answers with a good status that have their end."""
    for recording in recordings(FOLDER, stream=stream):
        broken = {"stream_error", "truncated"} & set(recording["features"])
        if recording["response"]["status"] < 400 and not broken:
            yield recording


def test_every_request_is_read_and_written_with_the_same_meaning() -> None:
    """Nothing that Anthropic took is lost, refused, or changed but for the form of short texts."""
    seen = 0
    for recording in recordings(FOLDER):
        given = recording["request"].get("json")
        if given is None or recording["response"]["status"] >= 400:
            continue
        seen += 1
        losses = Losses("request")
        body = wire_of(recording["request"])
        request = ANTHROPIC_MESSAGES.read_request(body, ANTHROPIC_MESSAGES.outline(body), losses)
        written = ANTHROPIC_MESSAGES.write_request(request, losses)
        again = ANTHROPIC_MESSAGES.read_request(written, ANTHROPIC_MESSAGES.outline(written), Losses("request"))
        changed = {f"{loss.kind}:{loss.field}" for loss in losses.noted()}
        assert changed <= KNOWN, recording["id"]
        if changed or "thinking" not in given:  # an effort alone asks for thinking elsewhere
            continue
        assert again == request, recording["id"]
    assert seen > 190


KNOWN = frozenset(
    {
        "approximated:messages[].role",  # two system messages behind each other, which no document allows
        "invented:tools",
        "dropped:temperature",
        "dropped:top_p",
        "approximated:messages[].content[].content[].search_result",  # documents elsewhere
    }
)
"""What is not carried of what was recorded."""


def test_every_request_keeps_its_conversation() -> None:
    """Every text, call, result and seal, in order."""
    for recording in recordings(FOLDER):
        given = recording["request"].get("json")
        if given is None or recording["response"]["status"] >= 400:
            continue
        body = wire_of(recording["request"])
        if b'"search_result"' in body:  # those become documents, which is noted
            continue
        request = ANTHROPIC_MESSAGES.read_request(body, ANTHROPIC_MESSAGES.outline(body), Losses("request"))
        written = json.loads(ANTHROPIC_MESSAGES.write_request(request, Losses("request")))
        before, after = (
            [block for message in messages for block in _told(message)]
            for messages in (given["messages"], written["messages"])
        )
        assert before == after, recording["id"]


def _told(message: Any) -> list[tuple[str, str]]:
    """What a message says, block by block; results of tools in front, blank texts not at all."""
    content = message["content"]
    if isinstance(content, str):
        content = [{"type": "text", "text": content}]
    found = [(block["type"], _bare(block)) for block in content if block.get("text", "x").strip()]
    return sorted(found, key=lambda block: block[0] != "tool_result")


def _bare(block: Any) -> str:
    """A block without what is said by leaving it out; one text in a result as such."""
    kept = {name: value for name, value in block.items() if value not in (None, [], {}, False) and name != "caller"}
    content = kept.get("content")
    if kept.get("cache_control", {}).get("ttl") == "5m":
        kept["cache_control"] = {"type": "ephemeral"}
    if block["type"] == "tool_result" and isinstance(content, list) and len(content) == 1:
        (only,) = content
        kept["content"] = only["text"] if only.keys() == {"type", "text"} else [_bare(only)]
    return json.dumps(kept, sort_keys=True)


@pytest.mark.parametrize("stream", [False, True])
def test_every_answer_is_read_and_written_with_the_same_meaning(stream: bool) -> None:
    """No event is unknown; plain and streamed, the answer is read as it was."""
    seen = 0
    for recording in good(stream=stream):
        seen += 1
        losses = Losses("response")
        wire = wire_of(recording["response"])
        events = read_stream(wire, losses) if stream else ANTHROPIC_MESSAGES.read_response(wire, losses)
        assert not losses, recording["id"]
        assert not any(isinstance(event, Failed) for event in events), recording["id"]
        response = collect(events)
        body = ANTHROPIC_MESSAGES.write_response(response, context())
        plain = collect(ANTHROPIC_MESSAGES.read_response(body, losses))
        told = collect(read_stream(streamed(list(unfold(response)))))
        assert _same(plain) == _same(response), recording["id"]
        assert _same(told) == _same(response), recording["id"]
    assert seen > (60 if stream else 150)


def _same(response: ChatResponse) -> ChatResponse:
    """A response without what is written otherwise: how long a cache stays, and empty texts and thoughts."""
    usage = response.usage
    if usage is not None:
        usage = msgspec.structs.replace(
            usage, cache_write=usage.cache_write + usage.cache_write_1h, cache_write_1h=0, inconsistent=False
        )
    (choice,) = response.choices
    parts = tuple(part for part in choice.parts if not _is_empty(part))
    stopped = choice.stopped
    if stopped is not None:
        stopped = msgspec.structs.replace(stopped, native="")
    started = msgspec.structs.replace(response.started, service_tier="")
    return ChatResponse(
        started=started, choices=(msgspec.structs.replace(choice, parts=parts, stopped=stopped),), usage=usage
    )


def _is_empty(part: Any) -> bool:
    return getattr(part, "text", "x") == "" and not (isinstance(part, Thinking) and part.seal is not None)


@pytest.mark.parametrize("stream", [False, True])
def test_every_answer_passes_its_tap_unchanged(stream: bool) -> None:
    """Its head is let go, and its usage is the one that reading it tells."""
    for recording in good(stream=stream):
        wire = wire_of(recording["response"])
        if wire.count(b'"message_start"') > 1:  # two answers one behind the other
            continue
        assert ANTHROPIC_MESSAGES.head(wire, stream=stream, complete=True) is Head.RELEASE
        outline = ANTHROPIC_MESSAGES.outline(b'{"model":"m","max_tokens":1,"messages":[{"role":"user","content":"x"}]}')
        tap = ANTHROPIC_MESSAGES.tap(outline, stream=stream)
        passed = b"".join(tap.feed(wire[start : start + 500]) for start in range(0, len(wire), 500))
        assert passed + tap.finish() == wire
        losses = Losses("response")
        events = read_stream(wire, losses) if stream else ANTHROPIC_MESSAGES.read_response(wire, losses)
        assert tap.usage == collect(events).usage


def test_every_error_is_read() -> None:
    """With its type and its words; inside of a stream, too."""
    seen = 0
    for recording in recordings(FOLDER):
        response = recording["response"]
        if response["status"] >= 400:
            seen += 1
            error = ANTHROPIC_MESSAGES.read_error(response["status"], {}, wire_of(response))
            given = response["json"]["error"]
            assert (error.original_status, error.code) == (response["status"], given["type"])
            assert error.message == given["message"].strip()
        elif "stream_error" in recording["features"]:
            seen += 1
            last = read_stream(wire_of(response))[-1]
            assert isinstance(last, Failed)
            assert isinstance(last.error, UpstreamError)
    assert seen > 5
