"""An answer as a stream of chunks: `CreateChatCompletionStreamResponse` of OpenAI's OpenAPI document.

A choice begins with its role and ends with its reason to finish. Usage stands in a chunk without choices in front of
`[DONE]`, and only where the caller asked for it. Thinking is `reasoning_content`, piece by piece; its seal comes when
its part is whole, in `reasoning_details` that repeat the text, so that each is whole in itself.
"""

from collections.abc import Sequence
from typing import Any, assert_never

import msgspec

from asgi_gateway.canonical import (
    ChatResponse,
    Choice,
    Citation,
    CitationGiven,
    Event,
    Failed,
    HostedCall,
    HostedResult,
    LogprobsGiven,
    Media,
    Native,
    PartClosed,
    PartGiven,
    PartOpened,
    Refusal,
    Seal,
    SignatureDelta,
    Started,
    Stopped,
    Text,
    TextDelta,
    Thinking,
    ThinkingDelta,
    ToolCall,
    ToolCallDelta,
    ToolResult,
    Usage,
    UsageReported,
    unfold,
)
from asgi_gateway.dialects.contract import AnswerContext
from asgi_gateway.dialects.openai_chat.citations import annotation_of
from asgi_gateway.dialects.openai_chat.content import DIALECT
from asgi_gateway.dialects.openai_chat.finish import finish_reason, note_stop
from asgi_gateway.dialects.openai_chat.logprobs import logprobs_out
from asgi_gateway.dialects.openai_chat.media import image_out
from asgi_gateway.dialects.openai_chat.reasoning_details import call_detail, details_of, google_content
from asgi_gateway.dialects.openai_chat.response_writer import call_id
from asgi_gateway.dialects.openai_chat.spoken import audio_out
from asgi_gateway.dialects.openai_chat.tools import is_legacy
from asgi_gateway.dialects.openai_chat.usage_report import service_tier, usage_out

__all__ = ["ChatStreamWriter"]

DONE = b"data: [DONE]\n\n"

_encode = msgspec.json.Encoder().encode


class _Choice:
    """What a choice has said so far."""

    __slots__ = (
        "annotations",
        "calls",
        "details",
        "function",
        "images",
        "length",
        "number",
        "refused",
        "stopped",
        "thoughts",
    )

    def __init__(self, number: int) -> None:
        self.number = number
        self.annotations: list[dict[str, Any]] = []
        self.calls = 0
        self.details = 0
        self.function = False
        self.images = 0
        self.length = 0
        self.refused = False
        self.stopped = False
        self.thoughts: list[_Open] = []


class _Open:
    """An open part. `place` is its number among the calls, or among the thoughts, of its choice."""

    __slots__ = ("argued", "choice", "citations", "detailed", "id", "opened", "pieces", "place", "seal", "start")

    def __init__(self, opened: PartOpened, choice: _Choice) -> None:
        self.opened = opened
        self.choice = choice
        self.citations: list[Citation] = []
        self.argued = False
        self.detailed = False
        self.id = opened.id
        self.pieces: list[str] = []
        self.place = 0
        self.seal: Seal | None = None
        self.start = choice.length


