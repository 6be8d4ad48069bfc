"""A configuration with a held upstream behind it."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from support.held_upstream import HeldUpstream, held_upstream

KEY = "sk-caller-0123456789abcdef"


@dataclass(frozen=True)
class Deployment:
    """A folder with a `gateway.toml` in it, and the upstream that it names."""

    folder: Path
    upstream: HeldUpstream
    key: str = KEY

    @property
    def config(self) -> str:
        """The file's path."""
        return str(self.folder / "gateway.toml")

    def write(self, head: str = "") -> None:
        """Write the file, with other sections at its beginning."""
        (self.folder / "gateway.toml").write_text(
            f"""{head}
[storage]
url = "sqlite:///{self.folder / "gateway.db"}"
[[channels]]
name = "held"
provider = "openai"
base_url = "{self.upstream.base_url}"
keys = ["sk-upstream-canary"]
models = ["m"]
[[users]]
name = "alice"
quota = 1000000
[[tokens]]
name = "dev"
key = "{self.key}"
user = "alice"
quota = 1000000
[models.m.price]
input = 1
output = 2
"""
        )


@pytest.fixture
def upstream() -> Iterator[HeldUpstream]:
    """An upstream whose streams stop after the first word until a test lets them go on."""
    with held_upstream() as server:
        yield server


@pytest.fixture
def deployment(tmp_path: Path, upstream: HeldUpstream) -> Deployment:
    """A written configuration."""
    deployment = Deployment(tmp_path, upstream)
    deployment.write()
    return deployment
