"""Streams through the whole stack that outgrow what was set aside, and answers with nothing in them."""

from typing import Any

import pytest

from asgi_gateway.errors import UpstreamUnreachable
from asgi_gateway.middleware import QuotaMiddleware, growth
from asgi_gateway.storage.records import Charge, Outcome
from support.asgi import Answer
from support.exchanges import KEY, chat
from support.gateways import House, house
from support.upstream import DONE, HANG, Reply, chunk, completion, usage_chunk

WORDS = "word " * 120
"""150 tokens by our count, in 600 bytes."""

OUTPUT = 400
BODY = chat(stream=True)
PROMPT = -(-len(BODY) // 3)
RESERVED = PROMPT + 2 * OUTPUT
EMPTY = Reply.stream(chunk(role=True), DONE)


@pytest.fixture(autouse=True)
def _small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(growth, "LEAST_STEP", 300)


def grown(*replies: Reply, quota: int, **options: Any) -> House:
    return house(*replies, quota=quota, layers={QuotaMiddleware: {"default_output": OUTPUT}}, **options)


def long_stream(pieces: int, *end: Any) -> Reply:
    return Reply.stream(chunk(role=True), *[chunk(WORDS) for _ in range(pieces)], *end)


FINISHED = (chunk(finish="stop"), usage_chunk(10, 1500), DONE)


async def only(at: House) -> Charge:
    (charge,) = await at.charges()
    return charge


ANTHROPIC = b'{"model": "m-1", "max_tokens": 8000, "stream": true, "messages": [{"role": "user", "content": "Hi"}]}'


async def test_a_stream_that_outgrows_its_reservation_has_no_shortfall() -> None:
    """More is set aside as it comes; what the upstream reports in the end is charged."""
    at = grown(long_stream(10, *FINISHED), quota=1_000_000)
    seen = await at.ask(BODY)
    assert seen.body.endswith(DONE)
    charge = await only(at)
    assert (charge.charged, charge.shortfall) == (10 + 3000, 0)
    assert charge.reservation.amount >= 3000
    assert charge.settlement.outcome is Outcome.COMPLETED


async def test_a_stream_ends_where_the_quota_does() -> None:
    """With an error event of its dialect, its upstream stopped; what came is charged, and never more than there is."""
    at = grown(long_stream(9, HANG), quota=RESERVED + 50)
    seen = await at.ask(BODY)
    assert (seen.status, seen.body.count(b"data: ")) == (200, len(seen.body.split(b"\n\n")) - 1)
    assert b'"code":"insufficient_quota"' in seen.body.split(b"\n\n")[-2]
    assert b"[DONE]" not in seen.body
    assert at.transport.open == 0
    charge = await only(at)
    assert (charge.settlement.outcome, charge.settlement.error) == (Outcome.EXHAUSTED, "insufficient_quota")
    assert charge.charged == RESERVED + 50
    assert charge.settlement.usage.estimated
    balance = await at.balance()
    assert (balance.available, balance.reserved) == (0, 0)
    assert at.records[0]["outcome"] == "exhausted"


async def test_no_second_channel_is_tried_when_the_quota_ends() -> None:
    """The caller has seen the beginning of the first answer."""
    at = grown(long_stream(9, HANG), quota=RESERVED)
    await at.ask(BODY)
    assert len(at.transport.requests) == 1


async def test_a_converted_stream_is_watched_as_well() -> None:
    """Gemini's way of asking without a limit, answered by an upstream of OpenAI's."""
    at = grown(long_stream(9, HANG), quota=RESERVED)
    body = b'{"contents": [{"role": "user", "parts": [{"text": "Hi"}]}]}'
    seen = await at.ask(body, path="/v1beta/models/m-1:streamGenerateContent", query=b"alt=sse")
    assert seen.status == 200, seen.body
    assert seen.body.count(b"word word") >= 2
    assert b"RESOURCE_EXHAUSTED" in seen.body[-600:]
    charge = await only(at)
    assert charge.settlement.outcome is Outcome.EXHAUSTED
    assert charge.reservation.amount < charge.charged <= RESERVED


async def test_a_caller_who_set_a_limit_is_not_cut() -> None:
    """What he may have is set aside before: an upstream that gives more makes a shortfall."""
    body = chat(stream=True, max_tokens=100)
    quota = -(-len(body) // 3) + 200
    at = grown(long_stream(5, *FINISHED), quota=quota)
    seen = await at.ask(body)
    assert seen.body.endswith(DONE)
    charge = await only(at)
    assert (charge.charged, charge.shortfall) == (quota, 3010 - quota)


async def test_a_first_usage_does_not_hide_what_came_after_it() -> None:
    """An upstream of Anthropic's says at the start one token of output: a caller who is cut pays what came."""
    start = (
        b'event: message_start\ndata: {"type":"message_start","message":{"id":"m","type":"message","role":"assistant",'
        b'"model":"m","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":10,"output_tokens":1}}}\n\n'
        b'event: content_block_start\ndata: {"type":"content_block_start","index":0,'
        b'"content_block":{"type":"text","text":""}}\n\n'
    )
    piece = (
        b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,'
        b'"delta":{"type":"text_delta","text":"' + WORDS.encode() + b'"}}\n\n'
    )
    channels = [{"name": "a", "provider": "anthropic", "keys": ["k"], "models": ["m-1"]}]
    reply = Reply.stream(start, *[piece] * 2, UpstreamUnreachable("cut"))
    at = house(reply, channels=channels)
    await at.ask(ANTHROPIC, path="/v1/messages")
    charge = await only(at)
    assert charge.settlement.usage.output == 300
    assert (charge.settlement.usage.input, charge.charged) == (10, 610)


EMPTIES = {
    "nothing but a role": (BODY, EMPTY),
    "no event": (BODY, Reply.stream()),
    "an empty body": (chat(), Reply.json(b"")),
}


@pytest.mark.parametrize("case", EMPTIES)
async def test_an_answer_with_nothing_in_it_costs_nothing(case: str) -> None:
    """Every channel answered empty: the record says so, and the caller gets an error."""
    body, reply = EMPTIES[case]
    at = house(reply, reply)
    seen = await at.ask(body)
    assert (seen.status, seen.json()["error"]["code"]) == (502, "upstream_empty")
    charge = await only(at)
    assert (charge.settlement.outcome, charge.charged, charge.settlement.attempts) == (Outcome.EMPTY, 0, 2)
    assert charge.settlement.usage.total_input == 0


@pytest.mark.parametrize("replies", [(Reply.error(503), EMPTY), (EMPTY, Reply.error(503))], ids=["last", "first"])
async def test_an_empty_answer_beside_a_failure_is_a_failure(replies: tuple[Reply, ...]) -> None:
    """`empty` says that every attempt was."""
    at = house(*replies)
    assert (await at.ask(BODY)).status in (502, 503)
    assert (await only(at)).settlement.outcome is Outcome.UPSTREAM_FAILED


async def test_an_empty_answer_before_a_good_one_is_unseen() -> None:
    """It is retried like any other failure."""
    at = house(EMPTY, Reply.json(completion()))
    seen: Answer = await at.ask(chat(), key=KEY)
    assert seen.status == 200
    assert (await only(at)).settlement.outcome is Outcome.COMPLETED
