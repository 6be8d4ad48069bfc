"""The whole stack over a scripted upstream: what a caller gets, the upstream sees, is charged and recorded."""

import asyncio
import gzip
import json
from typing import Any

import anyio
import pytest

from asgi_gateway.config import RateLimit
from asgi_gateway.errors import UpstreamTimeout, UpstreamUnreachable
from asgi_gateway.middleware import RetryMiddleware
from asgi_gateway.policies.retry import RetryPolicy
from asgi_gateway.storage.records import Outcome, Usage
from support.asgi import Connection, http_scope, settled
from support.exchanges import KEY, chat
from support.gateways import House, house
from support.upstream import DONE, HANG, Reply, ScriptedTransport, chunk, completion, stream, usage_chunk

STREAM = chat(stream=True, max_tokens=10)
ONE_AT_A_TIME = RateLimit(per="user", concurrency=1)
BODY = chat(max_tokens=10)


async def test_a_plain_answer() -> None:
    """Bytes pass, the usage is charged, the record says who, where and how much."""
    at = house(Reply.json(completion(usage=(10, 5))))
    seen = await at.ask(BODY)
    assert seen.status == 200
    assert seen.json() == completion(usage=(10, 5))
    (request,) = at.transport.requests
    assert request.body == BODY
    assert dict(request.headers)[b"authorization"] == b"Bearer sk-upstream-1"
    assert KEY.encode() not in b"".join(value for _, value in request.headers)
    (charge,) = await at.charges()
    assert (charge.charged, charge.settlement.outcome, charge.settlement.channel) == (20, Outcome.COMPLETED, "first")
    assert charge.reservation.request_id == seen.header("x-request-id")
    (record,) = at.records
    assert (record["status"], record["charge"], record["token"], record["channel"]) == (200, 20, "dev", "first")
    assert (record["attempts"], record["errors"]) == (1, [])


async def test_a_stream() -> None:
    """Events pass as they come; the usage was asked for, charged, and hidden."""
    go = asyncio.Event()
    at = house(Reply.stream(chunk("Hel"), go, chunk("lo"), chunk(finish="stop"), usage_chunk(11, 7), DONE))
    async with at.call(STREAM) as caller:
        assert (await caller.next())["status"] == 200
        assert (await caller.next())["body"] == chunk("Hel")
        go.set()
        seen = await caller.answer()
    assert seen.body == chunk("Hel") + chunk("lo") + chunk(finish="stop") + DONE
    assert at.transport.bodies[0]["stream_options"] == {"include_usage": True}
    (charge,) = await at.charges()
    assert (charge.charged, charge.settlement.stream) == (25, True)
    assert charge.settlement.usage == Usage(input=11, output=7)


async def test_an_alias_is_resolved_and_the_upstreams_name_spliced_in() -> None:
    """The caller asks for `fast`, the upstream is asked for its own name, the price is the model's."""
    channels = [{"name": "c", "provider": "openai", "keys": ["k"], "models": ["m-1"], "model_mapping": {"m-1": "real"}}]
    at = house(Reply.json(completion()), channels=channels)
    assert (await at.ask(chat("fast"))).status == 200
    assert at.transport.requests[0].body == chat("real")
    (charge,) = await at.charges()
    assert (charge.reservation.model, charge.settlement.upstream_model) == ("m-1", "real")
    assert at.records[0]["model"] == "fast"


OTHERS: dict[str, tuple[Any, Any, int]] = {
    "/v1/embeddings": ({"input": "x"}, {"data": [{"embedding": [1]}], "usage": {"prompt_tokens": 4}}, 4),
    "/v1/completions": ({"prompt": "x"}, {"choices": [{"text": "y"}], "usage": {"total_tokens": 3}}, 3),
    "/v1/moderations": ({"input": "x"}, {"results": [{"flagged": False}]}, 8),
}


@pytest.mark.parametrize("path", OTHERS)
async def test_other_operations(path: str) -> None:
    """Embeddings, completions and moderations go their own way upstream and are charged by their usage."""
    fields, answer, units = OTHERS[path]
    at = house(Reply.json(answer))
    seen = await at.ask(json.dumps({"model": "m-1", **fields}).encode(), path=path)
    assert seen.json() == answer
    assert at.transport.requests[0].target == path.encode()
    assert (await at.charges())[0].charged == units


async def test_a_compressed_body_reaches_the_upstream_decoded() -> None:
    """The limit counts after decompression, and the upstream needs no codec."""
    at = house(Reply.json(completion()))
    seen = await at.ask(gzip.compress(BODY), headers={"content-encoding": "gzip"})
    assert seen.status == 200
    assert at.transport.requests[0].body == BODY


