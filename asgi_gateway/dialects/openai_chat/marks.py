"""Wishes to cache the prompt up to a part, written as the model behind the upstream takes them.

| family (by the model's name) | written |
|---|---|
| `claude*`, `gemini*`, `qwen*` | `cache_control` (https://openrouter.ai/docs/features/prompt-caching) |
| `gpt-5.6*` and later | `prompt_cache_breakpoint` (OpenAI's API reference) |
| others | nothing: noted as dropped |
"""

from typing import Any

from asgi_gateway.canonical import CacheMark, Losses
from asgi_gateway.dialects.openai_wire.families import Family

__all__ = ["Marks"]

EXPLICIT_FROM = (5, 6)


class Marks:
    """Puts marks on the parts of one request."""

    __slots__ = ("_control", "_explicit", "_losses")

    def __init__(self, family: Family, losses: Losses) -> None:
        self._control = family.name in ("claude", "gemini", "qwen")
        self._explicit = family.is_openai and family.version >= EXPLICIT_FROM
        self._losses = losses

    def marked(self, part: dict[str, Any], mark: CacheMark | None) -> dict[str, Any]:
        """The part with its mark."""
        if mark is None:
            return part
        if self._control:
            part["cache_control"] = (
                {"type": "ephemeral"} if mark.ttl == "5m" else {"type": "ephemeral", "ttl": mark.ttl}
            )
        elif self._explicit and part.get("type") != "function":
            part["prompt_cache_breakpoint"] = {"mode": "explicit"}
        else:
            self._losses.dropped("cache_control")
        return part
