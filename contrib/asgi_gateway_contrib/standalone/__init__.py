"""The whole product as one app: configuration, storage, server, workers, and a demonstration."""

from asgi_gateway_contrib.standalone.assembly import assemble

__all__ = ["assemble"]
