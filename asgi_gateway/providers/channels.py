"""Whether a channel can work: what can be told without asking its upstream."""

from collections.abc import Iterator, Mapping
from difflib import get_close_matches

from asgi_gateway.providers.address import parse_base_url
from asgi_gateway.providers.contract import Provider
from asgi_gateway.providers.headers import header_mistakes, key_mistake
from asgi_gateway.providers.registry import provider
from asgi_gateway.storage.records import Channel

__all__ = ["check_channel"]


def check_channel(channel: Channel) -> list[str]:
    """The channel's mistakes, one line each, beginning with the field. None shows a key, a URL or a header's value."""
    return [f"{field}: {reason}" for field, reason in _mistakes(channel)]


def _mistakes(channel: Channel) -> Iterator[tuple[str, str]]:
    try:
        kind: Provider | None = provider(channel.provider)
    except ValueError as unknown:
        kind = None
        yield "provider", str(unknown)
    yield from _address(channel, kind)
    yield from _keys(channel, kind)
    if kind is not None:
        for dialect in channel.dialects:
            if dialect not in kind.dialects:
                yield "dialects", _not_spoken(dialect, kind)
    for mistake in header_mistakes(channel.header_override):
        yield "header_override", mistake
    for cycle in _cycles(channel.model_mapping):
        yield "model_mapping", f"{' -> '.join(cycle)} leads in a circle"


def _address(channel: Channel, kind: Provider | None) -> Iterator[tuple[str, str]]:
    if channel.base_url:
        try:
            parse_base_url(channel.base_url)
        except ValueError as mistake:
            yield "base_url", f"is no base URL: {mistake}"
    elif kind is not None and not kind.base_url:
        yield "base_url", f"is missing: {kind.name!r} has no address of its own"


def _keys(channel: Channel, kind: Provider | None) -> Iterator[tuple[str, str]]:
    if kind is not None and not kind.needs_key:
        keys = [(number, key) for number, key in enumerate(channel.keys, 1) if key.reveal()]
    else:
        keys = list(enumerate(channel.keys, 1))
        if not keys:
            yield "keys", "there is none"
    mistake_of = key_mistake if kind is None else kind.key_mistake
    for number, key in keys:
        if mistake := mistake_of(key):
            yield "keys", f"key {number} {mistake}"


def _not_spoken(dialect: str, kind: Provider) -> str:
    near = get_close_matches(dialect, kind.dialects, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"it speaks {', '.join(kind.dialects)}"
    return f"{kind.name!r} does not speak {dialect!r}; {hint}"


def _cycles(mapping: Mapping[str, str]) -> Iterator[list[str]]:
    """Each cycle once, from where it is first reached. A name that maps to itself ends a chain and is none."""
    done: set[str] = set()
    for start in mapping:
        chain: list[str] = []
        name = start
        while name in mapping and name not in done and mapping[name] != name:
            done.add(name)
            chain.append(name)
            name = mapping[name]
            if name in chain:
                yield [*chain[chain.index(name) :], name]
                break
        done.update(chain)
