"""Prices as New API's ratios, where they can be said so exactly."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from asgi_gateway.policies.ratio_rules import completion_rule, tool_prices
from asgi_gateway.policies.ratios import CREATE_CACHE_RATIO, HOUR_RATIO, USD_PER_RATIO, RatioSheet, decimal_of
from asgi_gateway.storage.records import Group, Price

__all__ = ["RatioExport", "sheet_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RatioExport:
    """A sheet, and what of the prices is not in it."""

    sheet: RatioSheet
    left_out: Mapping[str, tuple[str, ...]]
    """The models whose prices no ratios express, each with the reasons. They are not in the sheet."""
    assumed: Mapping[str, tuple[str, ...]]
    """The models for which New API charges something that the price leaves to a fallback, and what that is."""


class _Inexpressible(Exception):
    """The argument says why."""


def sheet_of(prices: Mapping[str, Price], groups: Mapping[str, Group] | None = None) -> RatioExport:
    """The ratios of prices. A sheet's own prices give ratios that make the same prices again.

    A quotient whose digits have no end is no ratio, unless it is the built-in one of that name: then the sheet says
    none. New API's prices of tools are no part of its sheet: prices without any are taken as they are.
    """
    maps: dict[str, dict[str, Decimal]] = {}
    left_out: dict[str, tuple[str, ...]] = {}
    assumed: dict[str, tuple[str, ...]] = {}
    for model, price in prices.items():
        reasons = list(_unknown_parts(model, price))
        ratios: dict[str, Decimal] = {}
        for part in (_text, _output, _cache, _media):
            try:
                ratios |= part(model, price)
            except _Inexpressible as reason:
                reasons.append(str(reason))
        if reasons:
            left_out[model] = tuple(dict.fromkeys(reasons))
            continue
        if price.input and (assumptions := tuple(_assumptions(price))):
            assumed[model] = assumptions
        for name, ratio in ratios.items():
            maps.setdefault(name, {})[model] = ratio
    groups = groups or {}
    sheet = RatioSheet(
        **maps,
        group_ratio={name: group.ratio for name, group in groups.items()},
        group_group_ratio={name: dict(group.ratios) for name, group in groups.items() if group.ratios},
    )
    return RatioExport(sheet=sheet, left_out=left_out, assumed=assumed)


def _unknown_parts(model: str, price: Price) -> Iterator[str]:
    if price.tiers:
        yield "prices by length of context"
    if price.images:
        yield "prices of images"
    if price.second:
        yield "a price per second"
    if price.characters:
        yield "a price of characters"
    if price.service_tiers:
        yield "classes of service"
    if price.tools and price.tools != tool_prices(model):
        yield "other prices of tools than New API's"
    if price.reasoning is not None and price.reasoning != price.output:
        yield "another price of reasoning than of output"
    if price.image_output is not None and price.image_output != price.output:
        yield "another price of images made than of output"
    if price.call and any(_tokens(price)):
        yield "a price per call beside prices of tokens"


def _assumptions(price: Price) -> Iterator[str]:
    if price.cache_write_1h is None:
        yield "an hour's cache write: 1.6 times a short one"
    if _speech_is_left_open(price):
        yield "spoken answers: the price of audio input"


def _speech_is_left_open(price: Price) -> bool:
    """Whether spoken answers have no price of their own, and that of output is no ratio of audio input."""
    audio = price.input if price.audio_input is None else price.audio_input
    return price.audio_output is None and (not audio or not _ends(Fraction(price.output) / Fraction(audio)))


def _tokens(price: Price) -> tuple[Decimal | None, ...]:
    inward = (price.input, price.cache_read, price.cache_write, price.cache_write_1h)
    return (*inward, price.output, price.audio_input, price.audio_output, price.image_input)


def _text(model: str, price: Price) -> dict[str, Decimal]:
    if price.call or (price.cache_read is None and not any(_tokens(price))):
        return {"model_price": price.call}
    if not price.input and any(_tokens(price)):
        raise _Inexpressible("free input beside other prices: all of them are ratios of it")
    return {"model_ratio": decimal_of(Fraction(price.input) / USD_PER_RATIO)}


def _output(model: str, price: Price) -> dict[str, Decimal]:
    if not price.input:
        return {}
    ratio = Fraction(price.output) / Fraction(price.input)
    rule = completion_rule(model)
    if rule.locked and "/" not in model:
        if ratio != rule.ratio:
            raise _Inexpressible(f"output is {ratio} times input: New API fixes it at {rule.ratio} for this name")
        return {}
    if ratio == rule.ratio and not _ends(ratio):
        return {}
    return {"completion_ratio": _decimal(ratio, "output")}


def _cache(model: str, price: Price) -> dict[str, Decimal]:
    if not price.input:
        return {}
    text = Fraction(price.input)
    read, write = _ratio(price.cache_read, text), _ratio(price.cache_write, text)
    if price.cache_write_1h is not None and Fraction(price.cache_write_1h) != write * text * HOUR_RATIO:
        raise _Inexpressible("an hour's cache write at another price than 1.6 times a short one")
    ratios = {}
    if read != 1:
        ratios["cache_ratio"] = _decimal(read, "cache_read")
    if write != CREATE_CACHE_RATIO:
        ratios["create_cache_ratio"] = _decimal(write, "cache_write")
    return ratios


def _media(model: str, price: Price) -> dict[str, Decimal]:
    if not price.input:
        return {}
    text = Fraction(price.input)
    image, audio = _ratio(price.image_input, text), _ratio(price.audio_input, text)
    spoken = Fraction(price.output if price.audio_output is None else price.audio_output)
    if _speech_is_left_open(price):
        spoken = audio * text
    ratios = {}
    if image != 1:
        ratios["image_ratio"] = _decimal(image, "image_input")
    if audio != 1:
        ratios["audio_ratio"] = _decimal(audio, "audio_input")
    if audio and spoken != audio * text:
        ratios["audio_completion_ratio"] = _decimal(spoken / (audio * text), "audio_output")
    elif not audio and spoken:
        raise _Inexpressible("spoken answers that cost something, where audio input is free")
    return ratios


def _ratio(price: Decimal | None, text: Fraction) -> Fraction:
    return Fraction(1) if price is None else Fraction(price) / text


def _ends(ratio: Fraction) -> bool:
    return Fraction(decimal_of(ratio)) == ratio


def _decimal(ratio: Fraction, kind: str) -> Decimal:
    if not _ends(ratio):
        raise _Inexpressible(f"{kind} at a ratio whose digits have no end: {ratio}")
    return decimal_of(ratio)
