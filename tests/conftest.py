"""What every test may ask for."""

from collections.abc import Callable
from pathlib import Path

import pytest

from support import services


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository."""
    return Path(__file__).parents[1]


@pytest.fixture(scope="session")
def require_service() -> Callable[[str], Path]:
    """Asks for a service by name (`postgresql`, `redis`, `chromium`, …) and gives the path of its program."""
    return services.require_service
