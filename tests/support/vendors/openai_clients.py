"""OpenAI's SDK, by Chat Completions and by Responses."""

import base64
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import openai

from support.vendors.answers import TOOLS, Answer, Failure, Weather

__all__ = ["OpenAIChat", "OpenAIResponses"]


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

    def close(self) -> None:
        self.client.close()

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

    def close(self) -> None:
        self.client.close()

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


@contextmanager
def _failures() -> Iterator[None]:
    """Turns the SDK's exception for an error answer into a `Failure`."""
    try:
        yield
    except openai.APIStatusError as error:
        raise Failure(type(error).__name__, error.status_code, error.message) from error
