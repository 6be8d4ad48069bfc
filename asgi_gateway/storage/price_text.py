"""Prices as JSON texts, as storages keep them."""

from msgspec import json

from asgi_gateway.storage.records import Price

__all__ = ["price_of", "price_text"]

_decode = json.Decoder(Price).decode


def price_text(price: Price) -> str:
    """All numbers of a price, each as a decimal text."""
    return json.encode(price).decode()


def price_of(text: str) -> Price:
    """The price in a text. Fields it does not have are as in a price that does not say them."""
    return _decode(text)
