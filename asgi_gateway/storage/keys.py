"""Callers' keys: how they are made, under what they are found, and what may be shown of them.

A key is `sk-` and 48 letters and digits. It is shown once, when it is made; what is kept is the SHA-256 digest of the
part after `sk-`, so that a key is found with and without that prefix.
"""

from hashlib import sha256
from secrets import choice
from string import ascii_letters, digits

__all__ = ["PREFIX", "digest_of", "generate_key", "hint_of"]

PREFIX = "sk-"

_PREFIX = PREFIX.encode()
_ALPHABET = ascii_letters + digits
_LENGTH = 48
_SHOWN_FROM = 16
"""Keys with fewer characters after the prefix show none of them."""


def generate_key() -> str:
    """A new key with more than 280 bits of randomness."""
    return PREFIX + "".join(choice(_ALPHABET) for _ in range(_LENGTH))


def digest_of(key: str | bytes) -> bytes:
    """The SHA-256 digest of a key's bytes without a leading `sk-`."""
    data = key.encode() if isinstance(key, str) else key
    return sha256(data.removeprefix(_PREFIX)).digest()


def hint_of(key: str) -> str:
    """What may be shown of a key: `sk-abc…wxyz`; nothing of a short one."""
    rest = key.removeprefix(PREFIX)
    if len(rest) < _SHOWN_FROM:
        return PREFIX + "…"
    return f"{PREFIX}{rest[:3]}…{rest[-4:]}"
