"""Amazon's SDK, with a bearer key of the gateway's. It has no accumulator for streams, and no parser."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError, EventStreamError

from support.vendors.answers import TOOLS, Answer, Failure, Weather, nth

__all__ = ["Bedrock"]

THINKING = {"thinking": {"type": "enabled", "budget_tokens": 1024}}


class Bedrock:
    """`converse` and `converse_stream` of the client `bedrock-runtime`."""

    def __init__(self, base: str, key: str) -> None:
        self.client = boto3.client(
            "bedrock-runtime",
            region_name="us-east-1",
            endpoint_url=base,
            aws_access_key_id="none",
            aws_secret_access_key="none",
            config=Config(retries={"total_max_attempts": 1}),
        )

        # Its own bearer keys (AWS_BEARER_TOKEN_BEDROCK) want HTTPS; over HTTP it signs, and the signature makes way.
        def authorize(request: Any, **_: Any) -> None:
            request.headers["Authorization"] = f"Bearer {key}"

        self.client.meta.events.register("before-send.bedrock-runtime", authorize)

    def ask(self, model: str, text: str, *, stream: bool = False, image: bytes | None = None) -> Answer:
        content: list[Any] = [{"text": text}]
        if image is not None:
            content.append({"image": {"format": "png", "source": {"bytes": image}}})
        return self._send(stream, model, [{"role": "user", "content": content}])

    def reason(self, model: str, text: str, *, stream: bool = False) -> Answer:
        return self._send(stream, model, [_said(text)], additionalModelRequestFields=THINKING)

    def parse(self, model: str, text: str) -> Answer:
        schema = {"name": "weather", "schema": json.dumps(Weather.model_json_schema())}
        form = {"textFormat": {"type": "json_schema", "structure": {"jsonSchema": schema}}}
        answer = self._send(False, model, [_said(text)], outputConfig=form)
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
        tools = [{"toolSpec": {"name": name, "inputSchema": {"json": form}}} for name, form in TOOLS.items()]
        request: dict[str, Any] = {"toolConfig": {"tools": tools}}
        if think:
            request["additionalModelRequestFields"] = THINKING
        messages: list[Any] = []
        answers: list[Answer] = []
        for text in texts:
            messages.append(_said(text))
            while messages[-1]["role"] == "user":
                answers.append(self._send(stream, nth(models, len(answers)), messages, **request))
                messages.append({"role": "assistant", "content": self.content})
                calls = [block["toolUse"] for block in self.content if "toolUse" in block]
                given = [
                    {"toolResult": {"toolUseId": call["toolUseId"], "content": [{"text": results[call["name"]]}]}}
                    for call in calls
                ]
                if given:
                    messages.append({"role": "user", "content": given})
        return answers

    def close(self) -> None:
        self.client.close()

    def _send(self, stream: bool, model: str, messages: list[Any], **request: Any) -> Answer:
        answer = Answer()
        self.content: list[dict[str, Any]] = []
        with _failures():
            if stream:
                response = self.client.converse_stream(modelId=model, messages=messages, **request)
                self._take_stream(answer, response["stream"])
            else:
                response = self.client.converse(modelId=model, messages=messages, **request)
                self.content = response["output"]["message"]["content"]
                answer.stop, usage = response["stopReason"], response["usage"]
                answer.usage = (usage["inputTokens"], usage["outputTokens"])
        for block in self.content:
            if isinstance(block.get("toolUse", {}).get("input"), str):
                block["toolUse"]["input"] = json.loads(block["toolUse"]["input"])
        answer.text = "".join(block.get("text", "") for block in self.content)
        thoughts = [block["reasoningContent"] for block in self.content if "reasoningContent" in block]
        answer.thinking = "".join(
            thought["reasoningText"]["text"] for thought in thoughts if "reasoningText" in thought
        )
        calls = [block["toolUse"] for block in self.content if "toolUse" in block]
        answer.calls = [(call["name"], call["input"]) for call in calls]
        return answer

    def _take_stream(self, answer: Answer, stream: Any) -> None:
        with closing(stream) as events:
            for event in events:
                self._take_event(answer, event)

    def _take_event(self, answer: Answer, event: dict[str, Any]) -> None:
        match event:
            case {"contentBlockStart": {"start": {"toolUse": call}}}:
                self.content.append({"toolUse": {**call, "input": ""}})
            case {"contentBlockDelta": {"contentBlockIndex": index, "delta": delta}}:
                if index == len(self.content):
                    self.content.append({})
                _add(self.content[index], delta)
            case {"messageStop": {"stopReason": reason}}:
                answer.stop = reason
            case {"metadata": {"usage": usage}}:
                answer.usage = (usage["inputTokens"], usage["outputTokens"])
            case _:
                assert event.keys() <= {"messageStart", "contentBlockStart", "contentBlockStop"}, event


def _add(block: dict[str, Any], delta: dict[str, Any]) -> None:
    match delta:
        case {"text": text}:
            block["text"] = block.get("text", "") + text
        case {"toolUse": {"input": arguments}}:
            block["toolUse"]["input"] += arguments
        case {"reasoningContent": {"redactedContent": data}}:
            block["reasoningContent"] = {"redactedContent": data}
        case {"reasoningContent": piece}:
            thought = block.setdefault("reasoningContent", {"reasoningText": {"text": ""}})["reasoningText"]
            for name, text in piece.items():
                thought[name] = thought.get(name, "") + text
        case _:
            raise AssertionError(delta)


def _said(text: str) -> dict[str, Any]:
    return {"role": "user", "content": [{"text": text}]}


@contextmanager
def _failures() -> Iterator[None]:
    """Turns the SDK's exception for an error answer into a `Failure`."""
    try:
        yield
    except EventStreamError as error:
        raise Failure(error.response["Error"]["Code"], 200, error.response["Error"]["Message"]) from error
    except ClientError as error:
        status = error.response["ResponseMetadata"]["HTTPStatusCode"]
        raise Failure(type(error).__name__, status, error.response["Error"]["Message"]) from error
