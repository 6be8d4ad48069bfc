"""What New API knows of models whose ratios its sheet does not say: its completion ratios, and prices of tools."""

from decimal import Decimal
from fnmatch import fnmatchcase
from fractions import Fraction
from typing import NamedTuple

__all__ = ["CompletionRule", "completion_rule", "tool_prices"]


class CompletionRule(NamedTuple):
    """The completion ratio of all models whose name fits; a locked one counts whatever the sheet says."""

    pattern: str
    ratio: Fraction
    locked: bool = False


_RULES = (
    CompletionRule("*-all", Fraction(2)),
    CompletionRule("*-gizmo-[*]", Fraction(2)),
    CompletionRule("gpt-4o-2024-05-13", Fraction(3), locked=True),
    CompletionRule("gpt-4o-mini-tts*", Fraction(20)),
    CompletionRule("gpt-4o*", Fraction(4)),
    CompletionRule("gpt-5.4-nano*", Fraction("6.25"), locked=True),
    CompletionRule("gpt-5.4*", Fraction(6), locked=True),
    CompletionRule("gpt-5.*", Fraction(6)),
    CompletionRule("gpt-5*", Fraction(8), locked=True),
    CompletionRule("gpt-4.5-preview*", Fraction(2), locked=True),
    CompletionRule("gpt-4-turbo*", Fraction(3), locked=True),
    CompletionRule("*gpt-4-1106", Fraction(3), locked=True),
    CompletionRule("gpt-*", Fraction(2)),
    CompletionRule("o1*", Fraction(4), locked=True),
    CompletionRule("o3*", Fraction(4), locked=True),
    CompletionRule("chatgpt-4o-latest", Fraction(3), locked=True),
    CompletionRule("*claude-3*", Fraction(5), locked=True),
    CompletionRule("*claude-sonnet-4*", Fraction(5), locked=True),
    CompletionRule("*claude-opus-4*", Fraction(5), locked=True),
    CompletionRule("*claude-haiku-4*", Fraction(5), locked=True),
    CompletionRule("mistral-*", Fraction(3), locked=True),
    CompletionRule("gemini-1.5*", Fraction(4), locked=True),
    CompletionRule("gemini-2.0*", Fraction(4), locked=True),
    CompletionRule("gemini-2.5-pro*", Fraction(8)),
    CompletionRule("gemini-2.5-flash-preview*-nothinking", Fraction(4)),
    CompletionRule("gemini-2.5-flash-preview*", Fraction(70, 3)),
    CompletionRule("gemini-2.5-flash-lite*", Fraction(4)),
    CompletionRule("gemini-2.5-flash*", Fraction(25, 3)),
    CompletionRule("gemini-robotics-er-1.5*", Fraction(25, 3)),
    CompletionRule("gemini-3-pro-image*", Fraction(60)),
    CompletionRule("gemini-3-pro*", Fraction(6)),
    CompletionRule("gemini-*", Fraction(4)),
    CompletionRule("command-r", Fraction(3), locked=True),
    CompletionRule("command-r-plus", Fraction(5), locked=True),
    CompletionRule("command-r-08-2024", Fraction(4), locked=True),
    CompletionRule("command-r-plus-08-2024", Fraction(4), locked=True),
    CompletionRule("command*", Fraction(4)),
    CompletionRule("ERNIE-Speed-*", Fraction(2), locked=True),
    CompletionRule("ERNIE-Lite-*", Fraction(2), locked=True),
    CompletionRule("ERNIE-Character*", Fraction(2), locked=True),
    CompletionRule("ERNIE-Functions*", Fraction(2), locked=True),
    CompletionRule("llama2-70b-4096", Fraction("1.25")),
    CompletionRule("llama3-8b-8192", Fraction(2)),
    CompletionRule("llama3-70b-8192", Fraction("1.339")),
    CompletionRule("*", Fraction(1)),
)
"""The first one that fits counts. Patterns as of `fnmatch`: "[*]" is an asterisk."""

_WEB_SEARCH = (
    ("gpt-4o*", Decimal(25)),
    ("gpt-4.1*", Decimal(25)),
    ("gemini-*", Decimal(14)),
    ("*", Decimal(10)),
)
_FILE_SEARCH = Decimal("2.5")


def completion_rule(model: str) -> CompletionRule:
    """The rule for a model's name: every name has one."""
    return next(rule for rule in _RULES if fnmatchcase(model, rule.pattern))


def tool_prices(model: str) -> dict[str, Decimal]:
    """USD for a thousand calls of the tools that New API charges beside tokens, by our kinds.

    It tells a web search from one of OpenAI's former kind, which costs more with some models; usage does not, so
    these cost the more there.
    """
    search = next(price for pattern, price in _WEB_SEARCH if fnmatchcase(model, pattern))
    return {"web_search": search, "file_search": _FILE_SEARCH}
