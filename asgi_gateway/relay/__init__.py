"""The terminal app of the stack, and the transports that it reaches upstreams by."""

from asgi_gateway.relay.http1 import Http1Transport
from asgi_gateway.relay.httpx_transport import HttpxTransport
from asgi_gateway.relay.relay import Relay
from asgi_gateway.relay.transport import (
    SocketTransport,
    Transport,
    UpstreamRequest,
    UpstreamResponse,
    UpstreamSocket,
)

__all__ = [
    "Http1Transport",
    "HttpxTransport",
    "Relay",
    "SocketTransport",
    "Transport",
    "UpstreamRequest",
    "UpstreamResponse",
    "UpstreamSocket",
]