async def test_refusals_in_their_order() -> None:
    """Nobody's key, a bad body, an unknown model, no quota: each refused by its own layer, nothing sent upstream."""
    at = house(quota=5)
    assert (await at.ask(BODY, key=None)).status == 401
    assert (await at.ask(b"{")).status == 400
    seen = await at.ask(chat("nobody"))
    assert (seen.status, seen.json()["error"]["code"]) == (404, "model_not_found")
    seen = await at.ask(BODY)
    assert (seen.status, seen.json()["error"]["code"]) == (429, "insufficient_quota")
    assert at.transport.requests == []
    assert await at.charges() == []
    assert [record["status"] for record in at.records] == [401, 400, 404, 429]
    assert all(record["request_id"] for record in at.records)


# Retry.

FAILURES = {
    "a bad status": Reply.error(500),
    "no connection": Reply(before=[UpstreamUnreachable("no")]),
    "too late": Reply(before=[UpstreamTimeout("late", phase="headers")]),
    "a bad key of the channel": Reply.error(401),
    "too many requests": Reply.error(429, retry_after="7"),
}
STREAM_FAILURES = {
    **FAILURES,
    "an error event": Reply.stream(b'data: {"error": {"message": "overloaded"}}\n\n'),
    "an empty stream": Reply.stream(DONE),
    "a broken stream": Reply.stream(chunk(role=True), UpstreamUnreachable("no")),
}


@pytest.mark.parametrize("failure", FAILURES)
async def test_a_failure_is_retried_unseen(failure: str) -> None:
    """The caller gets the second channel's answer and is charged once; the record knows of both attempts."""
    at = house(FAILURES[failure], Reply.json(completion("second", usage=(10, 5))))
    seen = await at.ask(BODY)
    assert (seen.status, seen.json()["choices"][0]["message"]["content"]) == (200, "second")
    assert [dict(request.headers)[b"authorization"] for request in at.transport.requests] == [
        b"Bearer sk-upstream-1",
        b"Bearer sk-upstream-2",
    ]
    (charge,) = await at.charges()
    assert (charge.charged, charge.settlement.attempts, charge.settlement.channel) == (20, 2, "second")
    assert (at.records[0]["attempts"], len(at.records[0]["errors"])) == (2, 1)
    assert at.transport.open == 0


@pytest.mark.parametrize("failure", STREAM_FAILURES)
async def test_a_stream_that_fails_before_it_spoke_is_retried_unseen(failure: str) -> None:
    """An error event and an empty stream inside a 200 too."""
    at = house(STREAM_FAILURES[failure], Reply.stream(*stream("good", usage=(3, 1))))
    seen = await at.ask(STREAM)
    assert seen.body == b"".join(stream("good"))
    (charge,) = await at.charges()
    assert (charge.charged, charge.settlement.attempts) == (5, 2)


async def test_half_a_json_is_retried_unseen() -> None:
    """A plain answer is released when it is whole."""
    at = house(Reply([b'{"choices": [']), Reply.json(completion("whole")))
    assert (await at.ask(BODY)).json()["choices"][0]["message"]["content"] == "whole"


async def test_when_all_fail_the_last_real_error_is_told() -> None:
    """Not that no channel is left; nothing is charged."""
    at = house(Reply.error(500, "first"), Reply.error(503, "second"), settings={})
    seen = await at.ask(BODY)
    assert (seen.status, seen.json()["error"]["message"]) == (503, "second")
    (charge,) = await at.charges()
    assert (charge.charged, charge.settlement.outcome, charge.settlement.status) == (0, Outcome.UPSTREAM_FAILED, 503)
    assert (charge.settlement.attempts, charge.settlement.channel) == (2, "second")
    assert (await at.balance()).reserved == 0


async def test_the_callers_own_fault_is_not_tried_again() -> None:
    """A 400 of the upstream keeps status, type, code and text."""
    error = {"message": "too long", "type": "invalid_request_error", "param": "messages"}
    refusal = {"error": {**error, "code": "context_length_exceeded"}}
    at = house(Reply.json(refusal, 400))
    seen = await at.ask(BODY)
    assert (seen.status, seen.json()) == (400, refusal)
    assert len(at.transport.requests) == 1


async def test_the_channels_own_refusals_are_not_the_callers() -> None:
    """The upstream's 401 is a 502 for the caller; the attempt keeps the original."""
    at = house(Reply.error(401), Reply.error(403))
    seen = await at.ask(BODY)
    assert (seen.status, seen.json()["error"]["code"]) == (502, "upstream_auth")
    assert at.records[0]["errors"] == ["upstream_auth", "upstream_auth"]


