"""A whole answer as a body: `CreateChatCompletionResponse` of OpenAI's OpenAPI document.

A message has one content, and calls behind it: texts are joined, and what stood behind a call stands before it.
Thinking is `reasoning_content`; where any of it is sealed, all of it is also `reasoning_details`.
"""

from collections.abc import Sequence
from typing import Any, assert_never

import msgspec

from asgi_gateway.canonical import (
    ChatResponse,
    Choice,
    HostedCall,
    HostedResult,
    Losses,
    Media,
    Native,
    Part,
    Refusal,
    Stopped,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
)
from asgi_gateway.dialects.contract import AnswerContext
from asgi_gateway.dialects.openai_chat.citations import annotation_of
from asgi_gateway.dialects.openai_chat.content import DIALECT
from asgi_gateway.dialects.openai_chat.finish import finish_reason, note_stop
from asgi_gateway.dialects.openai_chat.logprobs import logprobs_out
from asgi_gateway.dialects.openai_chat.media import image_out
from asgi_gateway.dialects.openai_chat.reasoning_details import call_detail, details_of, google_content
from asgi_gateway.dialects.openai_chat.spoken import audio_out
from asgi_gateway.dialects.openai_chat.tools import is_legacy
from asgi_gateway.dialects.openai_chat.usage_report import service_tier, usage_out

__all__ = ["call_id", "write_response"]


def write_response(response: ChatResponse, context: AnswerContext) -> bytes:
    """A plain answer."""
    started = response.started
    body: dict[str, Any] = {
        "id": started.id or f"chatcmpl-{context.id}",
        "object": "chat.completion",
        "created": started.created or context.created,
        "model": started.model or context.request.model,
    }
    used = response.usage.service_tier if response.usage is not None else ""
    if tier := service_tier(started.service_tier or used, context.losses):
        body["service_tier"] = tier
    legacy = is_legacy(context.request)
    choices = response.choices or (Choice(),)
    body["choices"] = [_choice(number, choice, context, legacy=legacy) for number, choice in enumerate(choices)]
    if response.usage is not None:
        body["usage"] = usage_out(response.usage)
    return msgspec.json.encode(body)


def call_id(id: str, context: AnswerContext, index: int) -> str:
    """The id of a call; one made of the answer's where the upstream gave none."""
    return id or f"call_{context.id}{index}"


def _choice(number: int, choice: Choice, context: AnswerContext, *, legacy: bool) -> dict[str, Any]:
    message = _Message(context, legacy=legacy)
    for part in choice.parts:
        message.add(part)
    stopped = choice.stopped if choice.stopped is not None else Stopped("stop")
    note_stop(stopped, context.losses)
    called = "tool_calls" in message.fields or "function_call" in message.fields
    refused = message.fields["refusal"] is not None
    return {
        "index": number,
        "message": message.whole(),
        "logprobs": None if choice.logprobs is None else logprobs_out(choice.logprobs),
        "finish_reason": finish_reason(
            stopped.reason,
            called=called,
            refused=refused,
            legacy="function_call" in message.fields,
            losses=context.losses,
        ),
    }


class _Message:
    """A message that is being put together."""

    def __init__(self, context: AnswerContext, *, legacy: bool) -> None:
        self.fields: dict[str, Any] = {"role": "assistant", "content": None, "refusal": None}
        self._context = context
        self._losses: Losses = context.losses
        self._legacy = legacy
        self._thinking: list[Thinking] = []
        self._calls: list[ToolCall] = []

    def add(self, part: Part) -> None:
        """Add a part in its turn."""
        fields = self.fields
        if self._calls and isinstance(part, Text | Thinking):
            self._losses.approximated("choices[].message.content")
        match part:
            case Text():
                self._text(part)
            case Refusal():
                fields["refusal"] = (fields["refusal"] or "") + part.text
            case Thinking():
                self._thinking.append(part)
            case ToolCall():
                self._call(part)
            case Media():
                self._media(part)
            case Native():
                self._native(part)
            case HostedCall() | HostedResult():
                self._losses.dropped(part.tool)
            case ToolResult():
                self._losses.dropped("tool_result")
            case _:
                assert_never(part)

    def _text(self, part: Text) -> None:
        before = self.fields["content"] or ""
        self.fields["content"] = before + part.text
        start, end = len(before), len(before) + len(part.text)
        for citation in part.citations:
            annotation = annotation_of(citation, start, end, self._losses)
            if annotation is not None:
                self.fields.setdefault("annotations", []).append(annotation)
        if part.seal is not None and part.seal.maker == "google":
            self.fields["extra_content"] = google_content(part.seal)
        elif part.seal is not None:
            self._losses.dropped("signature")

    def _call(self, part: ToolCall) -> None:
        if self._legacy and not part.custom:
            if self._calls:
                self._losses.dropped("choices[].message.function_call")
                return
            self.fields["function_call"] = {"name": part.name, "arguments": part.arguments or "{}"}
            self._calls.append(part)
            return
        id = call_id(part.id, self._context, len(self._calls))
        call: dict[str, Any] = {"id": id}
        if part.custom:
            call |= {"type": "custom", "custom": {"name": part.name, "input": part.arguments}}
        else:
            call |= {"type": "function", "function": {"name": part.name, "arguments": part.arguments or "{}"}}
        if part.seal is not None and part.seal.maker == "google":
            call["extra_content"] = google_content(part.seal)
        self.fields.setdefault("tool_calls", []).append(call)
        self._calls.append(msgspec.structs.replace(part, id=id))

    def _media(self, part: Media) -> None:
        if part.kind == "audio":
            self.fields["audio"] = audio_out(part, f"audio_{self._context.id}")
        elif part.kind == "image" and (image := image_out(part)) is not None:
            images = self.fields.setdefault("images", [])
            images.append({**image, "index": len(images)})
        else:
            self._losses.dropped(part.kind)

    def _native(self, part: Native) -> None:
        if part.dialect != DIALECT or part.field.startswith("content[]"):
            self._losses.dropped(part.field)
        elif isinstance(part.value, list) and isinstance(known := self.fields.get(part.field), list):
            self.fields[part.field] = [*known, *part.value]
        else:
            self.fields[part.field] = part.value

    def whole(self) -> dict[str, Any]:
        """The message, thinking included."""
        text = "".join(part.text for part in self._thinking)
        if text:
            self.fields["reasoning_content"] = text
        details = _sealed_details(self._thinking, self._calls)
        if details:
            self.fields["reasoning_details"] = details
        return self.fields


def _sealed_details(thinking: Sequence[Thinking], calls: Sequence[ToolCall]) -> list[dict[str, Any]]:
    """`reasoning_details` where anything is sealed or has an id, or thoughts must be told apart; else none."""
    details: list[dict[str, Any]] = []
    if any(part.seal is not None or part.id for part in thinking) or len(thinking) > 1:
        for part in thinking:
            details += details_of(part, len(details))
    for call in calls:
        if call.seal is not None and call.seal.maker != "google":
            details.append(call_detail(call.seal, call.id, len(details)))
    return details
