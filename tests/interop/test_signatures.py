"""What a model signed comes back to it through clients that know nothing of it, and what was sent stays cacheable."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from itertools import pairwise

import httpx
import pytest

from support.gateway_process import GatewayProcess
from support.gateway_settings import DEV
from support.http_upstream import Asked, HttpUpstream
from support.interop import channel, configuration
from support.sealing_upstreams import CALLS, TEXTS, THOUGHTS, UNSIGNED, claude, gemini
from support.vendors import CLIENTS
from support.vendors.answers import Answer, Client
from support.vendors.google_client import GoogleChat
from support.vendors.openai_clients import BareOpenAIChat

CALLERS: dict[str, Callable[[str, str], Client]] = {
    **CLIENTS,
    "openai_chat_bare": BareOpenAIChat,
    "google_chat": GoogleChat,
}
RESULTS = {"get_weather": '{"degrees": 20}', "get_time": '{"time": "12:00"}'}

UPSTREAMS = {"claude": ("anthropic_messages", claude), "gemini": ("google_generate", gemini)}

CELLS = [
    pytest.param((caller, upstream, stream), id=f"{caller}-{upstream}-{'stream' if stream else 'plain'}")
    for caller in CALLERS
    for upstream in UPSTREAMS
    for stream in (False, True)
]


class Sealed:
    """A gateway, and two upstreams that want their signatures back."""

    def __init__(self, gateway: GatewayProcess, upstreams: dict[str, HttpUpstream]) -> None:
        self.gateway = gateway
        self.upstreams = upstreams

    def asked(self, upstream: str) -> list[Asked]:
        """The requests since the last time."""
        asked = list(self.upstreams[upstream].asked)
        self.upstreams[upstream].asked.clear()
        return asked


@pytest.fixture(scope="module")
def sealed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sealed]:
    """The gateway keeps what clients do not send back, as it does by default."""
    with ExitStack() as stack:
        upstreams = {name: stack.enter_context(HttpUpstream(answer)) for name, (_, answer) in UPSTREAMS.items()}
        channels = [channel(name, UPSTREAMS[name][0], server.port) for name, server in upstreams.items()]
        text = configuration(*channels).replace("gemini-2.5-flash", "gemini-3-pro-preview")
        gateway = stack.enter_context(GatewayProcess(tmp_path_factory.mktemp("sealed"), text))
        asyncio.run(gateway.ready())
        yield Sealed(gateway, upstreams)


@dataclass(frozen=True)
class Conversation:
    """What an SDK made of the answers, and what the upstream was sent."""

    answers: list[Answer]
    bodies: list[bytes]


@pytest.fixture(scope="module", params=CELLS)
def conversation(request: pytest.FixtureRequest, sealed: Sealed) -> Conversation:
    """Two rounds of calls, the first of two at once, and a further question."""
    caller, upstream, stream = request.param
    sealed.asked(upstream)
    with closing(CALLERS[caller](sealed.gateway.url, DEV.key)) as client:
        answers = client.talk([upstream], ["Where is it warmer?", "Thanks!"], RESULTS, stream=stream, think=True)
    return Conversation(answers, [asked.raw for asked in sealed.asked(upstream)])


def test_signatures_come_back(conversation: Conversation) -> None:
    """Nothing was refused; texts, calls and thoughts are the upstream's."""
    answers = conversation.answers
    assert [(answer.text, answer.calls) for answer in answers] == list(zip(TEXTS, CALLS, strict=True))
    assert [answer.thinking for answer in answers] == list(THOUGHTS)
    assert len(conversation.bodies) == len(CALLS)
    # No call goes without its own signature, nor by an id of the gateway's.
    assert [body for body in conversation.bodies if UNSIGNED.encode() in body or b'"agw_' in body] == []


def test_each_turn_begins_as_the_turn_before(conversation: Conversation) -> None:
    """Byte by byte up to the new messages, behind which nothing changes either: a provider's cache of prompts hits."""
    for before, after in pairwise(conversation.bodies):
        same = next(place for place in range(len(before)) if before[place] != after[place])
        tail = before[same:]
        assert tail.startswith(b"]"), tail  # the end of the conversation
        assert after[same:].lstrip().startswith(b",")
        assert after.endswith(tail)


SWITCHES = {
    "claude-gemini": ["claude", "claude", "claude", "gemini"],
    "gemini-claude": ["gemini", "gemini", "gemini", "claude"],
    "claude-gemini-amid-calls": ["claude", "gemini"],
    "gemini-claude-amid-calls": ["gemini", "claude"],
    "claude-gemini-claude": ["claude", "gemini", "claude"],
}
"""By name: the models of the requests."""


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize("models", SWITCHES.values(), ids=SWITCHES)
@pytest.mark.parametrize("caller", [caller for caller in CALLERS if caller != "google_chat"])
def test_a_conversation_changes_its_model(sealed: Sealed, caller: str, models: list[str], stream: bool) -> None:
    """To that of another maker, who never sees the seals of the one before; and back."""
    with closing(CALLERS[caller](sealed.gateway.url, DEV.key)) as client:
        answers = client.talk(models, ["Where is it warmer?", "Thanks!"], RESULTS, stream=stream, think=True)
    assert [(answer.text, answer.calls) for answer in answers] == list(zip(TEXTS, CALLS, strict=True))


MISSING = {
    "claude": {
        "model": "claude-sonnet-4-5",
        "thinking": {"type": "adaptive"},
        "messages": [
            {"role": "user", "content": "Where is it warmer?"},
            {"role": "assistant", "content": [{"type": "tool_use", "id": "toolu_0", "name": "f", "input": {}}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_0", "content": "20"}]},
        ],
    },
    "gemini": {
        "contents": [
            {"role": "user", "parts": [{"text": "Where is it warmer?"}]},
            {"role": "model", "parts": [{"functionCall": {"name": "f", "args": {}}}]},
            {"role": "user", "parts": [{"functionResponse": {"name": "f", "response": {}}}]},
        ]
    },
}


@pytest.mark.parametrize("upstream", UPSTREAMS)
def test_the_upstreams_refuse_what_is_not_signed(sealed: Sealed, upstream: str) -> None:
    """Else the tests above would show nothing."""
    answer = httpx.post(f"http://127.0.0.1:{sealed.upstreams[upstream].port}/", json=MISSING[upstream])
    assert answer.status_code == 400
