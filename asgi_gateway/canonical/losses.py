"""What a conversion could not carry: noted by name, never in silence.

```python
from asgi_gateway.canonical import Losses

losses = Losses("request")
losses.dropped("logit_bias")
losses.approximated("tools[].custom")
assert losses.header() == "dropped:logit_bias,approximated:tools[].custom"
```
"""

from collections.abc import Sequence
from typing import Literal

from msgspec import Struct

__all__ = ["Loss", "Losses", "header_of"]

Kind = Literal["dropped", "approximated", "invented"]
Side = Literal["request", "response"]

HEADER_LIMIT = 512
"""Characters of a header's part; the record has the rest."""


class Loss(Struct, frozen=True):
    """One thing that a conversion dropped, approximated or invented, by the name of its field in the source's dialect.

    Positions in lists are left out: `messages[].name`, however often.
    """

    kind: Kind
    where: Side
    field: str


class Losses:
    """The losses of one side of one exchange; each is kept once, in the order it was met."""

    __slots__ = ("_noted", "side")

    def __init__(self, side: Side) -> None:
        self.side: Side = side
        self._noted: dict[tuple[Kind, str], None] = {}

    def dropped(self, field: str) -> None:
        """The target has no place for it: it is gone."""
        self._noted["dropped", field] = None

    def approximated(self, field: str) -> None:
        """A written rule put something near it in its place."""
        self._noted["approximated", field] = None

    def invented(self, field: str) -> None:
        """The target wants what the source did not say; `field` is the target's."""
        self._noted["invented", field] = None

    def __bool__(self) -> bool:
        return bool(self._noted)

    def __len__(self) -> int:
        return len(self._noted)

    def noted(self) -> tuple[Loss, ...]:
        """All of them."""
        return tuple(Loss(kind, self.side, field) for kind, field in self._noted)

    def header(self) -> str:
        """A header's text, see `header_of`."""
        return header_of(self.noted())


def header_of(losses: Sequence[Loss]) -> str:
    """A header's text: "none", or `kind:field` separated by commas, cut at a bound with "...".

    Field names can come from a caller: what a header cannot carry is replaced.
    """
    if not losses:
        return "none"
    text = ",".join(f"{loss.kind}:{loss.field}" for loss in losses)
    text = "".join(mark if "!" <= mark <= "~" else "?" for mark in text)
    return text if len(text) <= HEADER_LIMIT else text[: HEADER_LIMIT - 3] + "..."
