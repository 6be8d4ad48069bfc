"""Settlements on disk while the database is away: they outlive the process, and are settled when it is back.

One file for each open storage, locked (flock(2)) while its process lives. A file that nobody locks was left behind:
whoever opens the same database next settles what is in it and removes it. To settle twice is harmless, so a file goes
only when the database has everything in it.

A file holds records one after the other: length and CRC-32 of the content as two 32-bit numbers, then the content in
MessagePack. What was torn by a power cut ends the file.
"""

import fcntl
import os
import zlib
from collections.abc import Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from struct import Struct
from typing import Self

import msgspec

from asgi_gateway.storage.records import Reservation, Settlement

__all__ = ["LeftBehind", "Spool", "SpoolFull", "left_behind"]

Entry = tuple[Reservation, Settlement]

HEAD = Struct(">II")
_decode = msgspec.msgpack.Decoder(Entry).decode
_encode = msgspec.msgpack.Encoder().encode


class SpoolFull(Exception):
    """There is no room for what should be kept."""


class Spool:
    """The file of one storage, made when it is first needed. For one thread at a time.

    `database` names the database, so that nothing is ever settled in another one. `limit` is in bytes.
    Raises `OSError` when the disk fails, and `SpoolFull`.
    """

    def __init__(self, folder: Path, database: str, owner: str, limit: int) -> None:
        self._folder = folder
        self._path = folder / f"{_prefix(database)}{owner}.spool"
        self._limit = limit
        self._file: int | None = None
        self._size = 0

    @property
    def path(self) -> Path:
        """Where it is, or will be."""
        return self._path

    def append(self, entries: Sequence[Entry]) -> None:
        """Keep entries, all or none; they are on disk when this returns."""
        data = b"".join(_record(entry) for entry in entries)
        if self._size + len(data) > self._limit:
            raise SpoolFull(f"{self._path.name} would hold more than {self._limit} bytes")
        if self._file is None:
            self._file = self._create()
        try:
            _write(self._file, data, self._size)
            os.fsync(self._file)
        except OSError:
            os.ftruncate(self._file, self._size)
            raise
        self._size += len(data)

    def clear(self) -> None:
        """Forget everything: the database has it."""
        if self._file is not None and self._size:
            os.ftruncate(self._file, 0)
            os.fsync(self._file)
            self._size = 0

    def close(self) -> None:
        """Leave the file to whoever opens the database next, or remove it if it is empty."""
        if self._file is not None:
            if not self._size:
                self._path.unlink(missing_ok=True)
            os.close(self._file)
            self._file = None
            self._size = 0

    def _create(self) -> int:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = os.open(self._path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600)
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        folder = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)  # so that its name survives a power cut, too
        finally:
            os.close(folder)
        return file


class LeftBehind:
    """The file of a process that ended, locked by this one until it is closed."""

    def __init__(self, path: Path, file: int) -> None:
        self.path = path
        self._file = file

    @classmethod
    def take(cls, path: Path) -> Self | None:
        """Lock a file; None when its process lives, or another one was faster."""
        try:
            file = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not os.fstat(file).st_nlink:
                raise BlockingIOError  # removed while we looked
        except BlockingIOError:
            os.close(file)
            return None
        except BaseException:  # whatever it is goes on, and leaves no file open
            os.close(file)
            raise
        return cls(path, file)

    def entries(self) -> Iterator[Entry]:
        """What is in it, up to the first record that is not whole."""
        offset = 0
        while len(head := os.pread(self._file, HEAD.size, offset)) == HEAD.size:
            length, check = HEAD.unpack(head)
            content = os.pread(self._file, length, offset + HEAD.size)
            if len(content) < length or zlib.crc32(content) != check:
                return
            yield _decode(content)
            offset += HEAD.size + length

    def remove(self) -> None:
        """Remove it: the database has everything that was in it."""
        self.path.unlink(missing_ok=True)
        self.close()

    def close(self) -> None:
        """Leave it where it is."""
        os.close(self._file)


def left_behind(folder: Path, database: str) -> list[LeftBehind]:
    """The files of ended processes for this database, locked."""
    paths = sorted(folder.glob(f"{_prefix(database)}*.spool")) if folder.is_dir() else []
    return [taken for path in paths if (taken := LeftBehind.take(path)) is not None]


def _prefix(database: str) -> str:
    return sha256(database.encode()).hexdigest()[:12] + "-"


def _record(entry: Entry) -> bytes:
    content = _encode(entry)
    return HEAD.pack(len(content), zlib.crc32(content)) + content


def _write(file: int, data: bytes, offset: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(file, view, offset)
        view, offset = view[written:], offset + written
