"""No secret leaves: they are planted everywhere, and every output, log, record, repr and metric is searched."""

import logging
import traceback
from typing import Any

import pytest

from asgi_gateway.compose import compose
from asgi_gateway.config import BillingSettings, ConfigurationError, ServerSettings
from asgi_gateway.errors import UpstreamUnreachable
from asgi_gateway.exchange import Exchange
from asgi_gateway.middleware import (
    STACK,
    AuthenticationMiddleware,
    ChannelRoutingMiddleware,
    QuotaMiddleware,
    RateLimitMiddleware,
)
from asgi_gateway.relay import Relay
from support.asgi import Answer, Connection, ask, http_scope, settled, socket_scope
from support.exchanges import KEY, channel, chat, make_world
from support.gateways import House, house
from support.upstream import HANG, Reply, ScriptedSockets, ScriptedTransport, chunk, completion, stream

TOKEN = "sk-canarytoken" + "T0ken" * 7
WRONG = "sk-canarywrong" + "Wr0ng" * 7
QUERY = "sk-canaryquery" + "Qu3ry" * 7
UPSTREAM = "sk-canaryupstream" + "Upstr3am" * 5
HEADER = "canaryheader" + "H3ader" * 5
HOST = "canary-upstream-host.internal"
PROMPT = "canary prompt of the caller"
COOKIE = "canarycookie" + "C00kie" * 4

SECRETS = [TOKEN, TOKEN.removeprefix("sk-"), WRONG, QUERY, UPSTREAM, HEADER, HOST, COOKIE]

CHANNELS = [
    {
        "name": name,
        "provider": "openai",
        "base_url": f"http://{HOST}:9100/v1",
        "keys": [UPSTREAM],
        "models": ["m-1"],
        "header_override": {"x-tenant": HEADER},
    }
    for name in ("a", "b")
]

BODY = chat(max_tokens=5, user=PROMPT)
STREAM = chat(stream=True, max_tokens=5, user=PROMPT)
LEAKY = f"Incorrect API key provided: {UPSTREAM}, see http://{HOST}:9100/keys and {HOST}"


def planted(*replies: Reply, **options: Any) -> House:
    return house(
        *replies,
        channels=CHANNELS,
        token={"key": TOKEN, "show_route": True},
        settings={"server": ServerSettings(metrics="open"), "billing": BillingSettings(unpriced="refuse")},
        socket_transport=ScriptedSockets(),
        **options,
    )


def scopes() -> list[tuple[dict[str, Any], bytes]]:
    """Requests with a secret in every place that a key can stand in."""
    cookie = {"cookie": f"session={COOKIE}"}
    return [
        (http_scope(key=TOKEN, headers=cookie), BODY),
        (http_scope(key=TOKEN, headers=cookie), STREAM),
        (http_scope(headers={"x-api-key": TOKEN}), BODY),
        (http_scope(query=f"key={TOKEN}&other={QUERY}".encode()), BODY),
        (http_scope(key=WRONG, headers=cookie), BODY),
        (http_scope(query=f"key={QUERY}".encode()), BODY),
        (http_scope(key=TOKEN), b"{"),
        (http_scope(key=TOKEN), chat("nobody")),
        (http_scope("GET", "/v1/models", key=TOKEN), b""),
        (http_scope("GET", "/api/usage/token/", key=TOKEN), b""),
        (http_scope("GET", "/nothing", key=TOKEN, query=f"key={QUERY}".encode()), b""),
        (http_scope("GET", "/metrics"), b""),
        (http_scope("GET", "/readyz"), b""),
    ]


def searched(*texts: object) -> None:
    everything = "\n".join(text if isinstance(text, str) else repr(text) for text in texts)
    assert [secret for secret in SECRETS if secret in everything] == []


def flat(answer: Answer) -> str:
    return f"{answer.status} {answer.headers!r} {answer.body.decode('latin-1')}"


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.DEBUG)
    return caplog


def lines(log: pytest.LogCaptureFixture) -> str:
    """Every record, with its arguments, extras and traceback."""
    said = []
    for record in log.records:
        said += [record.getMessage(), repr(vars(record))]
        if record.exc_info:
            said += traceback.format_exception(*record.exc_info)
    return "\n".join(said)


ENDINGS: dict[str, list[Reply]] = {
    "answered": [Reply.json(completion()), Reply.stream(*stream("a", usage=(1, 1)))] * 3,
    "refused with the key in the text": [Reply.error(401, LEAKY)] * 20,
    "failed with the address in the text": [Reply.error(500, LEAKY)] * 20,
    "bad request with the key in the text": [Reply.error(400, LEAKY)] * 20,
    "unreachable": [Reply(before=[UpstreamUnreachable("no connection to the upstream")])] * 20,
    "an error event": [Reply.stream(b'data: {"error": {"message": "%s"}}\n\n' % LEAKY.encode())] * 20,
    "an error event inside": [
        Reply.stream(chunk("a"), b'data: {"error": {"message": "%s"}}\n\n' % LEAKY.encode()),
    ] * 20,
    "a web page": [Reply([f"<html>{LEAKY}</html>".encode()], status=502)] * 20,
}  # fmt: skip


