"""No conversion changes a text, an argument of a tool, or the order of turns; nothing that comes in makes it crash."""

import itertools
import json
import re
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from asgi_gateway.canonical import (
    ChatRequest,
    ChatResponse,
    Choice,
    Event,
    Failed,
    FunctionTool,
    InOrder,
    Losses,
    Sampling,
    Started,
    Stopped,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
    Turn,
    Usage,
    collect,
    unfold,
)
from asgi_gateway.canonical.parts import Part
from asgi_gateway.dialects import CHAT_DIALECTS
from asgi_gateway.dialects.contract import AnswerContext
from support.conversion import (
    MODELS,
    carried_request,
    plain_answer,
    read_plain,
    read_request,
    read_stream,
    streamed_answer,
)
from support.event_order import malformed

NAMES = tuple(CHAT_DIALECTS)
PAIRS = tuple(itertools.permutations(NAMES, 2))

few = settings(max_examples=20, suppress_health_check=[HealthCheck.too_slow], deadline=None)

words = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=12).filter(str.strip)
"""Texts that are not blank: some vendors refuse those. No model writes controls."""

arguments = st.dictionaries(
    st.text("abc", min_size=1, max_size=3),
    st.text(max_size=5) | st.integers(-(2**53), 2**53) | st.lists(st.booleans(), max_size=2),
    max_size=3,
).map(lambda value: json.dumps(value, ensure_ascii=False))


@st.composite
def conversations(draw: st.DrawFn) -> ChatRequest:
    """User and assistant in turns; some of the assistant's with calls, whose results follow."""
    turns = [Turn("user", (Text(draw(words)),))]
    number = 0
    for _ in range(draw(st.integers(0, 3))):
        calls = []
        for _ in range(draw(st.integers(0, 2))):
            number += 1
            calls.append(
                ToolCall(id=f"call_{number}", name=draw(st.sampled_from(["f", "g"])), arguments=draw(arguments))
            )
        said = [Text(draw(words))] if not calls or draw(st.booleans()) else []
        turns.append(Turn("assistant", (*said, *calls)))
        if calls:
            results = (ToolResult(call_id=call.id, parts=(Text(draw(words)),), name=call.name) for call in calls)
            turns.append(Turn("tool", tuple(results)))
        else:
            turns.append(Turn("user", (Text(draw(words)),)))
    tools = tuple(FunctionTool(name=name, parameters={"type": "object", "properties": {}}) for name in "fg")
    return ChatRequest(
        model="m",
        turns=tuple(turns),
        tools=tools,
        instructions=tuple(Text(text) for text in draw(st.lists(words, max_size=1))),
        sampling=Sampling(max_output=100),
    )


def told(request: ChatRequest) -> list[Any]:
    """Everything that was said, called and answered, in order; ids are told by their first meeting."""
    ids: dict[str, int] = {}
    said: list[Any] = [("system", "".join(text.text for text in request.instructions))]
    for turn in request.turns:
        for part in turn.parts:
            match part:
                case Text():
                    said.append((turn.role, part.text))
                case ToolCall():
                    said.append(
                        ("call", ids.setdefault(part.id, len(ids)), part.name, json.loads(part.arguments or "{}"))
                    )
                case ToolResult():
                    text = "".join(piece.text for piece in part.parts if isinstance(piece, Text))
                    said.append(("result", ids.get(part.call_id), text))
    return said


@pytest.mark.parametrize(("caller", "upstream"), PAIRS)
@given(request=conversations())
@few
def test_a_conversation_arrives_as_it_was(caller: str, upstream: str, request: ChatRequest) -> None:
    """Every text to the letter, every argument, each result with its call, all in order."""

    own = msgspec.structs.replace(request, model=MODELS[upstream])
    body = CHAT_DIALECTS[caller].write_request(own, Losses("request"))
    asked = read_request(caller, body, Losses("request"))
    sent = carried_request(caller, upstream, body)
    assert told(read_request(upstream, sent.body, Losses("request"))) == told(asked)


@st.composite
def answers(draw: st.DrawFn) -> ChatResponse:
    """Thinking, a text and calls, as models give them."""
    parts: list[Part] = [Thinking(text) for text in draw(st.lists(words, max_size=1))]
    parts += [Text(text) for text in draw(st.lists(words, max_size=1))]
    count = draw(st.integers(0 if parts else 1, 3))
    parts += [
        ToolCall(id=f"call_{n}", name=draw(st.sampled_from(["f", "g"])), arguments=draw(arguments))
        for n in range(count)
    ]
    reason = "tool_calls" if count else "stop"
    choice = Choice(parts=tuple(parts), stopped=Stopped(reason))
    return ChatResponse(started=Started("r", "m", 1), choices=(choice,), usage=Usage(input=3, output=2))


