"""The same charge through every dialect that can carry the usage. Where one cannot, rule and reason stand here."""

from collections.abc import Mapping
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import pytest

from asgi_gateway.canonical import (
    ChatRequest,
    Event,
    Losses,
    PartClosed,
    PartOpened,
    Started,
    Stopped,
    TextDelta,
    Usage,
    UsageReported,
    collect,
)
from asgi_gateway.canonical.usage import TOOL_KINDS
from asgi_gateway.dialects import CHAT_DIALECTS
from asgi_gateway.dialects.contract import RequestOutline
from asgi_gateway.dialects.service_tiers import NAMES
from asgi_gateway.policies.pricing import cost
from support.conversion import plain_answer, read_plain, read_stream, streamed_answer
from support.golden import Bill, bills, price_of, prices, usage_of
from support.recordings import HOME, Recording, recordings, wire_of

USAGE_PAGE = Path(__file__).parents[2] / "docs" / "reference" / "usage.md"

ASKED = ChatRequest(model="m", turns=(), wants_usage=True)


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """What a dialect has a place for. All others of a usage are lost on the way through it."""

    counted_as: Mapping[str, str]
    """Kinds of tokens that it does not tell apart, and as what it counts them."""
    tools: frozenset[str] = frozenset()
    """Tools whose calls it counts."""
    tiers: frozenset[str] = frozenset()
    """Classes of service that it has words for."""
    why: str


SOUNDS = {"audio_input": "input", "audio_output": "output"}
IMAGES = {"image_input": "input", "image_output": "output"}

PLACES: Mapping[str, Place] = {
    "openai_chat": Place(
        counted_as={"image_output": "output", "cache_write_1h": "cache_write"},
        tiers=frozenset({"flex", "priority", "scale", "fast"}),
        why="its usage names no tools, no age of a cache, and drawn images in the total alone",
    ),
    "openai_responses": Place(
        counted_as={**SOUNDS, **IMAGES, "cache_write_1h": "cache_write"},
        tools=frozenset({"web_search"}),
        tiers=frozenset({"flex", "priority", "scale", "fast", "ultrafast"}),
        why="sounds and images have no field; `tool_usage` counts searches of the web, the output shows other calls",
    ),
    "anthropic_messages": Place(
        counted_as={**SOUNDS, **IMAGES},
        tools=frozenset({"web_search", "web_fetch"}),
        tiers=frozenset({"priority", "batch", "fast"}),
        why="it has neither sounds nor drawn images, and counts two tools",
    ),
    "google_generate": Place(
        counted_as={"cache_write": "input", "cache_write_1h": "input"},
        tiers=frozenset({"flex", "priority", "offpeak", "provisioned"}),
        why="what is written to a cache is input there; of searches it tells the queries, not how often one was made",
    ),
    "cohere_chat": Place(
        counted_as={**SOUNDS, "image_output": "output", "cache_write": "input", "cache_write_1h": "input"},
        tools=frozenset({"other"}),
        why="its caches are only read, it has no sounds, and of tools it counts units of search",
    ),
    "bedrock_converse": Place(
        counted_as={**SOUNDS, **IMAGES, "reasoning": "output"},
        tiers=frozenset({"flex", "priority", "reserved"}),
        why="its output is one number",
    ),
}

STREAMED: Mapping[str, Place] = {
    **PLACES,
    "anthropic_messages": Place(
        counted_as={**SOUNDS, **IMAGES, "cache_write_1h": "cache_write"},
        tools=frozenset({"web_search", "web_fetch"}),
        why="the age of a cache and the class of service stand at the beginning, where the usage is not known yet",
    ),
}


def carried(usage: Usage, place: Place) -> Usage:
    """The usage as it comes out of a dialect."""
    kinds = {name: getattr(usage, name) for name in Usage.__struct_fields__}
    for kind, other in place.counted_as.items():
        kinds[other] += kinds.pop(kind)
    tools = tuple((kind, count) for kind, count in usage.tools if kind in place.tools)
    tier = usage.service_tier if usage.service_tier in place.tiers else ""
    nothing: dict[str, Any] = {"images": (), "milliseconds": 0, "characters": 0, "inconsistent": False}
    return Usage(**{**kinds, **nothing, "tools": tools, "service_tier": tier})


