"""What is written is what OpenAI's own client takes: its types, and the accumulator of its streams."""

from typing import Any

import pytest
from pydantic import BaseModel

from asgi_gateway.canonical import (
    ChatResponse,
    Choice,
    Citation,
    Refusal,
    Seal,
    Started,
    Stopped,
    StopReason,
    Text,
    Thinking,
    TokenLogprob,
    ToolCall,
    Usage,
    unfold,
)
from support.openai_chat import chunks_of, context_of, streamed, written_plain

openai = pytest.importorskip("openai")

from openai.lib.streaming.chat import ChatCompletionStreamState  # noqa: E402 # only where it is installed
from openai.types.chat import ChatCompletion, ChatCompletionChunk  # noqa: E402

OURS = {"annotations", "reasoning_content", "reasoning_details", "extra_content"}
"""Fields of look-alikes, for what OpenAI has no field for; `annotations` are missing in the type of deltas alone."""

SIGNED = Seal(maker="anthropic", kind="signature", data="c2ln")
GOOGLE = Seal(maker="google", kind="signature", data="Zw==")
CITED = (Citation(kind="url", url="https://a.test", title="A"), Citation(kind="url", url="https://b.test"))

RESPONSES = {
    "text": (Choice(parts=(Text("Hello"),), stopped=Stopped("stop")),),
    "refusal": (Choice(parts=(Refusal("No."),), stopped=Stopped("refusal")),),
    "sources": (Choice(parts=(Text("a", CITED), Text("b", CITED)), stopped=Stopped("stop")),),
    "thinking": (
        Choice(
            parts=(
                Thinking("why", SIGNED),
                Thinking("then", Seal(maker="openai", kind="encrypted", data="eA=="), "rs_1"),
                Thinking("", Seal(maker="anthropic", kind="redacted", data="eA==")),
                Text("so", seal=GOOGLE),
            ),
            stopped=Stopped("length"),
        ),
    ),
    "calls": (
        Choice(
            parts=(
                ToolCall(id="a", name="f", arguments='{"x": 1}', seal=GOOGLE),
                ToolCall(id="b", name="g", seal=SIGNED),
            ),
            stopped=Stopped("tool_calls"),
        ),
    ),
    "choices": (
        Choice(parts=(Text("a"),), stopped=Stopped("stop"), logprobs=(TokenLogprob("a", -0.5, (97,)),)),
        Choice(parts=(Text("b"),), stopped=Stopped("content_filter", 1)),
    ),
}


def _extras(model: Any, path: str = "") -> list[str]:
    """Fields that the client's types do not have."""
    found: list[str] = []
    if isinstance(model, BaseModel):
        found += [f"{path}.{name}" for name in model.model_extra or {} if name not in OURS]
        for name in type(model).model_fields:
            found += _extras(getattr(model, name), f"{path}.{name}")
    elif isinstance(model, list):
        for item in model:
            found += _extras(item, f"{path}[]")
    return found


def _response(name: str) -> ChatResponse:
    return ChatResponse(started=Started("x", "m", 7), choices=RESPONSES[name], usage=Usage(input=3, output=2))


@pytest.mark.parametrize("name", RESPONSES)
def test_plain_answers(name: str) -> None:
    """Have every field that they must, and none that is unknown."""
    found = ChatCompletion.model_validate(written_plain(_response(name)))
    assert _extras(found) == []
    assert found.choices[0].message.role == "assistant"


@pytest.mark.parametrize("name", RESPONSES)
def test_streams(name: str) -> None:
    """So do chunks; put together by the client they are the plain answer."""
    response, context = _response(name), context_of(wants_usage=True)
    state: Any = ChatCompletionStreamState()
    for chunk in chunks_of(streamed(list(unfold(response)), context)):
        read = ChatCompletionChunk.model_validate(chunk)
        assert _extras(read) == []
        state.handle_chunk(read)
    put_together = state.current_completion_snapshot.model_dump(exclude_none=True)
    plain = ChatCompletion.model_validate(written_plain(response, context)).model_dump(exclude_none=True)
    for one, other in zip(put_together["choices"], plain["choices"], strict=True):
        for choice in (one, other):
            for call in choice["message"].get("tool_calls", ()):
                call.pop("index", None)
            for detail in choice["message"].get("reasoning_details", ()):
                detail.pop("index")
        details = [choice["message"].pop("reasoning_details", []) for choice in (one, other)]
        assert [detail for detail in details[0] if detail.get("text") != ""] == details[1]
        contents = [choice["message"].pop("content", None) for choice in (one, other)]
        assert contents[0] == (contents[1] or "")  # a stream begins with an empty one
        assert one == other
    assert put_together["usage"] == plain["usage"]


@pytest.mark.parametrize("reason", ["stop", "length", "tool_calls", "content_filter", "refusal", "pause", "other"])
def test_reasons_to_stop(reason: StopReason) -> None:
    """Are words that the client knows."""
    response = ChatResponse(started=Started("x"), choices=(Choice(parts=(Text("a"),), stopped=Stopped(reason)),))
    plain = ChatCompletion.model_validate(written_plain(response))
    chunks = [ChatCompletionChunk.model_validate(chunk) for chunk in chunks_of(streamed(list(unfold(response))))]
    told = [choice.finish_reason for chunk in chunks for choice in chunk.choices if choice.finish_reason]
    assert told == [plain.choices[0].finish_reason]
