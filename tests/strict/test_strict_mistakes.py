"""The strict adapter fails on each kind of mistake: it would be of no use if it took everything."""

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest

from support.strict import (
    STRICT,
    NotValid,
    check_error,
    check_error_event,
    check_request,
    check_response,
    check_stream,
    mistakes,
    openapi,
)
from support.strict.samples import REQUESTS, RESPONSES, STREAMS, Events, dump, sse

GONE = object()
"""Puts nothing in the place."""


@pytest.fixture(autouse=True)
def sdk(request: pytest.FixtureRequest) -> None:
    """The SDK whose types are asked must be there."""
    dialect = getattr(request.node, "callspec", None) and request.node.callspec.params.get("dialect")
    if dialect:
        pytest.importorskip(STRICT[dialect])


def put(value: Any, path: str, new: Any) -> Any:
    """A copy with another value in one place; `path` is members and positions with points between."""
    whole = copy.deepcopy(value)
    *steps, last = [int(step) if step.isdigit() else step for step in path.split(".")]
    place = whole
    for step in steps:
        place = place[step]
    if new is GONE:
        del place[last]
    else:
        place[last] = new
    return whole


@pytest.mark.parametrize("dialect", STRICT)
def test_what_is_right_passes(dialect: str) -> None:
    """A request, an answer and a stream of each dialect."""
    check_request(dialect, dump(REQUESTS[dialect]))
    check_response(dialect, dump(RESPONSES[dialect]))
    check_stream(dialect, sse(dialect, STREAMS[dialect]))


WRONG_REQUESTS = [
    ("openai_chat", "messages", GONE, "missing"),
    ("openai_chat", "messages.0.colour", "red", "invented"),
    ("openai_chat", "messages.0.role", "human", "value"),
    ("openai_chat", "messages.1.tool_calls.0.function.arguments", {}, "type"),
    ("openai_chat", "messages.2.tool_call_id", "b", "rule"),
    ("openai_chat", "tools.0.function.name", "a b", "rule"),
    ("openai_chat", "top_logprobs", 2, "rule"),
    ("openai_chat", "stream_options", {"include_usage": True}, "rule"),
    ("openai_chat", "messages", [], "rule"),
    ("openai_responses", "input", GONE, "missing"),
    ("openai_responses", "input.1.colour", "red", "invented"),
    ("openai_responses", "input.2.type", "tool", "value"),
    ("openai_responses", "input.1.call_id", "x" * 65, "rule"),
    ("openai_responses", "tools.0.strict", GONE, "missing"),
    ("openai_responses", "temperature", "hot", "type"),
    ("anthropic_messages", "max_tokens", GONE, "missing"),
    ("anthropic_messages", "messages.1.content.0.colour", "red", "invented"),
    ("anthropic_messages", "messages.1.content.0.input", "{}", "type"),
    ("anthropic_messages", "messages.1.content.0.type", "call", "value"),
    ("anthropic_messages", "messages.2.content.0.tool_use_id", "b", "rule"),
    ("anthropic_messages", "thinking", {"type": "enabled", "budget_tokens": 4096}, "rule"),
    ("anthropic_messages", "tools.0.input_schema", {}, "rule"),
    ("anthropic_messages", "system", [{"type": "text", "text": " "}], "rule"),
    ("anthropic_messages", "betas", ["x"], "invented"),
    ("google_generate", "contents", GONE, "missing"),
    ("google_generate", "contents.0.parts.0.inline_data", {}, "invented"),
    ("google_generate", "model", "m", "invented"),
    ("google_generate", "toolConfig.functionCallingConfig.mode", "auto", "value"),
    ("google_generate", "contents.1.parts.0.thoughtSignature", "not base64!", "type"),
    ("google_generate", "contents.0.parts", [], "rule"),
    ("google_generate", "contents.2.parts.0.functionResponse.name", GONE, "missing"),
    ("google_generate", "contents.0.parts.0.functionCall", {"name": "f"}, "rule"),
    ("google_generate", "generationConfig", {"thinkingConfig": {"thinkingBudget": 1, "thinkingLevel": "LOW"}}, "rule"),
    ("cohere_chat", "model", GONE, "missing"),
    ("cohere_chat", "messages.0.colour", "red", "invented"),
    ("cohere_chat", "tool_choice", "AUTO", "value"),
    ("cohere_chat", "messages.2.tool_call_id", "b", "rule"),
    ("cohere_chat", "max_tokens", "1", "type"),
    ("bedrock_converse", "messages.1.content.0.toolUse.name", GONE, "missing"),
    ("bedrock_converse", "messages.0.content.0.colour", "red", "invented"),
    ("bedrock_converse", "messages.0.role", "human", "value"),
    ("bedrock_converse", "messages.0.content.0.text", 1, "type"),
    ("bedrock_converse", "messages.2.content.0.toolResult.toolUseId", "b", "rule"),
    ("bedrock_converse", "toolConfig", GONE, "rule"),
]


