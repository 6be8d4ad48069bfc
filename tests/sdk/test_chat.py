"""Chat completions by the SDK: plain, streamed, accumulated, with tools, with what neither side knows."""

import json
from typing import Any

import pytest
from pydantic import BaseModel

from support.openai_answers import USAGE, chat, in_turn, tool_call
from support.sdk import MESSAGES, Sdk, items, settled

WORDS = ["Hel", "lo ", "there"]
HELLO = chat(
    {"content": "".join(WORDS), "refusal": None},
    [{"role": "assistant", "content": ""}, *({"content": word} for word in WORDS)],
)
WEATHER: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


async def test_plain(sdk: Sdk) -> None:
    """The upstream's answer, asked for with the channel's key and charged by its usage."""
    sdk.service.plays(HELLO)
    answer = await sdk.chat()
    assert answer.choices[0].message.content == "Hello there"
    assert answer.usage.model_dump(exclude_none=True, exclude_unset=True) == USAGE
    visit = sdk.service.visit
    assert visit.target == "/v1/chat/completions"
    assert visit.headers["authorization"] == "Bearer sk-upstream"
    charge = await sdk.service.charge(answer._request_id)
    assert (charge["input_tokens"], charge["cache_read_tokens"], charge["output_tokens"]) == (5, 4, 3)


async def test_nothing_of_the_callers_headers_goes_upstream(sdk: Sdk) -> None:
    """Neither its key, nor what the SDK tells of itself, nor what the caller adds."""
    sdk.service.plays(HELLO)
    await sdk.chat(extra_headers={"x-custom": "1", "openai-organization": "org-of-the-caller", "cookie": "a=b"})
    known = {"host", "accept-encoding", "content-type", "authorization", "content-length"}
    assert set(sdk.service.visit.headers) == known
    assert sdk.service.visit.headers["accept-encoding"] == "identity"


async def test_streamed(sdk: Sdk) -> None:
    """Every chunk, and no usage where none was asked for: we asked, and it is charged by."""
    sdk.service.plays(HELLO)
    raw = await sdk.call("chat.completions.with_raw_response.create", model="m", messages=MESSAGES, stream=True)
    chunks = await items(await settled(raw.parse()))
    assert [chunk.choices[0].delta.content for chunk in chunks] == ["", *WORDS, None]
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert all(chunk.usage is None for chunk in chunks)
    assert sdk.service.visit.body["stream_options"] == {"include_usage": True}
    charge = await sdk.service.charge(raw.headers["x-request-id"])
    assert (charge["estimated"], charge["input_tokens"], charge["output_tokens"]) == (0, 5, 3)


async def test_streamed_with_usage(sdk: Sdk) -> None:
    """Who asks for the usage gets its event, last and without choices."""
    sdk.service.plays(HELLO)
    chunks = await sdk.chunks(stream_options={"include_usage": True})
    assert chunks[-1].choices == []
    assert chunks[-1].usage.total_tokens == USAGE["total_tokens"]
    assert sdk.service.visit.raw == sdk.sent[0]


async def test_streamed_where_usage_was_declined(sdk: Sdk) -> None:
    """A caller who says no gets none, and we ask all the same."""
    sdk.service.plays(HELLO)
    chunks = await sdk.chunks(stream_options={"include_usage": False, "include_obfuscation": False})
    assert all(chunk.usage is None and chunk.choices for chunk in chunks)
    assert sdk.service.visit.body["stream_options"] == {"include_usage": True, "include_obfuscation": False}


async def test_the_stream_helper_accumulates(sdk: Sdk) -> None:
    """`.stream()` folds the events into a completion."""
    sdk.service.plays(HELLO)
    manager = sdk.client.chat.completions.stream(model="m", messages=MESSAGES)
    if sdk.blocking:
        with manager as stream:
            events = list(stream)
            final = stream.get_final_completion()
    else:
        async with manager as stream:
            events = [event async for event in stream]
            final = await stream.get_final_completion()
    assert [event.delta for event in events if event.type == "content.delta"] == ["", *WORDS]
    assert final.choices[0].message.content == "Hello there"


