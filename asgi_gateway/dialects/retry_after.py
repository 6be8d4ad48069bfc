"""How long an upstream wants to be left alone, read from its answer's headers.

Follows RFC 9110, section 10.2.3 (`retry-after`, in seconds or as a date), and OpenAI's `retry-after-ms`.
"""

import math
import time
from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime

__all__ = ["retry_after"]


def retry_after(headers: Mapping[bytes, bytes]) -> float | None:
    """The wish in seconds, never negative; None when there is none or it cannot be read. Names are lower-case.

    A date is taken relative to the answer's own `date`, so that the upstream's clock need not agree with ours.
    """
    milliseconds = _number(headers.get(b"retry-after-ms", b""))
    if milliseconds is not None:
        return milliseconds / 1000
    wish = headers.get(b"retry-after")
    if wish is None:
        return None
    seconds = _number(wish)
    if seconds is not None:
        return seconds
    then = _date(wish)
    if then is None:
        return None
    now = _date(headers.get(b"date", b""))
    return max(0.0, then - (time.time() if now is None else now))


def _number(value: bytes) -> float | None:
    try:
        number = float(value)
    except ValueError:
        return None
    return number if math.isfinite(number) and number >= 0 else None


def _date(value: bytes) -> float | None:
    try:
        date = parsedate_to_datetime(value.decode("latin-1"))
    except (ValueError, OverflowError):
        return None
    return (date if date.tzinfo is not None else date.replace(tzinfo=UTC)).timestamp()
