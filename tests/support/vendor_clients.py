"""The vendors' own SDKs behind the same few calls, each speaking its own dialect to a gateway."""

import base64
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import anthropic
import httpx
import openai
from google import genai
from google.genai import errors as google_errors
from google.genai import types
from pydantic import BaseModel

__all__ = ["CLIENTS", "PIXEL", "TOOLS", "Answer", "Client", "Failure", "Weather"]

PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg=="
)
"""A red dot, as PNG."""

TOOLS: Mapping[str, Mapping[str, Any]] = {
    "get_weather": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
        "additionalProperties": False,
    },
    "get_time": {
        "type": "object",
        "properties": {"zone": {"type": "string"}},
        "required": ["zone"],
        "additionalProperties": False,
    },
}


class Weather(BaseModel):
    """What a structured answer holds."""

    city: str
    degrees: int


@dataclass
class Answer:
    """What an SDK made of an answer."""

    text: str = ""
    thinking: str = ""
    calls: list[tuple[str, Any]] = field(default_factory=list)
    stop: str = ""
    usage: tuple[int, int] = (0, 0)
    parsed: Weather | None = None


@dataclass
class Failure(Exception):
    """What an SDK made of an error: the name of its exception's class, the status, and the text."""

    kind: str
    status: int
    message: str


class Client(Protocol):
    """One SDK. Every call raises `Failure` for an error of the gateway's."""

    def ask(self, model: str, text: str, *, stream: bool = False, image: bytes | None = None) -> Answer: ...

    def reason(self, model: str, text: str, *, stream: bool = False) -> Answer: ...

    def parse(self, model: str, text: str) -> Answer: ...

    def use_tools(self, model: str, text: str, results: Mapping[str, str], *, stream: bool = False) -> list[Answer]:
        """Two rounds: the calls, and what is said once they are answered."""
        ...


class OpenAIChat:
    """`client.chat.completions`."""

    def __init__(self, base: str, key: str) -> None:
        self.client = openai.OpenAI(base_url=f"{base}/v1", api_key=key, max_retries=0)

    def ask(self, model: str, text: str, *, stream: bool = False, image: bytes | None = None) -> Answer:
        content: Any = text
        if image is not None:
            url = "data:image/png;base64," + base64.b64encode(image).decode()
            content = [{"type": "text", "text": text}, {"type": "image_url", "image_url": {"url": url}}]
        return self._send(stream, model=model, messages=[{"role": "user", "content": content}])

    def reason(self, model: str, text: str, *, stream: bool = False) -> Answer:
        messages = [{"role": "user", "content": text}]
        return self._send(stream, model=model, messages=messages, reasoning_effort="low")

    def parse(self, model: str, text: str) -> Answer:
        with _failures():
            completion = self.client.chat.completions.parse(
                model=model, messages=[{"role": "user", "content": text}], response_format=Weather
            )
        return Answer(text=completion.choices[0].message.content or "", parsed=completion.choices[0].message.parsed)

    def use_tools(self, model: str, text: str, results: Mapping[str, str], *, stream: bool = False) -> list[Answer]:
        tools = [{"type": "function", "function": {"name": name, "parameters": form}} for name, form in TOOLS.items()]
        messages: list[Any] = [{"role": "user", "content": text}]
        first = self._send(stream, model=model, messages=messages, tools=tools)
        message = self.last.choices[0].message
        messages.append(message.model_dump(exclude_none=True))
        for call in message.tool_calls or []:
            content = results[call.function.name]
            messages.append({"role": "tool", "tool_call_id": call.id, "content": content})
        return [first, self._send(stream, model=model, messages=messages, tools=tools)]

    def _send(self, stream: bool, **request: Any) -> Answer:
        with _failures():
            if stream:
                with self.client.chat.completions.stream(**request, stream_options={"include_usage": True}) as events:
                    self.last: Any = events.get_final_completion()
            else:
                self.last = self.client.chat.completions.create(**request)
        choice = self.last.choices[0]
        message, usage = choice.message, self.last.usage
        return Answer(
            text=message.content or "",
            thinking=getattr(message, "reasoning_content", None) or "",
            calls=[(call.function.name, json.loads(call.function.arguments)) for call in message.tool_calls or []],
            stop=choice.finish_reason,
            usage=(usage.prompt_tokens, usage.completion_tokens),
        )


