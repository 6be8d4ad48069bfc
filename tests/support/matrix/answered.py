"""Features of answers: what an upstream says."""

import json
from collections.abc import Mapping
from typing import Any

import msgspec

from asgi_gateway.canonical import (
    ChatResponse,
    Choice,
    Citation,
    HostedCall,
    HostedResult,
    Inline,
    Media,
    Refusal,
    Sampling,
    Started,
    Stopped,
    StopReason,
    Text,
    Thinking,
    TokenLogprob,
    ToolCall,
    Usage,
)
from support.matrix.asked import PNG, WAV
from support.matrix.feature import Feature, Rule, Said, answer, ask, plain, said_parts

__all__ = ["ANSWERED"]


def _texts(response: ChatResponse) -> Any:
    return ["".join(part.text for part in choice.parts if isinstance(part, Text)) for choice in response.choices]


def _calls(response: ChatResponse) -> Any:
    return [
        (part.name, part.arguments if part.custom else json.loads(part.arguments or "{}"), part.custom)
        for part in said_parts(response, ToolCall)
    ]


def _thinking(response: ChatResponse) -> Any:
    return plain([part.text for part in said_parts(response, Thinking) if part.text])


def _refusals(response: ChatResponse) -> Any:
    return [part.text for part in said_parts(response, Refusal)]


def _media(response: ChatResponse) -> Any:
    return [(part.kind, part.source) for part in said_parts(response, Media)]


def _citations(response: ChatResponse) -> Any:
    return [(cite.url, cite.title) for part in said_parts(response, Text) for cite in part.citations]


def _quotes(response: ChatResponse) -> Any:
    return [(cite.title, cite.quoted) for part in said_parts(response, Text) for cite in part.citations if cite.quoted]


def _hosted(response: ChatResponse) -> Any:
    return [part.tool for part in said_parts(response, HostedCall)]


def _logprobs(response: ChatResponse) -> Any:
    return [
        [(token.token, token.logprob) for token in choice.logprobs or ()]
        for choice in response.choices
        if choice.logprobs
    ]


def _stop(reason: StopReason) -> Said:
    def told(response: ChatResponse) -> Any:
        stops = [choice.stopped.reason for choice in response.choices if choice.stopped is not None]
        return [stop for stop in stops if stop == reason]

    return told


def _sequence(response: ChatResponse) -> Any:
    return [choice.stopped.sequence for choice in response.choices if choice.stopped and choice.stopped.sequence]


def _usage(*kinds: str) -> Said:
    def told(response: ChatResponse) -> Any:
        usage = response.usage
        if usage is None or usage.inconsistent:
            return None
        values = {kind: getattr(usage, kind) for kind in kinds}
        return {**values, "in": usage.total_input, "out": usage.total_output} if all(values.values()) else None

    return told


def _totals(response: ChatResponse) -> Any:
    usage = response.usage
    return usage and (usage.total_input, usage.total_output)


NEAREST: Mapping[StopReason, StopReason] = {
    "stop_sequence": "stop",
    "context_length": "length",
    "refusal": "content_filter",
}
"""The reason whose word stands for another, too, in the dialects that have one word for both."""


def _ended(response: ChatResponse) -> Any:
    reasons = [choice.stopped.reason for choice in response.choices if choice.stopped is not None]
    return [NEAREST.get(reason, reason) for reason in reasons]


ONE_WORD = Rule("one word for both", _ended)
COUNTED = Rule("counted in the whole", _totals)
CALL = ToolCall(id="call_1", name="weather", arguments='{"city":"Berlin"}')
TWO = ChatResponse(
    started=Started("r1", "m", 1_700_000_000),
    choices=tuple(Choice(parts=(Text(text),), stopped=Stopped("stop", n)) for n, text in enumerate(("Heads", "Tails"))),
    usage=Usage(input=10, output=5),
)
CITED = Text("It rains.", (Citation(kind="url", url="https://example.com/w", title="Weather", start=0, end=9),))
QUOTED = Text(
    "It rains.",
    (Citation(kind="document", title="Tale", quoted="Once it rained.", source="0", start=0, end=15, dialect=""),),
)
TOKENS = (TokenLogprob("He", -0.25, None, (TokenLogprob("Ho", -2.5),)), TokenLogprob("llo", -0.5))


