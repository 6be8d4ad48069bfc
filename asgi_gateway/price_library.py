"""Default prices of models, from the data of the library `genai-prices` (https://github.com/pydantic/genai-prices).

The library knows what many vendors ask for a model. A caller's price is known before the route, so it is never that of
the channel: it is the price of the first vendor in `VENDORS` that has one for the name: those who make models, then
those who host the models of others. Vendors that only sell on what others make are left out.

Prices in force at a time only are read for a moment that the caller gives, and are to be looked up again later.
A model whose tokens cost nothing in the library has no price here: free is what a deployer says.
What the library has and a `Price` has not is left out knowingly: `IGNORED`.

The library is imported when prices are loaded, not when this module is: it costs a quarter of a second and up to 30 MB.
"""

import json
from base64 import b64decode, b64encode
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from decimal import ROUND_DOWN, Context, Decimal
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple
from zlib import compress, decompress
from zlib import error as CompressionError  # noqa: N812 - the module's own name says nothing

from asgi_gateway.storage.records import Price, PriceTier

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo, ModelPrice, Provider

__all__ = [
    "IGNORED",
    "VENDORS",
    "LibraryPrice",
    "PriceLibrary",
    "bundled_library",
    "packed",
    "published_at",
    "unpacked",
]

VENDORS = (
    "openai",
    "anthropic",
    "google",
    "x-ai",
    "deepseek",
    "mistral",
    "cohere",
    "meta",
    "moonshotai",
    "minimax",
    "zai",
    "zhipuai",
    "arcee",
    "voyageai",
    "elevenlabs",
    "perplexity",
    "groq",
    "cerebras",
    "together",
    "fireworks",
    "novita",
    "aws",
    "openrouter",
)
"""Whose price counts, the first first."""

TOKENS: Mapping[str, str] = MappingProxyType(
    {
        "input_mtok": "input",
        "output_mtok": "output",
        "cache_read_mtok": "cache_read",
        "cache_write_mtok": "cache_write",
        "cache_write_1h_mtok": "cache_write_1h",
        "output_reasoning_mtok": "reasoning",
        "input_audio_mtok": "audio_input",
        "output_audio_mtok": "audio_output",
        "input_image_mtok": "image_input",
        "output_image_mtok": "image_output",
    }
)
"""The library's prices per million tokens, and ours."""

TOOLS: Mapping[str, str] = MappingProxyType(
    {"web_searches_kcount": "web_search", "storage_searches_kcount": "file_search"}
)
"""The library's prices per thousand calls, and our kinds of tools."""

HOURS = ("input_audio_hours", "audio_hours")

CLASSES = frozenset({"service_tier", "processing", "speed"})
"""What the library tells apart that a `service_tier` says: "flex", "batch", "fast"."""

IGNORED = frozenset(
    {
        "cache_audio_read_mtok",  # counts as cache_read
        "cache_image_read_mtok",  # counts as cache_read
        "input_video_mtok",  # counts as input
        "output_video_mtok",  # counts as output
        "output_citation_mtok",  # counts as output
        "input_document_kpages",  # pages are not counted
        "input_annotated_document_kpages",
        "input_text_messages_kcount",  # messages are not counted
    }
)
"""Prices of the library that have no place in ours, and what is charged instead."""

LONG_CACHE = Decimal("1.6")
"""Writing to the cache for an hour, by writing for 5 minutes: Anthropic's 2 over 1.25 times the input."""

OWN_TOOLS: Mapping[str, Mapping[str, Decimal]] = MappingProxyType(
    {
        "openai": {"web_search": Decimal(10), "file_search": Decimal("2.5")},
        "anthropic": {"web_search": Decimal(10)},
        "google": {"web_search": Decimal(14)},
    }
)
"""USD per thousand calls where the library says nothing of a chat model, noted in November 2026. To compare with:

openai.com/api/pricing (web search, file search), docs.claude.com/en/docs/about-claude/pricing (web search),
ai.google.dev/gemini-api/docs/pricing (grounding with Google Search).
"""

MAKERS: Mapping[str, str] = MappingProxyType({"claude": "anthropic", "gemini": "google"})
"""Whose a model is by a word in its name, whoever sells it."""

