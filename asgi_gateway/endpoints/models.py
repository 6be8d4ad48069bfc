"""The models that the caller may use, and one of them, as the vendor lists them whose dialect the caller speaks.

`GET /v1/models`, `/v1/models/{model}`, and Google's under `/v1beta`.
"""

from collections.abc import Mapping, Sequence
from typing import ClassVar
from urllib.parse import parse_qsl

from asgi_gateway.directory import Catalogue, CatalogueHolder
from asgi_gateway.endpoints.answer import send_json
from asgi_gateway.endpoints.listings import ANTHROPIC, GOOGLE, OPENAI, Listing
from asgi_gateway.errors import ModelNotFound
from asgi_gateway.exchange import Caller, Exchange
from asgi_gateway.types import Receive, Scope, Send

__all__ = ["ModelList", "models_for"]

LISTINGS: Mapping[str, Listing] = {"anthropic_messages": ANTHROPIC, "google_generate": GOOGLE}
"""By dialect; all others list as OpenAI does."""

PATH = "/models"


class ModelList:
    """A terminal app. Needs `caller`."""

    needs: ClassVar[frozenset[str]] = frozenset({"caller"})

    def __init__(self, directory: CatalogueHolder) -> None:
        self.directory = directory

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange = Exchange.of(scope)
        assert exchange.caller is not None  # `compose` checked that somebody writes it
        names = models_for(exchange.caller, self.directory.catalogue)
        listing = LISTINGS.get(exchange.dialect.name, OPENAI)
        # The path is percent-decoded by the server; a name may hold slashes.
        wanted = exchange.target.path.partition(PATH)[2].strip("/")
        if not wanted:
            query = dict(parse_qsl(exchange.target.query.decode("latin-1")))
            await send_json(send, listing.page(names, query))
            return
        if wanted not in names:
            raise ModelNotFound(f"The model `{wanted}` does not exist or you do not have access to it.", param="model")
        await send_json(send, listing.entry(wanted))


def models_for(caller: Caller, catalogue: Catalogue) -> list[str]:
    """The names a caller can ask for, aliases among them, sorted: served to it, and within its rights."""
    names = {name for group in caller.groups or (caller.group,) for name in _served_to(group, catalogue)}
    return sorted(_within(names, caller.models, catalogue))


def _served_to(group: str, catalogue: Catalogue) -> set[str]:
    served = set(catalogue.channels.models(group))
    served.update(alias for alias, model in catalogue.aliases.items() if model in served)
    return _within(served, catalogue.group(group).models, catalogue)


def _within(names: set[str], rights: Sequence[str], catalogue: Catalogue) -> set[str]:
    if not rights:
        return names
    return {name for name in names if name in rights or catalogue.aliases.get(name) in rights}
