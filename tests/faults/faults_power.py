"""A disk whose writes and flushes are recorded, and what is on it when the power goes at a point of them."""

import contextlib
import random
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest
from faults_fuse import require_fuse, served, unmount
from faults_recorder import FLUSH, HEAD, NAME

_SIZE = 64
"""MiB of the disk."""
_SECTOR = 512
Kept = Literal["nothing", "some", "all"]
"""What had become durable of the writes since the last flush."""


@dataclass(frozen=True)
class Operation:
    """A write to the disk, or a flush, which has no data; `end` is the clock's time when it was done."""

    end: int
    offset: int
    data: bytes | None


@dataclass(frozen=True)
class Case:
    """The power goes when the clock shows `at`."""

    at: int
    kept: Kept

    def __str__(self) -> str:
        return f"{self.kept} kept at {self.at}"


class Disk:
    """An ext4 file system in a file, in `folder`."""

    def __init__(self, folder: Path) -> None:
        require_fuse()
        self._live, self._durable, self._cut = (folder / f"{name}.img" for name in ("live", "durable", "cut"))
        self.record = folder / "record"
        self.record.touch()
        self._door = folder / "door"
        self._door.mkdir()
        self._done = 0
        """How many operations the durable image has."""
        with self._live.open("wb") as file:
            file.truncate(_SIZE << 20)
        features = [
            "-b",
            "4096",
            "-J",
            "size=4",
            "-E",
            "lazy_itable_init=0,lazy_journal_init=0,root_owner=0:0",
        ]
        subprocess.run(["mkfs.ext4", "-q", *features, self._live], check=True)
        _copy(self._live, self._durable)
        self._operations: list[Operation] = []

    @property
    def clock(self) -> int:
        """The size of the record."""
        return self.record.stat().st_size

    @contextlib.contextmanager
    def recorded(self, mount: Path) -> Iterator[None]:
        """Mount it, and record what is done to it."""
        with (
            served("faults_recorder.py", self._live, self._door, self.record),
            mounted(self._door / NAME, mount),
        ):
            yield

    def operations(self) -> list[Operation]:
        """All that was done to it, in order."""
        if not self._operations:
            with self.record.open("rb") as file:
                while head := file.read(HEAD.size):
                    offset, length = HEAD.unpack(head)
                    data = None if offset == FLUSH else file.read(length)
                    self._operations.append(Operation(file.tell(), offset, data))
        return self._operations

    def after(self, case: Case) -> Path:
        """The image that is left; cases must come in the order of time."""
        past = [operation for operation in self.operations() if operation.end <= case.at]
        flushed = max((n + 1 for n, operation in enumerate(past) if operation.data is None), default=0)
        assert flushed >= self._done, "cases are out of order"
        with self._durable.open("r+b") as image:
            for operation in past[self._done : flushed]:
                _apply(image, operation)
        self._done = flushed
        # Another file than last time: mount would take a loop device that still has this one, and its cache.
        self._cut.unlink(missing_ok=True)
        _copy(self._durable, self._cut)
        with self._cut.open("r+b") as image:
            for operation in _surviving(past[flushed:], case):
                _apply(image, operation)
        return self._cut


def _surviving(writes: list[Operation], case: Case) -> Iterator[Operation]:
    """Which writes are there after all; a disk keeps them in any order, and may tear each between sectors."""
    chance = random.Random(str(case))
    for write in writes:
        assert write.data is not None
        if case.kept == "all" or (case.kept == "some" and chance.random() < 0.4):
            yield write
        elif case.kept == "some" and chance.random() < 0.3:
            cut = chance.randrange(0, len(write.data) + 1, _SECTOR)
            yield Operation(write.end, write.offset, write.data[:cut])


def _apply(image, operation: Operation) -> None:
    if operation.data is not None:
        image.seek(operation.offset)
        image.write(operation.data)


def _copy(image: Path, other: Path) -> None:
    subprocess.run(["cp", "--sparse=always", image, other], check=True)


@contextlib.contextmanager
def mounted(image: Path, folder: Path) -> Iterator[None]:
    """Mount an image by way of a loop device, which goes with it."""
    folder.mkdir(exist_ok=True)
    # Without its help for programs that forget an fsync.
    options = "loop,noatime,noauto_da_alloc"
    done = subprocess.run(["mount", "-o", options, image, folder], capture_output=True, text=True)
    if "loop device" in done.stderr:
        pytest.skip(f"no loop device: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr
    try:
        shutil.rmtree(folder / "lost+found", ignore_errors=True)
        yield
    finally:
        unmount(folder)
