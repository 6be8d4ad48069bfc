"""Chat requests: what the layers need to know of one, and what OpenAI refuses in it.

Follows `CreateChatCompletionRequest` of OpenAI's OpenAPI document. Fields that nobody here needs are not looked at:
they are the upstream's affair.
"""

from asgi_gateway.dialects.contract import RequestOutline
from asgi_gateway.dialects.openai_wire.fields import Fields

__all__ = ["outline"]


def outline(body: bytes) -> RequestOutline:
    """Read a body. Raises `InvalidRequest` with type, code and param as OpenAI sets them."""
    fields = Fields(body)
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
        choices=fields.integer("n", 1, 128) or 1,
        wants_usage=stream and include_usage,
    )
