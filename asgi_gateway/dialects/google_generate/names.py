"""Words of Google's format that several modules need: its name here, ids that we make, signatures as seals."""

import re
from base64 import b64encode
from typing import Final

from asgi_gateway.canonical import Seal, is_wrapped, unwrap, wrap

__all__ = [
    "DEFAULT_TIER",
    "MADE",
    "MAKER",
    "NAME",
    "UNSIGNED",
    "is_made",
    "made_id",
    "seal_of",
    "signature_of",
]

NAME: Final = "google_generate"
MAKER: Final = "google"

MADE: Final = "gfc_"
"""How ids of function calls begin that Google did not give: they are not written to Google again."""

UNSIGNED: Final = b64encode(b"skip_thought_signature_validator").decode()
"""What Google documents for calls that no Gemini made. The field is bytes, so the phrase stands in base64."""

_PLACEHOLDERS: Final = frozenset(
    {
        UNSIGNED,
        "skip_thought_signature_validator",
        "context_engineering_is_the_way_to_go",
        b64encode(b"context_engineering_is_the_way_to_go").decode(),
    }
)

DEFAULT_TIER: Final = {"standard": "default", "unspecified": ""}
"""Google's words for what a service tier is called elsewhere; the others have one name everywhere."""

_URL_SAFE = str.maketrans("-_", "+/")
"""The field is bytes in JSON, for which Google's clients write either alphabet."""

_FOREIGN = re.compile(r"[^A-Za-z0-9_-]")

ID_LIMIT: Final = 64


def made_id(*pieces: object) -> str:
    """An id made of position and name: the same conversation always gets the same ids."""
    return _FOREIGN.sub("_", MADE + "_".join(map(str, pieces)))[:ID_LIMIT]


def is_made(id: str) -> bool:
    """Whether an id of a function call is one that we made."""
    return id.startswith(MADE)


def seal_of(signature: str) -> Seal | None:
    """A `thoughtSignature` as a seal: Google's own, or another maker's that we had wrapped. A placeholder is none."""
    if not signature or signature in _PLACEHOLDERS:
        return None
    unwrapped = unwrap(signature.translate(_URL_SAFE)) if is_wrapped(signature) else None
    if unwrapped is not None:
        return unwrapped[0]
    return Seal(maker=MAKER, kind="signature", data=signature)


def signature_of(seal: Seal, call: str = "") -> str:
    """A seal as a `thoughtSignature` for a caller, who only gives it back."""
    return seal.data if seal.maker == MAKER and seal.kind == "signature" else wrap(seal, call=call)
