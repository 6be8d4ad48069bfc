"""The layers of the gateway, and the order they stand in.

| layer | why it stands there |
|---|---|
| `TelemetryMiddleware` | rendered errors are counted too |
| `ErrorMiddleware` | whatever is refused inside is rendered in the caller's dialect |
| `AuthenticationMiddleware` | nobody without a key makes us read a body |
| `RequestBodyMiddleware` | everything below looks into the body |
| `ModelMappingMiddleware` | limits and prices are the real model's |
| `RateLimitMiddleware` | nothing is reserved for what is refused |
| `QuotaMiddleware` | one call is charged once, whatever the attempts |
| `RetryMiddleware` | each attempt picks a channel anew |
| `ChannelRoutingMiddleware` | conversion depends on the channel |
| `FormatConversionMiddleware` | the relay sees the channel's dialect alone |

Each is a plain ASGI middleware, usable alone and through a host's own idiom, such as Starlette's
`Middleware(XMiddleware, …)`. A layer that stands outermost begins the exchange and renders its own refusals.
"""

from asgi_gateway.config.settings import RateLimit
from asgi_gateway.middleware.authentication import AuthenticationMiddleware
from asgi_gateway.middleware.body import RequestBodyMiddleware
from asgi_gateway.middleware.conversion import FormatConversionMiddleware
from asgi_gateway.middleware.error import ErrorMiddleware
from asgi_gateway.middleware.model_mapping import ModelMappingMiddleware
from asgi_gateway.middleware.quota import QuotaMiddleware
from asgi_gateway.middleware.rate_limit import RateLimitMiddleware
from asgi_gateway.middleware.retry import RetryMiddleware
from asgi_gateway.middleware.routing import ChannelRoutingMiddleware
from asgi_gateway.middleware.telemetry import TelemetryMiddleware

__all__ = [
    "STACK",
    "AuthenticationMiddleware",
    "ChannelRoutingMiddleware",
    "ErrorMiddleware",
    "FormatConversionMiddleware",
    "ModelMappingMiddleware",
    "QuotaMiddleware",
    "RateLimit",
    "RateLimitMiddleware",
    "RequestBodyMiddleware",
    "RetryMiddleware",
    "TelemetryMiddleware",
]

STACK = (
    TelemetryMiddleware,
    ErrorMiddleware,
    AuthenticationMiddleware,
    RequestBodyMiddleware,
    ModelMappingMiddleware,
    RateLimitMiddleware,
    QuotaMiddleware,
    RetryMiddleware,
    ChannelRoutingMiddleware,
    FormatConversionMiddleware,
)
"""The layers around the relay, outermost first."""
