"""The tests that every storage passes, for storages that need a server of their own."""

from collections.abc import Mapping
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

__all__ = ["suite"]

FOLDER = Path(__file__).parents[1] / "storage"


def suite(name: str) -> Mapping[str, Any]:
    """The tests of a module of `tests/storage` that ask for a `storage`, to be run over another one's fixture."""
    spec = spec_from_file_location(f"storage_suite_{name}", FOLDER / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return {
        key: test
        for key, test in vars(module).items()
        if key.startswith("test_") and "storage" in test.__annotations__ and "make_storage" not in test.__annotations__
    }