@pytest.mark.parametrize(("dialect", "path", "new", "kind"), WRONG_REQUESTS)
def test_a_wrong_request_is_refused(dialect: str, path: str, new: Any, kind: str) -> None:
    """What is missing, invented, of another type, of another word, or against a written rule."""
    found = mistakes(dialect, "request", dump(put(REQUESTS[dialect], path, new)))
    assert kind in {mistake.kind for mistake in found}, found


WRONG_RESPONSES = [
    ("openai_chat", "choices.0.finish_reason", GONE, "missing"),
    ("openai_chat", "choices.0.message.refusal", GONE, "missing"),
    ("openai_chat", "usage.input_tokens", 3, "invented"),
    ("openai_chat", "choices.0.finish_reason", "end_turn", "value"),
    ("openai_chat", "created", "1", "type"),
    ("openai_chat", "usage.total_tokens", 6, "rule"),
    ("openai_chat", "choices.0.finish_reason", "tool_calls", "rule"),
    ("openai_responses", "usage.input_tokens_details", GONE, "missing"),
    ("openai_responses", "output.0.role", "user", "value"),
    ("openai_responses", "output.0.content.0.colour", "red", "invented"),
    ("openai_responses", "output.0.type", "text", "value"),
    ("openai_responses", "status", "incomplete", "rule"),
    ("openai_responses", "parallel_tool_calls", "yes", "type"),
    ("anthropic_messages", "usage", GONE, "missing"),
    ("anthropic_messages", "stop_sequence", GONE, "missing"),
    ("anthropic_messages", "stop_reason", "stop", "value"),
    ("anthropic_messages", "content.0.reasoning", "why", "invented"),
    ("anthropic_messages", "usage.input_tokens", "3", "type"),
    ("anthropic_messages", "stop_reason", "tool_use", "rule"),
    ("google_generate", "candidates.0.finishReason", GONE, "missing"),
    ("google_generate", "candidates.0.finishReason", "stop", "value"),
    ("google_generate", "candidates.0.content.parts.0.reasoning", "why", "invented"),
    ("google_generate", "usageMetadata.promptTokenCount", 3.5, "type"),
    ("google_generate", "usageMetadata.totalTokenCount", 6, "rule"),
    ("google_generate", "candidates.0.content.role", "assistant", "value"),
    ("cohere_chat", "usage", GONE, "missing"),
    ("cohere_chat", "finish_reason", "stop", "value"),
    ("cohere_chat", "message.refusal", None, "invented"),
    ("cohere_chat", "finish_reason", "TOOL_CALL", "rule"),
    ("bedrock_converse", "metrics", GONE, "missing"),
    ("bedrock_converse", "stopReason", "stop", "value"),
    ("bedrock_converse", "output.message.colour", "red", "invented"),
    ("bedrock_converse", "usage.inputTokens", "3", "type"),
    ("bedrock_converse", "usage.totalTokens", 6, "rule"),
]


@pytest.mark.parametrize(("dialect", "path", "new", "kind"), WRONG_RESPONSES)
def test_a_wrong_answer_is_refused(dialect: str, path: str, new: Any, kind: str) -> None:
    """The same kinds of mistakes, in answers."""
    found = mistakes(dialect, "response", dump(put(RESPONSES[dialect], path, new)))
    assert kind in {mistake.kind for mistake in found}, found


def without(*places: int) -> Callable[[Events], Events]:
    return lambda events: [event for number, event in enumerate(events) if number not in places]


def swapped(place: int) -> Callable[[Events], Events]:
    return lambda events: [*events[:place], events[place + 1], events[place], *events[place + 2 :]]


def changed(path: str, new: Any) -> Callable[[Events], Events]:
    def change(events: Events) -> Events:
        made: Events = put(events, path, new)
        return made

    return change


def renumbered(change: Callable[[Events], Events]) -> Callable[[Events], Events]:
    """So that it is not the number that tells."""
    return lambda events: [{**event, "sequence_number": n} for n, event in enumerate(change(events))]


