"""Chat requests: what the layers need to know of one, and what OpenAI refuses in it.

Follows `CreateChatCompletionRequest` of OpenAI's OpenAPI document. Fields that nobody here needs are not looked at:
they are the upstream's affair.
"""

from typing import Annotated

import msgspec

from asgi_gateway.dialects.contract import RequestOutline
from asgi_gateway.dialects.openai_wire.fields import LARGEST, NAME_LIMIT, Fields
from asgi_gateway.dialects.service_tiers import tier_of

__all__ = ["by_members", "outline"]

MOST_CHOICES = 128

SURELY_NOT_EMPTY = 64
"""Bytes of a list of messages above which nobody needs to look whether it is empty."""

ARRAY = ord("[")

_Limit = Annotated[int, msgspec.Meta(ge=1, le=LARGEST)]


class _Options(msgspec.Struct):
    include_usage: bool = False


class _Ordinary(msgspec.Struct):
    """A request as nearly all are."""

    model: Annotated[str, msgspec.Meta(min_length=1, max_length=NAME_LIMIT)]
    messages: msgspec.Raw
    stream: bool | None = None
    stream_options: _Options | None = None
    max_tokens: _Limit | None = None
    max_completion_tokens: _Limit | None = None
    n: Annotated[int, msgspec.Meta(ge=1, le=MOST_CHOICES)] | None = None
    service_tier: str | None = None


_ordinary = msgspec.json.Decoder(_Ordinary)


def outline(body: bytes) -> RequestOutline:
    """Read a body. Raises `InvalidRequest` with type, code and param as OpenAI sets them."""
    try:
        ordinary = _ordinary.decode(body)
    except (ValueError, RecursionError):
        return by_members(Fields(body))
    messages = memoryview(ordinary.messages)
    if messages.nbytes < SURELY_NOT_EMPTY or messages[0] != ARRAY:
        return by_members(Fields(body))
    options, stream = ordinary.stream_options, bool(ordinary.stream)
    return RequestOutline(
        model=ordinary.model,
        stream=stream,
        max_output=max(ordinary.max_tokens or 0, ordinary.max_completion_tokens or 0) or None,
        choices=ordinary.n or 1,
        wants_usage=stream and options is not None and options.include_usage,
        service_tier=tier_of(ordinary.service_tier),
    )


def by_members(fields: Fields) -> RequestOutline:
    """The same as `outline`, member by member, with a word for everything that is wrong."""
    model = fields.model()
    fields.require("messages", "an array")
    stream = fields.flag("stream")
    options = fields.object("stream_options")
    include_usage = options is not None and options.flag("include_usage")
    limits = (fields.integer("max_tokens", 1), fields.integer("max_completion_tokens", 1))
    return RequestOutline(
        model=model,
        stream=stream,
        # Upstreams differ in which of the two they obey: the larger is what may have to be paid.
        max_output=max((limit for limit in limits if limit is not None), default=None),
        choices=fields.integer("n", 1, MOST_CHOICES) or 1,
        wants_usage=stream and include_usage,
        service_tier=tier_of(fields.word("service_tier")),
    )
