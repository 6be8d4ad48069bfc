"""Arguments of function calls: JSON text elsewhere, an object here.

The object is written as the text has it: numbers and the order of keys do not change. A text that is no JSON object
(a model's mistake, or a tool that takes free text) becomes an object with that text as its one member.
"""

import msgspec

from asgi_gateway.canonical import Losses, ToolCall
from asgi_gateway.dialects.google_generate.tool_writer import FREE_TEXT

__all__ = ["NO_ARGUMENTS", "arguments_object"]

NO_ARGUMENTS = b"{}"

_object = msgspec.json.Decoder(dict[str, msgspec.Raw])


def arguments_object(call: ToolCall, losses: Losses) -> bytes:
    """The arguments of a call as the bytes of a JSON object."""
    if call.custom:
        losses.approximated("tools[].custom")
        return msgspec.json.encode({FREE_TEXT: call.arguments})
    if not call.arguments.strip():
        return NO_ARGUMENTS
    try:
        text = call.arguments.encode()
        _object.decode(text)
    except (ValueError, RecursionError):
        losses.approximated("tool_calls[].arguments")
        return msgspec.json.encode({"arguments": call.arguments.encode(errors="replace").decode()})
    return text
