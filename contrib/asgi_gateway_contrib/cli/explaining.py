"""`explain`: why an exchange cost what it did."""

import json
from typing import Annotated

import typer

from asgi_gateway_contrib.cli.options import Config, Json
from asgi_gateway_contrib.cli.output import Refused, say
from asgi_gateway_contrib.cli.session import done, opened

__all__ = ["explain"]


def explain(
    request_id: Annotated[str, typer.Argument(metavar="REQUEST_ID", help="The `x-request-id` of its answer.")],
    as_json: Json = False,
    config: Config = None,
) -> None:
    """Recompute a charge from what was stored of it.

    Exit code 1 when there is no such charge, or when it comes out otherwise.
    """

    async def work() -> None:
        from asgi_gateway.policies.explanation import explain as explained

        async with opened(config) as storage:
            charge = await storage.usage_log.find(request_id)
            if charge is None:
                raise Refused(f"there is no charge of a request {request_id}")
            price = await storage.prices.find(charge.reservation.price_version)
        explanation = explained(charge, price)
        say(json.dumps(explanation.json(), indent=2, ensure_ascii=False) if as_json else str(explanation))
        if not explanation.agrees:
            raise Refused("what was charged is not what comes out here")

    done(work())