class OpenAIResponses:
    """`client.responses`."""

    def __init__(self, base: str, key: str) -> None:
        self.client = openai.OpenAI(base_url=f"{base}/v1", api_key=key, max_retries=0)

    def ask(self, model: str, text: str, *, stream: bool = False, image: bytes | None = None) -> Answer:
        content: list[Any] = [{"type": "input_text", "text": text}]
        if image is not None:
            url = "data:image/png;base64," + base64.b64encode(image).decode()
            content.append({"type": "input_image", "image_url": url, "detail": "auto"})
        return self._send(stream, model=model, input=[{"role": "user", "content": content}])

    def reason(self, model: str, text: str, *, stream: bool = False) -> Answer:
        return self._send(stream, model=model, input=text, reasoning={"effort": "low", "summary": "auto"})

    def parse(self, model: str, text: str) -> Answer:
        with _failures():
            response = self.client.responses.parse(model=model, input=text, text_format=Weather)
        return Answer(text=response.output_text, parsed=response.output_parsed)

    def use_tools(self, model: str, text: str, results: Mapping[str, str], *, stream: bool = False) -> list[Answer]:
        tools = [{"type": "function", "name": name, "parameters": form, "strict": True} for name, form in TOOLS.items()]
        items: list[Any] = [{"role": "user", "content": text}]
        first = self._send(stream, model=model, input=items, tools=tools)
        for item in self.last.output:
            items.append(item.model_dump(exclude_none=True, exclude={"parsed_arguments"}))
        for item in self.last.output:
            if item.type == "function_call":
                items.append({"type": "function_call_output", "call_id": item.call_id, "output": results[item.name]})
        return [first, self._send(stream, model=model, input=items, tools=tools)]

    def _send(self, stream: bool, **request: Any) -> Answer:
        with _failures():
            if stream:
                with self.client.responses.stream(**request) as events:
                    self.last: Any = events.get_final_response()
            else:
                self.last = self.client.responses.create(**request)
        response = self.last
        return Answer(
            text=response.output_text,
            thinking="".join(
                part.text for item in response.output if item.type == "reasoning" for part in item.summary
            ),
            calls=[(item.name, json.loads(item.arguments)) for item in response.output if item.type == "function_call"],
            stop=response.status,
            usage=(response.usage.input_tokens, response.usage.output_tokens),
        )


class Anthropic:
    """`client.messages`."""

    def __init__(self, base: str, key: str) -> None:
        self.client = anthropic.Anthropic(base_url=base, api_key=key, max_retries=0)

    def ask(self, model: str, text: str, *, stream: bool = False, image: bytes | None = None) -> Answer:
        content: list[Any] = [{"type": "text", "text": text}]
        if image is not None:
            source = {"type": "base64", "media_type": "image/png", "data": base64.b64encode(image).decode()}
            content.append({"type": "image", "source": source})
        return self._send(stream, model=model, messages=[{"role": "user", "content": content}])

    def reason(self, model: str, text: str, *, stream: bool = False) -> Answer:
        messages = [{"role": "user", "content": text}]
        thinking = {"type": "enabled", "budget_tokens": 1024}
        return self._send(stream, model=model, messages=messages, thinking=thinking, max_tokens=2048)

    def parse(self, model: str, text: str) -> Answer:
        with _failures():
            message = self.client.messages.parse(
                model=model,
                max_tokens=256,
                messages=[{"role": "user", "content": text}],
                output_format=Weather,
            )
        return Answer(text=message.content[-1].text, parsed=message.parsed_output)

    def use_tools(self, model: str, text: str, results: Mapping[str, str], *, stream: bool = False) -> list[Answer]:
        tools = [{"name": name, "input_schema": form} for name, form in TOOLS.items()]
        messages: list[Any] = [{"role": "user", "content": text}]
        first = self._send(stream, model=model, messages=messages, tools=tools)
        messages.append({"role": "assistant", "content": self.last.content})
        answers = [
            {"type": "tool_result", "tool_use_id": block.id, "content": results[block.name]}
            for block in self.last.content
            if block.type == "tool_use"
        ]
        messages.append({"role": "user", "content": answers})
        return [first, self._send(stream, model=model, messages=messages, tools=tools)]

    def _send(self, stream: bool, *, max_tokens: int = 256, **request: Any) -> Answer:
        with _failures():
            if stream:
                with self.client.messages.stream(max_tokens=max_tokens, **request) as events:
                    self.last: Any = events.get_final_message()
            else:
                self.last = self.client.messages.create(max_tokens=max_tokens, **request)
        content, usage = self.last.content, self.last.usage
        return Answer(
            text="".join(block.text for block in content if block.type == "text"),
            thinking="".join(block.thinking for block in content if block.type == "thinking"),
            calls=[(block.name, block.input) for block in content if block.type == "tool_use"],
            stop=self.last.stop_reason,
            usage=(usage.input_tokens, usage.output_tokens),
        )


