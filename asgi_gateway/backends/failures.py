"""Failures of work that perhaps nobody awaits."""

import logging
from asyncio import Future
from typing import Any

__all__ = ["LOGGER", "fail"]

LOGGER = logging.getLogger("asgi_gateway.backends")


def fail(future: "Future[Any]", error: Exception, what: str) -> None:
    """Fail a future that nobody need await: one line in the log, and no complaint by asyncio about it."""
    LOGGER.error("%s failed: %s: %s", what, type(error).__name__, error)
    if not future.done():
        future.set_exception(error)
        future.exception()  # counts as retrieved
