"""Both transports, on both event loops, and certificates for them to trust."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import pytest
import trustme

from asgi_gateway.relay.transport import Transport
from support.transports import EXCEPTIONS, TRANSPORTS, Make


def pytest_asyncio_loop_factories(item: pytest.Item) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Every test here runs on asyncio's own loop and, where it is installed, on uvloop."""
    factories: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {"asyncio": asyncio.new_event_loop}
    try:
        import uvloop
    except ImportError:
        return factories
    return factories | {"uvloop": uvloop.new_event_loop}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test that asks for a transport runs over each, and must fail where `EXCEPTIONS` says so."""
    if "make" not in metafunc.fixturenames:
        return
    parameters = []
    for name in TRANSPORTS:
        reason = EXCEPTIONS.get((name, metafunc.function.__name__))
        marks = [pytest.mark.xfail(reason=reason, strict=True)] if reason else []
        parameters.append(pytest.param(name, marks=marks))
    metafunc.parametrize("seam", parameters)


@pytest.fixture(scope="session")
def roots() -> ssl.SSLContext:
    """The default TLS settings, loaded once: every transport would take a while for them."""
    return ssl.create_default_context()


@pytest.fixture
async def make(seam: str, roots: ssl.SSLContext) -> AsyncIterator[Make]:
    """Makes transports of the kind under test; they are closed at the end."""
    made: list[Transport] = []

    def factory(**options: Any) -> Transport:
        made.append(TRANSPORTS[seam](**{"ssl_context": roots} | options))
        return made[-1]

    yield factory
    for transport in made:
        await transport.close()


@pytest.fixture
def transport(make: Make) -> Transport:
    """A transport with its defaults."""
    return make()


@pytest.fixture(scope="session")
def issuer() -> trustme.CA:
    """Who signs the upstreams' certificates."""
    return trustme.CA()


@pytest.fixture(scope="session")
def served(issuer: trustme.CA) -> ssl.SSLContext:
    """The TLS settings of an upstream that is called `upstream.test` and 127.0.0.1."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    issuer.issue_cert("upstream.test", "127.0.0.1").configure_cert(context)
    return context


@pytest.fixture(scope="session")
def trusting(issuer: trustme.CA) -> ssl.SSLContext:
    """The TLS settings of a client that knows the issuer."""
    context = ssl.create_default_context()
    issuer.configure_trust(context)
    return context
