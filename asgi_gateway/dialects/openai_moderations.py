"""OpenAI's moderations, passed through: https://platform.openai.com/docs/api-reference/moderations."""

from collections.abc import Sequence

from asgi_gateway.dialects.contract import NOWHERE, Dialect, Operation, OwnedRoute, RequestOutline, Target
from asgi_gateway.dialects.openai_wire.dialect import OpenAIDialect
from asgi_gateway.dialects.openai_wire.fields import Fields

__all__ = ["OPENAI_MODERATIONS"]

DEFAULT_MODEL = "omni-moderation-latest"


class _OpenAIModerations(OpenAIDialect):
    name: str = "openai_moderations"
    routes: Sequence[OwnedRoute] = (OwnedRoute("POST", "/v1/moderations", Operation.MODERATION),)
    answer = "results"

    def outline(self, body: bytes, target: Target = NOWHERE) -> RequestOutline:
        fields = Fields(body)
        model = fields.model(DEFAULT_MODEL)
        fields.require("input", "a string", "an array", "an object")
        return RequestOutline(model=model)


OPENAI_MODERATIONS: Dialect = _OpenAIModerations()
