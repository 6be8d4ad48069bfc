"""The vendors' own clients on one side of a real gateway, an upstream of every dialect on the other."""

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from support.aimock import Aimock
from support.cohere_thinker import think
from support.gateway_process import GatewayProcess
from support.http_upstream import HttpUpstream, forward_to
from support.interop import UPSTREAMS, Line, channel, configuration
from support.mended_bedrock import mended_bedrock
from support.services import require_node_package


@pytest.fixture(scope="session")
def line(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    """The gateway and what is behind it, for all tests here."""
    require_node_package("@copilotkit/aimock")
    with ExitStack() as stack:
        aimock = stack.enter_context(Aimock(tmp_path_factory.mktemp("aimock")))
        recorder = stack.enter_context(HttpUpstream(forward_to(aimock.port)))
        thinker = stack.enter_context(HttpUpstream(think))
        amazon = stack.enter_context(HttpUpstream(mended_bedrock(aimock.port)))
        ports = {dialect: amazon.port if dialect == "bedrock_converse" else aimock.port for dialect in UPSTREAMS}
        channels = [channel(f"to-{dialect}", dialect, port) for dialect, port in ports.items()]
        channels += [channel(f"seen-{dialect}", dialect, recorder.port) for dialect in UPSTREAMS]
        channels.append(channel("think-cohere_chat", "cohere_chat", thinker.port))
        directory = tmp_path_factory.mktemp("gateway")
        gateway = stack.enter_context(GatewayProcess(directory, configuration(*channels)))
        asyncio.run(gateway.ready())
        asyncio.run(aimock.ready())
        yield Line(gateway, recorder)