class Google:
    """`client.models` of google-genai."""

    def __init__(self, base: str, key: str) -> None:
        self.client = genai.Client(api_key=key, http_options=types.HttpOptions(base_url=base))

    def ask(self, model: str, text: str, *, stream: bool = False, image: bytes | None = None) -> Answer:
        parts = [types.Part.from_text(text=text)]
        if image is not None:
            parts.append(types.Part.from_bytes(data=image, mime_type="image/png"))
        return self._send(stream, model, [types.Content(role="user", parts=parts)], None)

    def reason(self, model: str, text: str, *, stream: bool = False) -> Answer:
        thinking = types.ThinkingConfig(include_thoughts=True, thinking_budget=1024)
        return self._send(stream, model, [_said(text)], types.GenerateContentConfig(thinking_config=thinking))

    def parse(self, model: str, text: str) -> Answer:
        config = types.GenerateContentConfig(response_mime_type="application/json", response_schema=Weather)
        with _failures():
            response = self.client.models.generate_content(model=model, contents=text, config=config)
        assert response.parsed is None or isinstance(response.parsed, Weather)
        return Answer(text=response.text or "", parsed=response.parsed)

    def use_tools(self, model: str, text: str, results: Mapping[str, str], *, stream: bool = False) -> list[Answer]:
        declared = [
            types.FunctionDeclaration(name=name, parameters_json_schema=dict(form)) for name, form in TOOLS.items()
        ]
        config = types.GenerateContentConfig(
            tools=[types.Tool(function_declarations=declared)],
            automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True),
        )
        contents = [_said(text)]
        first = self._send(stream, model, contents, config)
        contents.append(types.Content(role="model", parts=list(self.parts)))
        answers = [
            types.Part(
                function_response=types.FunctionResponse(
                    id=part.function_call.id,
                    name=part.function_call.name,
                    response={"result": results[part.function_call.name or ""]},
                )
            )
            for part in self.parts
            if part.function_call is not None
        ]
        contents.append(types.Content(role="user", parts=answers))
        return [first, self._send(stream, model, contents, config)]

    def _send(
        self, stream: bool, model: str, contents: Sequence[types.Content], config: types.GenerateContentConfig | None
    ) -> Answer:
        with _failures():
            call = self.client.models
            pieces: Iterable[types.GenerateContentResponse] = (
                list(call.generate_content_stream(model=model, contents=list(contents), config=config))
                if stream
                else [call.generate_content(model=model, contents=list(contents), config=config)]
            )
        self.parts: list[types.Part] = []
        answer = Answer()
        for piece in pieces:
            for candidate in piece.candidates or []:
                self.parts += (candidate.content.parts if candidate.content else None) or []
                answer.stop = candidate.finish_reason.name if candidate.finish_reason else answer.stop
            if piece.usage_metadata is not None:
                usage = piece.usage_metadata
                answer.usage = (usage.prompt_token_count or 0, usage.candidates_token_count or 0)
        answer.text = "".join(part.text or "" for part in self.parts if not part.thought)
        answer.thinking = "".join(part.text or "" for part in self.parts if part.thought)
        calls = [part.function_call for part in self.parts if part.function_call is not None]
        answer.calls = [(call.name or "", call.args) for call in calls]
        return answer


def _said(text: str) -> types.Content:
    return types.Content(role="user", parts=[types.Part.from_text(text=text)])


class _failures:  # noqa: N801 - used as a statement
    """Turns an SDK's exception for an error answer into a `Failure`."""

    def __enter__(self) -> None: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        if isinstance(error, openai.APIStatusError | anthropic.APIStatusError):
            raise Failure(type(error).__name__, error.status_code, error.message) from error
        if isinstance(error, google_errors.APIError):
            raise Failure(f"{type(error).__name__} {error.status}", error.code, error.message or "") from error
        assert not isinstance(error, httpx.HTTPError), error


CLIENTS: Mapping[str, type[OpenAIChat] | type[OpenAIResponses] | type[Anthropic] | type[Google]] = {
    "openai_chat": OpenAIChat,
    "openai_responses": OpenAIResponses,
    "anthropic_messages": Anthropic,
    "google_generate": Google,
}
"""By the dialect they speak."""
