"""`kill -9` at any moment: what the upstream served is charged exactly once, and nothing is left open."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.databases import MariaDB, PostgreSQL, Server
from support.gateway_process import GatewayProcess
from support.kill_trial import COST, IN_FLIGHT, Trial
from support.scripted_upstream import ScriptedServer
from support.waiting import eventually

SERVERS = {"postgresql": PostgreSQL, "mariadb": MariaDB}

FIFTY = (pytest.mark.proof, pytest.mark.timeout(1200))


@pytest.fixture
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """A database server of a test's own, for it will be killed."""
    server = SERVERS[request.param]()
    server.start()
    yield server
    server.stop()


async def kill_again_and_again(trial: Trial, kills: int) -> None:
    """Kill so many times under load, each time followed by a check, and each second time also while starting."""
    for number in range(kills):
        with trial.gateway() as gateway:
            await gateway.ready()
            trial.check(gateway.books)
            assert await trial.kill_under_load(gateway) >= IN_FLIGHT
        if number % 2:
            with trial.gateway():
                await asyncio.sleep(trial.random.uniform(0.2, 1.0))  # a random moment of the start
    with trial.gateway() as gateway:
        await gateway.ready()
        records = trial.check(gateway.books)
        assert sum(record["outcome"] == "lost" for record in records.values()) >= kills * IN_FLIGHT // 2
        assert await gateway.terminate() == 0


@pytest.mark.parametrize(
    ("lost", "kills"),
    [
        pytest.param("none", 5, id="five"),
        pytest.param("prompt", 1, id="one, the prompt charged"),
        pytest.param("none", 50, id="fifty", marks=FIFTY),
        pytest.param("prompt", 10, id="ten, the prompt charged", marks=pytest.mark.proof),
    ],
)
async def test_what_was_served_is_charged_once_whenever_the_process_is_killed(
    tmp_path: Path, upstream: ScriptedServer, lost: str, kills: int
) -> None:
    """Each id that the upstream served has exactly one charge record, others none above zero, and nothing stays open.

    Where the deployment wants it so, what was lost costs its prompt, whether the upstream came to serve it or not.
    """
    await kill_again_and_again(Trial(tmp_path, upstream, lost, seed=20 + kills), kills)


@pytest.mark.parametrize("server", SERVERS, indirect=True)
@pytest.mark.parametrize("kills", [2, pytest.param(50, marks=FIFTY)])
async def test_it_is_the_same_on_a_database_server(
    tmp_path: Path, upstream: ScriptedServer, server: Server, kills: int
) -> None:
    """The next process finds what the last one had reserved there, and closes it."""
    await kill_again_and_again(Trial(tmp_path, upstream, "none", seed=kills, database=server.url), kills)


@pytest.mark.parametrize("server", SERVERS, indirect=True)
@pytest.mark.parametrize("kills", [5, pytest.param(50, marks=FIFTY)])
async def test_what_was_served_is_charged_by_its_usage_when_the_database_is_killed(
    tmp_path: Path, upstream: ScriptedServer, server: Server, kills: int
) -> None:
    """What was reserved is finished, and settled when the database is back; new work gets 503 meanwhile.

    A valid key is never taken for a wrong one, and nobody has to help. All of it again at once after a restart.
    """
    trial = Trial(tmp_path, upstream, "none", seed=7 + kills, database=server.url)
    with trial.gateway() as gateway:
        await gateway.ready()
        await trial.kill_database_under_load(gateway, server, kills)
        assert trial.refused
        assert {(call.status, call.error["code"]) for call in trial.refused} == {(503, "service_unavailable")}
        await eventually(lambda: gateway.books.open_reservations == 0, 20, "settlement of everything")
        records = trial.check(gateway.books)
        served = set(trial.served.read_text().split())
        assert {record["outcome"] for record in records.values() if record["charged"]} == {"completed"}
        assert {id for id in served if records[id]["charged"] != COST} == set()
        assert await gateway.terminate() == 0
    check_nothing_spooled(gateway)


@pytest.mark.parametrize("server", ["postgresql", pytest.param("mariadb", marks=pytest.mark.proof)], indirect=True)
async def test_what_was_served_while_the_database_was_away_survives_a_restart(
    tmp_path: Path, upstream: ScriptedServer, server: Server
) -> None:
    """The gateway ends while the database is away; the next one finds on disk what is to be settled."""
    trial = Trial(tmp_path, upstream, "none", seed=3, database=server.url)
    with trial.gateway() as gateway:
        await gateway.ready()
        await trial.end_while_the_database_is_away(gateway, server)
    assert spooled(gateway)
    await asyncio.to_thread(server.start)
    with trial.gateway() as gateway:
        await gateway.ready()
        await eventually(lambda: gateway.books.open_reservations == 0, 20, "settlement of everything")
        records = trial.check(gateway.books)
        served = set(trial.served.read_text().split())
        assert {id for id in served & trial.whole if records[id]["charged"] != COST} == set()
        assert await gateway.terminate() == 0
    check_nothing_spooled(gateway)


@pytest.mark.parametrize("kills", [1, pytest.param(5, marks=pytest.mark.proof)])
async def test_workers_that_are_killed_all_at_once_leave_nothing_open(
    tmp_path: Path, upstream: ScriptedServer, kills: int
) -> None:
    """It is the same with several processes on one database."""
    trial = Trial(tmp_path, upstream, "none", seed=kills)
    for _ in range(kills):
        with trial.gateway(workers=2) as gateway:
            await gateway.ready()
            assert await trial.kill_under_load(gateway) >= IN_FLIGHT
        with trial.gateway(workers=2) as gateway:
            await gateway.ready()
            trial.check(gateway.books)


def spooled(gateway: GatewayProcess) -> list[Path]:
    """The files of settlements that wait for the database."""
    return list(gateway.directory.glob("gateway-spool/*.spool"))


def check_nothing_spooled(gateway: GatewayProcess) -> None:
    """Whatever waited has been settled."""
    assert spooled(gateway) == []
