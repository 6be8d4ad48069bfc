"""Prices and usages of every kind, and the formula of a charge told once more."""

from decimal import Decimal
from fractions import Fraction

from hypothesis import strategies as st

from asgi_gateway.canonical.usage import TOOL_KINDS
from asgi_gateway.storage.records import Price, PriceTier, Usage

INPUT_KINDS = ("input", "cache_read", "cache_write", "cache_write_1h", "audio_input", "image_input")
OUTPUT_KINDS = ("output", "reasoning", "audio_output", "image_output")
TOKEN_KINDS = INPUT_KINDS + OUTPUT_KINDS
OTHERWISE = {
    "cache_read": "input",
    "cache_write": "input",
    "cache_write_1h": "cache_write",
    "audio_input": "input",
    "image_input": "input",
    "reasoning": "output",
    "audio_output": "output",
    "image_output": "output",
}

QUALITIES = ("low", "high", "")
SIZES = ("1024x1024", "512x512", "")
IMAGES = tuple(f"{quality}/{size}" for quality in QUALITIES for size in SIZES)
ENTRIES = tuple(f"{quality}/{size}" for quality in (*QUALITIES[:2], "*") for size in (*SIZES[:2], "*"))
CLASSES = ("flex", "priority", "batch")

AMOUNTS = st.builds(
    lambda digits, places: Decimal(digits).scaleb(-places), st.integers(0, 10**10), st.sampled_from((0, 2, 6, 13))
)
OPTIONAL = st.none() | AMOUNTS
TOKENS = st.integers(0, 10**12)
SMALL = st.integers(0, 1000)

KINDS = dict.fromkeys(TOKEN_KINDS, OPTIONAL)
TIERS = st.lists(
    st.builds(PriceTier, above=st.integers(1, 10**12), **KINDS), max_size=3, unique_by=lambda tier: tier.above
).map(lambda tiers: tuple(sorted(tiers, key=lambda tier: tier.above)))
PLAIN_PRICES = st.builds(Price, **KINDS | {"input": AMOUNTS, "output": AMOUNTS})
"""Prices of tokens alone."""
EXTRAS = {
    "call": AMOUNTS,
    "images": st.dictionaries(st.sampled_from(ENTRIES), AMOUNTS),
    "second": AMOUNTS,
    "characters": AMOUNTS,
    "tools": st.dictionaries(st.sampled_from(TOOL_KINDS), AMOUNTS),
    "service_tiers": st.dictionaries(st.sampled_from(CLASSES), AMOUNTS),
}
PRICES = st.builds(Price, **KINDS | {"input": AMOUNTS, "output": AMOUNTS, "tiers": TIERS} | EXTRAS)
"""Prices of everything."""
PRICES_WITHOUT_TIERS = st.builds(Price, **KINDS | {"input": AMOUNTS, "output": AMOUNTS} | EXTRAS)

USAGES = st.builds(
    Usage,
    **dict.fromkeys(TOKEN_KINDS, TOKENS),
    tools=st.lists(st.tuples(st.sampled_from(TOOL_KINDS), SMALL), unique_by=lambda row: row[0]).map(tuple),
    images=st.lists(st.tuples(st.sampled_from(IMAGES), SMALL), unique_by=lambda row: row[0]).map(tuple),
    milliseconds=TOKENS,
    characters=TOKENS,
    service_tier=st.sampled_from(("", "unknown", *CLASSES)),
    estimated=st.booleans(),
    inconsistent=st.booleans(),
)


def image_entry(price: Price, name: str) -> Fraction:
    """What an image costs by the most exact entry."""
    quality, size = name.split("/")
    for entry in (f"{quality}/{size}", f"{quality}/*", f"*/{size}", "*/*"):
        if entry in price.images:
            return Fraction(price.images[entry])
    return Fraction(0)


def exact(price: Price, ratio: Decimal, usage: Usage) -> Fraction:
    """Units before rounding: the formula of `pricing`, told independently of it."""
    inward = sum(getattr(usage, kind) for kind in INPUT_KINDS)
    numbers = {kind: getattr(price, kind) for kind in TOKEN_KINDS}
    for tier in price.tiers:  # ascending: the last one reached stands
        if tier.above < inward:
            said = {kind: getattr(tier, kind) for kind in TOKEN_KINDS}
            numbers = {kind: getattr(price, kind) if said[kind] is None else said[kind] for kind in TOKEN_KINDS}

    def of(kind: str) -> Fraction:
        return Fraction(numbers[kind]) if numbers[kind] is not None else of(OTHERWISE[kind])

    usd = sum((getattr(usage, kind) * of(kind) for kind in TOKEN_KINDS), Fraction(0)) / 1_000_000
    usd += sum((count * image_entry(price, name) for name, count in usage.images), Fraction(0))
    usd += Fraction(price.second) * usage.milliseconds / 1000 + Fraction(price.characters) * usage.characters / 10**6
    counts = [getattr(usage, kind) for kind in (*TOKEN_KINDS, "milliseconds", "characters")]
    if any(counts) or any(count for _, count in (*usage.tools, *usage.images)):
        usd += Fraction(price.call)
    usd *= Fraction(price.service_tiers.get(usage.service_tier, 1))
    usd += sum((Fraction(price.tools.get(kind, 0)) * count / 1000 for kind, count in usage.tools), Fraction(0))
    return usd * Fraction(ratio) * 500_000
