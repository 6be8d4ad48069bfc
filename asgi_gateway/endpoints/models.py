"""`GET /v1/models` and `/v1/models/{model}`: what the caller may use, as OpenAI lists it.

https://platform.openai.com/docs/api-reference/models
"""

from typing import ClassVar

from asgi_gateway.directory import Catalogue, CatalogueHolder
from asgi_gateway.endpoints.answer import send_json
from asgi_gateway.errors import ModelNotFound
from asgi_gateway.exchange import Caller, Exchange, path_of
from asgi_gateway.types import Receive, Scope, Send

__all__ = ["ModelList", "models_for"]

CREATED = 1_700_000_000
"""Clients require a time; channels do not say when a model was made."""

PATH = "/v1/models"


class ModelList:
    """A terminal app. Needs `caller`."""

    needs: ClassVar[frozenset[str]] = frozenset({"caller"})

    def __init__(self, directory: CatalogueHolder) -> None:
        self.directory = directory

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange = Exchange.of(scope)
        assert exchange.caller is not None  # `compose` checked that somebody writes it
        names = models_for(exchange.caller, self.directory.catalogue)
        wanted = path_of(scope)[len(PATH) :].strip("/")  # percent-decoded by the server; a name may hold slashes
        if not wanted:
            await send_json(send, {"object": "list", "data": [_entry(name) for name in names]})
            return
        if wanted not in names:
            raise ModelNotFound(f"The model `{wanted}` does not exist or you do not have access to it.", param="model")
        await send_json(send, _entry(wanted))


def models_for(caller: Caller, catalogue: Catalogue) -> list[str]:
    """The names a caller can ask for, aliases among them, sorted: served to its group, and within its rights."""
    served = set(catalogue.channels.models(caller.group))
    served.update(alias for alias, model in catalogue.aliases.items() if model in served)
    for rights in (catalogue.group(caller.group).models, caller.models):
        if rights:
            served = {name for name in served if name in rights or catalogue.aliases.get(name) in rights}
    return sorted(served)


def _entry(name: str) -> dict[str, object]:
    return {"id": name, "object": "model", "created": CREATED, "owned_by": "asgi_gateway"}
