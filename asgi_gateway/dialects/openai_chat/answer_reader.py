"""Answers as events: one machine for whole ones and for the chunks of a stream.

Follows `CreateChatCompletionResponse` and `CreateChatCompletionStreamResponse` of OpenAI's OpenAPI document.
A reason to finish is kept until the answer ends: look-alikes send more behind it.
"""

from typing import Any

import msgspec

from asgi_gateway.canonical import (
    Event,
    Failed,
    Losses,
    Started,
    Stopped,
    StopReason,
    UsageReported,
)
from asgi_gateway.dialects.openai_chat.choice_reader import ChoiceReader, Count
from asgi_gateway.dialects.openai_chat.citations import sources_in
from asgi_gateway.dialects.openai_wire.errors import error_inside
from asgi_gateway.dialects.openai_wire.usage import usage_of
from asgi_gateway.errors import MalformedUpstream, UpstreamError

__all__ = ["AnswerReader", "read_response"]

BOM = b"\xef\xbb\xbf"

MOST_CHOICES = 128

ALWAYS = frozenset({"id", "object", "created", "model", "choices", "usage", "system_fingerprint", "service_tier"})

ELSEWHERE = frozenset(
    {
        *ALWAYS,
        "citations",
        "search_results",
        # What follows is about the answer's making, and no part of it.
        "error",
        "kv_transfer_params",
        "latency_checkpoint",
        "metadata",
        "metrics",
        "obfuscation",
        "p",
        "prompt",
        "prompt_filter_results",
        "prompt_logprobs",
        "prompt_text",
        "prompt_token_ids",
        "provider",
        "request_id",
        "sla_metrics",
        "stream_options",
        "time_info",
        "timings",
        "usage_breakdown",
        "x_groq",
    }
)

OF_CHOICE = frozenset(
    {
        "index",
        "delta",
        "message",
        "finish_reason",
        "logprobs",
        "native_finish_reason",
        "stop_reason",
        "matched_stop",
        "content_filter_results",
        "content_filter_result",
        "finish_details",
        "routed_experts",
        "seed",
        "text",
        "token_ids",
        "usage",
    }
)

_REASONS: dict[str, StopReason] = {
    "stop": "stop",
    "eos": "stop",
    "end_turn": "stop",
    "stop_sequence": "stop_sequence",
    "length": "length",
    "max_tokens": "length",
    "tool_calls": "tool_calls",
    "tool_use": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "content_filter",
    "sensitive": "content_filter",
    "safety": "content_filter",
    "refusal": "refusal",
    "model_length": "context_length",
    "model_context_window_exceeded": "context_length",
}


