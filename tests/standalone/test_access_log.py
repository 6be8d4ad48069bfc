"""Access records on their way out."""

import json
import logging
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from asgi_gateway_contrib.standalone import access_log
from asgi_gateway_contrib.standalone.access_log import AccessLogWriter

DEADLINE = 20.0


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """The two ends of a pipe."""
    ends = os.pipe()
    yield ends
    for end in ends:
        try:
            os.close(end)
        except OSError:
            pass  # a test closed it


def read_all(end: int) -> list[dict[str, object]]:
    """Everything written until the other end is closed."""
    with os.fdopen(end, "rb") as file:
        return [json.loads(line) for line in file]


def test_records_come_out_as_json_lines_in_order(tmp_path: Path) -> None:
    """A file gets whole lines; what JSON does not know is written as text."""
    path = tmp_path / "access.log"
    with path.open("wb") as file:
        writer = AccessLogWriter(file.fileno())
        for number in range(1000):
            writer({"number": number, "path": Path("x")})
        writer.close()

    records = [json.loads(line) for line in path.read_text().splitlines()]
    assert [record["number"] for record in records] == list(range(1000))
    assert records[0]["path"] == "x"
    assert writer.dropped == 0


def test_a_record_is_written_within_about_a_second(pipe: tuple[int, int]) -> None:
    """Nobody has to fill a buffer first."""
    reader, end = pipe
    writer = AccessLogWriter(end)
    writer({"a": 1})

    assert os.read(reader, 100) == b'{"a":1}\n'
    writer.close()


def test_a_pipe_gets_whole_lines_in_pieces_that_do_not_mix(
    pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Several workers write to one pipe: each call is of at most 4096 bytes, unless a line itself is longer."""
    reader, end = pipe
    calls: list[int] = []
    write = os.write

    def noting(fd: int, data: bytes) -> int:
        calls.append(len(data))
        return write(fd, data)

    monkeypatch.setattr(access_log.os, "write", noting)
    writer = AccessLogWriter(end)
    for number in range(100):
        writer({"number": number, "text": "x" * (200 if number else 9000)})
    writer.close()
    os.close(end)

    assert len(read_all(reader)) == 100
    assert len([size for size in calls if size > 4096]) == 1


def test_records_are_dropped_and_counted_while_nobody_reads(pipe: tuple[int, int]) -> None:
    """Memory is bounded; how many are missing is told once there is room."""
    reader, end = pipe
    drops: list[None] = []
    writer = AccessLogWriter(end, on_drop=lambda: drops.append(None))
    line = {"text": "x" * 1000}
    while writer.dropped < 3:
        writer(line)
    kept: list[dict[str, object]] = []
    thread = threading.Thread(target=lambda: kept.extend(read_all(reader)))
    thread.start()
    while writer._untold:
        writer(line)  # the first one that finds room carries the note
    writer.close()
    os.close(end)
    thread.join(DEADLINE)

    notes = [record["dropped_records"] for record in kept if "dropped_records" in record]
    assert notes == [writer.dropped]
    assert len(drops) == writer.dropped
    assert sum(len(json.dumps(record)) for record in kept[:1100]) < access_log.CAPACITY * 2


def test_without_a_counter_records_are_dropped_all_the_same(
    pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Closing does not wait for a reader that never comes."""
    monkeypatch.setattr(access_log, "CLOSING", 0.0)
    reader, end = pipe
    writer = AccessLogWriter(end)
    while not writer.dropped:
        writer({"text": "x" * 5000})
    writer.close()
    writer({"late": True})

    assert writer.dropped == 2
    os.close(reader)
    writer._thread.join(DEADLINE)
    assert writer.dropped > 2


def test_a_reader_that_is_gone_is_told_once(pipe: tuple[int, int], caplog: pytest.LogCaptureFixture) -> None:
    """Everything after it is dropped and counted."""
    reader, end = pipe
    os.close(reader)
    writer = AccessLogWriter(end)
    with caplog.at_level(logging.ERROR):
        writer({"a": 1})
        writer.close()
    writer({"a": 2})

    assert writer.dropped == 2
    assert [record.getMessage() for record in caplog.records] == ["access records are dropped from now on: Broken pipe"]
