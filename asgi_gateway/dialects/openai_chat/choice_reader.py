"""One choice of an answer, delta by delta, as events.

Follows `ChatCompletionStreamResponseDelta` of OpenAI's OpenAPI document, and what look-alikes add to it:
`reasoning_content` (DeepSeek, Qwen), `reasoning` and `reasoning_details` (OpenRouter, Groq), `images` (OpenRouter),
content as a list with thinking in it (Mistral), `extra_content` (Gemini), calls without an index or an id (Gemini).

A call stays open to the end: deltas of parallel calls may come in any order. What is known by name to be no part of a
conversation (token ids, channels) is skipped; everything else that is unknown is kept as `Native`.
"""

from typing import Any

from asgi_gateway.canonical import (
    Citation,
    CitationGiven,
    Event,
    Losses,
    Media,
    Native,
    OpenKind,
    Part,
    PartClosed,
    PartGiven,
    PartOpened,
    Seal,
    SignatureDelta,
    TextDelta,
    Thinking,
    ThinkingDelta,
)
from asgi_gateway.dialects.node import Node
from asgi_gateway.dialects.openai_chat.call_reader import CallReader
from asgi_gateway.dialects.openai_chat.citations import citation_of
from asgi_gateway.dialects.openai_chat.content import DIALECT, image_of, mistral_thinking
from asgi_gateway.dialects.openai_chat.logprobs import LogprobsReader
from asgi_gateway.dialects.openai_chat.reasoning_details import Thought, google_seal, seal_in, text_in, thinking_in
from asgi_gateway.dialects.openai_chat.spoken import SpokenAudio

__all__ = ["ChoiceReader", "Count"]

USUAL = frozenset({"role", "content"})

READ = frozenset(
    {
        *USUAL,
        "annotations",
        "audio",
        "extra_content",
        "function_call",
        "images",
        "reasoning",
        "reasoning_content",
        "reasoning_details",
        "refusal",
        "thought_signature",
        "tool_calls",
    }
)

SKIPPED = frozenset({"channel", "name", "prefix", "token_id", "token_ids", "content_filter_results"})


class Count:
    """Counts the parts of a whole response."""

    __slots__ = ("next",)

    def __init__(self) -> None:
        self.next = 0

    def take(self) -> int:
        """The index of a new part."""
        self.next += 1
        return self.next - 1


