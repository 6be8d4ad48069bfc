"""How kinds of upstream are addressed, and how their errors read.

A provider is code, one module each; vendors that are only "the same with another URL" are rows in `compatible.py`.
"""

from asgi_gateway.providers.address import Address, parse_base_url
from asgi_gateway.providers.channels import check_channel
from asgi_gateway.providers.concealment import conceal
from asgi_gateway.providers.contract import Endpoint, Origin, Provider
from asgi_gateway.providers.faults import Quirks, judge
from asgi_gateway.providers.registry import PROVIDERS, provider
from asgi_gateway.providers.vendor import Vendor

__all__ = [
    "PROVIDERS",
    "Address",
    "Endpoint",
    "Origin",
    "Provider",
    "Quirks",
    "Vendor",
    "check_channel",
    "conceal",
    "judge",
    "parse_base_url",
    "provider",
]
