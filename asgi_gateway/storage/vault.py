"""Secrets at rest: what the database holds of them can be read only with the deployer's `CRYPTO_SECRET`.

From a secret one key is derived for each purpose (HKDF with SHA-256, RFC 5869), so that no text of one purpose passes
for one of another. Texts are encrypted with AES-256-GCM (NIST SP 800-38D) under a random nonce and bound to their
place: a text that was moved to another row does not open.

A sealed text is `v1:KEY:DATA`: a short digest of the derived key, by which the right one of several secrets is found,
and nonce, ciphertext and tag in base64. Without a secret texts stay as they are; those are read with one, too.

The secret should be random: `openssl rand -hex 32`. Nothing slows down somebody who has the database and guesses.
"""

from base64 import b64decode, b64encode
from binascii import Error
from collections.abc import Sequence
from enum import Enum
from functools import cached_property
from hashlib import sha256
from importlib.util import find_spec
from secrets import token_bytes
from typing import TYPE_CHECKING

from asgi_gateway.errors import ServiceUnavailable
from asgi_gateway.storage.records import Secret

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

__all__ = ["CHANNEL_KEYS", "CHANNEL_SETTINGS", "LOOKUPS", "SIGNING", "Sealing", "Unreadable", "Vault"]

CHANNEL_KEYS = "channel keys"
CHANNEL_SETTINGS = "channel settings"
LOOKUPS = "look-ups"
SIGNING = "signing"

VERSION = "v1"
MARK = VERSION + ":"
SALT = b"asgi_gateway"
NONCE = 12
"""Bytes; random ones serve for some 2^32 texts of one key, and admin writes are a few."""

KEY_ID = 6
"""Bytes of the digest of a derived key that stand before each text."""


class Unreadable(ServiceUnavailable):
    """A sealed text that none of the secrets opens, or that was changed or moved.

    Callers are told only that the gateway cannot work; `what` names the row, for the operator.
    """

    def __init__(self, what: str, reason: str) -> None:
        super().__init__("The gateway's secrets cannot be read.", code="secrets_unreadable")
        self.what = what
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.what}: {self.reason}"


class Sealing(Enum):
    """How a text lies in the database."""

    CLEAR = "clear"
    CURRENT = "current"
    PREVIOUS = "previous"
    UNREADABLE = "unreadable"


class Vault:
    """Seals under `secret`, and opens what was sealed under it or one of `previous`.

    Without any, texts stay as they are. Raises `ValueError` where there is a secret and the extra is not installed.
    """

    def __init__(self, secret: Secret | None = None, previous: Sequence[Secret] = ()) -> None:
        secrets = [each for each in (secret, *previous) if each is not None]
        self._seals = secret is not None
        self._rings = [_Ring(each) for each in secrets]

    def __repr__(self) -> str:
        return f"Vault(secrets={len(self._rings)}, seals={self._seals})"

    @property
    def seals(self) -> bool:
        """Whether there is a current secret."""
        return self._seals

    def seal(self, purpose: str, place: str, text: str) -> str:
        """The text for the database. `place` names the row, and must be known again to open it."""
        if not self._seals:
            return text
        key = self._rings[0].key(purpose)
        return f"{MARK}{key.id}:{b64encode(key.seal(_bound(purpose, place), text.encode())).decode()}"

    def open(self, purpose: str, place: str, text: str) -> str:
        """The text that was sealed, or a text in clear as it is. Raises `Unreadable`."""
        if not text.startswith(MARK):
            return text
        key, data = self._found(purpose, place, text)
        return key.open(_bound(purpose, place), data, place).decode()

    def sealing(self, purpose: str, place: str, text: str) -> Sealing:
        """How a text is sealed; it is opened to know that it can be."""
        if not text.startswith(MARK):
            return Sealing.CLEAR
        try:
            key, data = self._found(purpose, place, text)
            key.open(_bound(purpose, place), data, place)
        except Unreadable:
            return Sealing.UNREADABLE
        return Sealing.CURRENT if self._seals and key is self._rings[0].key(purpose) else Sealing.PREVIOUS

    def seal_bytes(self, purpose: str, place: str, data: bytes) -> bytes:
        """As `seal`, for what is soon forgotten: without the name of its key. Without a secret as it is."""
        return self._rings[0].key(purpose).seal(_bound(purpose, place), data) if self._seals else data

    def open_bytes(self, purpose: str, place: str, data: bytes) -> bytes:
        """As `open`, and only what the current secret sealed; with a secret nothing in clear is taken."""
        return self._rings[0].key(purpose).open(_bound(purpose, place), data, place) if self._seals else data

    def derived(self, purpose: str) -> bytes | None:
        """A key of 32 bytes of this purpose alone, the same on every node; None without a secret."""
        return self._rings[0].derive(purpose) if self._seals else None

    def _found(self, purpose: str, place: str, text: str) -> tuple["_Key", bytes]:
        id, _, encoded = text.removeprefix(MARK).partition(":")
        for ring in self._rings:
            key = ring.key(purpose)
            if key.id == id:
                try:
                    return key, b64decode(encoded, validate=True)
                except Error:
                    raise Unreadable(place, "it was damaged") from None
        if not self._rings:
            raise Unreadable(place, "it is encrypted, and CRYPTO_SECRET is not set")
        raise Unreadable(place, "it is encrypted under a secret that is neither CRYPTO_SECRET nor a previous one")


class _Ring:
    """The keys of one secret, by purpose; derived when they are first needed."""

    def __init__(self, secret: Secret) -> None:
        if find_spec("cryptography") is None:
            raise ValueError("CRYPTO_SECRET: the extra is missing: pip install 'asgi-gateway[crypto]'")
        self._secret = secret
        self._keys: dict[str, _Key] = {}

    def derive(self, purpose: str) -> bytes:
        from cryptography.hazmat.primitives.hashes import SHA256
        from cryptography.hazmat.primitives.kdf.hkdf import HKDF

        kdf = HKDF(algorithm=SHA256(), length=32, salt=SALT, info=purpose.encode())
        return kdf.derive(self._secret.reveal().encode())

    def key(self, purpose: str) -> "_Key":
        key = self._keys.get(purpose)
        if key is None:
            key = self._keys[purpose] = _Key(self.derive(purpose))
        return key


class _Key:
    """One derived key."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self.id = sha256(b"id of " + key).hexdigest()[: 2 * KEY_ID]

    @cached_property
    def _cipher(self) -> "AESGCM":
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        return AESGCM(self._key)

    def seal(self, bound: bytes, data: bytes) -> bytes:
        nonce = token_bytes(NONCE)
        return nonce + self._cipher.encrypt(nonce, data, bound)

    def open(self, bound: bytes, data: bytes, place: str) -> bytes:
        from cryptography.exceptions import InvalidTag

        try:
            return self._cipher.decrypt(data[:NONCE], data[NONCE:], bound)
        except (InvalidTag, ValueError):  # the latter: it is shorter than a nonce
            raise Unreadable(place, "it was changed, or belongs to another row") from None


def _bound(purpose: str, place: str) -> bytes:
    return f"{VERSION}\0{purpose}\0{place}".encode()
