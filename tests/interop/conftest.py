"""The vendors' own clients on one side of a real gateway, an upstream of every dialect on the other."""

import asyncio
from collections.abc import Iterator

import pytest

from support.aimock import Aimock
from support.gateway_process import GatewayProcess
from support.gateway_settings import DEV
from support.interop import CHANNEL, UPSTREAMS, Line
from support.services import require_node_package


@pytest.fixture(scope="session")
def line(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    """The gateway and the upstream behind it, for all tests here."""
    require_node_package("@copilotkit/aimock")
    with Aimock(tmp_path_factory.mktemp("aimock")) as upstream:
        channels = "".join(
            CHANNEL.format(dialect=dialect, provider=provider, model=model, port=upstream.port, path=path)
            for dialect, (provider, model, path) in UPSTREAMS.items()
        )
        text = f"""[billing]
unpriced = "free"
{channels}
[[users]]
name = "dev"
unlimited = true
[[tokens]]
name = "dev"
key = "{DEV.key}"
user = "dev"
unlimited = true
"""
        with GatewayProcess(tmp_path_factory.mktemp("gateway"), text) as gateway:
            asyncio.run(gateway.ready())
            asyncio.run(upstream.ready())
            yield Line(gateway, upstream)
