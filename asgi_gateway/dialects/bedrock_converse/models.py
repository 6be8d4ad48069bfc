"""What Bedrock's model families want otherwise: where reasoning is asked for, what may be cached, what is refused.

| family | reasoning | top_k |
|---|---|---|
| Claude up to 4.5 | `thinking: {"type": "enabled", "budget_tokens"}` in the additional fields | `top_k` there |
| Claude from 4.6 | `thinking: {"type": "adaptive"}` there, and `outputConfig.effort` | `top_k` there, up to 4.6 |
| Nova 2 | `reasoningConfig: {"type", "maxReasoningEffort"}` there | `inferenceConfig.topK` there |
| gpt-oss | `reasoning_effort` there | none |
| others | none: noted as dropped | none |

Facts of https://docs.aws.amazon.com/bedrock/latest/userguide/claude-messages-extended-thinking.html,
https://docs.aws.amazon.com/nova/latest/nova2-userguide/using-converse-api.html and the pages of the other models.
"""

import re
from typing import Literal

__all__ = ["Family", "family_of", "is_adaptive", "samples_by_one", "takes_no_sampling"]

Family = Literal["claude", "nova", "gpt-oss", "deepseek", "other"]

_FAMILIES: tuple[tuple[re.Pattern[str], Family], ...] = (
    (re.compile(r"claude"), "claude"),
    (re.compile(r"\bnova-"), "nova"),
    (re.compile(r"gpt-oss"), "gpt-oss"),
    (re.compile(r"deepseek"), "deepseek"),
)
_VERSION = re.compile(r"claude-[a-z]+-(\d{1,2})(?:-(\d{1,2}))?(?!\d)")


def family_of(model: str) -> Family:
    """The family, by a model's id, an inference profile's, or an ARN that names it."""
    name = model.lower()
    return next((family for pattern, family in _FAMILIES if pattern.search(name)), "other")


def _version(model: str) -> tuple[int, int]:
    """Claude's version; (0, 0) when the id does not say it, as those of Claude 3 do not."""
    found = _VERSION.search(model.lower())
    return (int(found[1]), int(found[2] or 0)) if found is not None else (0, 0)


def is_adaptive(model: str) -> bool:
    """Whether a Claude decides itself when to think, by an effort."""
    return _version(model) >= (4, 6)


def takes_no_sampling(model: str) -> bool:
    """Whether a Claude refuses temperature, top_p, top_k and budgets altogether."""
    return _version(model) >= (4, 7)


def samples_by_one(model: str) -> bool:
    """Whether a Claude takes temperature or top_p, but not both."""
    return _version(model) >= (4, 1)
