"""Opaque texts that only one maker's models can read, and how they travel through the dialects of others.

Signatures of thinking, encrypted reasoning and redacted blocks must come back as they were given, or the maker refuses
the next turn. In its own dialect a seal stands as the maker wrote it. In a foreign dialect that has an opaque field it
stands there wrapped: a prefix, the maker, the kind and the text, in characters that every such field allows
(base64, padded, because Google's field is bytes in JSON).

```python
from asgi_gateway.canonical import Seal, unwrap, wrap

seal = Seal(maker="google", kind="signature", data="CsMBAXLI2ny…")
assert unwrap(wrap(seal, call="call_1")) == (seal, "call_1")
assert unwrap("EqoBCkYIBRgCKkD…") is None      # not ours: a seal of the dialect's own maker
```
"""

from base64 import b64decode, b64encode
from binascii import Error
from typing import Literal

import msgspec
from msgspec import Struct

__all__ = ["PREFIX", "Seal", "is_wrapped", "unwrap", "wrap"]

Kind = Literal["signature", "redacted", "encrypted"]

MARK = b'["agw1",'
PREFIX = b64encode(MARK[:6]).decode()
"""How every wrapped seal begins: six bytes are eight characters of base64 whatever follows."""


class Seal(Struct, frozen=True, kw_only=True):
    """One opaque text.

    `maker` is whose models can read it: "anthropic", "google", "openai", or a dialect's name for others.
    "signature" proves a thinking text or a tool call; "redacted" and "encrypted" hold the thinking itself.
    """

    maker: str
    kind: Kind
    data: str


_decoder = msgspec.json.Decoder(tuple[str, str, Kind, str, str])


def wrap(seal: Seal, call: str = "") -> str:
    """A seal for a foreign opaque field. `call`: the id of the tool call that it belongs to, if it belongs to one."""
    return b64encode(msgspec.json.encode(("agw1", seal.maker, seal.kind, call, seal.data))).decode()


def is_wrapped(text: str) -> bool:
    """Whether a text begins as a wrapped seal does."""
    return text.startswith(PREFIX)


def unwrap(text: str) -> tuple[Seal, str] | None:
    """A wrapped seal, and the id of its tool call or ""; None for what is none of ours, or broken."""
    if not text.startswith(PREFIX):
        return None
    try:
        mark, maker, kind, call, data = _decoder.decode(b64decode(text, validate=True))
    except (Error, ValueError):
        return None
    return (Seal(maker=maker, kind=kind, data=data), call) if mark == "agw1" else None
