"""A storage that tells of changes, beside being asked for them."""

from collections.abc import Callable
from typing import Protocol, runtime_checkable

from asgi_gateway.storage.protocols import Storage

__all__ = ["AnnouncedStorage"]


@runtime_checkable
class AnnouncedStorage(Storage, Protocol):
    """A storage that tells of changes as they happen. Nothing may rest on it: `version` is what counts."""

    def announce(self, changed: Callable[[], None]) -> None:
        """Call `changed`, on the event loop, soon after each change that this process can hear of, until `close`."""
        ...
