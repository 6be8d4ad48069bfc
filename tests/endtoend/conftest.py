"""The whole way: a caller's socket, the real server as a process, and a scripted upstream behind it."""

from collections.abc import Iterator

import pytest

from support.scripted_upstream import ScriptedServer


@pytest.fixture
def upstream() -> Iterator[ScriptedServer]:
    """An upstream without scripts yet."""
    with ScriptedServer({}) as server:
        yield server
