"""What several nodes share in Redis or Valkey: messages of changes, look-ups of tokens, small records.

Everything works without it; it is only slower, or later by a second.
"""

from asgi_gateway.backends.redis.storage import RedisStorage

__all__ = ["RedisStorage"]
