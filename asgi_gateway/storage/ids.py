"""Ids of exchanges: unique, not to be guessed, and later ones sort after earlier ones.

An index then grows at its end. With random ids each row of the ledger lands on a page of its own, which has to be
written whole: twice the CPU time a row in a small table, and more the larger it gets.
"""

import os
import time

__all__ = ["new_id"]


def new_id() -> str:
    """32 hexadecimal digits: milliseconds since the epoch (48 bits), then 80 random bits, as in a UUID of version 7.

    RFC 9562, 5.7, without its version and variant bits.
    """
    return f"{time.time_ns() // 1_000_000:012x}" + os.urandom(10).hex()
