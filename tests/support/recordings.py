"""Recorded traffic of real providers, kept beside the repository: tests that need it skip where it is absent."""

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

__all__ = ["HOME", "Recording", "recordings", "wire_of"]

HOME = Path(__file__).parents[2].parent / "shared" / "recordings"

Recording = dict[str, Any]


@cache
def _load(dialect: str) -> tuple[Recording, ...]:
    files = sorted((HOME / dialect).glob("*.json"))
    return tuple(json.loads(path.read_text(encoding="utf-8")) for path in files)


def recordings(dialect: str, *, stream: bool | None = None) -> Iterator[Recording]:
    """The recordings of a wire format, in a fixed order; `stream` says whether the answer is one."""
    for recording in _load(dialect):
        if stream is None or recording["stream"] is stream:
            yield recording


def wire_of(part: Recording) -> bytes:
    """A request or an answer as bytes; JSON is written anew, since only its values were recorded."""
    if "json" in part:
        return json.dumps(part["json"], ensure_ascii=False).encode("utf-8", "surrogatepass")
    text: str = part.get("body", part.get("text", ""))
    return text.encode("utf-8", "surrogatepass")
