"""Opaque reasoning: `encrypted_content` of reasoning items.

What OpenAI encrypted stands as it is; the seal of another maker stands wrapped. A wrapped seal that names a call
belongs to that call, not to the reasoning in whose item it travels.
"""

from asgi_gateway.canonical import Seal, unwrap, wrap
from asgi_gateway.dialects.openai_responses.names import MAKER

__all__ = ["is_own", "read_seal", "write_seal"]


def is_own(seal: Seal | None) -> bool:
    """Whether OpenAI's models can read a seal."""
    return seal is not None and seal.maker == MAKER and seal.kind == "encrypted"


def read_seal(text: str) -> tuple[Seal | None, str]:
    """The seal that `encrypted_content` is, and the id of the call that it belongs to or ""."""
    if not text:
        return None, ""
    return unwrap(text) or (Seal(maker=MAKER, kind="encrypted", data=text), "")


def write_seal(seal: Seal, call: str = "") -> str:
    """A seal as `encrypted_content` of an answer."""
    return seal.data if is_own(seal) and not call else wrap(seal, call)
