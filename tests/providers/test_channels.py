"""Whether a channel can work."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asgi_gateway.providers import check_channel
from asgi_gateway.storage.records import Channel, Secret

GOOD = Channel(
    name="main",
    provider="openai",
    keys=(Secret("sk-canary"), Secret("sk-other")),
    base_url="http://127.0.0.1:9100/v1",
    models=("gpt-4o-mini",),
    dialects=("openai_chat",),
    model_mapping={"fast": "small", "small": "gpt-4o-mini", "same": "same"},
    header_override={"OpenAI-Organization": "org-1"},
)


@pytest.mark.parametrize(
    "channel",
    [
        GOOD,
        replace(GOOD, base_url="", dialects=()),
        replace(GOOD, provider="ollama", keys=(), base_url=""),
        replace(GOOD, provider="ollama", keys=(Secret(""),)),
        replace(GOOD, provider="openai_compatible", keys=()),
    ],
)
def test_a_good_channel_has_no_mistakes(channel: Channel) -> None:
    """Also one without a key, where the provider needs none."""
    assert check_channel(channel) == []


@pytest.mark.parametrize(
    ("changes", "mistake"),
    [
        ({"provider": "opena"}, "provider: there is no provider 'opena'; did you mean 'openai'?"),
        ({"base_url": "ftp://x"}, "base_url: is no base URL: it does not begin with http:// or https://"),
        (
            {"base_url": "https://a:canary@x"},
            "base_url: is no base URL: it has a user name or password; put the key under `keys`",
        ),
        (
            {"provider": "openai_compatible", "base_url": ""},
            "base_url: is missing: 'openai_compatible' has no address of its own",
        ),
        ({"keys": ()}, "keys: there is none"),
        ({"keys": (Secret("sk-canary"), Secret(""))}, "keys: key 2 is empty"),
        (
            {"keys": (Secret("sk-canary\n"),)},
            "keys: key 1 has characters other than visible ASCII (a space, a line break, a foreign letter)",
        ),
        (
            {"provider": "ollama", "dialects": (), "keys": (Secret("canary canary"),)},
            "keys: key 1 has characters other than visible ASCII (a space, a line break, a foreign letter)",
        ),
        (
            {"dialects": ("openai_chats",)},
            "dialects: 'openai' does not speak 'openai_chats'; did you mean 'openai_chat'?",
        ),
        (
            {"provider": "groq", "dialects": ("smoke",)},
            "dialects: 'groq' does not speak 'smoke'; it speaks openai_chat, openai_responses",
        ),
        (
            {"header_override": {"Host": "canary"}},
            "header_override: 'Host' may not be overridden: the transport sets it",
        ),
        ({"model_mapping": {"a": "b", "b": "a"}}, "model_mapping: a -> b -> a leads in a circle"),
        (
            {"model_mapping": {"x": "a", "a": "b", "b": "c", "c": "a", "y": "b"}},
            "model_mapping: a -> b -> c -> a leads in a circle",
        ),
    ],
)
def test_a_mistake_is_one_line_that_names_the_field(changes: dict[str, object], mistake: str) -> None:
    """And shows neither key, nor URL, nor the value of a header."""
    found = check_channel(replace(GOOD, **changes))  # type: ignore[arg-type]  # wrong on purpose, some of it
    assert found == [mistake]
    assert "canary" not in mistake


def test_all_mistakes_are_told_at_once() -> None:
    """Nobody wants to mend them one by one."""
    broken = Channel(
        name="c",
        provider="nobody-knows",
        keys=(),
        base_url="nowhere",
        model_mapping={"a": "b", "b": "a", "c": "d", "d": "c"},
        header_override={"host": "x", "a b": "y"},
    )
    fields = [mistake.split(":")[0] for mistake in check_channel(broken)]
    assert fields == ["provider", "base_url", "keys", *["header_override"] * 2, *["model_mapping"] * 2]


NAMES = st.sampled_from("abcdef")


@given(st.dictionaries(NAMES, NAMES))
def test_a_mapping_is_refused_exactly_when_a_chain_never_ends(mapping: dict[str, str]) -> None:
    """A name that maps to itself ends its chain."""

    def ends(name: str) -> bool:
        for _ in range(len(mapping) + 1):
            if mapping.get(name, name) == name:
                return True
            name = mapping[name]
        return False

    mistakes = check_channel(replace(GOOD, model_mapping=mapping))
    assert bool(mistakes) == any(not ends(name) for name in mapping)
    circles = [frozenset(mistake.split(": ")[1].split(" leads")[0].split(" -> ")) for mistake in mistakes]
    assert len(set(circles)) == len(circles)
