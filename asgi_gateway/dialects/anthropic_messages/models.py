"""What Claude's generations want otherwise: how they think, which tools may be forced, which sampling they refuse.

| models | thinking | not to think | a forced tool | sampling |
|---|---|---|---|---|
| 3.5 and before | none | | taken | all |
| 3.7, 4.0 | a budget | `disabled` | not while thinking | all |
| 4.1 to 4.5 | a budget | `disabled` | not while thinking | temperature or top_p |
| 4.6 | adaptive with an effort, or a budget | `disabled` | taken | temperature or top_p |
| 4.7, 4.8 | adaptive | nothing is said | taken | none |
| Opus 5, Sonnet 5, Haiku 5.5 | adaptive, by default | `disabled` | taken | none |
| Sonnet 5.5 | adaptive, by default | `between_tools` | refused | none |
| Fable 5, Mythos 5 | adaptive, always | the effort `low` | taken | none |
| Opus 5.5, Fable and Mythos 5.1, whatever is newer | adaptive, always | the effort `low` | refused | none |
| names without a version | a budget | `disabled` | not while thinking | all |

System texts between turns are taken by Opus 4.8, Opus 5, Fable 5, Mythos 5, and all from 5.1 on; `xhigh` from 4.7 on.
Schemas of answers and of strict tools are taken from 4.1 on.

Facts of https://docs.anthropic.com/en/docs/build-with-claude/extended-thinking, …/effort, …/structured-outputs,
…/mid-conversation-system-messages, and the guides of migration to the single models.
Names without a version are aliases, or models of others that speak this format: they know the oldest form.
"""

import re
from typing import Literal

from msgspec import Struct

from asgi_gateway.canonical import Effort

__all__ = ["LEAST_BUDGET", "Traits", "traits_of"]

LEAST_BUDGET = 1024
"""Tokens of thinking: Anthropic refuses fewer."""

_NEWER = re.compile(r"claude-([a-z]+)-(\d{1,2})(?:[-.](\d{1,2}))?(?!\d)")
_OLDER = re.compile(r"claude-(\d)(?:[-.](\d))?-([a-z]+)")

_LEVELS: tuple[Effort, ...] = ("low", "medium", "high", "xhigh", "max")


class Traits(Struct, frozen=True):
    """What a model takes."""

    budgets: bool = False
    """A budget of thinking."""
    efforts: tuple[Effort, ...] = ()
    """Adaptive thinking, and the efforts that it is asked by; empty where it is unknown."""
    off: Literal["nothing", "disabled", "between_tools", "never"] = "never"
    """How not to think is said."""
    hides: bool = False
    """Whether thinking is shown only where that is asked for."""
    forced: Literal["taken", "unless_thinking", "refused"] = "refused"
    """A choice of tools that leaves the model none."""
    sampling: Literal["all", "one", "none"] = "none"
    """Temperature, top_p and top_k; "one": temperature or top_p."""
    system: bool = False
    """System texts between turns."""
    output: int = 16_384
    """`max_tokens` where a caller says none."""
    most: int = 128_000
    """The most tokens of an answer, thinking among them."""
    schemas: bool = True
    """A schema that the answer, or the input of a strict tool, is held to."""

    @property
    def thinks(self) -> bool:
        """Whether the model can think at all."""
        return self.budgets or bool(self.efforts)


_NAMELESS = Traits(True, (), "disabled", False, "unless_thinking", "all", False, 8192, 32_000)
_FIRST = Traits(False, (), "nothing", False, "taken", "all", False, 4096, 4096, False)
_THIRD = Traits(False, (), "nothing", False, "taken", "all", False, 8192, 8192, False)
_FOURTH = Traits(True, (), "disabled", False, "unless_thinking", "all", False, 16_384, 32_000, False)
_SINGLE = Traits(True, (), "disabled", False, "unless_thinking", "one", False, 16_384, 32_000)
_LARGER = Traits(True, (), "disabled", False, "unless_thinking", "one", False, 16_384, 64_000)
_EITHER = Traits(True, ("low", "medium", "high", "max"), "disabled", False, "taken", "one", False, 16_384, 64_000)
_ADAPTIVE = Traits(False, _LEVELS, "nothing", True, "taken")
_TOLD = Traits(False, _LEVELS, "nothing", True, "taken", system=True)
_SONNET_5 = Traits(False, _LEVELS, "disabled", True, "taken")
_DEFAULT = Traits(False, _LEVELS, "disabled", True, "taken", system=True)
_BETWEEN = Traits(False, _LEVELS, "between_tools", True, "refused", system=True)
_PREVIEW = Traits(False, ("low", "medium", "high", "max"), "never", True, "taken")
_ALWAYS = Traits(False, _LEVELS, "never", True, "taken", system=True)
_NEWEST = Traits(False, _LEVELS, "never", True, "refused", system=True)

_GENERATIONS = (
    ((4, 8), _TOLD),
    ((4, 7), _ADAPTIVE),
    ((4, 6), _EITHER),
    ((4, 5), _LARGER),
    ((4, 1), _SINGLE),
    ((3, 7), _FOURTH),
    ((3, 5), _THIRD),
    ((0, 0), _FIRST),
)

_FIFTH = {
    ("opus", 0): _DEFAULT,
    ("sonnet", 0): _SONNET_5,
    ("haiku", 0): _DEFAULT,
    ("fable", 0): _ALWAYS,
    ("mythos", 0): _ALWAYS,
    ("sonnet", 5): _BETWEEN,
    ("haiku", 5): _DEFAULT,
}
"""By family and minor version."""


def traits_of(model: str) -> Traits:
    """What a model takes, by its name; a prefix of a platform's and a date behind it do not matter."""
    name = model.lower()
    found = _NEWER.search(name)
    if found is not None:
        family, version = found[1], (int(found[2]), int(found[3] or 0))
    elif (found := _OLDER.search(name)) is not None:
        family, version = found[3], (int(found[1]), int(found[2] or 0))
    else:
        return _PREVIEW if "claude-mythos" in name else _NAMELESS
    if version >= (5, 0):
        return _FIFTH.get((family, version[1]), _NEWEST) if version[0] == 5 else _NEWEST
    return next(traits for least, traits in _GENERATIONS if version >= least)