async def test_a_stream_that_breaks_after_it_spoke_ends_with_an_error_event() -> None:
    """No retry, no made-up end, and what came is charged."""
    at = house(Reply.stream(chunk("word " * 40), UpstreamUnreachable("broken")))
    seen = await at.ask(STREAM)
    assert seen.status == 200
    assert b"upstream_unreachable" in seen.body
    assert b"[DONE]" not in seen.body
    (charge,) = await at.charges()
    assert charge.settlement.outcome is Outcome.TRUNCATED
    assert charge.settlement.usage == Usage(input=-(-len(STREAM) // 4), output=50, estimated=True)
    assert len(at.transport.requests) == 1


# Leaving.


async def left(at: House, caller: Connection) -> None:
    caller.leave()
    async with asyncio.timeout(1):
        await caller.ended()
    assert at.transport.open == 0
    assert (await at.balance()).reserved == 0


async def begins(condition: Any) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await settled(1)


@pytest.mark.parametrize("body", [BODY, STREAM], ids=["plain", "streamed"])
async def test_leaving_before_the_head(body: bytes) -> None:
    """The upstream exchange is stopped; it had been sent the prompt, which is charged as we count it."""
    at = house(Reply(before=[HANG]))
    async with at.call(body) as caller:
        await begins(lambda: at.transport.requests)
        await left(at, caller)
    assert at.transport.cancelled == 1
    (charge,) = await at.charges()
    assert charge.settlement.outcome is Outcome.CALLER_LEFT
    assert charge.charged == -(-len(body) // 4)
    assert at.records[0]["status"] == 499


async def test_leaving_before_the_first_event() -> None:
    """While the head is held: nobody was answered."""
    at = house(Reply.stream(chunk(role=True), HANG))
    async with at.call(STREAM) as caller:
        await begins(lambda: at.transport.responses)
        await left(at, caller)
        assert caller.messages == []
    (charge,) = await at.charges()
    assert (charge.settlement.outcome, charge.charged) == (Outcome.CALLER_LEFT, -(-len(STREAM) // 4))


async def test_leaving_inside_a_stream() -> None:
    """What came is charged."""
    at = house(Reply.stream(chunk("word " * 40), HANG))
    async with at.call(STREAM) as caller:
        await caller.next()
        await caller.next()
        await left(at, caller)
    (charge,) = await at.charges()
    assert charge.settlement.outcome is Outcome.CALLER_LEFT
    assert charge.charged == -(-len(STREAM) // 4) + 2 * 50
    assert at.records[0]["status"] == 200


async def test_leaving_during_back_off() -> None:
    """No further attempt, nothing charged: nothing was produced."""
    waiting = {RetryMiddleware: {"policy": RetryPolicy(attempts=3, base=60, cap=60, random=lambda: 0.99)}}
    third = [{"name": name, "provider": "openai", "keys": ["k"], "models": ["m-1"]} for name in "abc"]
    at = house(Reply.error(500), Reply.error(500), channels=third, layers=waiting)
    async with at.call(BODY) as caller:
        await begins(lambda: caller.waiting)
        assert len(at.transport.requests) == 2
        await left(at, caller)
    (charge,) = await at.charges()
    assert (charge.settlement.outcome, charge.charged) == (Outcome.CALLER_LEFT, 0)
    assert at.records[0]["status"] == 499


async def test_leaving_while_the_body_comes() -> None:
    """Nothing was reserved, nothing is charged, 499 is recorded."""
    at = house()
    async with at.call(None) as caller:
        caller.feed(BODY[:10], more=True)
        await settled(50)
        caller.leave()
        await caller.ended()
    assert await at.charges() == []
    assert at.records[0]["status"] == 499


async def test_a_cancelled_request_is_settled() -> None:
    """A server that cancels instead of telling."""
    at = house(Reply.stream(chunk("word " * 40), HANG))
    async with at.call(STREAM) as caller:
        await caller.next()
        await caller.next()
        caller.cancel()
        await caller.over()
    (charge,) = await at.charges()
    assert charge.charged == -(-len(STREAM) // 4) + 2 * 50
    assert at.transport.open == 0


async def test_a_host_that_cancels_again_and_again_is_settled_once() -> None:
    """anyio, under Starlette's own middlewares, cancels whatever waits until its scope is left."""
    at = house(Reply.stream(chunk("word " * 40), HANG), settings={"rate_limits": (ONE_AT_A_TIME,)})
    after: list[int] = []

    async def host(scope: Any, receive: Any, send: Any) -> None:
        with anyio.CancelScope() as cancelling:
            scopes.append(cancelling)
            await at.gateway(scope, receive, send)
        task = asyncio.current_task()
        assert task is not None
        after.append(task.cancelling())

    scopes: list[anyio.CancelScope] = []
    async with Connection(host, http_scope(key=KEY), STREAM) as caller:
        await caller.next()
        await caller.next()
        await begins(lambda: caller.waiting)
        scopes[0].cancel()
        await caller.ended()
        assert caller.waiting == 0
    assert after == [0]
    (charge,) = await at.charges()
    assert (charge.settlement.outcome, charge.charged) == (Outcome.CALLER_LEFT, -(-len(STREAM) // 4) + 2 * 50)
    assert at.transport.open == 0
    at.transport._replies.append(Reply.json(completion()))
    assert (await at.ask(BODY)).status == 200  # the slot came back


# Money.


async def test_two_hundred_callers_on_a_nearly_empty_balance() -> None:
    """Through the whole stack: never more than it holds, and the rest is told so."""
    reserved = -(-len(BODY) // 3) + 20
    transport = ScriptedTransport(answer=lambda request: Reply.json(completion(usage=(reserved - 20, 10))))
    at = house(quota=5 * reserved + 3, transport=transport)
    seen = await asyncio.gather(*(at.ask(BODY) for _ in range(200)))
    statuses = [answer.status for answer in seen]
    assert (statuses.count(200), statuses.count(429)) == (5, 195)
    balance = await at.balance()
    assert (balance.spent, balance.reserved, balance.available) == (5 * reserved, 0, 3)
    assert len(await at.charges()) == 5


async def test_one_request_id_a_hundred_times_is_a_hundred_charges() -> None:
    """The caller's id correlates, and nothing else."""
    transport = ScriptedTransport(answer=lambda request: Reply.json(completion(usage=(10, 5))))
    at = house(transport=transport)
    seen = await asyncio.gather(*(at.ask(BODY, headers={"x-request-id": "same"}) for _ in range(100)))
    assert {answer.header("x-client-request-id") for answer in seen} == {"same"}
    assert len({answer.header("x-request-id") for answer in seen}) == 100
    assert len(await at.charges()) == 100
    assert (await at.balance()).spent == 2000


async def test_a_host_identity_is_charged_without_any_token() -> None:
    """Its user is made on first sight with the quota of `[identity]`."""
    from asgi_gateway.config import IdentitySettings
    from asgi_gateway.exchange import Identity

    at = house(
        Reply.json(completion(usage=(10, 5))),
        settings={"identity": IdentitySettings(quota=500)},
        identify=lambda scope: Identity("bob"),
    )
    seen = await at.ask(BODY, key=None, headers={"content-type": "application/json"})
    assert seen.status == 200
    balance = await at.balance("bob")
    assert (balance.granted, balance.spent) == (500, 20)
    assert (at.records[0]["user"], at.records[0]["token"]) == ("bob", "")


async def test_limits_and_slots_hold_through_the_stack() -> None:
    """Rules of the settings are in force, and a refused request reserves nothing."""
    transport = ScriptedTransport(answer=lambda request: Reply.json(completion()))
    at = house(transport=transport, settings={"rate_limits": (RateLimit(per="user", requests="2/minute"),)})
    assert [(await at.ask(BODY)).status for _ in range(3)] == [200, 200, 429]
    assert (await at.balance()).reserved == 0
    assert len(await at.charges()) == 2


async def test_the_route_is_shown_to_tokens_that_may_see_it() -> None:
    """After one failure: the second channel, two attempts; an error shows what was tried."""
    at = house(
        Reply.error(500), Reply.json(completion()), Reply.error(500), Reply.error(500), token={"show_route": True}
    )
    seen = await at.ask(BODY)
    assert (seen.header("x-gateway-channel"), seen.header("x-gateway-attempts")) == ("second", "2")
    seen = await at.ask(BODY)
    assert (seen.status, seen.header("x-gateway-channel"), seen.header("x-gateway-attempts")) == (500, "second", "2")
    assert seen.header("x-gateway-conversion") is None


async def test_mounted_under_a_prefix() -> None:
    """`root_path` is taken off before anything is matched."""
    at = house(Reply.json(completion()))
    seen = await at.ask(BODY, path="/ai/v1/chat/completions", root_path="/ai")
    assert seen.status == 200
    assert (await at.ask(BODY, path="/ai/v1/chat/completions")).status == 404
    assert json.loads(at.transport.requests[0].body)["model"] == "m-1"


async def test_an_unknown_layer_is_a_mistake() -> None:
    """Options for what stands in no stack would be silently lost."""
    with pytest.raises(ValueError, match="no layer of the stack"):
        house(layers={Connection: {}})


async def test_layers_take_other_options_or_are_left_out() -> None:
    """By class; None leaves one out."""
    at = house(Reply.error(500), layers={RetryMiddleware: {"attempts": 1}})
    assert (await at.ask(BODY)).status == 500
    assert len(at.transport.requests) == 1
    at = house(Reply.error(500), layers={RetryMiddleware: None})
    assert (await at.ask(BODY)).status == 500


async def test_without_telemetry_unknown_paths_need_no_key() -> None:
    """Leaving out one of the outer layers does not move another into its place."""
    from asgi_gateway.middleware import TelemetryMiddleware

    at = house(layers={TelemetryMiddleware: None})
    assert (await at.get("/nothing", key=None)).status == 404