OWN_IMAGES: Mapping[str, Decimal] = MappingProxyType(
    {
        f"{quality}/{size}": Decimal(price)
        for quality, prices in {
            "low": ("0.011", "0.016", "0.016"),
            "medium": ("0.042", "0.063", "0.063"),
            "high": ("0.167", "0.25", "0.25"),
        }.items()
        for size, price in zip(("1024x1024", "1024x1536", "1536x1024"), prices, strict=True)
    }
    | {"*/*": Decimal("0.167")}
)
"""USD for an image that a model of OpenAI makes by its tool, noted in November 2026.

To compare with: platform.openai.com/docs/pricing.
One of unknown quality counts as one of high quality.
"""

DIVISION = Context(prec=12, rounding=ROUND_DOWN)
"""What cannot be divided exactly is cut off after twelve digits: no charge is a unit higher because of it."""

DROPPED = ("description", "price_comments", "pricing_urls", "extractors", "fallback_model_providers")
"""What is not kept of published data."""


class LibraryPrice(NamedTuple):
    """A price that the library has, whose it is, and under which name it stands there.

    `until`: when another one may come into force; None: never.
    """

    price: Price
    vendor: str
    model: str
    until: datetime | None


class PriceLibrary:
    """The data of the library. `origin` says which: "genai-prices 0.2.3", or where it came from and when."""

    def __init__(self, providers: "Sequence[Provider]", origin: str) -> None:
        by_name = {provider.id: provider for provider in providers}
        self._providers = [by_name[vendor] for vendor in VENDORS if vendor in by_name]
        self.origin = origin

    def find(self, model: str, now: datetime) -> LibraryPrice | None:
        """The price of a model at a time; None when no vendor has one."""
        for provider in self._providers:
            found = provider.find_model(model)
            if found is not None and (price := _price(found, provider.id, now)) is not None:
                return LibraryPrice(price, provider.id, found.id, _next_change(found, now))
        return None

    def names(self) -> Iterator[str]:
        """The library's own names of models, those of each vendor together; some have no price."""
        seen = set[str]()
        for provider in self._providers:
            for model in provider.models:
                if model.id not in seen:
                    seen.add(model.id)
                    yield model.id


def bundled_library() -> PriceLibrary:
    """The data that came with the installed library. Takes a quarter of a second: not for an event loop."""
    from importlib.metadata import version

    from genai_prices.data import providers

    return PriceLibrary(providers, f"genai-prices {version('genai-prices')}")


def published_at() -> str:
    """The URL where the library publishes its data anew."""
    from genai_prices.update_prices import DEFAULT_UPDATE_URL

    return DEFAULT_UPDATE_URL


def packed(published: bytes) -> str:
    """The data that the library publishes, as a short text: the vendors of `VENDORS`, and what prices need.

    Raises `ValueError` when it is none.
    """
    from genai_prices.types import _providers_from_raw

    raw = json.loads(published)
    if not isinstance(raw, list) or not all(isinstance(provider, dict) for provider in raw):
        raise ValueError("is no list of providers")
    kept = [{"models": [], **provider} for provider in raw if provider.get("id") in VENDORS]
    if not kept:
        raise ValueError("names none of the vendors whose prices count")
    _providers_from_raw(kept)  # what cannot be read back is refused now
    return b64encode(compress(json.dumps([_bare(provider) for provider in kept]).encode(), 9)).decode()


def unpacked(text: str, origin: str) -> PriceLibrary:
    """The library in a text of `packed`. Raises `ValueError`."""
    from genai_prices.types import _providers_from_raw

    try:
        raw = json.loads(decompress(b64decode(text)))
    except CompressionError as reason:
        raise ValueError(f"is no packed data: {reason}") from reason
    return PriceLibrary(_providers_from_raw(raw), origin)


def _bare(provider: dict[str, Any]) -> dict[str, Any]:
    models = [{key: value for key, value in model.items() if key not in DROPPED} for model in provider["models"]]
    return {key: value for key, value in provider.items() if key not in DROPPED} | {"models": models}


def _price(model: "ModelInfo", vendor: str, now: datetime) -> Price | None:
    if not model.prices:
        return None
    standard = model.get_prices(now)
    numbers = _numbers(standard)
    base: dict[str, Any] = {TOKENS[key]: prices[0] for key, prices in numbers.items()}
    tools = {kind: rate for key, kind in TOOLS.items() if (rate := _single(standard, key))}
    seconds = next((rate for key in HOURS if (rate := _single(standard, key))), Decimal(0))
    price = Price(
        input=base.pop("input", Decimal(0)),
        output=base.pop("output", Decimal(0)),
        **base,
        tiers=_tiers(numbers),
        call=DIVISION.divide(_single(standard, "requests_kcount") or Decimal(0), Decimal(1000)),
        second=DIVISION.divide(seconds, Decimal(3600)),
        characters=_single(standard, "input_mchars") or Decimal(0),
        tools=tools,
        service_tiers=_service_tiers(model, standard, now),
    )
    if not any((price.input, price.output, price.call, price.second, price.characters)):
        return None
    return _completed(price, model.id, vendor)


