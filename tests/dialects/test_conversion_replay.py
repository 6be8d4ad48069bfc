"""Every recorded exchange of a chat dialect is read without a loss unknown to us, and valid in every other dialect."""

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

import pytest

pytest.importorskip("pydantic", reason="the vendors' SDKs are asked what is valid")

from asgi_gateway.canonical import (
    ChatRequest,
    ChatResponse,
    Event,
    Failed,
    Losses,
    Refusal,
    Text,
    Thinking,
    ToolCall,
    collect,
)
from asgi_gateway.dialects import CHAT_DIALECTS
from asgi_gateway.errors import InvalidRequest
from support.conversion import carried_request, plain_answer, read_plain, read_stream, streamed_answer
from support.event_order import malformed
from support.recordings import HOME, Recording, recordings, wire_of
from support.strict import STRICT, Mistake, mistakes

pytestmark = pytest.mark.skipif(not HOME.exists(), reason="no recordings beside the repository")

FOLDERS = {
    "openai_chat": "openai.chat",
    "openai_responses": "openai.responses",
    "anthropic_messages": "anthropic.messages",
    "google_generate": "gemini.generate",
    "cohere_chat": "cohere.chat",
}
"""Of Amazon's format there are no recordings: it is written into, and proved by botocore's model."""

SOURCES = tuple(name for name in FOLDERS if name in CHAT_DIALECTS)

OTHERS: Mapping[str, str] = {
    "vercel-ai-azure_deepseek_reasoning_1-0-276dec": "an answer in the form of chat",
    "vercel-ai-azure_deepseek_reasoning_1-0-f01c58": "an answer in the form of chat",
}
"""Recordings that are not of the dialect in whose folder they stand."""

UNSOUND = "ddtrace-anthropic_completion_tools_call_with_tool_result_stream_helper-0-2b5d2c"
"""A request whose call has another id than its result: the recorder replaced it. No vendor would take it."""


def is_of(dialect: str, recording: Recording) -> bool:
    """Cohere's first version is another format, as is a stream that is one array: an upstream is never asked for it."""
    if recording["id"] in OTHERS or (dialect == "cohere_chat" and "/v1/" in recording["request"]["path"]):
        return False
    return recording["response"].get("framing") != "json-array"


@cache
def own(dialect: str) -> tuple[Recording, ...]:
    return tuple(recording for recording in recordings(FOLDERS[dialect]) if is_of(dialect, recording))


def is_good(recording: Recording) -> bool:
    return int(recording["response"]["status"]) < 400


class Read(NamedTuple):
    """A recorded answer, read."""

    recording: Recording
    events: list[Event]
    losses: Losses

    @property
    def failed(self) -> bool:
        return isinstance(self.events[-1], Failed)


@cache
def answers(dialect: str) -> tuple[Read, ...]:
    """All good answers of a dialect, read."""
    return tuple(read(dialect, recording) for recording in own(dialect) if is_good(recording))


def read(dialect: str, recording: Recording) -> Read:
    losses = Losses("response")
    way = read_stream if recording["stream"] else read_plain
    return Read(recording, way(dialect, wire_of(recording["response"]), losses), losses)


def requests(dialect: str) -> Iterator[tuple[Recording, bytes]]:
    """All requests that a vendor answered, with their bodies."""
    for recording in own(dialect):
        whole = recording["request"].get("json") is not None and "request_elided" not in recording["features"]
        if whole and is_good(recording) and recording["id"] != UNSOUND:
            yield recording, wire_of(recording["request"])


LOST: Mapping[str, tuple[tuple[str, str], ...]] = {
    "openai_chat": (("moderation", "a verdict of the vendor's own filter"),),
    "openai_responses": (
        (r"output\[\]\.(phase|namespace|caller|revised_prompt|background|quality|size)", "words about an item"),
    ),
    "anthropic_messages": (("container", "where code was run, which is Anthropic's"),),
    "google_generate": (),
    "cohere_chat": (),
}
"""What reading an answer leaves out, and what it is. Everything else has a place in the neutral model."""


