"""OpenAI's older text completions, passed through: https://platform.openai.com/docs/api-reference/completions."""

import re
from collections.abc import Sequence

import msgspec

from asgi_gateway.dialects.contract import NOWHERE, Dialect, Operation, OwnedRoute, RequestOutline, Target
from asgi_gateway.dialects.openai_wire.dialect import OpenAIDialect
from asgi_gateway.dialects.openai_wire.fields import Fields
from asgi_gateway.dialects.openai_wire.text import COMPLETION_TEXT

__all__ = ["OPENAI_COMPLETIONS"]

_SEVERAL = re.compile(rb'\[\s*["\[]')

_prompts = msgspec.json.Decoder(list[msgspec.Raw])


class _OpenAICompletions(OpenAIDialect):
    name: str = "openai_completions"
    routes: Sequence[OwnedRoute] = (OwnedRoute("POST", "/v1/completions", Operation.COMPLETION),)
    stream_usage = True
    answer = "choices"
    text: re.Pattern[bytes] | None = COMPLETION_TEXT

    def outline(self, body: bytes, target: Target = NOWHERE) -> RequestOutline:
        fields = Fields(body)
        model = fields.model()
        prompt = fields.require("prompt", "a string", "an array", "null")
        stream = fields.flag("stream")
        options = fields.object("stream_options")
        include_usage = options is not None and options.flag("include_usage")
        # `best_of` are written, and paid, of which `n` come back.
        tries = max(fields.integer("n", 1, 128) or 1, fields.integer("best_of", 0, 20) or 1)
        return RequestOutline(
            model=model,
            stream=stream,
            max_output=fields.integer("max_tokens", 0),
            choices=tries * _prompts_in(prompt),
            wants_usage=stream and include_usage,
        )


def _prompts_in(prompt: msgspec.Raw) -> int:
    """How many prompts there are: each is completed. A list of numbers is one, as tokens."""
    return len(_prompts.decode(prompt)) if _SEVERAL.match(prompt) else 1


OPENAI_COMPLETIONS: Dialect = _OpenAICompletions()
