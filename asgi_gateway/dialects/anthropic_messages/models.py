"""What Claude's generations want otherwise: how they are asked to think, and which sampling they refuse.

| models | thinking | sampling |
|---|---|---|
| up to 4.5 | `{"type": "enabled", "budget_tokens"}` | 4.1 and later: temperature or top_p, not both |
| 4.6 | adaptive with an effort, or a budget | as before |
| 4.7 and later | adaptive with an effort; `display` says whether it is shown | none |

Facts of https://docs.anthropic.com/en/docs/build-with-claude/extended-thinking and the pages about single models.
A model whose name does not say its version, as an alias does not, is taken for one of the oldest kind.
"""

import re

__all__ = ["LEAST_BUDGET", "default_output", "is_adaptive", "samples_by_one", "takes_no_sampling"]

LEAST_BUDGET = 1024
"""Tokens of thinking: Anthropic refuses fewer."""

_NEWER = re.compile(r"claude-[a-z]+-(\d{1,2})(?:[-.](\d{1,2}))?(?!\d)")
_OLDER = re.compile(r"claude-(\d)(?:[-.](\d))?-[a-z]+")

_OUTPUTS = (((3, 7), 8192), ((3, 5), 8192), ((0, 0), 4096))
_NEWER_OUTPUT = 16_384


def _version(model: str) -> tuple[int, int]:
    name = model.lower()
    found = _NEWER.search(name) or _OLDER.search(name)
    return (int(found[1]), int(found[2] or 0)) if found is not None else (0, 0)


def default_output(model: str) -> int:
    """`max_tokens` where a caller says none: Anthropic wants one, and refuses more than a model can give."""
    version = _version(model)
    if version >= (4, 0) or version == (0, 0):
        return _NEWER_OUTPUT if version >= (4, 0) else 8192
    return next(output for least, output in _OUTPUTS if version >= least)


def is_adaptive(model: str) -> bool:
    """Whether the model decides itself when to think, by an effort."""
    return _version(model) >= (4, 6)


def takes_no_sampling(model: str) -> bool:
    """Whether the model refuses temperature, top_p, top_k and budgets altogether."""
    return _version(model) >= (4, 7)


def samples_by_one(model: str) -> bool:
    """Whether the model takes temperature or top_p, but not both."""
    return _version(model) >= (4, 1)
