"""What Google documents of its models, by the beginning of their names.

Follows https://ai.google.dev/gemini-api/docs/thinking and https://ai.google.dev/gemini-api/docs/gemini-3.

| model | thinking | off |
|---|---|---|
| 2.5 Pro | budget 128 to 32 768 | no |
| 2.5 Flash | budget 1 to 24 576 | yes |
| 2.5 Flash-Lite | budget 512 to 24 576 | yes |
| 3 Pro | level low, high | no |
| later Pro | level low, medium, high | no |
| 3 to 3.5 Flash and Flash-Lite | level minimal, low, medium, high | no, minimal is the least |
| later ones, and those not known | level low, medium, high | no |
| 3 Pro Image | always, without a level | no |
| Flash Image of 3.1 | level minimal, high | no |
| speech, 2.5 Flash Image, before 2.5 | none | |
"""

import re

from msgspec import Struct

__all__ = ["Abilities", "abilities_of"]

Levels = tuple[str, ...]


class Abilities(Struct, frozen=True):
    """How one model thinks, and of which generation it is (0.0 for names that are no Gemini's)."""

    generation: float = 0.0
    thinks: bool = False
    budget: tuple[int, int] | None = None
    """The least and the most tokens of a budget; None: it takes none."""
    can_stop: bool = False
    """Whether a budget of 0 turns thinking off."""
    levels: Levels = ()

    @property
    def strict_signatures(self) -> bool:
        """Whether function calls without a signature are refused."""
        return self.generation >= 3

    @property
    def media_in_results(self) -> bool:
        """Whether a function's result may hold images and documents."""
        return self.generation >= 3


NEWEST_MINIMAL = 3.5
"""The last generation whose Flash models take the level "minimal"."""

_PRO: Levels = ("low", "medium", "high")
_FLASH: Levels = ("minimal", "low", "medium", "high")

_ROWS: tuple[tuple[str, Abilities], ...] = (
    ("gemini-2.5-flash-lite", Abilities(2.5, True, (512, 24576), True)),
    ("gemini-2.5-flash-image", Abilities(2.5)),
    ("gemini-2.5-flash", Abilities(2.5, True, (1, 24576), True)),
    ("gemini-2.5-pro", Abilities(2.5, True, (128, 32768), False)),
    ("gemini-robotics-er-1.5", Abilities(2.5, True, (1, 24576), True)),
    ("gemini-3-pro-image", Abilities(3.0, True)),
    ("gemini-3-pro", Abilities(3.0, True, None, False, ("low", "high"))),
    ("gemini-3.1-flash-image", Abilities(3.1, True, None, False, ("minimal", "high"))),
    ("gemini-pro-latest", Abilities(3.1, True, None, False, _PRO)),
    ("gemini-flash-latest", Abilities(3.0, True, None, False, _FLASH)),
    ("gemini-flash-lite-latest", Abilities(3.1, True, None, False, _FLASH)),
)
"""The first row that fits counts."""

_NUMBERED = re.compile(r"gemini-(\d+(?:\.\d+)?)(?:-|$)")


def abilities_of(model: str) -> Abilities:
    """What is known of a model. Names may have a path in front (`models/…`, `publishers/google/models/…`)."""
    name = model.rpartition("/")[2].lower()
    numbered = _NUMBERED.match(name)
    generation = float(numbered[1]) if numbered else 0.0
    if "-tts" in name:
        return Abilities(generation)
    for beginning, known in _ROWS:
        if name.startswith(beginning):
            return known
    if generation >= 3:
        # Levels that a model does not know are refused: of a newer one those are taken that all have.
        levels = _FLASH if "flash" in name and generation <= NEWEST_MINIMAL else _PRO
        return Abilities(generation, True, None, False, levels)
    return Abilities(generation)
