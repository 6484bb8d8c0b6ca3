"""Random operations on one file, each compared with what memory says that it must hold.

What `fsx` of Apple and the Linux Test Project does, which Debian does not have.
"""

import mmap
import os
import random
from collections.abc import Callable
from pathlib import Path


class MismatchError(AssertionError):
    """The file is not what was written to it."""


class Exerciser:
    """One file under `path`, open for reading and writing; the same seed does the same again."""

    def __init__(self, path: Path, *, seed: int, longest: int) -> None:
        self._path = path
        self._random = random.Random(seed)
        self._longest = longest
        self._known = bytearray()
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
        self.done: list[str] = []
        """The operations so far, the newest last."""

    def step(self) -> None:
        """Do one operation. Raises MismatchError."""
        operations: list[tuple[int, Callable[[], str]]] = [
            (8, self._write),
            (8, self._read),
            (3, self._truncate),
            (2, self._read_mapped),
            (1, self._sync),
            (2, self._reopen),
            (2, self._rename),
        ]
        weights, calls = zip(*operations, strict=True)
        self.done.append(self._random.choices(calls, weights)[0]())
        self._require(os.fstat(self._fd).st_size == len(self._known), "size")

    def __enter__(self) -> "Exerciser":
        return self

    def __exit__(self, *_: object) -> None:
        if self._fd >= 0:
            os.close(self._fd)

    @property
    def outcome(self) -> tuple[str, bytes]:
        """The name that it has now and what it must hold."""
        return self._path.name, bytes(self._known)

    def _write(self) -> str:
        at, data = self._random.randrange(self._longest), self._random.randbytes(self._length())
        data = data[: self._longest - at]
        written = 0
        while written < len(data):
            written += os.pwrite(self._fd, data[written:], at + written)
        self._known.extend(bytes(max(at + len(data) - len(self._known), 0)))
        self._known[at : at + len(data)] = data
        return f"write {len(data)} at {at}"

    def _read(self) -> str:
        at, length = self._random.randrange(self._longest), self._length()
        self._forget_cache()
        data = b""
        while chunk := os.pread(self._fd, length - len(data), at + len(data)):
            data += chunk
        self._require(data == self._known[at : at + length], f"read {length} at {at}")
        return f"read {length} at {at}"

    def _read_mapped(self) -> str:
        if not self._known:
            return "map nothing"
        self._forget_cache()
        with mmap.mmap(self._fd, len(self._known), mmap.MAP_PRIVATE, mmap.PROT_READ) as mapped:
            self._require(mapped[:] == self._known, "map")
        return "map"

    def _truncate(self) -> str:
        size = self._random.randrange(self._longest)
        os.ftruncate(self._fd, size)
        self._known.extend(bytes(max(size - len(self._known), 0)))
        del self._known[size:]
        return f"truncate to {size}"

    def _sync(self) -> str:
        os.fsync(self._fd)
        return "sync"

    def _reopen(self) -> str:
        old, self._fd = self._fd, -1
        os.close(old)
        self._fd = os.open(self._path, os.O_RDWR)
        return "reopen"

    def _rename(self) -> str:
        other = self._path.with_name("other" if self._path.name != "other" else "exercised")
        os.rename(self._path, other)
        self._path = other
        return f"rename to {other.name}"

    def _length(self) -> int:
        return self._random.choice((1, 100, 5_000, 70_000))

    def _forget_cache(self) -> None:
        os.posix_fadvise(self._fd, 0, 0, os.POSIX_FADV_DONTNEED)

    def _require(self, condition: bool, what: str) -> None:
        if not condition:
            raise MismatchError(f"{what} is wrong after: {'; '.join(self.done[-20:])}")
