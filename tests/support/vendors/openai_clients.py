"""OpenAI's SDK, by Chat Completions and by Responses."""

import base64
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import openai

from support.vendors.answers import TOOLS, Answer, Failure, Weather, nth

__all__ = ["BareOpenAIChat", "OpenAIChat", "OpenAIResponses"]


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

    def talk(
        self,
        models: Sequence[str],
        texts: Sequence[str],
        results: Mapping[str, str],
        *,
        stream: bool = False,
        think: bool = False,
    ) -> list[Answer]:
        tools = [{"type": "function", "function": {"name": name, "parameters": form}} for name, form in TOOLS.items()]
        request: dict[str, Any] = {"tools": tools, **({"reasoning_effort": "low"} if think else {})}
        messages: list[Any] = []
        answers: list[Answer] = []
        for text in texts:
            messages.append({"role": "user", "content": text})
            calls: Any = True
            while calls:
                answers.append(self._send(stream, model=nth(models, len(answers)), messages=messages, **request))
                message = self.last.choices[0].message
                messages.append(self.kept(message))
                calls = message.tool_calls
                for call in calls or []:
                    content = results[call.function.name]
                    messages.append({"role": "tool", "tool_call_id": call.id, "content": content})
        return answers

    def kept(self, message: Any) -> dict[str, Any]:
        """What goes back of a message: all of it, as the SDK's documentation does it."""
        return dict(message.model_dump(exclude_none=True))

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


class BareOpenAIChat(OpenAIChat):
    """The same in the hands of a client that sends back what OpenAI documents, and nothing else."""

    def kept(self, message: Any) -> dict[str, Any]:
        kept = {"role": "assistant", "content": message.content}
        if message.tool_calls:
            kept["tool_calls"] = [
                {
                    "id": call.id,
                    "type": "function",
                    "function": {"name": call.function.name, "arguments": call.function.arguments},
                }
                for call in message.tool_calls
            ]
        return kept


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

    def talk(
        self,
        models: Sequence[str],
        texts: Sequence[str],
        results: Mapping[str, str],
        *,
        stream: bool = False,
        think: bool = False,
    ) -> list[Answer]:
        tools = [{"type": "function", "name": name, "parameters": form, "strict": True} for name, form in TOOLS.items()]
        request: dict[str, Any] = {"tools": tools}
        if think:  # stateless, as OpenAI's guide for reasoning models has it
            request |= {"reasoning": {"effort": "low"}, "store": False, "include": ["reasoning.encrypted_content"]}
        items: list[Any] = []
        answers: list[Answer] = []
        for text in texts:
            items.append({"role": "user", "content": text})
            calls: Any = True
            while calls:
                answers.append(self._send(stream, model=nth(models, len(answers)), input=items, **request))
                output = self.last.output
                items += [item.model_dump(exclude_none=True, exclude={"parsed_arguments"}) for item in output]
                calls = [item for item in output if item.type == "function_call"]
                for call in calls:
                    result = {"type": "function_call_output", "call_id": call.call_id, "output": results[call.name]}
                    items.append(result)
        return answers

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
