"""Cohere's SDK. It has no accumulator for streams, and no parser: both are done here, by its own types."""

import base64
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import cohere
from cohere.core.api_error import ApiError

from support.vendors.answers import TOOLS, Answer, Failure, Weather, nth

__all__ = ["Cohere"]

THINKING = {"type": "enabled", "token_budget": 1024}


class Cohere:
    """`client.chat` and `client.chat_stream` of ClientV2."""

    def __init__(self, base: str, key: str) -> None:
        self.client = cohere.ClientV2(
            api_key=key, base_url=base, max_retries=0, log_warning_experimental_features=False
        )

    def ask(self, model: str, text: str, *, stream: bool = False, image: bytes | None = None) -> Answer:
        content: Any = text
        if image is not None:
            url = "data:image/png;base64," + base64.b64encode(image).decode()
            content = [{"type": "text", "text": text}, {"type": "image_url", "image_url": {"url": url}}]
        return self._send(stream, model=model, messages=[{"role": "user", "content": content}])

    def reason(self, model: str, text: str, *, stream: bool = False) -> Answer:
        messages = [{"role": "user", "content": text}]
        return self._send(stream, model=model, messages=messages, thinking=THINKING)

    def parse(self, model: str, text: str) -> Answer:
        form = {"type": "json_object", "json_schema": Weather.model_json_schema()}
        answer = self._send(False, model=model, messages=[{"role": "user", "content": text}], response_format=form)
        answer.parsed = Weather.model_validate_json(answer.text)
        return answer

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
        request: dict[str, Any] = {"tools": tools, **({"thinking": THINKING} if think else {})}
        messages: list[Any] = []
        answers: list[Answer] = []
        for text in texts:
            messages.append({"role": "user", "content": text})
            while messages[-1]["role"] != "assistant":
                answer = self._send(stream, model=nth(models, len(answers)), messages=messages, **request)
                answers.append(answer)
                message = {"content": answer.text, "tool_plan": self.plan, "tool_calls": self.calls}
                said = {name: value for name, value in message.items() if value}
                messages.append({"role": "assistant", **said})
                for call in self.calls:
                    content = results[call["function"]["name"]]
                    messages.append({"role": "tool", "tool_call_id": call["id"], "content": content})
        return answers

    def close(self) -> None:
        self.client._client_wrapper.httpx_client.httpx_client.close()

    def _send(self, stream: bool, **request: Any) -> Answer:
        self.plan = ""
        self.calls: list[dict[str, Any]] = []
        answer = Answer()
        with _failures():
            if stream:
                for event in self.client.chat_stream(**request):
                    self._take_event(answer, event)
            else:
                self._take_whole(answer, self.client.chat(**request))
        answer.calls = [(call["function"]["name"], json.loads(call["function"]["arguments"])) for call in self.calls]
        return answer

    def _take_whole(self, answer: Answer, response: Any) -> None:
        message = response.message
        for part in message.content or []:
            if part.type == "thinking":
                answer.thinking += part.thinking
            else:
                answer.text += part.text
        self.plan = message.tool_plan or ""
        for call in message.tool_calls or []:
            self._call(call.id, call.function.name, call.function.arguments)
        self._end(answer, response.finish_reason, response.usage)

    def _take_event(self, answer: Answer, event: Any) -> None:
        message = getattr(getattr(event, "delta", None), "message", None)
        match event.type:
            case "content-start" | "content-delta":
                answer.thinking += message.content.thinking or ""
                answer.text += message.content.text or ""
            case "tool-plan-delta":
                self.plan += message.tool_plan
            case "tool-call-start":
                call = message.tool_calls
                self._call(call.id, call.function.name, call.function.arguments or "")
            case "tool-call-delta":
                self.calls[-1]["function"]["arguments"] += message.tool_calls.function.arguments
            case "message-end":
                self._end(answer, event.delta.finish_reason, event.delta.usage)
            case kind:
                assert kind in {"message-start", "content-end", "tool-call-end"}, kind

    def _call(self, id: str, name: str, arguments: str) -> None:
        self.calls.append({"id": id, "type": "function", "function": {"name": name, "arguments": arguments}})

    def _end(self, answer: Answer, reason: str, usage: Any) -> None:
        answer.stop = reason
        answer.usage = (int(usage.tokens.input_tokens), int(usage.tokens.output_tokens))


@contextmanager
def _failures() -> Iterator[None]:
    """Turns the SDK's exception for an error answer into a `Failure`."""
    try:
        yield
    except ApiError as error:
        body = error.body
        message = body.get("message", "") if isinstance(body, Mapping) else str(body)
        raise Failure(type(error).__name__, error.status_code or 0, message) from error
