"""What is disabled anywhere stops everywhere: at once with Redis, at the next look without."""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from time import monotonic

import httpx
import pytest

from support.databases import PostgreSQL, Redis
from support.served import Served, run_command, until

GENEROUS = 5.0
"""Seconds: far below the 30 after which a gateway would look by itself."""

Gateways = Callable[..., list[Served]]

CONFIG = """
[storage]
url = "{url}"
redis = "{redis}"
sync = {sync}
[[users]]
name = "alice"
unlimited = true
[[tokens]]
name = "dev"
key = "sk-declared-0123456789"
user = "alice"
unlimited = true
[[channels]]
name = "main"
provider = "openai"
keys = ["sk-upstream"]
models = ["m"]
[models.m.price]
input = 1
output = 2
"""


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    """Of a database; empty: one in a file."""
    if request.param == "sqlite":
        yield ""
        return
    pytest.importorskip("psycopg")
    server = PostgreSQL()
    try:
        server.start()
        yield server.url
    finally:
        server.stop()


@pytest.fixture
def gateways(tmp_path: Path) -> Iterator[Gateways]:
    """Starts two gateways on one database."""
    with ExitStack() as stack:

        def start(url: str = "", *, redis: str = "", sync: float) -> list[Served]:
            url = url or f"sqlite:///{tmp_path / 'gateway.db'}"
            (tmp_path / "gateway.toml").write_text(CONFIG.format(url=url, redis=redis, sync=sync))
            command(tmp_path, "migrate")
            served = [
                stack.enter_context(Served("--config", "gateway.toml", cwd=tmp_path)),
                stack.enter_context(Served("--config", "gateway.toml", cwd=tmp_path)),
            ]
            for one in served:
                assert one.address
            return served

        yield start


def command(folder: Path, *arguments: str) -> str:
    ended = run_command(*arguments, "--config", "gateway.toml", cwd=folder)
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr == "" or "--json" not in arguments
    return ended.stdout


def status(served: Served, key: str) -> int:
    return httpx.get(f"{served.address}/v1/models", headers={"authorization": f"Bearer {key}"}).status_code


def seconds_until_refused(folder: Path, served: list[Served], key: str) -> float:
    """From the end of the command that disables the token until nobody takes it any more."""
    command(folder, "token", "disable", "guest")
    began = monotonic()
    until(lambda: all(status(one, key) == 401 for one in served))
    return monotonic() - began


def with_guest(folder: Path, served: list[Served]) -> str:
    """The key of a token that both gateways know well."""
    key: str = json.loads(command(folder, "token", "add", "guest", "--user", "alice", "--unlimited", "--json"))["key"]
    for _ in range(3):
        assert [status(one, key) for one in served] == [200, 200]
    return key


def test_a_disabled_token_stops_at_once(url: str, gateways: Gateways, steady_redis: Redis, tmp_path: Path) -> None:
    """Only a message can be so fast: the gateways look by themselves each 30 seconds."""
    served = gateways(url, redis=steady_redis.url, sync=30)
    key = with_guest(tmp_path, served)
    assert seconds_until_refused(tmp_path, served, key) < GENEROUS
    command(tmp_path, "token", "enable", "guest")
    until(lambda: all(status(one, key) == 200 for one in served))
    command(tmp_path, "user", "add", "bob", "--unlimited")
    command(tmp_path, "channel", "add", "late", "--key", "k", "--model", "late-model")
    began = monotonic()
    until(lambda: all("late-model" in _models(one, key) for one in served))
    assert monotonic() - began < GENEROUS


def test_without_redis_it_stops_at_the_next_look(gateways: Gateways, tmp_path: Path) -> None:
    """Within two seconds where gateways look each second; the bound here is for a busy machine."""
    served = gateways(sync=1)
    key = with_guest(tmp_path, served)
    assert seconds_until_refused(tmp_path, served, key) < GENEROUS


def test_a_redis_that_is_not_there_is_told_once_and_missed_by_nobody(
    gateways: Gateways, fragile_redis: Redis, tmp_path: Path
) -> None:
    """Commands work as well; gateways hear of changes again once it is there."""
    fragile_redis.kill()
    served = gateways(redis=fragile_redis.url, sync=1)
    key = with_guest(tmp_path, served)
    assert seconds_until_refused(tmp_path, served, key) < GENEROUS
    fragile_redis.start()
    for one in served:
        one.wait_for(lambda text: "Redis is back" in text)
        # The first start prepares the database before it serves, and may say so, too.
        assert 1 <= one.text.count("Redis is away") <= 2


def _models(served: Served, key: str) -> str:
    return httpx.get(f"{served.address}/v1/models", headers={"authorization": f"Bearer {key}"}).text