class AnswerReader:
    """Takes chunks, gives events."""

    __slots__ = ("_choices", "_count", "_losses", "_started", "_whole")

    def __init__(self, losses: Losses, *, whole: bool = False) -> None:
        self._losses = losses
        self._whole = whole  # some send a message beside the delta: of streams the delta counts
        self._count = Count()
        self._choices: dict[int, ChoiceReader] = {}
        self._started = False

    @property
    def is_whole(self) -> bool:
        """Whether every choice that began has a reason to finish."""
        return bool(self._choices) and all(choice.finish is not None for choice in self._choices.values())

    @property
    def has_begun(self) -> bool:
        """Whether any choice began."""
        return bool(self._choices)

    def take(self, chunk: dict[str, Any], events: list[Event]) -> None:
        """Take a chunk or a whole answer that tells of no error."""
        choices = chunk.get("choices")
        if choices:
            if not self._started:
                self._start(chunk, events)
            if choices.__class__ is list:
                for item in choices:
                    self._choice(item, chunk, events)
        if not chunk.keys() <= ALWAYS:
            self._others(chunk, events)
        usage = chunk.get("usage")
        if usage is not None:
            self._usage(usage, chunk, events)

    def _start(self, chunk: dict[str, Any], events: list[Event]) -> None:
        self._started = True
        created = chunk.get("created")
        seconds = int(created) if isinstance(created, int | float) and 0 <= created < 1 << 40 else 0
        names = [value if isinstance(value := chunk.get(name), str) else "" for name in ("id", "model", "service_tier")]
        events.append(Started(names[0], names[1], seconds, names[2]))

    def _choice(self, item: Any, chunk: dict[str, Any], events: list[Event]) -> None:
        if item.__class__ is not dict:
            self._losses.dropped("choices[]")
            return
        choice = self._choice_of(item.get("index"))
        delta = item.get("delta")
        if delta.__class__ is dict and not self._whole:
            choice.delta(delta, events)
        elif isinstance(message := item.get("message"), dict):
            choice.message(message, events)
        if item.get("logprobs") is not None:
            choice.logprobs(item["logprobs"], events)
        if item.get("finish_reason"):
            choice.finish = item
        if not item.keys() <= OF_CHOICE:
            for name in item.keys() - OF_CHOICE:
                if item[name] is not None:
                    self._losses.dropped(f"choices[].{name}")
        usage = item.get("usage")
        if usage is not None:  # Moonshot's
            self._usage(usage, chunk, events)

    def _choice_of(self, number: Any) -> ChoiceReader:
        if number.__class__ is not int or not 0 <= number < MOST_CHOICES:
            number = 0
        choice = self._choices.get(number)
        if choice is None:
            choice = self._choices[number] = ChoiceReader(number, self._count, self._losses)
        return choice

    def _others(self, chunk: dict[str, Any], events: list[Event]) -> None:
        """Members at the top that not everybody sends."""
        if ("citations" in chunk or "search_results" in chunk) and self._choices:
            self._choices[min(self._choices)].sources = sources_in(chunk)
        groq = chunk.get("x_groq")
        if isinstance(groq, dict) and "usage" not in chunk:
            self._usage(groq.get("usage"), chunk, events)
        for name in chunk.keys() - ELSEWHERE:
            if chunk[name] is not None:
                self._losses.dropped(name)

    def _usage(self, reported: Any, chunk: dict[str, Any], events: list[Event]) -> None:
        usage = usage_of(reported, chunk.get("service_tier"), chunk.get("model"))
        if usage is not None:
            events.append(UsageReported(usage))

    def end(self, events: list[Event]) -> None:
        """The answer is over, and whole."""
        if not self._started:
            self._start({}, events)
        for choice in self._choices.values():
            choice.end(events)
            events.append(_stopped(choice))

    def fail(self, error: UpstreamError, events: list[Event]) -> None:
        """The answer broke."""
        if not self._started:
            self._start({}, events)
        events.append(Failed(error))


def _stopped(choice: ChoiceReader) -> Stopped:
    finish = choice.finish or {}
    stated, native = finish.get("finish_reason"), finish.get("native_finish_reason")
    told = stated if isinstance(stated, str) else ""
    reason: StopReason = _REASONS.get(told, "other") if told else "stop"
    sequence = ""
    for name in ("stop_reason", "matched_stop"):  # vLLM's and SGLang's: the stop sequence, or a token's number
        value = finish.get(name)
        if reason == "stop" and isinstance(value, str) and value:
            reason, sequence = "stop_sequence", value
    if reason == "stop":
        reason = "tool_calls" if choice.called else "refusal" if choice.refused else "stop"
    details = None
    if reason == "content_filter":
        details = finish.get("content_filter_results") or finish.get("content_filter_result")
    return Stopped(reason, choice.number, sequence, native if isinstance(native, str) else told, details)


def read_response(body: bytes, losses: Losses) -> list[Event]:
    """A plain answer with a good status. Raises `UpstreamError` for an error inside it, or for what is no answer."""
    try:
        answer = msgspec.json.decode(body[len(BOM) :] if body.startswith(BOM) else body)
    except (ValueError, RecursionError) as wrong:
        raise MalformedUpstream("the upstream's answer is no complete JSON object") from wrong
    if not isinstance(answer, dict):
        raise MalformedUpstream("the upstream's answer is no JSON object")
    if answer.get("error"):
        raise error_inside(answer)
    events: list[Event] = []
    reader = AnswerReader(losses, whole=True)
    reader.take(answer, events)
    if not reader.has_begun:
        raise MalformedUpstream("the upstream's answer has no choices")
    reader.end(events)
    return events
