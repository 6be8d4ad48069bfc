"""Settlements on disk while the database is away."""

import os
from pathlib import Path

import pytest

from asgi_gateway.backends.sql.spool import LeftBehind, Spool, SpoolFull, left_behind
from asgi_gateway.storage.records import Account, Reservation, Settlement, Usage
from support.ledger_records import reservation, settlement

DATABASE = "postgresql://host/gateway"


def entry(number: int) -> tuple[Reservation, Settlement]:
    accounts = (Account("user", 1), Account("token", 2), Account("group", "vip users", "2026-11"))
    usage = Usage(input=number, tools=(("web_search", 2),), service_tier="flex", estimated=True)
    return reservation(100, key=f"spooled-{number}", accounts=accounts), settlement(number, usage=usage)


def spool(folder: Path, *, owner: str = "one", limit: int = 1_000_000, database: str = DATABASE) -> Spool:
    return Spool(folder, database, owner, limit)


def found(folder: Path, database: str = DATABASE) -> list[tuple[Reservation, Settlement]]:
    files = left_behind(folder, database)
    entries = [one for file in files for one in file.entries()]
    for file in files:
        file.close()
    return entries


def test_what_a_process_left_is_found_by_the_next(tmp_path: Path) -> None:
    """Whole records, in their order, from several calls."""
    kept = spool(tmp_path / "new" / "folder")
    kept.append([entry(1), entry(2)])
    kept.append([entry(3)])
    kept.close()
    assert found(tmp_path / "new" / "folder") == [entry(1), entry(2), entry(3)]


def test_a_living_process_keeps_its_file(tmp_path: Path) -> None:
    """Its lock says that it will settle them itself."""
    kept = spool(tmp_path)
    kept.append([entry(1)])
    assert left_behind(tmp_path, DATABASE) == []
    kept.close()


def test_a_file_is_taken_by_one_process_alone(tmp_path: Path) -> None:
    """And by no second one that found it at the same time, nor by one that comes when it is removed."""
    kept = spool(tmp_path)
    kept.append([entry(1)])
    kept.close()
    (taken,) = left_behind(tmp_path, DATABASE)
    assert left_behind(tmp_path, DATABASE) == []
    taken.remove()
    assert list(tmp_path.iterdir()) == []
    assert LeftBehind.take(kept.path) is None


def test_files_of_another_database_are_left_alone(tmp_path: Path) -> None:
    """There the same keys would mean nothing, or something else."""
    kept = spool(tmp_path, database="postgresql://other/gateway")
    kept.append([entry(1)])
    kept.close()
    assert found(tmp_path) == []
    assert found(tmp_path, "postgresql://other/gateway") == [entry(1)]


def test_nothing_is_made_before_it_is_needed(tmp_path: Path) -> None:
    """No folder and no file for a database that is always there."""
    kept = spool(tmp_path / "folder")
    kept.clear()
    kept.close()
    assert not (tmp_path / "folder").exists()
    assert left_behind(tmp_path / "folder", DATABASE) == []


def test_what_the_database_has_is_forgotten(tmp_path: Path) -> None:
    """The file goes on to be used, and goes when it is closed empty."""
    kept = spool(tmp_path)
    kept.append([entry(1)])
    kept.clear()
    kept.append([entry(2)])
    assert kept.path.stat().st_mode & 0o777 == 0o600
    kept.clear()
    kept.close()
    assert list(tmp_path.iterdir()) == []


def test_a_full_spool_takes_none_of_a_batch(tmp_path: Path) -> None:
    """What was in it before is still there."""
    kept = spool(tmp_path, limit=1000)
    kept.append([entry(1)])
    with pytest.raises(SpoolFull, match="1000 bytes"):
        kept.append([entry(2), entry(3), entry(4)])
    kept.close()
    assert found(tmp_path) == [entry(1)]


def test_a_disk_that_fails_leaves_whole_records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of a write that failed would hide what is written behind it."""
    kept = spool(tmp_path)
    kept.append([entry(1)])

    def fail(file: int) -> None:
        raise OSError("no space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(os, "fsync", fail)
        with pytest.raises(OSError, match="no space"):
            kept.append([entry(2)])
    kept.append([entry(3)])
    kept.close()
    assert found(tmp_path) == [entry(1), entry(3)]


@pytest.mark.parametrize("damage", ["cut", "changed"])
def test_a_torn_record_ends_the_file(tmp_path: Path, damage: str) -> None:
    """What stands before it is whole."""
    kept = spool(tmp_path)
    kept.append([entry(1), entry(2)])
    kept.close()
    data = kept.path.read_bytes()
    kept.path.write_bytes(data[:-1] if damage == "cut" else data[:-1] + bytes([data[-1] ^ 1]))
    assert found(tmp_path) == [entry(1)]