class ChoiceReader:
    """Reads the deltas of one choice; `sources` are the answer's own citations, given to its first text."""

    __slots__ = (
        "_audio",
        "_calls",
        "_count",
        "_index",
        "_kind",
        "_logprobs",
        "_losses",
        "_pieces",
        "_thought",
        "_told",
        "finish",
        "number",
        "refused",
        "sources",
    )

    def __init__(self, number: int, count: Count, losses: Losses) -> None:
        self.number = number
        self.finish: dict[str, Any] | None = None
        """The choice as it came with its reason to finish."""
        self.refused = False
        self.sources: list[Citation] = []
        self._count = count
        self._losses = losses
        self._kind: OpenKind | None = None
        self._index = 0
        self._thought = Thought()
        self._pieces: list[str] = []
        self._told = False  # the thought was repeated or sealed: it is whole, what comes next is another
        self._calls = CallReader(number, count.take, losses)
        self._audio: SpokenAudio | None = None
        self._logprobs: LogprobsReader | None = None

    @property
    def called(self) -> bool:
        """Whether a tool was called."""
        return self._calls.called

    def delta(self, delta: dict[str, Any], events: list[Event]) -> None:
        """Take what a chunk says about this choice."""
        if delta.keys() <= USUAL:
            self._content(delta.get("content"), events)
            return
        self._think(delta, events)
        self._rest(delta, events)

    def message(self, message: dict[str, Any], events: list[Event]) -> None:
        """Take a whole message, as answers that are no streams have it."""
        details, calls = message.get("reasoning_details"), message.get("tool_calls")
        ids = [call.get("id") for call in calls if isinstance(call, dict)] if isinstance(calls, list) else []
        known = [id for id in ids if isinstance(id, str)]
        listed = details if isinstance(details, list) else []
        thinking, seals = thinking_in(_reasoning_text(message), listed, known, self._losses)
        for part in thinking:
            self._open("thinking", events, part.id)
            if part.text:
                events.append(ThinkingDelta(self._index, part.text))
            if part.seal is not None:
                events.append(SignatureDelta(self._index, part.seal))
            self.close(events)
        self._calls.seals.update(seals)
        self._rest(message, events)

    def _rest(self, delta: dict[str, Any], events: list[Event]) -> None:
        """All but the thinking; what belongs to the text comes while that is open."""
        self._content(delta.get("content"), events)
        annotations = delta.get("annotations")
        if isinstance(annotations, list):
            for value in annotations:
                self._annotation(value, events)
        seal = google_seal(delta)
        if seal is not None:
            self._seal(seal, events)
        refusal = delta.get("refusal")
        if isinstance(refusal, str) and refusal:
            self._say("refusal", refusal, events)
            self.refused = True
        self._media(delta, events)
        calls = delta.get("tool_calls")
        if isinstance(calls, list):
            for call in calls:
                self._calls.take(call, events)
        function = delta.get("function_call")
        if isinstance(function, dict):
            self._calls.legacy(function, events)
        if not delta.keys() <= READ:
            for name in delta.keys() - READ - SKIPPED:
                if delta[name] is not None:
                    self._give(Native(DIALECT, name, delta[name]), events)

    def _open(self, kind: OpenKind, events: list[Event], id: str = "") -> None:
        if self._kind is not None:
            self.close(events)
        self._kind, self._index = kind, self._count.take()
        if kind == "thinking":
            self._thought, self._pieces, self._told = Thought(id=id), [], False
        events.append(PartOpened(self._index, kind, self.number, id))
        if self._logprobs is not None:
            self._logprobs.give(self._index, events)

    def _say(self, kind: OpenKind, text: str, events: list[Event]) -> None:
        if self._kind != kind:
            self._open(kind, events)
        events.append(TextDelta(self._index, text))

    def _content(self, content: Any, events: list[Event]) -> None:
        if content.__class__ is str:
            if content:
                if self._kind != "text":
                    self._open("text", events)
                events.append(TextDelta(self._index, content))
        elif isinstance(content, list):
            for item in content:
                self._item(item, events)
        elif content is not None:
            self._losses.dropped("choices[].delta.content")

    def _item(self, item: Any, events: list[Event]) -> None:
        """One part of a content that is a list."""
        kind = item.get("type") if isinstance(item, dict) else None
        if kind == "text" and isinstance(text := item.get("text"), str):
            self._content(text, events)
        elif kind == "thinking":
            text = mistral_thinking(item.get("thinking"), Node(item, "choices[].delta.content[]"), self._losses)
            if text:
                self._thought_delta(text, events)
        elif kind == "image_url" and (image := image_of(item)) is not None:
            self._give(image, events)
        else:
            self._give(Native(DIALECT, f"content[].{kind}", item), events)

    def _thought_delta(self, text: str, events: list[Event]) -> None:
        if self._kind != "thinking" or self._told:
            self._open("thinking", events)
        self._pieces.append(text)
        events.append(ThinkingDelta(self._index, text))

    def _think(self, delta: dict[str, Any], events: list[Event]) -> None:
        """Thinking: its text may stand in two places, of which one is read."""
        details, text = delta.get("reasoning_details"), _reasoning_text(delta)
        if isinstance(details, list):
            for detail in details:
                if not isinstance(detail, dict):
                    self._losses.dropped("reasoning_details")
                elif self._detail(detail, text, events):
                    text = ""
        if text:
            self._thought_delta(text, events)

    def _detail(self, detail: dict[str, Any], beside: str, events: list[Event]) -> bool:
        """One detail. Says whether it has the text that stands beside it: that is not read twice.

        A detail that repeats all that a part has said, with nothing beside it, ends the part: so this dialect's own
        writer tells a seal.
        """
        found, text = seal_in(detail), text_in(detail)
        seal = None if found is None else found[0]
        id = detail.get("id")
        id = id if isinstance(id, str) else ""
        is_open = self._kind == "thinking"
        named = found is not None and not text and not (is_open and id and id == self._thought.id)
        if found is not None and named and self._calls.seal(found[0], found[1] or id, events, surely=bool(found[1])):
            return False
        repeated = is_open and bool(text) and not beside and text == "".join(self._pieces)
        if not repeated and not (is_open and self._thought.goes_on(detail, text, seal)):
            self._open("thinking", events, id)
        self._thought.add(detail, "", seal)
        if text and not repeated:
            self._told = False
            self._thought_delta(text, events)
        self._told = repeated or (seal is not None and not beside)
        if seal is not None:
            events.append(SignatureDelta(self._index, seal))
        return bool(text)

    def _seal(self, seal: Seal, events: list[Event]) -> None:
        """The seal of a whole message belongs to its text."""
        if self._kind in ("text", "thinking"):
            events.append(SignatureDelta(self._index, seal))
        else:
            self._give(Thinking("", seal), events)

    def _annotation(self, value: Any, events: list[Event]) -> None:
        citation = citation_of(value)
        if citation is None:
            self._give(Native(DIALECT, "annotations", [value]), events)
        elif self._kind == "text":
            events.append(CitationGiven(self._index, citation))
        else:
            self._losses.dropped("choices[].delta.annotations")

    def _media(self, delta: dict[str, Any], events: list[Event]) -> None:
        images = delta.get("images")
        for value in images if isinstance(images, list) else ():
            image = image_of(value)
            part: Part = image if image is not None else Native(DIALECT, "images", [value])
            self._give(part, events)
        audio = delta.get("audio")
        if isinstance(audio, dict):
            if self._audio is None:
                self._audio = SpokenAudio()
            self._audio.add(audio)

    def _give(self, part: Part, events: list[Event]) -> None:
        events.append(PartGiven(self._count.take(), part, self.number))

    def logprobs(self, value: Any, events: list[Event]) -> None:
        """Take the probabilities of a chunk's tokens."""
        if self._logprobs is None:
            self._logprobs = LogprobsReader(self._losses)
        self._logprobs.take(value)
        self._give_logprobs(self._logprobs, events)

    def _give_logprobs(self, logprobs: LogprobsReader, events: list[Event]) -> None:
        index = self._index if self._kind is not None else self._calls.open_index
        if index is not None:
            logprobs.give(index, events)

    def close(self, events: list[Event]) -> None:
        """Close the part that is open, calls excepted."""
        if self._kind is None:
            return
        if self._kind == "text" and self.sources:
            events.extend(CitationGiven(self._index, source) for source in self.sources)
            self.sources = []
        events.append(PartClosed(self._index))
        self._kind = None

    def end(self, events: list[Event]) -> None:
        """Close everything: the choice is over."""
        if self._logprobs is not None:
            self._give_logprobs(self._logprobs, events)
        self.close(events)
        for thinking in self._calls.end(events):
            self._give(thinking, events)
        spoken: Media | None = self._audio.media() if self._audio is not None else None
        if spoken is not None:
            self._give(spoken, events)
        if self._logprobs is not None:
            self._logprobs.end()


def _reasoning_text(delta: dict[str, Any]) -> str:
    for name in ("reasoning_content", "reasoning"):
        value = delta.get(name)
        if isinstance(value, str) and value:
            return value
    return ""