async def test_a_tool_is_called_and_its_result_sent(sdk: Sdk) -> None:
    """Two rounds: what the model asked for, and what it makes of the result."""
    sdk.service.plays(in_turn(tool_call("weather", '{"city": "Paris"}'), chat({"content": "20 °C"}, [])))
    first = await sdk.chat(tools=[WEATHER], tool_choice="auto", parallel_tool_calls=False)
    (call,) = first.choices[0].message.tool_calls
    assert (call.id, call.function.name, json.loads(call.function.arguments)) == (
        "call_1",
        "weather",
        {"city": "Paris"},
    )
    result = {"role": "tool", "tool_call_id": call.id, "content": "20"}
    history = [*MESSAGES, first.choices[0].message.model_dump(exclude_unset=True), result]
    second = await sdk.chat(messages=history, tools=[WEATHER])
    assert second.choices[0].message.content == "20 °C"
    assert [visit.raw for visit in sdk.service.upstream.visits] == sdk.sent


async def test_a_tool_call_is_accumulated_from_a_stream(sdk: Sdk) -> None:
    """Its arguments come in pieces."""
    sdk.service.plays(tool_call("weather", '{"city": "Paris"}'))
    deltas = [chunk.choices[0].delta for chunk in await sdk.chunks(tools=[WEATHER])]
    calls = [call for delta in deltas for call in delta.tool_calls or ()]
    assert "".join(call.function.arguments for call in calls) == '{"city": "Paris"}'
    assert (calls[0].id, calls[0].function.name) == ("call_1", "weather")


class City(BaseModel):
    name: str
    people: int


async def test_a_structured_answer_is_parsed(sdk: Sdk) -> None:
    """`.parse()` sends a schema and reads the answer by it."""
    sdk.service.plays(chat({"content": '{"name": "Paris", "people": 2}', "refusal": None}, []))
    answer = await sdk.call("chat.completions.parse", model="m", messages=MESSAGES, response_format=City)
    assert answer.choices[0].message.parsed == City(name="Paris", people=2)
    assert sdk.service.visit.raw == sdk.sent[0]


async def test_what_we_do_not_know_passes_both_ways(sdk: Sdk) -> None:
    """Fields of a request that no document names, and such of an answer, plain and streamed."""
    strange = {"depth": [1, {"a": None}], "text": "é\n"}
    sdk.service.plays(chat({"content": "yes", "mood": "calm"}, [{"content": "yes", "mood": "calm"}], vendor=strange))
    answer = await sdk.chat(extra_body={"top_k": 40, "vendor": strange})
    assert (sdk.service.visit.body["top_k"], sdk.service.visit.body["vendor"]) == (40, strange)
    assert answer.model_extra == {"vendor": strange}
    assert answer.choices[0].message.model_extra == {"mood": "calm"}
    chunks = await sdk.chunks(extra_body={"top_k": 40})
    assert chunks[0].model_extra == {"vendor": strange}
    assert chunks[0].choices[0].delta.model_extra == {"mood": "calm"}


async def test_the_raw_response_has_the_ids(sdk: Sdk) -> None:
    """Ours is new for every answer; the caller's own is echoed beside it, and is none of ours."""
    sdk.service.plays(HELLO)
    raw = await sdk.call(
        "chat.completions.with_raw_response.create",
        model="m",
        messages=MESSAGES,
        extra_headers={"x-request-id": "mine-1"},
    )
    assert raw.headers["x-request-id"].startswith("req_")
    assert raw.headers["x-oneapi-request-id"] == raw.headers["x-request-id"] == raw.request_id
    assert raw.headers["x-client-request-id"] == "mine-1"
    assert raw.headers["x-gateway-conversion"] == "none"
    assert "x-gateway-channel" not in raw.headers
    assert (await settled(raw.parse())).choices[0].message.content == "Hello there"


@pytest.mark.parametrize("model", ["org/model", "renamed"])
async def test_the_answer_names_the_upstreams_model(sdk: Sdk, model: str) -> None:
    """Names with a slash are names; what the upstream says of itself is not rewritten."""
    asked = {"org/model": "org/model", "renamed": "the-upstreams-own"}[model]
    sdk.service.plays(HELLO, asked)
    answer = await sdk.chat(model=model)
    assert answer.model == "gpt-4o-mini-2024-07-18"
    assert sdk.service.visit.model == asked