def _next_change(model: "ModelInfo", now: datetime) -> datetime | None:
    """The first moment after this at which another price of the model may come into force."""
    from genai_prices.types import StartDateConstraint

    conditional = [*(model.prices if isinstance(model.prices, list) else ()), *(model.price_variants or ())]
    moments: list[datetime] = []
    for constraint in {id(one.constraint): one.constraint for one in conditional}.values():
        if isinstance(constraint, StartDateConstraint):
            moments.append(datetime.combine(constraint.start_date, time(), UTC))
        elif constraint is not None:
            for clock in (constraint.start_time, constraint.end_time):
                begin = datetime.combine(now.date(), clock if clock.tzinfo else clock.replace(tzinfo=UTC))
                moments += [begin + timedelta(days=days) for days in (-1, 0, 1, 2)]
    return min((moment for moment in moments if moment > now), default=None)


def _completed(price: Price, name: str, vendor: str) -> Price:
    """The price with what the library does not say and the page of the model's maker does."""
    maker = next((maker for word, maker in MAKERS.items() if word in name), vendor)
    if maker == "anthropic":
        price = replace(price, **_long_cache(price), tiers=tuple(replace(t, **_long_cache(t)) for t in price.tiers))
    media = (price.image_input, price.image_output, price.audio_input, price.audio_output)
    if price.input and price.output:  # a model that talks
        price = replace(price, tools={**OWN_TOOLS.get(maker, {}), **price.tools})
        if maker == "openai" and not any(media):
            price = replace(price, images=dict(OWN_IMAGES))
    return price


def _long_cache(price: Price | PriceTier) -> dict[str, Any]:
    if price.cache_write is None or price.cache_write_1h is not None:
        return {}
    return {"cache_write_1h": price.cache_write * LONG_CACHE}


def _numbers(prices: "ModelPrice") -> dict[str, tuple[Decimal, Mapping[int, Decimal]]]:
    """By the library's kind of token: the price, and those from a length of context on."""
    from genai_prices.types import TieredPrices

    found: dict[str, tuple[Decimal, Mapping[int, Decimal]]] = {}
    for key in TOKENS:
        price = getattr(prices, key)
        if isinstance(price, TieredPrices):
            found[key] = price.base, {tier.start: tier.price for tier in price.tiers}
        elif price is not None:
            found[key] = price, {}
    return found


def _tiers(numbers: Mapping[str, tuple[Decimal, Mapping[int, Decimal]]]) -> tuple[PriceTier, ...]:
    starts = sorted({start for _, tiers in numbers.values() for start in tiers})
    made = []
    for start in starts:
        kinds: dict[str, Decimal] = {}
        for key, (_, tiers) in numbers.items():
            reached = [level for level in tiers if level <= start]
            if reached:
                kinds[TOKENS[key]] = tiers[max(reached)]
        made.append(PriceTier(above=start, **kinds))
    return tuple(made)


def _service_tiers(model: "ModelInfo", standard: "ModelPrice", now: datetime) -> dict[str, Decimal]:
    """By what a class of service multiplies: the higher of its factors for input and for output."""
    factors: dict[str, Decimal] = {}
    for variant in model.price_variants or ():
        if len(variant.when) != 1:
            continue
        ((key, name),) = variant.when.items()
        if key not in CLASSES or name in factors:
            continue
        prices = model.get_prices(now, variant.when)
        ratios = [_ratio(_single(prices, kind), _single(standard, kind)) for kind in ("input_mtok", "output_mtok")]
        ratios = [ratio for ratio in ratios if ratio is not None] or [
            ratio for key in HOURS if (ratio := _ratio(_single(prices, key), _single(standard, key))) is not None
        ]
        if ratios and max(known := [ratio for ratio in ratios if ratio is not None]) != 1:
            factors[name] = max(known)
    return factors


def _ratio(price: Decimal | None, standard: Decimal | None) -> Decimal | None:
    return None if price is None or not standard else DIVISION.divide(price, standard)


def _single(prices: "ModelPrice", key: str) -> Decimal | None:
    """A price of the library; of one with tiers that of the lowest."""
    price = getattr(prices, key)
    base: Decimal | None = getattr(price, "base", price)
    return base
