"""Waits for what another process or thread does, up to a deadline."""

import asyncio
import time
from collections.abc import Callable

__all__ = ["eventually"]

PAUSE = 0.005


async def eventually(condition: Callable[[], bool], seconds: float, what: str) -> None:
    """Return once the condition holds; fail when it does not within so many seconds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"no {what} within {seconds} s"
        await asyncio.sleep(PAUSE)