@pytest.mark.parametrize("dialect", SOURCES)
def test_answers_are_read_whole(dialect: str) -> None:
    """No event and no field is lost that is not listed; only recorded failures are failures."""
    patterns = [pattern for pattern, _ in LOST[dialect]]
    unlisted, seen = [], 0
    for given in answers(dialect):
        seen += 1
        unlisted += [
            f"{given.recording['id']}: {loss.kind} {loss.field}"
            for loss in given.losses.noted()
            if not any(re.fullmatch(pattern, loss.field) for pattern in patterns)
        ]
        broken = bool({"stream_error", "truncated"} & set(given.recording["features"]))
        if given.failed and not broken:
            unlisted.append(f"{given.recording['id']}: {given.events[-1]}")
    assert unlisted == []
    assert seen > 30


@pytest.mark.parametrize("dialect", SOURCES)
def test_answers_become_well_formed_events(dialect: str) -> None:
    """Whatever vendors send: opened, told, closed, stopped, in this order."""
    wrong = [f"{given.recording['id']}: {told}" for given in answers(dialect) if (told := malformed(given.events))]
    assert wrong == []


def meaning(response: ChatResponse) -> Any:
    """What an answer says, without ids and seals: two answers to one request differ in those."""
    told: list[Any] = []
    for choice in response.choices:
        texts = "".join(part.text for part in choice.parts if isinstance(part, Text | Refusal))
        thoughts = "".join(part.text for part in choice.parts if isinstance(part, Thinking))
        calls = [(part.name, _decoded(part.arguments)) for part in choice.parts if isinstance(part, ToolCall)]
        told.append((texts, thoughts, calls, choice.stopped.reason if choice.stopped else None))
    return told


def _decoded(arguments: str) -> Any:
    try:
        return json.loads(arguments or "{}")
    except ValueError:
        return arguments


SAME_BOTH_WAYS = {
    "openai_chat": 8,
    "openai_responses": 11,
    "anthropic_messages": 5,
    "google_generate": 8,
    "cohere_chat": 1,
}
"""Groups of recordings in which a stream and a plain answer happen to say the same."""


@pytest.mark.parametrize("dialect", SOURCES)
def test_a_folded_stream_is_the_plain_answer(dialect: str) -> None:
    """Recorded both ways: a model seldom says the same twice, but where it did, both are read as the same."""
    groups: dict[str, dict[bool, list[Any]]] = {}
    for given in answers(dialect):
        group = given.recording.get("group")
        if group and not given.failed:
            ways = groups.setdefault(group, {True: [], False: []})
            ways[bool(given.recording["stream"])].append(meaning(collect(given.events)))
    same = [group for group, ways in groups.items() if any(said in ways[False] for said in ways[True])]
    assert len(same) >= SAME_BOTH_WAYS[dialect]


SHORTENED = "vercel-ai-openai_phase_1-0-c97233"
"""A fixture from which most deltas were taken out."""


def test_a_responses_stream_is_the_response_at_its_end() -> None:
    """The last event holds the whole response: it is what the events before it told, part by part."""
    wrong, seen = [], 0
    for given in answers("openai_responses"):
        last = re.findall(
            r"^data: (.*\"type\": ?\"response\.(?:completed|incomplete)\".*)$", _body(given), re.MULTILINE
        )
        single = _body(given).count("event: response.created") == 1 and given.recording["id"] != SHORTENED
        if not last or given.failed or not single:
            continue
        seen += 1
        plain = read_plain(
            "openai_responses", json.dumps(json.loads(last[-1])["response"]).encode(), Losses("response")
        )
        folded, whole = collect(given.events), collect(plain)
        if meaning(folded) != meaning(whole) or folded.usage != whole.usage:
            wrong.append(given.recording["id"])
    assert wrong == []
    assert seen > 30


def _body(given: Read) -> str:
    return str(given.recording["response"].get("body", "")).replace("\r\n", "\n")


INVALID: Mapping[tuple[str, str], tuple[tuple[str, str], ...]] = {}
"""By target and what: paths of mistakes that come from what was recorded, and why."""


def unlisted(target: str, what: str, found: Sequence[Mistake]) -> list[Mistake]:
    lines = INVALID.get((target, what), ())
    return [mistake for mistake in found if not any(re.fullmatch(pattern, mistake.path) for pattern, _ in lines)]


PAIRS = [(source, target) for source in SOURCES for target in STRICT if target in CHAT_DIALECTS and source != target]


@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_answers_are_valid_in_every_other_dialect(source: str, target: str) -> None:
    """Plain and streamed, by the types of the target's own SDK and in the order that its vendor documents."""
    wrong, seen = [], 0
    asked = ChatRequest(model="m", turns=())
    for given in answers(source):
        if given.failed:
            continue
        seen += 1
        for what, write in (("response", plain_answer), ("stream", streamed_answer)):
            told = write(target, given.events, asked, Losses("response"))
            found = unlisted(target, what, mistakes(target, what, told.body))
            wrong += [f"{given.recording['id']} {what} {mistake}" for mistake in found[:1]]
    assert wrong == []
    assert seen > 30


