"""The archive: rows that leave the database, as JSON lines in compressed files, oldest files first to go.

A file is a row of gzip members, each written and synced whole before the rows in it are deleted. While it is
written its name ends with `.part`; what a killed daemon left is cut back to its last whole member. So every
row is in the database or in a file that can be read; after a kill it may be in both, and in two files.
"""

import gzip
import os
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import IO

from orchestrator.errors import StateDirectoryError

PART = ".part"
FILE_BYTES = 64_000_000
"""A file that has grown so large is closed, so that the oldest can go without much of the rest."""
CHUNK_BYTES = 65_536


class Archive:
    """One run's writing, from one thread at a time. Each method raises StateDirectoryError."""

    def __init__(self, directory: Path, moment: datetime) -> None:
        self._directory = directory
        self._stamp = f"{moment:%Y%m%dT%H%M%SZ}"
        self._open: dict[str, tuple[Path, IO[bytes]]] = {}
        self._count = 0

    def mend(self) -> list[str]:
        """Finish the files that a killed daemon was writing; their names."""
        with _as_ours(self._directory):
            self._directory.mkdir(mode=0o700, exist_ok=True)
            left = sorted(self._directory.glob(f"*{PART}"))
            for path in left:
                with path.open("r+b") as file:
                    whole = _whole_bytes(file)
                    file.truncate(whole)
                    os.fsync(file.fileno())
                if whole:
                    path.rename(path.with_suffix(""))
                else:
                    path.unlink()
            _sync(self._directory)
            return [path.name for path in left]

    def append(self, name: str, lines: Sequence[str]) -> None:
        """Write `lines` to the present file of `name`; they are on the disk when it returns."""
        with _as_ours(self._directory):
            _, file = self._open.get(name) or self._begin(name)
            file.write(gzip.compress("".join(f"{line}\n" for line in lines).encode(), mtime=0))
            file.flush()
            os.fsync(file.fileno())
            if file.tell() >= FILE_BYTES:
                self._end(name)

    def close(self) -> None:
        """Finish the files that were written."""
        with _as_ours(self._directory):
            for name in list(self._open):
                self._end(name)

    def prune(self, max_bytes: int) -> list[str]:
        """Delete the oldest files until the rest has `max_bytes` at most; their names."""
        with _as_ours(self._directory):
            files = sorted(self._directory.glob("*.jsonl.gz"), key=lambda path: path.name.rpartition("-")[2])
            left, gone = sum(path.stat().st_size for path in files), []
            for path in files:
                if left <= max_bytes:
                    break
                left -= path.stat().st_size
                path.unlink()
                gone.append(path.name)
            return gone

    def _begin(self, name: str) -> tuple[Path, IO[bytes]]:
        while (
            True
        ):  # a second run within a second of the clock has the numbers beyond: a fast one's are short
            self._count += 1
            path = self._directory / f"{name}-{self._stamp}.{self._count:04}.jsonl.gz{PART}"
            if not path.exists() and not path.with_suffix("").exists():
                break
        file = os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")
        self._open[name] = path, file
        _sync(self._directory)
        return path, file

    def _end(self, name: str) -> None:
        path, file = self._open.pop(name)
        file.close()
        path.rename(path.with_suffix(""))
        _sync(self._directory)


def _whole_bytes(file: IO[bytes]) -> int:
    """How far the file consists of whole members."""
    whole = read = 0
    member = zlib.decompressobj(wbits=31)  # 31: with a gzip header
    chunk = b""
    while chunk := chunk or file.read(CHUNK_BYTES):
        try:
            member.decompress(chunk)
        except zlib.error:
            break
        read += len(chunk) - len(member.unused_data)
        chunk = member.unused_data
        if member.eof:
            whole, member = read, zlib.decompressobj(wbits=31)
    return whole


@contextmanager
def _as_ours(directory: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StateDirectoryError(
            f"the archive {directory} can't be written: {error.strerror or error}",
            remedy="Make room, or mend its rights; until then old rows stay in the database",
        ) from error


def _sync(directory: Path) -> None:
    """A name is on the disk when its directory is."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
