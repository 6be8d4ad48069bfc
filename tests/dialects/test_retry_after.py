"""How long an upstream wants to be left alone."""

import time
from email.utils import formatdate

import pytest

from asgi_gateway.dialects.retry_after import retry_after


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({b"retry-after": b"7"}, 7.0),
        ({b"retry-after": b"0"}, 0.0),
        ({b"retry-after": b"1.5"}, 1.5),
        ({b"retry-after-ms": b"250", b"retry-after": b"1"}, 0.25),
        ({b"retry-after-ms": b"x", b"retry-after": b"1"}, 1.0),
        ({b"retry-after": b"-3"}, None),
        ({b"retry-after": b"nan"}, None),
        ({b"retry-after": b"soon"}, None),
        ({b"retry-after": b"Wed, 21 Oct 2026 99:28:00 GMT"}, None),
        ({b"retry-after": b"Wed, 21 Oct 2026 07:28:10 GMT", b"date": b"Wed, 21 Oct 2026 07:28:00 GMT"}, 10.0),
        ({b"retry-after": b"Wed, 21 Oct 2026 07:28:10 -0000", b"date": b"Wed, 21 Oct 2026 07:28:00 GMT"}, 10.0),
        ({b"retry-after": b"Wed, 21 Oct 2026 07:27:00 GMT", b"date": b"Wed, 21 Oct 2026 07:28:00 GMT"}, 0.0),
    ],
)
def test_the_wish_in_seconds(headers: dict[bytes, bytes], seconds: float | None) -> None:
    """Seconds, milliseconds, or a date relative to the answer's own."""
    assert retry_after(headers) == seconds


def test_a_date_without_a_date_beside_it_is_relative_to_now() -> None:
    """The clock here is all there is."""
    wish = retry_after({b"retry-after": formatdate(time.time() + 3600, usegmt=True).encode()})
    assert wish is not None
    assert 3500 < wish <= 3601
