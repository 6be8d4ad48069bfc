"""What the name of a model tells about the server behind it, where OpenAI's formats leave room for differences.

OpenAI refuses fields that it does not know, and sampling that its reasoning models do not have
(https://platform.openai.com/docs/guides/reasoning); look-alikes want fields of their own. A name is all that a
writer of requests knows, so the rules are rules by name:

| name | family |
|---|---|
| `gpt-*` but `gpt-oss*`, `chatgpt-*`, `codex-*`, `o1`, `o3`, `o4` and on | "openai" |
| `gpt-oss*` | "gpt-oss" |
| `claude*`, `gemini*`, `grok*`, `deepseek*`, `kimi*`, `glm*`, `doubao*`, `mimo*` | the word itself |
| `qwen*`, `qwq*` | "qwen" |
| `mistral*`, `magistral*`, `ministral*`, `codestral*`, `devstral*`, `pixtral*`, `voxtral*` | "mistral" |
| others | "" |

A vendor in front (`openai/gpt-5`) is left out; `Family.routed` tells of it: routers such as OpenRouter name models so.

```python
from asgi_gateway.dialects.openai_wire.families import Family, family_of

assert family_of("o3-mini").reasons and not family_of("gpt-4o").reasons
assert family_of("anthropic/claude-sonnet-4.5") == Family("claude", routed=True)
```
"""

import re

from msgspec import Struct

__all__ = ["Family", "family_of"]

_OPENAI = re.compile(r"(?:gpt-(?!oss)|chatgpt-|codex-|o[1-9](?:-|$))")
_REASONING = re.compile(r"(?:o[1-9](?:-|$)|gpt-(?:[5-9]|[1-9][0-9])(?![0-9])(?!.*chat)|codex-)")
_VERSION = re.compile(r"gpt-(\d{1,2})(?:\.(\d{1,2}))?(?![0-9])")
_MISTRAL = ("mistral", "magistral", "ministral", "codestral", "devstral", "pixtral", "voxtral", "open-mi")
_WORDS = ("claude", "gemini", "grok", "deepseek", "kimi", "glm", "doubao", "mimo", "gpt-oss", "qwen")

_MAKERS = {"openai": "openai", "claude": "anthropic", "gemini": "google", "grok": "xai"}


class Family(Struct, frozen=True):
    """What a name says. `reasons`: OpenAI's reasoning models, which refuse sampling. `version` is of `gpt-` names."""

    name: str
    routed: bool = False
    reasons: bool = False
    version: tuple[int, int] = (0, 0)

    @property
    def maker(self) -> str:
        """Whose seals its models read, as `Seal.maker` names it; "" when unknown."""
        return _MAKERS.get(self.name, "")

    @property
    def is_openai(self) -> bool:
        """Whether OpenAI's own servers (or Azure's) answer, as far as the name tells."""
        return self.name == "openai"


def family_of(model: str) -> Family:
    """The family of a model by its name; letter case does not matter."""
    vendor, _, name = model.lower().rpartition("/")
    routed = bool(vendor)
    if _OPENAI.match(name):
        found = _VERSION.match(name)
        version = (int(found[1]), int(found[2] or 0)) if found else (0, 0)
        return Family("openai", routed, _REASONING.match(name) is not None, version)
    for word in _WORDS:
        if name.startswith(word):
            return Family(word, routed)
    if name.startswith("qwq"):
        return Family("qwen", routed)
    return Family("mistral" if name.startswith(_MISTRAL) else "", routed)
