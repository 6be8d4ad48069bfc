"""What layers know of the answer that goes out through them."""

from typing import Any

from asgi_gateway.middleware.answer import NotedAnswer
from asgi_gateway.types import Message

START = {"type": "http.response.start", "status": 200, "headers": []}
BODY = {"type": "http.response.body", "body": b"x"}


def gathering() -> tuple[list[Message], Any]:
    """A list, and the `send` that fills it."""
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    return sent, send


async def test_layers_in_a_row_share_one() -> None:
    """A `send` that notes already is taken as it is; any other gets one around it."""
    sent, send = gathering()
    first = NotedAnswer.of(send)
    assert NotedAnswer.of(first) is first

    async def between(message: Message) -> None:
        await first(message)

    second = NotedAnswer.of(between)
    assert second is not first
    await second(START)
    assert sent == [START]
    assert first.start is second.start is START


async def test_the_beginning_and_the_end_are_noted() -> None:
    """Nothing before anything was sent."""
    _, send = gathering()
    answer = NotedAnswer(send)
    assert (answer.start, answer.last, answer.good) == (None, None, False)
    await answer(START)
    await answer(BODY)
    assert (answer.start, answer.last, answer.good) == (START, BODY, True)


async def test_only_an_answer_without_an_error_is_good() -> None:
    """By its status, or by what a WebSocket says; what an extension sends before is not yet the answer."""
    answers: list[tuple[Message, bool]] = [
        ({"type": "http.response.start", "status": 399}, True),
        ({"type": "http.response.start", "status": 400}, False),
        ({"type": "websocket.accept"}, True),
        ({"type": "websocket.close"}, False),
        ({"type": "websocket.http.response.start", "status": 403}, False),
    ]
    for message, good in answers:
        _, send = gathering()
        answer = NotedAnswer(send)
        await answer({"type": "http.response.debug"})
        assert answer.start is not None
        assert not answer.good
        if message["type"].startswith("http"):
            await answer(message)
        else:
            answer = NotedAnswer(send)
            await answer(message)
        assert answer.good is good
