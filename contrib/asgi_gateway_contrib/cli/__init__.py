"""The command line: `asgi-gateway`, or `python3 -m asgi_gateway`."""

from asgi_gateway_contrib.cli.application import main

__all__ = ["main"]