@pytest.mark.parametrize("ending", ENDINGS)
async def test_nothing_that_leaves_holds_a_secret(ending: str, log: pytest.LogCaptureFixture) -> None:
    """Answers, access records, charges, logs, metrics, and the reprs of everything that was made."""
    at = planted(*ENDINGS[ending])
    async with at.gateway:
        for scope, body in scopes():
            async with Connection(at.gateway, scope, body) as caller:
                await caller.over()
                assert caller.task is not None
                searched(flat(caller.seen()), caller.task.exception())
        answer = await ask(at.gateway, socket_scope(subprotocols=[f"openai-insecure-api-key.{WRONG}"]))
        searched(flat(answer))
        searched(flat(await at.get("/metrics", key=None)))
        searched(at.records, await at.charges(), lines(log))
        stored = [
            *await at.gateway.storage.channels.list(),
            *await at.gateway.storage.users.list(),
            *await at.gateway.storage.tokens.list(),
        ]
    names = [channel.name for channel in await at.gateway.storage.channels.list()]
    assert names == ["a", "b"]
    # The address of a channel is the deployer's own to see in what is stored; the rest is nobody's.
    everything = repr(stored) + repr(at.gateway.settings) + repr(at.transport.requests)
    assert [secret for secret in SECRETS if secret != HOST and secret in everything] == []
    assert PROMPT not in repr(at.records) + lines(log)


async def test_what_a_request_is_made_of_shows_no_secret() -> None:
    """Whoever prints it in a debugger or a log: the exchange, and what the transport is given."""
    seen: list[str] = []

    class Spying:
        """A layer of somebody else's that prints what it is given."""

        def __init__(self, app: Any) -> None:
            self.app = app

        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            await self.app(scope, receive, send)
            exchange = Exchange.of(scope)
            seen.extend(repr(getattr(exchange, field)) for field in ("caller", "route", "attempts", "reservation"))

    world = await make_world(channel(header_override={"x-tenant": HEADER}))
    transport = ScriptedTransport(Reply.json(completion()))
    layers: dict[Any, dict[str, Any]] = {
        AuthenticationMiddleware: {"tokens": world.directory.tokens},
        QuotaMiddleware: {"ledger": world.storage.ledger, "directory": world.directory},
        ChannelRoutingMiddleware: {"directory": world.directory},
        RateLimitMiddleware: {"windows": world.storage.windows},
    }
    await world.directory.refresh()
    stack = [(layer, layers.get(layer, {})) for layer in STACK]
    app = compose(Relay(transport=transport), [*stack[:-1], (Spying, {}), stack[-1]])
    assert (await ask(app, http_scope(key=KEY), BODY)).status == 200
    (request,) = transport.requests
    key = b"sk-upstream-first"
    assert key in dict(request.headers)[b"authorization"]
    searched(*seen, request, app, transport)
    assert "dev" in seen[0]
    assert [secret for secret in (KEY, key.decode(), PROMPT) if secret in repr((seen, request))] == []


async def test_an_interrupted_exchange_shows_no_secret(log: pytest.LogCaptureFixture) -> None:
    """A caller who leaves, a drain, and what they leave behind."""
    at = planted(Reply.stream(chunk("a"), HANG), Reply(before=[HANG]))
    async with at.gateway:
        async with Connection(at.gateway, http_scope(key=TOKEN), STREAM) as caller:
            await caller.next()
            caller.leave()
            await caller.ended()
        async with Connection(at.gateway, http_scope(key=TOKEN), BODY) as caller:
            await settled()
            await at.gateway.drain(0.0)
            searched(flat(await caller.answer()))
    searched(at.records, await at.charges(), lines(log))


@pytest.mark.parametrize("wrong", ["storage", "channel", "token"])
def test_what_cannot_work_is_told_without_secrets(wrong: str) -> None:
    """A configuration that is refused shows neither keys nor addresses."""
    options: dict[str, Any] = {
        "storage": {"storage": f"oracle://user:{HEADER}@{HOST}/db"},
        "channel": {"channels": [{**CHANNELS[0], "provider": "nobody", "base_url": f"ftp://{HOST}"}]},
        "token": {"token": {"key": TOKEN + " with a space", "networks": ["nonsense"]}},
    }[wrong]
    with pytest.raises((ValueError, ConfigurationError), match=r".") as refused:
        house(**options)
    searched(str(refused.value), refused.value)


def test_the_gateway_itself_shows_no_secret() -> None:
    """Nor do its parts."""
    at = planted()
    searched(at.gateway, at.gateway.relay, at.gateway.storage, vars(at.gateway.relay))
