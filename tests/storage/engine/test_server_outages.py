"""Servers that are killed, frozen, slow, or not there at all."""

import asyncio
import threading
import time
from collections.abc import Callable
from functools import partial

import pytest
from sqlalchemy import Connection, text

from asgi_gateway.backends.sql import database as module
from asgi_gateway.backends.sql.database import Database, revision_of
from asgi_gateway.backends.sql.migration import prepare, status
from asgi_gateway.backends.sql.stores import SqlUsers
from asgi_gateway.errors import ServiceUnavailable
from asgi_gateway.storage.records import User
from support.databases import Server, free_port

Connect = Callable[[str], Database]

SLACK = 5.0
"""Seconds that a busy machine may take longer."""

SLEEP = {"postgresql": "SELECT pg_sleep(30)", "mysql": "SELECT SLEEP(30)"}


async def test_a_server_that_was_restarted_heals_by_itself(own_server: Server, connect: Connect) -> None:
    """While it is away everything is refused at once; the first call afterwards succeeds, also with old connections."""
    database = connect(own_server.url)
    await prepare(database, allowed=True)
    users = SqlUsers(database, time.time)
    await users.add(User(name="alice"))
    await asyncio.gather(*(users.list() for _ in range(8)))
    await database.report(revision_of)
    calls = (users.list, lambda: users.add(User(name="bob")), lambda: database.report(revision_of))
    for _ in range(2):
        own_server.kill()
        for call in calls:
            with pytest.raises(ServiceUnavailable, match="cannot be reached"):
                await call()
        own_server.start()
        found = await asyncio.gather(*(users.list() for _ in range(8)))
        assert {user.name for listed in found for user in listed} == {"alice"}
        assert await database.report(revision_of) == 2


async def test_a_server_that_is_restarted_in_between_heals_unseen(own_server: Server, connect: Connect) -> None:
    """Nobody called while it was away: nobody is refused, neither who reads nor who writes."""
    database = connect(own_server.url)
    await prepare(database, allowed=True)
    users = SqlUsers(database, time.time)
    await asyncio.gather(*(users.list() for _ in range(8)))
    own_server.kill()
    own_server.start()
    await asyncio.gather(*(users.add(User(name=f"user-{n}")) for n in range(4)))
    assert len(await users.list()) == 4


async def test_a_frozen_server_is_given_up_in_time(own_server: Server, connect: Connect) -> None:
    """Also by those who come while others wait; afterwards no thread hangs, and everything goes on."""
    database = connect(own_server.url)
    await prepare(database, allowed=True)
    await asyncio.gather(*(database.read(revision_of) for _ in range(4)))
    own_server.freeze()
    try:
        started = time.monotonic()
        calls = [database.read(revision_of) for _ in range(12)]
        refused = await asyncio.gather(*calls, return_exceptions=True)
        took = time.monotonic() - started
        assert {type(each) for each in refused} == {ServiceUnavailable}
        assert took < module.LIMIT + 1.0 + SLACK
        with pytest.raises(ServiceUnavailable):
            await connect(own_server.url).read(revision_of)
    finally:
        own_server.thaw()
    async with asyncio.timeout(30):
        while True:  # threads that were given up end within their own limit
            try:
                assert await database.read(revision_of) == 1
                break
            except ServiceUnavailable:
                continue


async def test_a_slow_statement_is_ended_by_the_server(
    connect: Connect, postgresql_server: Server, mariadb_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A look-up after its limit, a report after a longer one."""
    monkeypatch.setattr(module, "LIMIT", 0.5)
    monkeypatch.setattr(module, "REPORT_LIMIT", 1.0)
    for server in (postgresql_server, mariadb_server):
        database = connect(server.url)
        sleep = text(SLEEP[database.kind])
        for run, limit in ((database.read, 0.5), (database.report, 1.0)):
            started = time.monotonic()
            with pytest.raises(ServiceUnavailable):
                await run(partial(Connection.execute, statement=sleep))
            assert limit <= time.monotonic() - started + 0.05 < limit + SLACK


async def test_look_ups_do_not_wait_for_reports(connect: Connect, url: str) -> None:
    """However many of them there are, and they may take long."""
    database = connect(url)
    await prepare(database, allowed=True)
    release, running = threading.Event(), threading.Semaphore(0)

    def long(connection: Connection) -> int:
        running.release()
        assert release.wait(30)
        return revision_of(connection)

    reports = [asyncio.create_task(database.report(long)) for _ in range(6)]
    assert await asyncio.to_thread(running.acquire, timeout=30)
    assert await database.read(revision_of) == 1
    assert not any(report.done() for report in reports)
    release.set()
    assert await asyncio.gather(*reports) == [1] * 6


async def test_a_report_of_sqlite_is_ended_at_its_limit(
    connect: Connect, tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its thread is free afterwards."""
    monkeypatch.setattr(module, "REPORT_LIMIT", -0.5)
    database = connect(f"sqlite:///{tmp_path}/gateway.db")
    await prepare(database, allowed=True)
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n"
    ended = threading.Event()

    def work(connection: Connection) -> None:
        try:
            connection.execute(text(endless)).all()
        finally:
            ended.set()

    with pytest.raises(ServiceUnavailable, match="does not answer in time"):
        await database.report(work)
    assert await asyncio.to_thread(ended.wait, 30)


async def test_who_is_not_waited_for_begins_nothing(
    connect: Connect, tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Work that waited for a thread too long is not done later."""
    database = connect(f"sqlite:///{tmp_path}/gateway.db")
    await prepare(database, allowed=True)
    release, running, done = threading.Event(), threading.Semaphore(0), []

    def hold() -> None:
        running.release()
        assert release.wait(30)

    holding = [asyncio.create_task(database.call(hold)) for _ in range(2)]
    for _ in holding:
        assert await asyncio.to_thread(running.acquire, timeout=30)
    monkeypatch.setattr(database._look_ups, "_deadline", 0.1)
    with pytest.raises(ServiceUnavailable, match="in time"):
        await database.write(done.append)  # type: ignore[arg-type]
    release.set()
    await asyncio.gather(*holding)
    monkeypatch.setattr(database._look_ups, "_deadline", 30.0)
    assert await database.read(revision_of) == 1
    assert done == []


@pytest.mark.parametrize("scheme", ["postgresql", "mysql"])
async def test_a_server_that_is_not_there_is_away(connect: Connect, scheme: str) -> None:
    """For those that migrate, too; and no password is told."""
    pytest.importorskip("psycopg" if scheme == "postgresql" else "pymysql")
    database = connect(f"{scheme}://gateway:canary@127.0.0.1:{free_port()}/gateway")
    for call in (lambda: status(database), lambda: prepare(database, allowed=True), lambda: database.write(str)):
        with pytest.raises(ServiceUnavailable) as caught:
            await call()
        assert "canary" not in f"{caught.value!r} {caught.value.__cause__!r} {database!r}"
