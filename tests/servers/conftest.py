"""Each server that we support, with the same gateway app."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from support.served_under import SERVERS, Served, serving


@pytest.fixture(scope="module", params=SERVERS)
def server(request: pytest.FixtureRequest) -> str:
    """Each server, by name."""
    name: str = request.param
    return name


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def served(server: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Served]:
    """A server that runs."""
    async with serving(server, tmp_path_factory.mktemp(server)) as running:
        yield running
