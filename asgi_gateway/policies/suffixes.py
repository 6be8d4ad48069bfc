"""Reasoning asked for by a suffix of a model's name: `gpt-5-high`, `claude-sonnet-4-5-thinking`, and so on.

A table of rules, the first that fits wins. Names and meanings are New API's, where they are sound.
OpenAI's series take efforts, Claude `-thinking` and efforts, Gemini `-thinking`, `-thinking-N`, `-nothinking` and
efforts; `DEFAULT_SUFFIXES` below has them all.
A share of the output stands for a budget: 80 % on Claude, 60 % on Gemini.
New API cuts OpenAI's suffixes off any model's name on Responses (`foo-low` becomes `foo`): not here.

```python
from asgi_gateway.policies.suffixes import DEFAULT_SUFFIXES, cut

base, reasoning = cut("gemini-2.5-flash-thinking-2048", DEFAULT_SUFFIXES, max_output=None)
assert (base, reasoning.budget) == ("gemini-2.5-flash", 2048)
assert cut("llama-3-high", DEFAULT_SUFFIXES, max_output=None) is None
```
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fnmatch import fnmatchcase

from asgi_gateway.canonical.request import Effort, Reasoning

__all__ = ["DEFAULT_SUFFIXES", "ReasoningSuffix", "cut"]

NUMBER = "N"
"""Stands at the end of a suffix for a number of tokens."""

_DIGITS = re.compile(r"(\d{1,7})\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class ReasoningSuffix:
    """One rule: what a suffix means for models whose names, without it, match one of the patterns.

    Patterns are those of file names (`*`, `?`, `[…]`); a vendor's prefix before a slash is not looked at.
    A suffix that ends in `-N` takes a number of tokens. `share` of the output that the caller allows becomes the
    budget, if it says how much. `ignore`: this is no suffix, whatever a later rule says.
    """

    models: tuple[str, ...]
    suffix: str
    effort: Effort | None = None
    budget: int | None = None
    share: Decimal | None = None
    enabled: bool | None = None
    visible: bool | None = None
    adaptive: bool = False
    ignore: bool = False

    def base(self, name: str) -> tuple[str, int | None] | None:
        """The name without the suffix, and the number in it; None where the rule does not fit."""
        number = None
        if self.suffix.endswith(f"-{NUMBER}"):
            found = _DIGITS.search(name)
            if found is None:
                return None
            number, name, suffix = int(found[1]), name[: found.start()], self.suffix[:-1]
        else:
            suffix = self.suffix
        base = name.removesuffix(suffix)
        if base in (name, ""):
            return None
        plain = base.rpartition("/")[2].lower()
        return (base, number) if any(fnmatchcase(plain, pattern) for pattern in self.models) else None

    def reasoning(self, number: int | None, max_output: int | None) -> Reasoning:
        """What the rule asks for."""
        budget = number if number is not None else self.budget
        if budget is None and self.share is not None and max_output is not None:
            budget = int(max_output * self.share)
        return Reasoning(
            enabled=self.enabled, effort=self.effort, budget=budget, adaptive=self.adaptive, visible=self.visible
        )


def cut(name: str, rules: Sequence[ReasoningSuffix], *, max_output: int | None) -> tuple[str, Reasoning] | None:
    """A model's name without its suffix and what that asks for; None when no rule fits.

    `max_output`: the tokens that the caller allows.
    """
    for rule in rules:
        found = rule.base(name)
        if found is not None:
            base, number = found
            return None if rule.ignore else (base, rule.reasoning(number, max_output))
    return None


_OPENAI = ("o1*", "o3*", "o4*", "gpt-5*")
_OPENAI_EFFORTS: tuple[Effort, ...] = ("none", "minimal", "low", "medium", "high", "xhigh")
_CLAUDE_EFFORTS: tuple[Effort, ...] = ("low", "medium", "high", "xhigh", "max")
_GEMINI_EFFORTS: tuple[Effort, ...] = ("minimal", "low", "medium", "high")


def _defaults() -> Iterator[ReasoningSuffix]:
    for effort in _OPENAI_EFFORTS:
        yield ReasoningSuffix(models=_OPENAI, suffix=f"-{effort}", effort=effort)
    yield ReasoningSuffix(models=("claude-*",), suffix="-thinking", enabled=True, share=Decimal("0.8"), visible=True)
    for effort in _CLAUDE_EFFORTS:
        yield ReasoningSuffix(models=("claude-*",), suffix=f"-{effort}", enabled=True, effort=effort, visible=True)
    gemini = ("gemini-*",)
    yield ReasoningSuffix(models=gemini, suffix="-thinking-N", enabled=True, visible=True)
    yield ReasoningSuffix(models=gemini, suffix="-nothinking", enabled=False, budget=0)
    yield ReasoningSuffix(models=gemini, suffix="-thinking", enabled=True, share=Decimal("0.6"), visible=True)
    for effort in _GEMINI_EFFORTS:
        yield ReasoningSuffix(models=gemini, suffix=f"-{effort}", effort=effort, visible=True)
    yield ReasoningSuffix(models=("deepseek-*",), suffix="-thinking", enabled=True)
    yield ReasoningSuffix(models=("deepseek-v4*",), suffix="-none", enabled=False)
    yield ReasoningSuffix(models=("deepseek-v4*",), suffix="-max", enabled=True, effort="max")
    for effort in ("low", "high"):
        yield ReasoningSuffix(models=("grok-3-mini*",), suffix=f"-{effort}", effort=effort)


DEFAULT_SUFFIXES: tuple[ReasoningSuffix, ...] = tuple(_defaults())
"""What is known without any configuration, the longer suffixes of a family first."""
