"""Each vendor's own SDK reaches every upstream, whatever dialect that speaks, and cannot tell."""

import pytest

from support.interop import UPSTREAMS, Line
from support.vendor_clients import CLIENTS, PIXEL, Failure, Weather

CELLS = [pytest.param(client, upstream, id=f"{client}-{upstream}") for client in CLIENTS for upstream in UPSTREAMS]
STREAMS = pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])

ENDED = {"stop", "completed", "end_turn", "STOP"}
CALLED = {"tool_calls", "completed", "tool_use", "STOP"}


@STREAMS
@pytest.mark.parametrize(("client", "upstream"), CELLS)
def test_text(line: Line, client: str, upstream: str, stream: bool) -> None:
    """The text, the reason to stop, and the usage."""
    answer = line.client(client).ask(f"to-{upstream}", "hello", stream=stream)
    assert answer.text == "Hello from far away."
    assert answer.stop in ENDED
    assert answer.usage == (11, 7)


@STREAMS
@pytest.mark.parametrize("question", ["weather", "two tools"])
@pytest.mark.parametrize(("client", "upstream"), CELLS)
def test_two_rounds_of_tools(line: Line, client: str, upstream: str, question: str, stream: bool) -> None:
    """The calls come whole, one or two of them; their results are taken, and answered."""
    results = {"get_weather": '{"degrees": 20}', "get_time": '{"time": "12:00"}'}
    first, second = line.client(client).use_tools(f"to-{upstream}", question, results, stream=stream)
    calls = [("get_weather", {"city": "Paris"}), ("get_time", {"zone": "Europe/Paris"})]
    assert first.calls == calls[: 2 if question == "two tools" else 1]
    assert first.stop in CALLED
    assert second.text == ("20C at noon" if question == "two tools" else "20C in Paris")
    assert second.calls == []


@pytest.mark.parametrize(("client", "upstream"), CELLS)
def test_an_image(line: Line, client: str, upstream: str) -> None:
    """It arrives: the upstream's journal has its bytes."""
    answer = line.client(client).ask(f"to-{upstream}", "look at this", image=PIXEL)
    assert answer.text == "a red dot"


@STREAMS
@pytest.mark.parametrize(("client", "upstream"), CELLS)
def test_thinking(line: Line, client: str, upstream: str, stream: bool) -> None:
    """Shown where the client shows it, and never mixed with the answer."""
    answer = line.client(client).reason(f"to-{upstream}", "think", stream=stream)
    assert (answer.text, answer.thinking) == ("42", "six times seven")


@pytest.mark.parametrize(("client", "upstream"), CELLS)
def test_a_structured_answer(line: Line, client: str, upstream: str) -> None:
    """The SDK's own parser takes it."""
    answer = line.client(client).parse(f"to-{upstream}", "structured")
    assert answer.parsed == Weather(city="Paris", degrees=20)


KINDS = {
    "rate limit": (429, {"RateLimitError", "ClientError RESOURCE_EXHAUSTED"}),
    "bad request": (400, {"BadRequestError", "ClientError INVALID_ARGUMENT"}),
    "break": (500, {"InternalServerError", "ServerError INTERNAL"}),
}


@STREAMS
@pytest.mark.parametrize("question", KINDS)
@pytest.mark.parametrize(("client", "upstream"), CELLS)
def test_an_error(line: Line, client: str, upstream: str, question: str, stream: bool) -> None:
    """Of the class that the SDK has for it, with the upstream's status and words."""
    status, kinds = KINDS[question]
    with pytest.raises(Failure) as failed:
        line.client(client).ask(f"to-{upstream}", question, stream=stream)
    assert (failed.value.status, failed.value.kind in kinds) == (status, True), failed.value
