"""A chat request, neutral between the dialects."""

from collections.abc import Iterator, Mapping
from typing import Any, Literal

from msgspec import Struct

from asgi_gateway.canonical.losses import Losses
from asgi_gateway.canonical.parts import CacheMark, Part, Text
from asgi_gateway.errors import InvalidRequest

__all__ = [
    "HOSTED_TOOLS",
    "ChatRequest",
    "CustomTool",
    "Effort",
    "Extra",
    "FunctionTool",
    "HostedTool",
    "OutputFormat",
    "Reasoning",
    "Role",
    "Sampling",
    "Tool",
    "ToolChoice",
    "Turn",
]

Role = Literal["system", "user", "assistant", "tool"]

Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]

HOSTED_TOOLS = frozenset(
    {
        "web_search",
        "web_fetch",
        "code_execution",
        "file_search",
        "image_generation",
        "computer",
        "shell",
        "text_editor",
        "memory",
        "mcp",
        "tool_search",
        "maps",
    }
)
"""Neutral names of tools that providers run or define themselves."""


class Turn(Struct, frozen=True):
    """One message. A "tool" turn holds tool results and nothing else; a "system" turn stands between others.

    `name` tells participants of one role apart (OpenAI's).
    """

    role: Role
    parts: tuple[Part, ...]
    name: str = ""


class FunctionTool(Struct, frozen=True, kw_only=True):
    """A function of the caller's. `parameters` is a JSON schema; None: it takes none. `strict` None: not said."""

    name: str
    description: str = ""
    parameters: Mapping[str, Any] | None = None
    strict: bool | None = None
    cache: CacheMark | None = None
    extras: Mapping[str, Any] = {}
    """Fields of the tool that only `dialect` knows."""
    dialect: str = ""


class CustomTool(Struct, frozen=True, kw_only=True):
    """A tool that takes free text (OpenAI's custom tools). `format` is OpenAI's object: text or a grammar."""

    name: str
    description: str = ""
    format: Mapping[str, Any] | None = None


class HostedTool(Struct, frozen=True, kw_only=True):
    """A tool of the provider's.

    `kind` is one of `HOSTED_TOOLS`, or the dialect's own name. The neutral options are those that several providers
    share; `native` is the tool as `dialect` wrote it. A tool that a target does not have is refused by name.
    """

    kind: str
    dialect: str
    native: Any
    allowed_domains: tuple[str, ...] = ()
    blocked_domains: tuple[str, ...] = ()
    location: Mapping[str, Any] | None = None
    """OpenAI's and Anthropic's approximate location: city, region, country, timezone."""
    max_uses: int | None = None


Tool = FunctionTool | CustomTool | HostedTool


class ToolChoice(Struct, frozen=True):
    """Which tool the model may or must use.

    "tool" and "allowed" use `names`; `required` says for "allowed" whether one of them must be called.
    """

    mode: Literal["auto", "none", "required", "tool", "allowed"]
    names: tuple[str, ...] = ()
    required: bool = False


class Sampling(Struct, frozen=True, kw_only=True):
    """How tokens are drawn. None: not said."""

    max_output: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    choices: int = 1
    logprobs: bool = False
    top_logprobs: int | None = None
    logit_bias: Mapping[str, float] | None = None


class OutputFormat(Struct, frozen=True, kw_only=True):
    """The form of the answer: "json" is any JSON object, "schema" one that `schema` describes."""

    kind: Literal["text", "json", "schema"]
    name: str = ""
    description: str = ""
    schema: Mapping[str, Any] | None = None
    strict: bool | None = None


class Reasoning(Struct, frozen=True, kw_only=True):
    """How the model shall think. None: not said.

    `budget` is in tokens (0: not at all, -1: the model decides); `adaptive`: the model decides when to think;
    `visible`: show the thinking, or a summary of it ("auto", "concise", "detailed" in `summary`).
    """

    enabled: bool | None = None
    effort: Effort | None = None
    budget: int | None = None
    adaptive: bool = False
    visible: bool | None = None
    summary: str = ""


class Extra(Struct, frozen=True):
    """A top-level field that only `dialect` knows, with its decoded value.

    Another dialect drops and notes it, or refuses it by name when it is `essential`: a feature, not a tuning knob.
    """

    dialect: str
    name: str
    value: Any
    essential: bool = False


class ChatRequest(Struct, frozen=True, kw_only=True):
    """A conversation and what is wanted next.

    `instructions` are the system texts in front of the turns; a system text between turns is a turn.
    `user` names the end user for the provider's abuse checks; `metadata` is kept by the provider.
    `cache_key` groups requests for the provider's prompt cache; `cached_content` is Google's reference to a cache.
    `modalities` are the kinds of output wanted, () for text alone; `audio` is OpenAI's {"voice", "format"}.
    """

    model: str
    turns: tuple[Turn, ...]
    instructions: tuple[Text, ...] = ()
    tools: tuple[Tool, ...] = ()
    tool_choice: ToolChoice | None = None
    parallel_tools: bool | None = None
    sampling: Sampling = Sampling()
    output: OutputFormat | None = None
    verbosity: str = ""
    reasoning: Reasoning | None = None
    stream: bool = False
    wants_usage: bool = False
    """The caller asked for the usage inside the stream, where its dialect asks for that."""
    user: str = ""
    metadata: Mapping[str, str] | None = None
    service_tier: str = ""
    store: bool | None = None
    cache_key: str = ""
    cache_retention: str = ""
    cached_content: str = ""
    modalities: tuple[str, ...] = ()
    audio: Mapping[str, Any] | None = None
    extras: tuple[Extra, ...] = ()

    def own_extras(self, dialect: str, losses: Losses) -> Iterator[tuple[str, Any]]:
        """The extras that `dialect` knows. The others are noted as dropped.

        Raises `InvalidRequest` with `param` for an essential one of another dialect.
        """
        for extra in self.extras:
            if extra.dialect == dialect:
                yield extra.name, extra.value
            elif extra.essential:
                raise InvalidRequest(
                    f"'{extra.name}' is not supported for this model here: its provider has nothing like it.",
                    param=extra.name,
                    code="unsupported_parameter",
                )
            else:
                losses.dropped(extra.name)