WRONG_STREAMS = [
    ("openai_chat", "the role is missing", changed("0.choices.0.delta", {"content": ""}), "order"),
    ("openai_chat", "no reason to stop", without(3), "order"),
    ("openai_chat", "two reasons to stop", lambda events: [*events[:4], events[3], events[4]], "order"),
    ("openai_chat", "something after the usage", swapped(3), "order"),
    ("openai_chat", "a call without its name", changed("1.choices.0.delta.tool_calls.0.function.name", GONE), "order"),
    ("openai_chat", "a call out of turn", changed("1.choices.0.delta.tool_calls.0.index", 1), "order"),
    ("openai_chat", "another id", changed("2.id", "d"), "order"),
    ("openai_chat", "arguments cut off", changed("2.choices.0.delta.tool_calls.0.function.arguments", "{"), "rule"),
    ("openai_chat", "an invented field", changed("2.choices.0.delta.thinking", "why"), "invented"),
    ("openai_responses", "a number left out", changed("4.sequence_number", 5), "order"),
    ("openai_responses", "created is missing", renumbered(without(0)), "order"),
    ("openai_responses", "an item is not added", renumbered(without(2)), "order"),
    ("openai_responses", "a part is not added", renumbered(without(3)), "order"),
    ("openai_responses", "a text is not done", renumbered(without(5)), "order"),
    ("openai_responses", "a part is not done", renumbered(without(6)), "order"),
    ("openai_responses", "an item is not done", renumbered(without(7)), "order"),
    ("openai_responses", "the end is missing", without(8), "order"),
    ("openai_responses", "another item's id", changed("4.item_id", "msg_2"), "order"),
    ("openai_responses", "another output index", changed("2.output_index", 1), "order"),
    ("openai_responses", "another text at its end", changed("5.text", "Ho"), "order"),
    ("openai_responses", "another text in its part", changed("6.part.text", "Ho"), "order"),
    ("openai_responses", "another text in its item", changed("7.item.content.0.text", "Ho"), "order"),
    ("openai_responses", "another output at the end", changed("8.response.output", []), "order"),
    ("openai_responses", "an unknown event", changed("4.type", "response.text.delta"), "value"),
    ("openai_responses", "a field is missing", changed("4.logprobs", GONE), "missing"),
    ("anthropic_messages", "no message_start", without(0), "order"),
    ("anthropic_messages", "a block is not begun", without(1), "order"),
    ("anthropic_messages", "a block is not stopped", without(4), "order"),
    ("anthropic_messages", "an index left out", changed("6.index", 2), "order"),
    ("anthropic_messages", "a delta of another kind", changed("2.delta", {"type": "text_delta", "text": "x"}), "order"),
    ("anthropic_messages", "thinking behind its signature", swapped(2), "order"),
    ("anthropic_messages", "arguments cut off", changed("7.delta.partial_json", "{"), "order"),
    ("anthropic_messages", "message_delta is missing", without(9), "order"),
    ("anthropic_messages", "message_stop is missing", without(10), "order"),
    ("anthropic_messages", "a call, but the turn ended", changed("9.delta.stop_reason", "end_turn"), "rule"),
    ("anthropic_messages", "a block that begins full", changed("6.content_block.input", {"a": 1}), "order"),
    ("anthropic_messages", "an unknown event", changed("5.type", "pong"), "value"),
    ("anthropic_messages", "an invented field", changed("2.delta.text", "x"), "invented"),
    ("google_generate", "no reason to stop", changed("1.candidates.0.finishReason", GONE), "missing"),
    ("google_generate", "something after the end", swapped(0), "order"),
    ("google_generate", "no model", changed("1.modelVersion", GONE), "missing"),
    ("google_generate", "another id", changed("1.responseId", "s"), "order"),
    ("google_generate", "an empty stream", lambda events: [], "missing"),
    ("cohere_chat", "no message-start", without(0), "order"),
    ("cohere_chat", "a content is not begun", without(1), "order"),
    ("cohere_chat", "a content is not ended", without(3), "order"),
    ("cohere_chat", "message-end is missing", without(4), "order"),
    ("cohere_chat", "an unknown event", changed("2.type", "text-delta"), "value"),
    ("bedrock_converse", "no messageStart", without(0), "order"),
    ("bedrock_converse", "a block is not stopped", without(2), "order"),
    ("bedrock_converse", "an index left out", changed("1.contentBlockDelta.contentBlockIndex", 1), "order"),
    ("bedrock_converse", "metadata is missing", without(4), "order"),
    ("bedrock_converse", "metadata too early", swapped(3), "order"),
    ("bedrock_converse", "an unknown event", changed("2", {"blockStop": {}}), "value"),
    ("bedrock_converse", "a field is missing", changed("3.messageStop", {}), "missing"),
]


