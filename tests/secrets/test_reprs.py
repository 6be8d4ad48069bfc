"""What a debugger, a log or an error reporter prints of our objects shows no secret."""

from dataclasses import replace
from pathlib import Path

import pytest

from asgi_gateway import Gateway
from asgi_gateway.config import ConfigurationError, Settings, StorageSettings, load_settings
from asgi_gateway.dialects import DIALECTS
from asgi_gateway.dialects.contract import Operation
from asgi_gateway.errors import UpstreamError
from asgi_gateway.exchange import Body, Caller, Exchange, Route
from asgi_gateway.providers import conceal, provider
from asgi_gateway.relay import UpstreamRequest
from asgi_gateway.relay.proxy import ProxyAddress
from asgi_gateway.storage.keys import digest_of
from asgi_gateway.storage.records import Channel, Secret, Token, User
from support import canaries
from support.canaries import ADDRESSES, ANYWHERE, found_in

HEADERS = [(b"authorization", b"Bearer " + canaries.CALLER.encode()), (b"cookie", canaries.COOKIE.encode())]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """The configuration that holds every secret."""
    path = tmp_path / "gateway.toml"
    path.write_text(canaries.settings(1, 2))
    return path


@pytest.fixture
def settings(file: Path) -> Settings:
    """The same, read."""
    return load_settings(file, canaries.ENVIRONMENT)


@pytest.fixture
def channel(settings: Settings) -> Channel:
    """A channel with a key, a path, a proxy and a header of its own."""
    return settings.channels[0]


def shown(thing: object) -> list[str]:
    """What a thing shows of the secrets, however it is printed."""
    return found_in(f"{thing!r} {thing!s} {thing}", ANYWHERE, ADDRESSES)


def test_settings(settings: Settings) -> None:
    """Nor do their parts."""
    assert settings.tokens[0].key.reveal() == canaries.CALLER
    for thing in (settings, *settings.channels, *settings.tokens, settings.tokens[0].key, settings.storage):
        assert shown(thing) == []


def test_a_storages_password() -> None:
    """Its URL may hold one."""
    assert "password" not in repr(
        StorageSettings(url="postgresql://user:password@host/db", redis="redis://:password@h")
    )


def test_a_gateway(settings: Settings) -> None:
    """Nor its storage, its directory and its relay."""
    gateway = Gateway(settings, storage="memory://")
    for thing in (
        gateway,
        gateway.settings,
        gateway.storage,
        gateway.directory,
        gateway.relay,
        gateway.relay.transport,
    ):
        assert shown(thing) == []


def test_an_exchange(channel: Channel) -> None:
    """With all that it learns on its way."""
    scope = {"type": "http", "method": "POST", "path": "/v1/chat/completions", "headers": HEADERS, "client": None}
    _, exchange = Exchange.enter(scope, Operation.CHAT, DIALECTS["openai_chat"])
    token = Token(name="dev", user_id=1, digest=digest_of(canaries.CALLER))
    exchange.caller = Caller(user=User(name="dev"), token=token, group="default")
    exchange.body = Body(canaries.PROMPT.encode())
    exchange.route = Route(
        channel=channel,
        key=channel.keys[0],
        upstream_model="m",
        provider=provider(channel.provider),
        dialect="openai_chat",
    )
    assert "Route(" in repr(exchange)
    assert shown(exchange) == []


def test_what_is_sent_upstream(channel: Channel) -> None:
    """Where it goes may be seen, by which key and with which words may not."""
    endpoint = provider(channel.provider).endpoint(channel, channel.keys[0], Operation.CHAT, "openai_chat", "m")
    request = UpstreamRequest(
        method=endpoint.method,
        origin=endpoint.origin,
        target=endpoint.target,
        headers=endpoint.headers,
        body=canaries.PROMPT.encode(),
        stream=False,
        timeouts=channel.timeouts,
        proxy=channel.proxy,
    )
    for thing in (endpoint, request, ProxyAddress.parse(channel.proxy)):
        assert found_in(repr(thing), ANYWHERE) == []
        assert canaries.PATH not in repr(thing)


