"""Finds the members of a JSON object by byte offset and changes some of them: every other byte stays as it was.

Follows RFC 8259. The C decoder of msgspec measures the values, this module walks from member to member,
so a long prompt is never looked at byte by byte in Python.
Of members with one name the last one counts, as JSON parsers have it; all of them are listed, and all are changed.

```python
from asgi_gateway.dialects.json_scan import splice

assert splice(b'{"model": "a", "n": 1}', {"model": b'"b"'}) == b'{"model": "b", "n": 1}'
```
"""

import re
from collections.abc import Mapping, Sequence

import msgspec

__all__ = ["Member", "measure", "members", "splice"]

BOM = b"\xef\xbb\xbf"

MEASURED_LIMIT = 1 << 18
"""Bytes of values that are measured in Python: those that another member of the same name replaces."""

_NAME = re.compile(rb'[\s,]*("[^"\\]*+(?:\\.[^"\\]*+)*+")\s*:\s*')
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"')
_SCALAR = re.compile(rb"[^\s,\]}]+")
_STRUCTURE = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[\[\]{}]')
_OBJECT = re.compile(rb"(?:\xef\xbb\xbf)?\s*\{")
_END = re.compile(rb"\s*\}\s*\Z")

DELIMITERS = b",}] \t\r\n"

_values = msgspec.json.Decoder(dict[str, msgspec.Raw])
_name = msgspec.json.Decoder(str)


Member = tuple[str, int, int, int]
"""A member of an object: its name, where its name begins, and where its value begins and ends."""


def members(body: bytes) -> list[Member]:
    """The members of the object that `body` is, in order, equal names included.

    Raises `ValueError` for what is no JSON object, or has too many bytes under names that are used twice.
    """
    opened = _OBJECT.match(body)
    if opened is None:
        raise ValueError("not a JSON object")
    try:
        values = _values.decode(memoryview(body)[len(BOM) :] if body.startswith(BOM) else body)
    except RecursionError:
        values = {}  # nested deeper than the decoder goes: everything is measured here
    found: list[Member] = []
    position, measured = opened.end(), 0
    while (match := _NAME.match(body, position)) is not None:
        literal = match[1]
        name = _name.decode(literal) if b"\\" in literal else literal[1:-1].decode()
        start = match.end()
        text = bytes(values.get(name, b""))
        position = start + len(text)
        if not text or not body.startswith(text, start) or body[position] not in DELIMITERS:
            position = measure(body, start, MEASURED_LIMIT - measured)  # another member of this name comes later
            measured += position - start
        found.append((name, match.start(1), start, position))
    if _END.match(body, position) is None:
        raise ValueError("not a JSON object")
    return found


def splice(body: bytes, changes: Mapping[str, bytes | None], found: Sequence[Member] | None = None) -> bytes:
    """The object with other values for some names; None removes a member, and one that is missing is put in front.

    `found` are its members where they are known already. Raises `ValueError` as `members` does.
    """
    if found is None:
        found = members(body)
    stays = [changes.get(member[0], b"") is not None for member in found]
    pieces = _added(body, changes, {member[0] for member in found}, followed=any(stays))
    position = len(pieces[0]) if pieces else 0
    last = max((i for i, stay in enumerate(stays) if stay), default=-1)
    for i, (name, begin, value, end) in enumerate(found):
        if name not in changes:
            continue
        changed = changes[name]
        if changed is not None:
            pieces += (body[position:value], changed)
            position = end
        elif i < last:  # up to the next member, the comma included
            pieces.append(body[position:begin])
            position = found[i + 1][1]
        else:  # nothing stays behind it: the comma in front goes, too
            pieces.append(body[position : found[i - 1][3] if i else begin])
            position = end
    pieces.append(body[position:])
    return b"".join(pieces)


def _added(body: bytes, changes: Mapping[str, bytes | None], names: set[str], *, followed: bool) -> list[bytes]:
    """The body up to its opening brace, and members that it does not have yet; nothing when it has them all."""
    new = [msgspec.json.encode(n) + b":" + v for n, v in changes.items() if v is not None and n not in names]
    return [body[: body.index(b"{") + 1], b",".join(new), b"," if followed else b""] if new else []


def measure(body: bytes, start: int, limit: int = MEASURED_LIMIT) -> int:
    """Where the value that begins at `start` ends, found without recursion.

    Raises `ValueError` when there is no end, or none within `limit` bytes of an array or object.
    """
    first = body[start : start + 1]
    if first == b'"':
        match = _STRING.match(body, start)
    elif first not in (b"{", b"["):
        match = _SCALAR.match(body, start)
    else:
        return _closing(body, start, limit)
    if match is None:
        raise ValueError("not a JSON object")
    return match.end()


def _closing(body: bytes, start: int, limit: int) -> int:
    depth = 0
    for match in _STRUCTURE.finditer(body, start, start + max(limit, 0)):
        sign = body[match.start()]
        if sign in b"{[":
            depth += 1
        elif sign in b"}]":
            depth -= 1
            if not depth:
                return match.end()
    raise ValueError("a member is given twice, or nested too deeply, and too long to be told apart")
