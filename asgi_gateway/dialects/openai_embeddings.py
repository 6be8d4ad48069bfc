"""OpenAI's embeddings, passed through: https://platform.openai.com/docs/api-reference/embeddings."""

from collections.abc import Sequence

from asgi_gateway.dialects.contract import NOWHERE, Dialect, Operation, OwnedRoute, RequestOutline, Target
from asgi_gateway.dialects.openai_wire.dialect import OpenAIDialect
from asgi_gateway.dialects.openai_wire.fields import Fields

__all__ = ["OPENAI_EMBEDDINGS"]


class _OpenAIEmbeddings(OpenAIDialect):
    name: str = "openai_embeddings"
    routes: Sequence[OwnedRoute] = (OwnedRoute("POST", "/v1/embeddings", Operation.EMBEDDING),)
    answer = "data"

    def outline(self, body: bytes, target: Target = NOWHERE) -> RequestOutline:
        fields = Fields(body)
        model = fields.model()
        fields.require("input", "a string", "an array")
        return RequestOutline(model=model)


OPENAI_EMBEDDINGS: Dialect = _OpenAIEmbeddings()