def said(events: Sequence[Event]) -> list[Any]:
    """Texts, calls and the reason to stop."""
    choice = collect(events).choices[0]
    texts = "".join(part.text for part in choice.parts if isinstance(part, Text))
    calls = [(part.name, json.loads(part.arguments or "{}")) for part in choice.parts if isinstance(part, ToolCall)]
    thoughts = "".join(part.text for part in choice.parts if isinstance(part, Thinking))
    return [texts, calls, thoughts, choice.stopped and choice.stopped.reason]


def wire(dialect: str, response: ChatResponse, *, stream: bool) -> bytes:
    """An upstream's answer."""
    asked = ChatRequest(model="m", turns=())
    context = AnswerContext(request=asked, losses=Losses("response"), id="0a1b2c3d", created=1)
    if not stream:
        return CHAT_DIALECTS[dialect].write_response(response, context)
    writer = CHAT_DIALECTS[dialect].writer(context)
    return writer.write(list(unfold(response))) + writer.finish()


@pytest.mark.parametrize(("caller", "upstream"), PAIRS)
@given(response=answers(), size=st.integers(1, 200))
@few
def test_an_answer_arrives_as_it_was(caller: str, upstream: str, response: ChatResponse, size: int) -> None:
    """Plain and streamed, wherever the stream is cut into chunks: the same, and what the upstream said."""
    asked = ChatRequest(model="m", turns=())
    plain = read_plain(upstream, wire(upstream, response, stream=False), Losses("response"))
    streamed = read_stream(upstream, wire(upstream, response, stream=True), Losses("response"), size)
    assert said(plain) == said(streamed) == said(list(unfold(response)))
    whole = plain_answer(caller, plain, asked, Losses("response")).body
    pieces = streamed_answer(caller, streamed, asked, Losses("response")).body
    assert said(read_plain(caller, whole, Losses("response"))) == said(plain)
    assert said(read_stream(caller, pieces, Losses("response"), size)) == said(plain)


@st.composite
def damages(draw: st.DrawFn) -> list[tuple[str, int, int]]:
    """What can happen to a stream: an event is lost, comes twice, is swapped with another; a byte is another."""
    kinds = st.sampled_from(["drop", "twice", "swap", "byte", "cut"])
    return draw(st.lists(st.tuples(kinds, st.integers(0, 40), st.integers(0, 255)), min_size=1, max_size=3))


def damaged(data: bytes, damage: Sequence[tuple[str, int, int]]) -> bytes:
    events = [piece for piece in re.split(rb"(?<=\n\n)", data) if piece] or [data]
    for kind, place, value in damage:
        if not events:
            return b""
        number = place % len(events)
        match kind:
            case "drop":
                del events[number]
            case "twice":
                events.insert(number, events[number])
            case "swap":
                other = value % len(events)
                events[number], events[other] = events[other], events[number]
            case "byte":
                piece = bytearray(events[number])
                piece[value % len(piece)] = place + 32
                events[number] = bytes(piece)
            case _:
                events = events[:number]
    return b"".join(events)


@pytest.mark.parametrize("upstream", NAMES)
@given(response=answers(), damage=damages(), caller=st.sampled_from(NAMES))
@settings(max_examples=100, suppress_health_check=[HealthCheck.too_slow], deadline=None)
def test_a_damaged_stream_never_crashes(
    upstream: str, response: ChatResponse, damage: list[tuple[str, int, int]], caller: str
) -> None:
    """What comes out is well formed, nothing in it was not in the stream, and every dialect can write it."""
    data = damaged(wire(upstream, response, stream=True), damage)
    events = read_stream(upstream, data, Losses("response"), 64)
    assert malformed(events) == ""
    asked = ChatRequest(model="m", turns=())
    good = [event for event in events if not isinstance(event, Failed)]
    streamed_answer(caller, good, asked, Losses("response"))
    InOrder().feed(events)
    whole = collect(events)
    if whole.failed is None and whole.choices:
        plain_answer(caller, events, asked, Losses("response"))


CALLS = tuple(ToolCall(id=f"call_{number}", name="f", arguments="{}") for number in range(3))


@pytest.mark.parametrize("upstream", NAMES)
@pytest.mark.parametrize("kind", ["drop", "twice", "swap"])
def test_every_single_damage_is_borne(upstream: str, kind: str) -> None:
    """Each event lost, told twice, and swapped with each that follows: never another exception, always in order."""
    choice = Choice(parts=(Thinking("why"), Text("So:"), *CALLS), stopped=Stopped("tool_calls"))
    response = ChatResponse(started=Started("r", "m", 1), choices=(choice,), usage=Usage(input=3, output=2))
    data = wire(upstream, response, stream=True)
    count = len([piece for piece in re.split(rb"(?<=\n\n)", data) if piece])
    for number in range(count):
        for other in range(number + 1, count) if kind == "swap" else (0,):
            events = read_stream(upstream, damaged(data, [(kind, number, other)]), Losses("response"))
            assert malformed(events) == "", f"{kind} {number} {other}"