_MEDIA = ("inlineData", "inline_data", "fileData", "file_data")

REFUSED: Mapping[str, tuple[frozenset[str], str]] = {
    "background": (frozenset({"background"}), "only Responses answers later"),
    "cachedContent": (frozenset({"cachedContent"}), "only its vendor has the cache"),
    "cached_content": (frozenset({"cachedContent"}), "only its vendor has the cache"),
    "documents": (frozenset({"documents"}), "only Cohere answers from documents beside the conversation"),
    "file_id": (frozenset({"file_id", "fileUri", "file_uri"}), "only its vendor has the file"),
    "input[].additional_tools": (frozenset({"additional_tools"}), "tools that come between turns"),
    "input[].compaction": (frozenset({"compaction"}), "only its vendor can read what it made short"),
    "input_audio": (frozenset({"input_audio", *_MEDIA}), "no sounds"),
    "video": (frozenset({"video_url", *_MEDIA}), "no films"),
    "messages": (frozenset({"messages", "contents", "input"}), "content that the vendor does not take"),
    "modalities": (frozenset({"modalities", "responseModalities"}), "no output of this kind"),
    "moderation": (frozenset({"moderation"}), "only OpenAI judges in the same call"),
    "n": (frozenset({"n", "candidateCount"}), "one answer at a time"),
    "previous_response_id": (frozenset({"previous_response_id"}), "only Responses keeps conversations"),
    "search_settings": (frozenset({"search_settings"}), "only Groq's models search by themselves"),
    "tools": (frozenset({"tools", "web_search_options", "plugins"}), "a tool that the vendor does not run"),
    "mcp_servers": (frozenset({"mcp_servers"}), "only Anthropic asks other servers by itself"),
    "messages[].content[].container_upload": (frozenset({"container_upload"}), "a file for Anthropic's own machine"),
    "None": (frozenset({"prompt"}), "a stored prompt brings the model"),
}
"""By `param`: the names one of which the request has, and the reason."""

MOST_REFUSED = {
    "openai_chat": 150,
    "openai_responses": 85,
    "anthropic_messages": 125,
    "google_generate": 90,
    "cohere_chat": 245,
    "bedrock_converse": 235,
}
"""By target: how many of the recorded requests may be refused."""


class Converted(NamedTuple):
    """What became of the requests of one dialect in another."""

    refusals: Counter[str]
    wrong: tuple[str, ...]
    seen: int


@cache
def converted(source: str, target: str) -> Converted:
    refusals: Counter[str] = Counter()
    wrong: list[str] = []
    seen = 0
    for recording, body in requests(source):
        seen += 1
        try:
            told = carried_request(source, target, body, stream=recording["stream"])
        except InvalidRequest as refusal:
            param = str(refusal.param)
            refusals[param] += 1
            names = REFUSED[param][0] if param in REFUSED else frozenset[str]()
            if not any(re.search(rb'"%s"' % name.encode(), body) for name in names):
                wrong.append(f"{recording['id']} refused by {param}, which it has not: {refusal.message}")
            continue
        found = unlisted(target, "request", mistakes(target, "request", told.body))
        wrong += [f"{recording['id']} {mistake}" for mistake in found[:1]]
    return Converted(refusals, tuple(wrong), seen)


@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_requests_are_valid_in_every_other_dialect(source: str, target: str) -> None:
    """All that are not refused, by the target's own types and written rules; a refusal names a field of the request."""
    assert converted(source, target).wrong == ()
    assert converted(source, target).seen > 20


@pytest.mark.parametrize("target", [name for name in STRICT if name in CHAT_DIALECTS])
def test_refusals_are_few(target: str) -> None:
    """They have a bound, so that nobody makes a refusal of what was a loss."""
    refusals = sum((converted(source, target).refusals for source in SOURCES if source != target), Counter[str]())
    assert refusals.total() <= MOST_REFUSED[target], refusals


def test_the_list_of_refusals_has_no_reason_too_many() -> None:
    """Each is that of a recorded request."""
    met = sum((converted(source, target).refusals for source, target in PAIRS), Counter[str]())
    assert set(REFUSED) == set(met)