class ChatStreamWriter:
    """Writes one stream."""

    __slots__ = ("_begin", "_choices", "_context", "_end", "_finish", "_legacy", "_open", "_started", "_usage")

    def __init__(self, context: AnswerContext) -> None:
        self._context = context
        self._legacy = is_legacy(context.request)
        self._choices: dict[int, _Choice] = {}
        self._open: dict[int, _Open] = {}
        self._usage: Usage | None = None
        self._started = Started()
        # As OpenAI has it: where the usage will be told, every chunk says that it is not told yet.
        usage = b',"usage":null' if context.request.wants_usage else b""
        self._end = b',"logprobs":null,"finish_reason":null}]' + usage + b"}\n\n"
        self._finish = usage + b"}\n\n"
        self._begin = self._head(self._started)

    def _head(self, started: Started) -> bytes:
        """Every chunk up to its choices."""
        head = {
            "id": started.id or f"chatcmpl-{self._context.id}",
            "object": "chat.completion.chunk",
            "created": started.created or self._context.created,
            "model": started.model or self._context.request.model,
        }
        if tier := service_tier(started.service_tier, self._context.losses):
            head["service_tier"] = tier
        return b"data: " + _encode(head)[:-1] + b',"choices":['

    def write(self, events: Sequence[Event]) -> bytes:
        """The bytes for these events."""
        given: list[bytes] = []
        for event in events:
            match event:
                case TextDelta():
                    self._text(event, given)
                case ThinkingDelta():
                    part = self._open[event.index]
                    part.pieces.append(event.text)
                    self._delta(part.choice, b'{"reasoning_content":' + _encode(event.text) + b"}", given)
                case ToolCallDelta():
                    self._arguments(self._open[event.index], event.arguments, given)
                case PartOpened():
                    self._opened(event, given)
                case PartClosed():
                    self._closed(self._open.pop(event.index), given)
                case SignatureDelta():
                    self._sealed(self._open[event.index], event.seal, given)
                case _:
                    self._seldom(event, given)
        return b"".join(given)

    def _seldom(
        self,
        event: CitationGiven | LogprobsGiven | PartGiven | Started | UsageReported | Stopped | Failed,
        given: list[bytes],
    ) -> None:
        """What comes a few times in a stream at most."""
        match event:
            case CitationGiven():
                self._open[event.index].citations.append(event.citation)
            case LogprobsGiven():
                self._logprobs(event, given)
            case PartGiven():
                self._whole(event, given)
            case Started():
                self._started = event
                self._begin = self._head(event)
            case UsageReported():
                self._usage = event.usage
            case Stopped():
                self._stopped(event, given)
            case Failed():
                pass  # never comes: it ends as an error
            case _:
                assert_never(event)

    def finish(self) -> bytes:
        """The end of a good stream."""
        given: list[bytes] = []
        for index in list(self._open):
            self._closed(self._open.pop(index), given)
        for choice in list(self._choices.values()) or [self._choice(0, given)]:
            if not choice.stopped:
                self._stopped(Stopped("stop", choice.number), given)
        if self._context.request.wants_usage and self._usage is not None:
            if self._usage.service_tier and not self._started.service_tier:
                self._begin = self._head(msgspec.structs.replace(self._started, service_tier=self._usage.service_tier))
            given.append(self._begin + b'],"usage":' + _encode(usage_out(self._usage)) + b"}\n\n")
        given.append(DONE)
        return b"".join(given)

    def _choice(self, number: int, given: list[bytes]) -> _Choice:
        choice = self._choices.get(number)
        if choice is None:
            choice = self._choices[number] = _Choice(number)
            self._delta(choice, b'{"role":"assistant","content":"","refusal":null}', given)
        return choice

    def _delta(self, choice: _Choice, delta: bytes, given: list[bytes]) -> None:
        given.append(b'%b{"index":%d,"delta":%b%b' % (self._begin, choice.number, delta, self._end))

    def _say(self, choice: _Choice, delta: dict[str, Any], given: list[bytes]) -> None:
        self._delta(choice, _encode(delta), given)

    def _text(self, event: TextDelta, given: list[bytes]) -> None:
        part = self._open[event.index]
        if part.opened.kind == "text":
            part.choice.length += len(event.text)
            self._delta(part.choice, b'{"content":' + _encode(event.text) + b"}", given)
        else:
            self._delta(part.choice, b'{"refusal":' + _encode(event.text) + b"}", given)

    def _opened(self, event: PartOpened, given: list[bytes]) -> None:
        choice = self._choice(event.choice, given)
        part = self._open[event.index] = _Open(event, choice)
        if event.kind in ("text", "refusal") and choice.thoughts:
            choice.thoughts[-1].detailed = True  # what stands between tells it from the next
        match event.kind:
            case "text":
                pass
            case "refusal":
                choice.refused = True
            case "thinking":
                part.place = len(choice.thoughts)
                choice.thoughts.append(part)
                if event.id or part.place:
                    self._open_thought(part, given)
            case "tool_call":
                self._open_call(part, given)
            case _:
                assert_never(event.kind)

    def _open_thought(self, part: _Open, given: list[bytes]) -> None:
        """Tell a second thought from the first, and name one that has an id."""
        if part.place and not (before := part.choice.thoughts[part.place - 1]).detailed:
            self._detail(before, given)
        if part.id:
            detail = {"type": "reasoning.text", "text": "", "id": part.id, "format": None}
            self._details(part.choice, [{**detail, "index": part.choice.details}], given)

    def _detail(self, part: _Open, given: list[bytes]) -> None:
        """Tell a thought as a whole, its seal included."""
        part.detailed = True
        thinking = Thinking("".join(part.pieces), part.seal, part.id)
        self._details(part.choice, details_of(thinking, part.choice.details), given)

    def _details(self, choice: _Choice, details: list[dict[str, Any]], given: list[bytes]) -> None:
        choice.details += len(details)
        self._say(choice, {"reasoning_details": details}, given)

    def _open_call(self, part: _Open, given: list[bytes]) -> None:
        opened, choice = part.opened, part.choice
        part.place = choice.calls
        choice.calls += 1
        part.id = call_id(opened.id, self._context, part.place)
        if self._legacy and not opened.custom:
            if part.place:
                self._context.losses.dropped("choices[].delta.function_call")
            else:
                choice.function = True
                self._say(choice, {"function_call": {"name": opened.name, "arguments": ""}}, given)
            return
        kind, field = ("custom", "input") if opened.custom else ("function", "arguments")
        call = {"index": part.place, "id": part.id, "type": kind, kind: {"name": opened.name, field: ""}}
        self._say(choice, {"tool_calls": [call]}, given)

    def _arguments(self, part: _Open, arguments: str, given: list[bytes]) -> None:
        text = _encode(arguments)
        part.argued = True
        if part.choice.function and not part.opened.custom:
            if not part.place:
                self._delta(part.choice, b'{"function_call":{"arguments":' + text + b"}}", given)
            return
        form = b'{"tool_calls":[{"index":%d,"custom":{"input":%b}}]}'
        if not part.opened.custom:
            form = b'{"tool_calls":[{"index":%d,"function":{"arguments":%b}}]}'
        self._delta(part.choice, form % (part.place, text), given)

    def _sealed(self, part: _Open, seal: Seal, given: list[bytes]) -> None:
        part.seal = seal
        if seal.maker == "google" and part.opened.kind == "tool_call" and not part.choice.function:
            # Clients want the call's own object in each of its deltas.
            empty = {"custom": {"input": ""}} if part.opened.custom else {"function": {"arguments": ""}}
            call = {"index": part.place, **empty, "extra_content": google_content(seal)}
            self._say(part.choice, {"tool_calls": [call]}, given)

    def _closed(self, part: _Open, given: list[bytes]) -> None:
        choice, seal = part.choice, part.seal
        if part.opened.kind == "tool_call" and not part.argued and not part.opened.custom:
            self._arguments(part, "{}", given)  # nothing is no JSON, and clients read it as that
        if part.citations:
            self._annotate(part)
        if seal is None:
            return
        if part.opened.kind == "thinking":
            self._detail(part, given)
        elif part.opened.kind == "tool_call":
            if seal.maker != "google":
                self._details(choice, [call_detail(seal, part.id, choice.details)], given)
        elif seal.maker == "google":
            self._say(choice, {"extra_content": google_content(seal)}, given)
        else:
            self._context.losses.dropped("signature")

    def _annotate(self, part: _Open) -> None:
        """Keep the sources of a text for the choice's end: clients join lists, but not of what has no index."""
        end, losses = part.choice.length, self._context.losses
        found = [annotation_of(citation, part.start, end, losses) for citation in part.citations]
        part.choice.annotations += [annotation for annotation in found if annotation is not None]

    def _logprobs(self, event: LogprobsGiven, given: list[bytes]) -> None:
        choice = self._open[event.index].choice
        logprobs = _encode(logprobs_out(event.tokens))
        end = self._end.replace(b'"logprobs":null', b'"logprobs":' + logprobs, 1)
        given.append(b'%b{"index":%d,"delta":{}%b' % (self._begin, choice.number, end))

    def _whole(self, event: PartGiven, given: list[bytes]) -> None:
        part, losses = event.part, self._context.losses
        match part:
            case Text() | Refusal() | Thinking() | ToolCall():
                for piece in unfold(ChatResponse(choices=(Choice(parts=(part,)),))):
                    if isinstance(piece, PartOpened):
                        opened = msgspec.structs.replace(piece, index=event.index, choice=event.choice)
                        given.append(self.write((opened,)))
                    elif not isinstance(piece, Started):
                        given.append(self.write((msgspec.structs.replace(piece, index=event.index),)))
            case Media():
                self._media(part, self._choice(event.choice, given), given)
            case Native():
                if part.dialect == DIALECT and not part.field.startswith("content[]"):
                    self._say(self._choice(event.choice, given), {part.field: part.value}, given)
                else:
                    losses.dropped(part.field)
            case HostedCall() | HostedResult():
                losses.dropped(part.tool)
            case ToolResult():
                losses.dropped("tool_result")
            case _:
                assert_never(part)

    def _media(self, part: Media, choice: _Choice, given: list[bytes]) -> None:
        if part.kind == "audio":
            self._say(choice, {"audio": audio_out(part, f"audio_{self._context.id}")}, given)
        elif part.kind == "image" and (image := image_out(part)) is not None:
            self._say(choice, {"images": [{**image, "index": choice.images}]}, given)
            choice.images += 1
        else:
            self._context.losses.dropped(part.kind)

    def _stopped(self, event: Stopped, given: list[bytes]) -> None:
        choice = self._choice(event.choice, given)
        choice.stopped = True
        note_stop(event, self._context.losses)
        if choice.annotations:
            self._say(choice, {"annotations": choice.annotations}, given)
        word = finish_reason(
            event.reason,
            called=choice.calls > 0,
            refused=choice.refused,
            legacy=choice.function,
            losses=self._context.losses,
        )
        form = b'%b{"index":%d,"delta":{},"logprobs":null,"finish_reason":"%b"}]%b'
        given.append(form % (self._begin, choice.number, word.encode(), self._finish))