BROKEN = {
    "a key that cannot be sent": ('keys = ["canary', 'keys = ["canary \\n'),
    "a URL with a login": ("http://canary-upstream-host:8123", "http://canary-proxy-user:canary-crypto-secret@host"),
    "a URL with a query": (":8123/canary-path-token", ":8123/?key=canary-path-token"),
    "a URL without a scheme": ('"http://canary-upstream-host:8123', '"canary-upstream-host:8123'),
    "a header with a line break": ("canary header override", "canary header override\\n"),
    "a text that is not closed": ('key = "sk-canary.caller~key+0123456789"', 'key = "sk-canary.caller~key+0123456789'),
    "a key that is no text": ('key = "sk-canary', 'key = ["sk-canary.caller~key+0123456789"]\n# "sk-canary'),
    "a key given twice": ("0123456789-poor", "0123456789"),
    "a storage that does not exist": ("[retry]", '[storage]\nurl = "oracle://user:canary-crypto-secret@h"\n[retry]'),
}
"""Mistakes in a configuration: what is replaced in the good one, and by what."""


@pytest.mark.parametrize(("good", "bad"), BROKEN.values(), ids=BROKEN)
def test_mistakes_in_a_configuration(file: Path, good: str, bad: str) -> None:
    """They are named by the place and the reason."""
    text = file.read_text()
    assert good in text
    file.write_text(text.replace(good, bad))
    try:
        Gateway.from_config(file)
    except (ConfigurationError, ValueError) as refused:
        said = f"{refused} {refused!r}"
    else:
        pytest.fail("nothing was wrong")
    assert found_in(said, ANYWHERE, ADDRESSES) == []


@pytest.mark.parametrize(
    "dsn", ["root:canary-crypto-secret/db", "root:canary-crypto-secret@canary-crypto-secret(h)/db"]
)
def test_mistakes_in_the_environment(dsn: str) -> None:
    """A data source name is most of all a password."""
    with pytest.raises(ConfigurationError) as refused:
        load_settings(None, {"SQL_DSN": dsn})
    assert found_in(str(refused.value), ANYWHERE) == []


@pytest.mark.parametrize("form", ["the channel's key", "the proxy's user", "the proxy's password"])
def test_an_upstreams_words_are_concealed(channel: Channel, form: str) -> None:
    """In every text of an error, also inside other words."""
    secret = ANYWHERE[form]
    error = UpstreamError(f"no ({secret})", type=secret, code=f"x_{secret}", param=secret)
    conceal(error, channel)
    assert (error.message, str(error), error.args) == ("no (***)", "no (***)", ("no (***)",))
    assert (error.type, error.code, error.param) == ("***", "x_***", "***")


@pytest.mark.parametrize(
    ("key", "secrets", "words"),
    [
        ("AKIDCANARY01|canary-secret-key|us-east-1", ["AKIDCANARY01", "canary-secret-key"], ["us-east-1"]),
        ('{"private_key_id": "canary-key-id", "type": "user", "n": 1}', ["canary-key-id"], ["user"]),
        ('{"private_key_id": "canary-key-id"', [], ["nothing"]),
    ],
)
def test_parts_of_a_key_are_concealed(key: str, secrets: list[str], words: list[str]) -> None:
    """An upstream names an account or an access key alone; short parts are words."""
    error = UpstreamError(" ".join([*secrets, *words]))
    conceal(error, Channel(name="c", provider="bedrock", keys=(Secret(key),)))
    assert error.message == " ".join(["***"] * len(secrets) + words)


def test_words_that_are_no_secrets_stay(channel: Channel) -> None:
    """A short host or key is a word of many messages; a longer one is hidden as a word alone."""
    text = "The user of the proxy may not use the api: gateways"
    error = UpstreamError(text)
    conceal(
        error, replace(channel, base_url="http://api/proxy", proxy="http://user:may@the-gateway", keys=(Secret("use"),))
    )
    assert error.message == text
    conceal(error, replace(channel, base_url="http://gateway", proxy="", header_override={"x-a": "Bearer {api_key}"}))
    assert error.message == text
    conceal(error, replace(channel, base_url="http://gateways", proxy="http://[", keys=()))
    assert error.message == text.replace("gateways", "***")
    error = UpstreamError("nothing to hide")
    conceal(error, Channel(name="plain", provider="openai", keys=(), base_url="http://["))
    assert (error.message, error.param) == ("nothing to hide", None)
