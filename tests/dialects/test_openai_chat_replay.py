"""Recorded traffic of OpenAI and of its look-alikes, read and written back."""

import json
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from asgi_gateway.canonical import ChatResponse, Choice, Event, Failed, Losses, Part, Text, ToolCall, collect
from asgi_gateway.dialects.openai_chat import OPENAI_CHAT
from support.openai_chat import context_of, events_of, read_plain, streamed, written_plain
from support.recordings import HOME, Recording, recordings, wire_of

pytestmark = pytest.mark.skipif(not HOME.exists(), reason="the recordings are not here")

BROKEN = {"stream_error", "truncated"}

NOTED = {"moderation"}
"""What an answer may lose: a report of OpenAI's beside it."""

REWRITTEN = {
    # left out: it says the default, or nothing
    ".stream",
    ".n",
    ".logprobs",
    ".stream_options",
    ".tools",
    ".tools[].function.description",
    ".messages[].tool_calls",
    ".messages[].tool_calls[].index",
    ".messages[].prefix",
    ".messages[].content[].cache_control.ttl",
    ".tools[].cache_control.ttl",
    # told in the form that is usual
    ".messages[].content",  # null for "" beside calls
    ".messages[].content[].image_url",
    ".tools[].type",
    ".tool_choice",
    ".tool_choice.type",
    ".stop",
    # several instructions are one message
    ".messages",
    # by the model's name
    ".max_tokens",
    ".max_completion_tokens",
    ".messages[].role",
    ".messages[].reasoning",
    ".messages[].reasoning_content",
    ".messages[].reasoning_details[].format",
    ".messages[].reasoning_details[].index",
    ".reasoning",
    ".reasoning_effort",
    ".thinking",
    ".thinking.clear_thinking",
    ".enable_thinking",
    ".thinking_budget",
}
"""Where a request that is written again may differ: documented normalisations."""


def chats(*, stream: bool | None = None) -> Iterator[Recording]:
    """The good answers, Mistral's among them: its format is another look-alike."""
    for name in ("openai.chat", "mistral.chat"):
        for recording in recordings(name, stream=stream):
            if recording["response"]["status"] < 400:
                yield recording


def _events(recording: Recording, losses: Losses) -> list[Event]:
    wire = wire_of(recording["response"])
    return events_of(wire, losses) if recording["stream"] else OPENAI_CHAT.read_response(wire, losses)


def test_every_answer_is_read_whole() -> None:
    """Nothing of one is lost; those that broke off fail, and no other."""
    failed, read = [], 0
    for recording in chats():
        losses = Losses("response")
        events = _events(recording, losses)
        assert {loss.field for loss in losses.noted()} <= NOTED, recording["id"]
        read += 1
        if isinstance(events[-1], Failed):
            failed.append(recording["id"])
            assert BROKEN & set(recording["features"]), recording["id"]
    assert read > 400
    assert len(failed) == 3


def _normal(response: ChatResponse) -> ChatResponse:
    """Without what an answer of this dialect has no place for, or what a writer fills."""
    usage = response.usage and msgspec.structs.replace(response.usage, tools=(), milliseconds=0)
    if usage is not None and usage.service_tier == "provisioned":  # OpenRouter's word, not OpenAI's
        usage = msgspec.structs.replace(usage, service_tier="")
    return ChatResponse(choices=tuple(_normal_choice(choice) for choice in response.choices), usage=usage)


def _normal_choice(choice: Choice) -> Choice:
    assert choice.stopped is not None
    stopped = msgspec.structs.replace(choice.stopped, native="", sequence="", details=None)
    # One content, with the calls behind it.
    parts = sorted(map(_normal_part, choice.parts), key=lambda part: isinstance(part, ToolCall))
    return Choice(parts=tuple(parts), stopped=stopped, logprobs=choice.logprobs)


def _normal_part(part: Part) -> Part:
    if isinstance(part, ToolCall):
        return msgspec.structs.replace(part, arguments=part.arguments or "{}")
    if isinstance(part, Text):
        cited = [
            msgspec.structs.replace(
                citation,
                quoted="",
                start=0 if citation.start is None else citation.start,
                end=len(part.text) if citation.end is None else citation.end,
            )
            for citation in part.citations
        ]
        return msgspec.structs.replace(part, citations=tuple(cited))
    return part


def test_every_answer_is_written_and_read_again() -> None:
    """Plain and as a stream, whatever it was."""
    for recording in chats():
        events = _events(recording, Losses("response"))
        response = collect(events)
        if response.failed is not None:
            continue
        context = context_of(wants_usage=True)
        expected = _normal(_consistent(response))
        again = _consistent(read_plain(written_plain(response, context)))
        assert _joined(_normal(again)) == _joined(expected), recording["id"]
        again = _consistent(collect(events_of(streamed(events, context))))
        assert _joined(_normal(again)) == _joined(expected), recording["id"]


def _consistent(response: ChatResponse) -> ChatResponse:
    """With a usage that is not marked, and images in its total: what is written adds up."""
    usage = response.usage
    if usage is not None:
        output = usage.output + usage.image_output
        usage = msgspec.structs.replace(usage, inconsistent=False, output=output, image_output=0)
    return msgspec.structs.replace(response, usage=usage)


def _joined(response: ChatResponse) -> list[Any]:
    """The parts by their kinds: thinking that stands between texts or calls is told in front of them."""
    found: list[Any] = [response.usage]
    for choice in response.choices:
        kinds: dict[type[Part], Any] = {}
        for part in choice.parts:
            text = getattr(part, "text", None)
            known = kinds.setdefault(type(part), "" if text is not None else [])
            kinds[type(part)] = known + (text if text is not None else [part])
        seals = [part.seal for part in choice.parts if getattr(part, "seal", None) is not None]
        found += [kinds, seals, choice.stopped, choice.logprobs]
    return found


def _differences(given: Any, written: Any, path: str = "") -> Iterator[str]:
    if isinstance(given, dict) and isinstance(written, dict):
        for name in given.keys() | written.keys():
            if given.get(name) is not None or written.get(name) is not None:
                yield from _differences(given.get(name), written.get(name), f"{path}.{name}")
    elif isinstance(given, list) and isinstance(written, list) and len(given) == len(written):
        for one, other in zip(given, written, strict=True):
            yield from _differences(one, other, f"{path}[]")
    elif given != written:
        yield path


def test_every_request_is_written_back_as_it_was() -> None:
    """But for documented normalisations."""
    count = 0
    for recording in chats():
        asked = recording["request"].get("json")
        if not asked:
            continue
        count += 1
        body = wire_of(recording["request"])
        request = OPENAI_CHAT.read_request(body, OPENAI_CHAT.outline(body), Losses("request"))
        written = json.loads(OPENAI_CHAT.write_request(request, Losses("request")))
        assert set(_differences(asked, written)) <= REWRITTEN, recording["id"]
        assert _texts(written["messages"]) == _texts(asked["messages"])
    assert count > 350


def _texts(messages: list[Any]) -> list[str]:
    """What was said, in order."""
    found = []
    for message in messages:
        content = message.get("content") or []
        parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
        found += [part["text"] for part in parts if part.get("type") == "text"]
    return found
