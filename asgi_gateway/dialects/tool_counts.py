"""Calls of tools that an upstream ran, counted by kind."""

from collections.abc import Mapping
from typing import Any

from asgi_gateway.canonical.usage import TOOL_KINDS

__all__ = ["LARGEST", "Counts", "counted", "figure"]

LARGEST = 1 << 40
"""No figure is taken for more than this."""

Counts = tuple[tuple[str, int], ...]


def counted(calls: Mapping[str, int]) -> Counts:
    """The counts as a usage has them: each kind once, in the order of `TOOL_KINDS`; other names are "other"."""
    if not calls:
        return ()
    by_kind: dict[str, int] = {}
    for name, count in calls.items():
        if count > 0:
            kind = name if name in TOOL_KINDS else "other"
            by_kind[kind] = by_kind.get(kind, 0) + count
    return tuple((kind, by_kind[kind]) for kind in TOOL_KINDS if kind in by_kind)


def figure(value: Any) -> int:
    """A count that somebody reported; 0 for what is none."""
    # `type`, not `isinstance`: true is no number.
    return int(value) if (type(value) is int or type(value) is float) and 0 <= value <= LARGEST else 0
