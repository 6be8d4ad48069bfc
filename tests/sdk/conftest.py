"""The official OpenAI SDK, changed by nothing but `base_url` and `api_key`, against the real server."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

from support.gateway_process import GatewayProcess
from support.gateway_settings import settings
from support.scripted_upstream import ScriptedServer
from support.sdk import MODELS, MORE, PAYERS, Sdk, Service


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """The gateway and the upstream behind it, for all tests of the SDK."""
    with ScriptedServer({}) as upstream:
        text = settings(upstream.port, MODELS, payers=PAYERS, more=MORE.format(port=upstream.port))
        with GatewayProcess(tmp_path_factory.mktemp("sdk"), text) as gateway:
            asyncio.run(gateway.ready())
            yield Service(gateway, upstream)


@pytest.fixture(params=["sync", "async"])
async def sdk(request: pytest.FixtureRequest, service: Service) -> AsyncIterator[Sdk]:
    """A client of the SDK: the one that blocks, or the one that awaits. Neither tries again by itself."""
    async with Sdk(service, blocking=request.param == "sync") as client:
        yield client