ANSWERED: tuple[Feature, ...] = (
    Feature("answer-text", "text in the answer", response=answer(Text("Hello, world.")), said=_texts),
    Feature("call", "a call in the answer", response=answer(CALL, stop="tool_calls"), said=_calls),
    Feature(
        "parallel-calls",
        "text and parallel calls in the answer",
        response=answer(
            Text("Let me see."),
            CALL,
            ToolCall(id="call_2", name="clock", arguments=""),
            ToolCall(id="call_3", name="weather", arguments='{"city":"Köln \\"am Rhein\\"","days":2}'),
            stop="tool_calls",
        ),
        said=lambda response: [_texts(response), _calls(response), _stop("tool_calls")(response)],
    ),
    Feature(
        "custom-call",
        "a call of free text in the answer",
        response=answer(ToolCall(id="call_1", name="sql", arguments="select 1", custom=True), stop="tool_calls"),
        said=lambda response: [call for call in _calls(response) if call[2]],
    ),
    Feature(
        "thinking",
        "thinking in the answer",
        response=answer(Thinking("Hm. Let me think."), Text("Hello.")),
        said=_thinking,
        thinks=True,
    ),
    Feature("refusal", "a refusal's own text", response=answer(Refusal("I will not."), stop="refusal"), said=_refusals),
    Feature("citations", "citations of addresses", response=answer(CITED), said=_citations),
    Feature("document-citations", "citations of documents", response=answer(QUOTED), said=_quotes),
    Feature(
        "search-call",
        "a vendor's search in the answer",
        response=answer(HostedCall(id="ws_1", tool="web_search", arguments='{"query":"weather"}'), Text("It rains.")),
        said=_hosted,
    ),
    Feature(
        "image-answer",
        "an image in the answer",
        response=answer(Media(kind="image", source=Inline("image/png", PNG))),
        said=_media,
    ),
    Feature(
        "audio-answer",
        "sound in the answer",
        response=answer(
            Media(
                kind="audio", source=Inline("audio/wav", WAV), transcript="Hello", id="audio_1", expires=1_700_003_600
            )
        ),
        said=_media,
    ),
    Feature(
        "code-call",
        "a vendor's code execution in the answer",
        response=answer(
            HostedCall(id="ce_1", tool="code_execution", arguments='{"code":"print(1)","language":"python"}'),
            HostedResult(call_id="ce_1", tool="code_execution", parts=(Text("1"),)),
            Text("One."),
        ),
        said=lambda response: [_hosted(response), _texts(response)] if _hosted(response) else None,
    ),
    Feature(
        "logprobs",
        "logprobs",
        ask(sampling=Sampling(logprobs=True, top_logprobs=2)),
        lambda request: request.sampling.logprobs and request.sampling.top_logprobs,
        msgspec.structs.replace(
            answer(Text("Hello")), choices=(Choice(parts=(Text("Hello"),), stopped=Stopped("stop"), logprobs=TOKENS),)
        ),
        _logprobs,
    ),
    Feature(
        "choices",
        "several choices (n)",
        ask(sampling=Sampling(choices=2)),
        lambda request: request.sampling.choices > 1 and request.sampling.choices,
        TWO,
        lambda response: _texts(response) if len(response.choices) > 1 else None,
    ),
    Feature("stop", "stop: end of the turn", response=answer(Text("Hi")), said=_stop("stop")),
    Feature("stop-length", "stop: length", response=answer(Text("Hi"), stop="length"), said=_stop("length")),
    Feature(
        "stop-filter",
        "stop: content filter",
        response=answer(Text("Hi"), stop="content_filter"),
        said=_stop("content_filter"),
    ),
    Feature(
        "stop-refusal",
        "stop: refusal",
        response=answer(Text("No"), stop="refusal"),
        said=_stop("refusal"),
        rule=ONE_WORD,
    ),
    Feature(
        "stop-sequence",
        "stop: a stop sequence",
        response=answer(Text("Hi"), stop="stop_sequence", sequence="END"),
        said=_stop("stop_sequence"),
        rule=ONE_WORD,
    ),
    Feature(
        "stop-which",
        "which stop sequence",
        response=answer(Text("Hi"), stop="stop_sequence", sequence="END"),
        said=_sequence,
    ),
    Feature("stop-pause", "stop: pause of a long turn", response=answer(Text("Hi"), stop="pause"), said=_stop("pause")),
    Feature(
        "stop-context",
        "stop: context is full",
        response=answer(Text("Hi"), stop="context_length"),
        said=_stop("context_length"),
        rule=ONE_WORD,
    ),
    Feature(
        "usage", "usage", response=answer(Text("Hi"), usage=Usage(input=10, output=5)), said=_usage("input", "output")
    ),
    Feature(
        "usage-cache-read",
        "usage: read from the cache",
        response=answer(Text("Hi"), usage=Usage(input=10, cache_read=100, output=5)),
        said=_usage("cache_read", "input"),
        rule=COUNTED,
    ),
    Feature(
        "usage-cache-write",
        "usage: written to the cache",
        response=answer(Text("Hi"), usage=Usage(input=10, cache_read=100, cache_write=50, output=5)),
        said=_usage("cache_write", "input"),
        rule=COUNTED,
    ),
    Feature(
        "usage-reasoning",
        "usage: reasoning",
        response=answer(Thinking("Hm"), Text("Hi"), usage=Usage(input=10, output=5, reasoning=20)),
        said=_usage("reasoning", "output"),
        rule=COUNTED,
        thinks=True,
    ),
)
