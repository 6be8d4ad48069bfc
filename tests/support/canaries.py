"""Secrets that nothing else looks like, and an upstream that says back whatever it was told of them.

None has the form of a known vendor's key: what hides them must know them.
"""

import base64
import json
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from urllib.parse import quote

from support.broken_upstream import DONE, EVENTS, LONG_ANSWER, chunked, head, refusal, sized, stream_of, wire
from support.scripted_upstream import Script, UpstreamEnd

__all__ = [
    "ADDRESSES",
    "ANYWHERE",
    "AT_REST",
    "CHANNEL",
    "ENVIRONMENT",
    "MODELS",
    "SCRIPTS",
    "Canary",
    "found_in",
    "settings",
]

Canary = Mapping[str, str]

CALLER = "sk-canary.caller~key+0123456789"
STRANGER = "sk-canary.stranger~key+0123456789"
CHANNEL = "canary!channel:key/0123+456789"
SECOND = "canary-second_channel-key"
"""It stands in the environment, and the file names the variable."""

HOST = "canary-upstream-host"
PATH = "canary-path-token"
HEADER = "canary header override"
USER = "canary-proxy-user"
PASSWORD = "canary:proxy?password"
SESSION = "canary-session-secret"
CRYPTO = "canary-crypto-secret"
COOKIE = "canary-session-cookie"
PROMPT = "canary words of the prompt"
WORDS = "canary words of the answer"

ANYWHERE: Canary = {
    "the caller's key": CALLER,
    "a key that nobody has": STRANGER,
    "the channel's key": CHANNEL,
    "the channel's key in a URL": quote(CHANNEL, safe=""),
    "the channel's key from the environment": SECOND,
    "the channel's overriding header": HEADER,
    "the proxy's user": USER,
    "the proxy's password": PASSWORD,
    "the proxy's password in a URL": quote(PASSWORD, safe=""),
    "the proxy's credentials": base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode(),
    "the host's session secret": SESSION,
    "the deployer's secret": CRYPTO,
    "the host's cookie": COOKIE,
    "the words of a prompt": PROMPT,
}
"""What may stand nowhere."""

ADDRESSES: Canary = {"the upstream's host": HOST, "the path of its base URL": PATH}
"""What only the operator may see."""

ENVIRONMENT = {"CANARY_KEY": SECOND, "SESSION_SECRET": SESSION}
if find_spec("cryptography") is not None:  # it is an extra's
    ENVIRONMENT["CRYPTO_SECRET"] = CRYPTO

AT_REST: Canary = {
    "a channel's key": CHANNEL,
    "a channel's key from the environment": SECOND,
    "a channel's overriding header": HEADER,
    "the path of a base URL": PATH,
    "the upstream's host": HOST,
    "a proxy's user": USER,
    "a proxy's password": quote(PASSWORD, safe=""),
    "the deployer's secret": CRYPTO,
}
"""What the database's files may not hold when there is a secret."""


def found_in(text: str, *canaries: Canary) -> list[str]:
    """Which of them stand in a text, whatever the case of its letters."""
    lower = text.lower()
    return [name for known in canaries for name, canary in known.items() if canary.lower() in lower]


def _told(end: UpstreamEnd) -> str:
    """All that the request says of us, in prose."""
    visit = end.visit
    key = visit.headers["authorization"].removeprefix("Bearer ")
    return (
        f"The key {key} (in a URL {quote(key, safe='')}) is not welcome at {visit.target}, nor at /{PATH}/v1, "
        f"nor on {HOST} or {HOST.upper()}:8123; you sent {json.dumps(dict(visit.headers))} "
        f"through {USER}:{PASSWORD} ({quote(PASSWORD, safe='')}); you said: {visit.headers.get('x-canary')}."
    )


def _error(end: UpstreamEnd, type: str) -> bytes:
    key = end.visit.headers["authorization"].removeprefix("Bearer ")
    error = {"message": _told(end), "type": type, "code": f"bad {key}", "param": f"{HOST}/{PATH}"}
    return json.dumps({"error": error}).encode()