def settled(usage: Usage | None, place: Place) -> Usage:
    """What came out, with the tools that the dialect counts: what else its items show is not compared."""
    assert usage is not None
    tools = tuple((kind, count) for kind, count in usage.tools if kind in place.tools)
    return msgspec.structs.replace(usage, tools=tools, images=(), inconsistent=False)


@cache
def recording_of(name: str) -> Recording:
    folder, _, id = name.partition("/")
    return next(recording for recording in recordings(folder) if recording["id"] == id)


def events_of(bill: Bill) -> list[Event]:
    """The recorded answer, read; or a short one, where nobody recorded any."""
    if not bill.recording:
        text = (PartOpened(0, "text"), TextDelta(0, "Hi"), PartClosed(0))
        return [Started("r1", bill.model), *text, UsageReported(usage_of(bill.usage)), Stopped("stop")]
    recording = recording_of(bill.recording)
    way = read_stream if recording["stream"] else read_plain
    return way(bill.dialect, wire_of(recording["response"]), Losses("response"))


def tapped(bill: Bill, size: int) -> Usage | None:
    """The usage as it is read of an answer that passes unchanged."""
    recording = recording_of(bill.recording)
    outline = RequestOutline(model=bill.model, stream=recording["stream"], wants_usage=True)
    tap = CHAT_DIALECTS[bill.dialect].tap(outline, stream=recording["stream"])
    wire = wire_of(recording["response"])
    for start in range(0, len(wire), size):
        tap.feed(wire[start : start + size])
    tap.finish()
    return tap.usage


def known(bill: Bill) -> None:
    if bill.recording and not HOME.exists():
        pytest.skip("no recordings beside the repository")


CHATS = [bill for bill in bills() if bill.dialect]


@pytest.mark.parametrize("bill", [bill for bill in bills() if bill.recording], ids=lambda bill: bill.name)
def test_the_usage_is_read_as_it_was_told(bill: Bill) -> None:
    """Where the answer is converted, and where it passes, in one piece or in many."""
    known(bill)
    usage = usage_of(bill.usage)
    assert collect(events_of(bill)).usage == usage
    assert tapped(bill, 1 << 30) == usage
    assert tapped(bill, 1000) == usage


@pytest.mark.parametrize("target", CHAT_DIALECTS)
@pytest.mark.parametrize("bill", CHATS, ids=lambda bill: bill.name)
def test_the_charge_is_the_same_through_another_dialect(bill: Bill, target: str) -> None:
    """Plain and streamed: to the unit, but for what the dialect has no place for, which is lost by its rule."""
    known(bill)
    events, usage = events_of(bill), usage_of(bill.usage)
    price, ratio = price_of(prices()[bill.price]), Decimal(bill.ratio)
    plain, streamed = PLACES[target], STREAMED[target]
    body = plain_answer(target, events, ASKED, Losses("response")).body
    wire = streamed_answer(target, events, ASKED, Losses("response")).body
    told = settled(collect(read_plain(target, body, Losses("response"))).usage, plain)
    assert told == carried(usage, plain)
    told_late = settled(collect(read_stream(target, wire, Losses("response"))).usage, streamed)
    assert told_late == carried(usage, streamed)
    for came, place in ((told, plain), (told_late, streamed)):
        if carried(usage, place) == usage:
            assert cost(price, ratio, came) == bill.charge


def test_most_bills_are_carried_whole() -> None:
    """The rules are exceptions: each dialect carries most of what was recorded, and every rule has its reason."""
    for target, place in PLACES.items():
        whole = [bill for bill in CHATS if carried(usage_of(bill.usage), place) == usage_of(bill.usage)]
        assert len(whole) >= 30, target
        assert place.why
    assert PLACES.keys() == CHAT_DIALECTS.keys()


def test_the_usage_page_lists_every_rule() -> None:
    """What a caller's dialect does not tell stands in the documentation, word for word; so does every class's name."""
    page = USAGE_PAGE.read_text(encoding="utf-8")
    for target, place in PLACES.items():
        counted_as = ", ".join(f"`{kind}` as `{other}`" for kind, other in place.counted_as.items())
        tools, tiers = (", ".join(f"`{name}`" for name in sorted(names)) or "-" for names in (place.tools, place.tiers))
        assert f"| `{target}` | {counted_as} | {tools} | {tiers} | {place.why} |\n" in page
    assert all(f"`{name}`" in page for name in {*NAMES, *TOOL_KINDS} - {""})
