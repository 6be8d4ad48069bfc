"""Each vendor's own SDK reaches every upstream, whatever dialect that speaks, and cannot tell."""

import pytest

from support.interop import UPSTREAMS, Line
from support.vendors import CLIENTS
from support.vendors.answers import PIXEL, PIXEL_TEXT, Answer, Failure, Weather

CELLS = [pytest.param(client, upstream, id=f"{client}-{upstream}") for client in CLIENTS for upstream in UPSTREAMS]
STREAMS = pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])

ENDED = {
    "openai_chat": "stop",
    "openai_responses": "completed",
    "anthropic_messages": "end_turn",
    "google_generate": "STOP",
    "cohere_chat": "COMPLETE",
    "bedrock_converse": "end_turn",
}
"""How an answer ends, by the caller's dialect."""

CALLED = {
    "openai_chat": "tool_calls",
    "openai_responses": "completed",
    "anthropic_messages": "tool_use",
    "google_generate": "STOP",
    "cohere_chat": "TOOL_CALL",
    "bedrock_converse": "tool_use",
}
"""The same where tools were called."""


@STREAMS
@pytest.mark.parametrize(("client", "upstream"), CELLS)
def test_text(line: Line, client: str, upstream: str, stream: bool) -> None:
    """The text, the reason to stop, and the usage."""
    with line.client(client) as sdk:
        answer = sdk.ask(f"to-{upstream}", "hello", stream=stream)
    assert answer == Answer(text="Hello from far away.", stop=ENDED[client], usage=(11, 7))


# aimock ends a turn of Gemini's that calls tools with FUNCTION_CALL, which Google does not: passed through as it came,
# it is no FinishReason to google-genai.
@pytest.mark.filterwarnings("ignore:FUNCTION_CALL is not a valid FinishReason:UserWarning")
@STREAMS
@pytest.mark.parametrize("question", ["weather", "two tools"])
@pytest.mark.parametrize(("client", "upstream"), CELLS)
def test_two_rounds_of_tools(line: Line, client: str, upstream: str, question: str, stream: bool) -> None:
    """The calls come whole, one or two of them; their results are taken, and answered."""
    results = {"get_weather": '{"degrees": 20}', "get_time": '{"time": "12:00"}'}
    with line.client(client) as sdk:
        first, second = sdk.talk([f"to-{upstream}"], [question], results, stream=stream)
    calls = [("get_weather", {"city": "Paris"}), ("get_time", {"zone": "Europe/Paris"})]
    assert first.calls == calls[: 2 if question == "two tools" else 1]
    assert first.stop == ("FUNCTION_CALL" if client == upstream == "google_generate" else CALLED[client])
    assert second.text == ("20C at noon" if question == "two tools" else "20C in Paris")
    assert (second.calls, second.stop) == ([], ENDED[client])


@pytest.mark.parametrize(("client", "upstream"), CELLS)
def test_an_image(line: Line, client: str, upstream: str) -> None:
    """It arrives with all its bytes."""
    with line.client(client) as sdk:
        answer = sdk.ask(f"seen-{upstream}", "look at this", image=PIXEL)
    assert answer.text == "a red dot"
    assert PIXEL_TEXT.encode() in line.recorder.asked[-1].raw


@STREAMS
@pytest.mark.parametrize(("client", "upstream"), CELLS)
def test_thinking(line: Line, client: str, upstream: str, stream: bool) -> None:
    """Shown where the client shows it, and never mixed with the answer."""
    model = f"think-{upstream}" if upstream == "cohere_chat" else f"to-{upstream}"
    with line.client(client) as sdk:
        answer = sdk.reason(model, "think", stream=stream)
    assert (answer.text, answer.thinking) == ("42", "six times seven")


@pytest.mark.parametrize(("client", "upstream"), CELLS)
def test_a_structured_answer(line: Line, client: str, upstream: str) -> None:
    """The upstream is told the form, and the SDK's own parser takes what comes."""
    with line.client(client) as sdk:
        answer = sdk.parse(f"seen-{upstream}", "structured")
    assert answer.parsed == Weather(city="Paris", degrees=20)
    assert b"degrees" in line.recorder.asked[-1].raw


KINDS = {
    "rate limit": (
        429,
        {"RateLimitError", "ClientError RESOURCE_EXHAUSTED", "TooManyRequestsError", "ThrottlingException"},
    ),
    "bad request": (400, {"BadRequestError", "ClientError INVALID_ARGUMENT", "ValidationException"}),
    "break": (500, {"InternalServerError", "ServerError INTERNAL", "InternalServerException"}),
}
"""By question: the status, and what the SDKs call it."""

SAID = {"rate limit": "Slow down.", "bad request": "Not like this.", "break": "We broke."}


@STREAMS
@pytest.mark.parametrize("question", KINDS)
@pytest.mark.parametrize(("client", "upstream"), CELLS)
def test_an_error(line: Line, client: str, upstream: str, question: str, stream: bool) -> None:
    """Of the class that the SDK has for it, with the upstream's status and words."""
    status, kinds = KINDS[question]
    with line.client(client) as sdk, pytest.raises(Failure) as failed:
        sdk.ask(f"to-{upstream}", question, stream=stream)
    assert (failed.value.status, failed.value.kind in kinds) == (status, True), failed.value
    assert SAID[question] in failed.value.message
