"""What turns and answers are made of: the parts of a conversation, neutral between the dialects.

JSON of others (schemas, arguments, options) is carried as it is: arguments as JSON text, never decoded and encoded
again on the way, so that no number and no order of keys changes.
"""

from typing import Any, Literal

from msgspec import Struct

from asgi_gateway.canonical.seals import Seal

__all__ = [
    "CacheMark",
    "Citation",
    "HostedCall",
    "HostedResult",
    "Inline",
    "Media",
    "MediaKind",
    "Native",
    "Part",
    "PlainText",
    "Refusal",
    "Remote",
    "Source",
    "Stored",
    "Text",
    "Thinking",
    "ToolCall",
    "ToolResult",
]

MediaKind = Literal["image", "document", "audio", "video"]


class CacheMark(Struct, frozen=True):
    """A caller's wish that everything up to here be cached by the provider, for "5m" or "1h"."""

    ttl: Literal["5m", "1h"] = "5m"


class Citation(Struct, frozen=True, kw_only=True):
    """Where a text comes from.

    `start` and `end` are character offsets in the part's text where the dialect says so. `quoted` is the source's own
    text. `source` names a document or file; `native` is the citation as its dialect wrote it, for that dialect alone.
    """

    kind: Literal["url", "document", "file", "search_result"]
    url: str = ""
    title: str = ""
    quoted: str = ""
    source: str = ""
    start: int | None = None
    end: int | None = None
    dialect: str = ""
    native: Any = None


class Text(Struct, frozen=True):
    """Plain text."""

    text: str
    citations: tuple[Citation, ...] = ()
    cache: CacheMark | None = None
    seal: Seal | None = None
    """Google signs texts, too."""


class Refusal(Struct, frozen=True):
    """The model's words when it refuses, where the dialect tells them from its answer."""

    text: str


class Thinking(Struct, frozen=True):
    """Reasoning: a text, a seal, or both. Without a text it is redacted or encrypted.

    `id` is the dialect's own id of it (Responses wants it back), `seal` what its maker wants back.
    """

    text: str = ""
    seal: Seal | None = None
    id: str = ""


class ToolCall(Struct, frozen=True, kw_only=True):
    """The model calls a tool of the caller's. `arguments` is JSON text as the model wrote it, "" for none.

    `custom`: the tool takes free text (OpenAI's custom tools), and `arguments` is that text.
    """

    id: str
    name: str
    arguments: str = ""
    custom: bool = False
    seal: Seal | None = None
    cache: CacheMark | None = None


class Inline(Struct, frozen=True):
    """Data inside the message: base64, without a data URL's prefix."""

    media_type: str
    data: str


class Remote(Struct, frozen=True):
    """Data at a public address."""

    url: str
    media_type: str = ""


class Stored(Struct, frozen=True):
    """A file that the provider keeps. `maker` is whose: nobody else can read it."""

    id: str
    maker: str
    media_type: str = ""


class PlainText(Struct, frozen=True):
    """A document that is text."""

    text: str


Source = Inline | Remote | Stored | PlainText


class Media(Struct, frozen=True, kw_only=True):
    """An image, a document, a sound or a film, in a request or in an answer.

    `detail` is OpenAI's resolution ("low", "high", "auto", …). `transcript` and `id` belong to audio that a model
    spoke. `context` and `citations` are wishes for a document (Anthropic's).
    """

    kind: MediaKind
    source: Source
    name: str = ""
    detail: str = ""
    title: str = ""
    context: str = ""
    citations: bool = False
    transcript: str = ""
    id: str = ""
    expires: int = 0
    cache: CacheMark | None = None
    seal: Seal | None = None


class Native(Struct, frozen=True):
    """Something only one dialect knows, as that dialect wrote it (decoded JSON).

    Another dialect drops it and notes it as `field`, or refuses when `essential`: without it the conversation would
    mean something else.
    """

    dialect: str
    field: str
    value: Any
    essential: bool = False


class ToolResult(Struct, frozen=True, kw_only=True):
    """What a tool of the caller's gave. `name` is the tool's, where the dialect says it (Google's does)."""

    call_id: str
    parts: "tuple[Text | Media | Native, ...]" = ()
    name: str = ""
    failed: bool = False
    custom: bool = False
    cache: CacheMark | None = None


class HostedCall(Struct, frozen=True, kw_only=True):
    """The provider runs a tool of its own: `tool` is one of `HOSTED_TOOLS` or the dialect's name.

    `arguments` is JSON text ({"query": …}, {"code": …}). `native` is the item as its dialect wrote it (decoded JSON),
    for the way back into that dialect.
    """

    id: str
    tool: str
    arguments: str = "{}"
    dialect: str = ""
    native: Any = None


class HostedResult(Struct, frozen=True, kw_only=True):
    """What a tool of the provider's gave: `parts` as far as they can be shown, `native` whole."""

    call_id: str
    tool: str
    parts: "tuple[Text | Media, ...]" = ()
    citations: tuple[Citation, ...] = ()
    failed: bool = False
    dialect: str = ""
    native: Any = None


Part = Text | Refusal | Thinking | ToolCall | ToolResult | Media | HostedCall | HostedResult | Native
