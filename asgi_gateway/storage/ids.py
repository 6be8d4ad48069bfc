"""Ids of exchanges: unique, and later ones sort after earlier ones.

An index then grows at its end. With random ids each row of the ledger lands on a page of its own, which has to be
written whole: twice the CPU time a row in a small table, and more the larger it gets.
"""

import random
import time

__all__ = ["ledger_key", "new_id", "new_request_id"]

REQUEST = "req_"


def new_id() -> str:
    """32 hexadecimal digits: milliseconds since the epoch (48 bits), then 80 random bits, as in a UUID of version 7.

    RFC 9562, 5.7, without its version and variant bits. An id is a name and no secret: who may see what is behind it
    is for others to check. So the bits come from the interpreter's generator, seeded by the system and anew after a
    fork; asking the system each time would give the interpreter lock away twice a request.
    """
    return f"{time.time_ns() // 1_000_000:012x}{random.getrandbits(80):020x}"


def new_request_id() -> str:
    """An id for a request."""
    return REQUEST + new_id()


def ledger_key(request_id: str, *, again: bool = False) -> str:
    """A ledger key that begins with its request's id, so that a charge is found by it without an index of its own.

    Each request has one reservation; a further one (`again`) gets random digits appended.
    """
    key = request_id.removeprefix(REQUEST)
    return f"{key}-{random.getrandbits(80):020x}" if again else key
