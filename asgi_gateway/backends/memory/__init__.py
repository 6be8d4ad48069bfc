"""Storage in this process's memory: for tests, demonstrations, and embedding without a file. Gone when it ends."""

from asgi_gateway.backends.memory.storage import MemoryStorage

__all__ = ["MemoryStorage"]
