"""Anthropic's SDK."""

import base64
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import anthropic

from support.vendors.answers import TOOLS, Answer, Failure, Weather, nth

__all__ = ["Anthropic"]


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

    def talk(
        self,
        models: Sequence[str],
        texts: Sequence[str],
        results: Mapping[str, str],
        *,
        stream: bool = False,
        think: bool = False,
    ) -> list[Answer]:
        tools = [{"name": name, "input_schema": form} for name, form in TOOLS.items()]
        request: dict[str, Any] = {"tools": tools}
        if think:
            request |= {"thinking": {"type": "enabled", "budget_tokens": 1024}, "max_tokens": 2048}
        messages: list[Any] = []
        answers: list[Answer] = []
        for text in texts:
            messages.append({"role": "user", "content": text})
            while messages[-1]["role"] == "user":
                answers.append(self._send(stream, model=nth(models, len(answers)), messages=messages, **request))
                content = self.last.content
                messages.append({"role": "assistant", "content": content})
                calls = [block for block in content if block.type == "tool_use"]
                given = [
                    {"type": "tool_result", "tool_use_id": call.id, "content": results[call.name]} for call in calls
                ]
                if given:
                    messages.append({"role": "user", "content": given})
        return answers

    def close(self) -> None:
        self.client.close()

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


@contextmanager
def _failures() -> Iterator[None]:
    """Turns the SDK's exception for an error answer into a `Failure`."""
    try:
        yield
    except anthropic.APIStatusError as error:
        raise Failure(type(error).__name__, error.status_code, error.message) from error