def _echo(status: int, type: str = "some_error") -> Script:
    """An error answer that says everything back, in its headers too."""

    async def script(end: UpstreamEnd) -> None:
        key = end.visit.headers["authorization"]
        headers = {"www_authenticate": key, "x_request_id": key, "set_cookie": f"a={key}", "server": HOST}
        await end.send(refusal(status, _error(end, type), retry_after="1", **headers))

    return script


def _page() -> Script:
    async def script(end: UpstreamEnd) -> None:
        await end.send(refusal(502, f"<html>{_told(end)}</html>".encode(), kind="text/html"))

    return script


def _inside(before: bytes = b"") -> Script:
    """An error inside a good answer; in a stream behind other events."""

    async def script(end: UpstreamEnd) -> None:
        error = _error(end, "some_error")
        if end.visit.body.get("stream"):
            await end.send(stream_of(before + b"data: " + error + b"\n\n" + DONE))
        else:
            await end.send(sized(error))

    return script


_ANSWER = {"choices": [{"index": 0, "message": {"role": "assistant", "content": WORDS}, "finish_reason": "stop"}]}
_HALF = LONG_ANSWER[: len(LONG_ANSWER) // 2]

SCRIPTS: dict[str, Script] = {
    "good": wire(sized(json.dumps(_ANSWER).encode()), stream_of(EVENTS + DONE)),
    **{f"refused-{status}": _echo(status) for status in (400, 401, 402, 403, 404, 413, 422, 429, 500, 503)},
    "no-balance": _echo(429, "insufficient_quota"),
    "redirected": wire(sized(b"", start=head(302, headers={"location": f"http://{HOST}/{PATH}"}))),
    "page": _page(),
    "inside": _inside(),
    "late": _inside(EVENTS),
    "cut": wire(chunked(_HALF, ended=False), stream_of(EVENTS, ended=False), then="close"),
    "broken": wire(b"HTTP/1.1 200 OK\r\nbroken\r\n\r\n"),
    "silent": wire(then="silence"),
}
"""What the upstream does, by model."""

LOST = ("lost", "refusing")
"""Models whose upstream cannot be reached: no such host, and a proxy that is not there."""

MODELS = (*SCRIPTS, *LOST)


def settings(proxy: int, closed: int) -> str:
    """A configuration with every secret in it; `proxy` and `closed` are ports, the latter of nobody."""
    return "\n".join(_sections(proxy, closed))


def _sections(proxy: int, closed: int) -> Iterator[str]:
    login = f"{USER}:{quote(PASSWORD, safe='')}"
    yield "[retry]\nattempts = 2"
    yield '[limits]\nfailed_authentications = "1000/minute"'
    for name, key, weight in (("one", CHANNEL, 1), ("two", "env:CANARY_KEY", 0)):
        yield _channel(
            name, key, f"http://{HOST}:8123/{PATH}", f"http://{login}@127.0.0.1:{proxy}", list(SCRIPTS), weight
        )
    yield _channel("lost", CHANNEL, f"http://{HOST}.invalid/{PATH}", "", ["lost"], 1)
    yield _channel("refusing", CHANNEL, f"http://{HOST}/{PATH}", f"http://{login}@127.0.0.1:{closed}", ["refusing"], 1)
    yield '[[users]]\nname = "dev"\nunlimited = true\n[[users]]\nname = "poor"\nquota = 1'
    for name, key in (("dev", CALLER), ("poor", CALLER + "-poor")):
        yield f'[[tokens]]\nname = "{name}"\nuser = "{name}"\nkey = "{key}"\nunlimited = true\nshow_route = true'
    for model in MODELS:
        yield f'[models."{model}".price]\ninput = "2"\noutput = "6"'


def _channel(name: str, key: str, base_url: str, proxy: str, models: list[str], weight: int) -> str:
    return f"""[[channels]]
name = "{name}"
provider = "openai"
base_url = "{base_url}"
keys = ["{key}"]
models = {models}
priority = {weight}
header_override = {{ x-canary = "{HEADER}" }}
proxy = "{proxy}"
[channels.timeouts]
connect = 2
headers = 1
plain = 1
first_event = 1"""