@pytest.mark.parametrize(
    ("dialect", "change", "kind"),
    [(dialect, change, kind) for dialect, _, change, kind in WRONG_STREAMS],
    ids=[f"{dialect}: {name}" for dialect, name, _, _ in WRONG_STREAMS],
)
def test_a_wrong_stream_is_refused(dialect: str, change: Callable[[Events], Events], kind: str) -> None:
    """Events out of the vendor's order, and the kinds of mistakes inside of them."""
    found = mistakes(dialect, "stream", sse(dialect, change(copy.deepcopy(STREAMS[dialect]))))
    assert kind in {mistake.kind for mistake in found}, found


def test_a_stream_must_be_one() -> None:
    """Its marks of the end, its names, its blank lines."""
    good = sse("openai_chat", STREAMS["openai_chat"])
    for wrong in (good.replace(b"data: [DONE]\n\n", b""), good[:-1], good.replace(b"data: {", b"dada: {", 1)):
        with pytest.raises(NotValid):
            check_stream("openai_chat", wrong)
    named = sse("anthropic_messages", STREAMS["anthropic_messages"]).replace(b"event: ping", b"event: pong")
    with pytest.raises(NotValid, match="its name 'pong' is not its type"):
        check_stream("anthropic_messages", named)
    with pytest.raises(NotValid, match="no JSON"):
        check_response("google_generate", b'{"candidates": NaN}')


GOOD_ERRORS = {
    "openai_chat": {"error": {"message": "m", "type": "invalid_request_error", "param": None, "code": None}},
    "openai_responses": {"error": {"message": "m", "type": "invalid_request_error", "param": None, "code": None}},
    "anthropic_messages": {"type": "error", "error": {"type": "api_error", "message": "m"}},
    "google_generate": {"error": {"code": 400, "message": "m", "status": "INVALID_ARGUMENT"}},
    "cohere_chat": {"message": "m"},
    "bedrock_converse": {"message": "m"},
}


@pytest.mark.parametrize("dialect", STRICT)
def test_errors_have_the_vendors_own_shape(dialect: str) -> None:
    """Its own passes, and that of another vendor does not."""
    check_error(dialect, dump(GOOD_ERRORS[dialect]))
    other = "google_generate" if dialect != "google_generate" else "openai_chat"
    with pytest.raises(NotValid):
        check_error(dialect, dump(GOOD_ERRORS[other]))


def test_errors_inside_streams() -> None:
    """One event of the vendor's, and no normal end."""
    chat = b"data: " + dump(GOOD_ERRORS["openai_chat"]) + b"\n\n"
    check_error_event("openai_chat", chat)
    with pytest.raises(NotValid):
        check_error_event("openai_chat", chat + b"data: [DONE]\n\n")
    check_error_event("anthropic_messages", b"event: error\ndata: " + dump(GOOD_ERRORS["anthropic_messages"]) + b"\n\n")
    with pytest.raises(NotValid):
        check_error_event("anthropic_messages", chat)
    check_error_event("google_generate", b"data: " + dump(GOOD_ERRORS["google_generate"]) + b"\n\n")
    failed = {"type": "error", "code": "c", "message": "m", "param": None, "sequence_number": 3}
    check_error_event("openai_responses", b"event: error\ndata: " + dump(failed) + b"\n\n")
    with pytest.raises(NotValid):
        check_error_event("openai_responses", chat)


@pytest.mark.skipif(not openapi.DOCUMENT.exists(), reason="OpenAI's document is not beside the repository")
def test_openais_document_is_asked_too() -> None:
    """It has bounds that the SDK's types do not say."""
    with pytest.raises(NotValid, match=r"OpenAI's document: 2\.5 is greater than the maximum of 2"):
        check_request("openai_chat", dump({**REQUESTS["openai_chat"], "temperature": 2.5}))


def test_a_failure_names_every_mistake() -> None:
    """Its text has the place and the reason of each."""
    body = json.loads(dump(RESPONSES["openai_chat"]))
    del body["choices"][0]["finish_reason"]
    body["colour"] = "red"
    with pytest.raises(NotValid) as failed:
        check_response("openai_chat", dump(body))
    assert "choices[0].finish_reason: missing" in str(failed.value)
    assert "colour: invented" in str(failed.value)
    assert len(failed.value.found) == 2
