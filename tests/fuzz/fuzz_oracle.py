"""What each target must hold to: no exception but those it names, no more memory or time than it may use."""

import resource
import signal
import tempfile
import tracemalloc
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import NoReturn

Run = Callable[[bytes], None]

INPUT_LIMIT = 64 * 1024
"""Bytes of an input that are looked at; a target's memory limit is for as much."""

_PROCESSOR_SECONDS = 10.0
"""What one input may take of the processor; it takes milliseconds where all is well."""

place = Path("/dev/shm")
"""Where folders for the targets are made."""


@dataclass(frozen=True)
class Target:
    """One thing that reads what others wrote."""

    name: str
    opened: Callable[[], AbstractContextManager[Run]]
    """What takes inputs, one after the other; any exception it raises is a failure."""
    seeds: Callable[[], Iterable[bytes]]
    memory: int = 8 << 20
    """Bytes that one input may have allocated at a time, buffers of a fixed size aside."""
    files: int = 1 << 20
    """Bytes that a file may grow to, so that a sparse one is not hashed to its end for ever."""


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder in memory where there is one."""
    with tempfile.TemporaryDirectory(dir=place if place.is_dir() else None) as folder:
        yield Path(folder)


def always(run: Run) -> Callable[[], AbstractContextManager[Run]]:
    """For a target that needs nothing around it."""
    return lambda: nullcontext(run)


@contextmanager
def checked(target: Target) -> Iterator[Run]:
    """What runs one input, in the main thread: AssertionError says that it took too much memory or time."""
    with _small_files(target.files), _interrupted(), target.opened() as run:

        def check(data: bytes) -> None:
            # What another thread of this process takes at that moment counts too, but does not come again.
            taken = 0
            for _ in range(3):
                taken = _taken(run, data[:INPUT_LIMIT])
                if taken <= target.memory:
                    return
            raise AssertionError(f"{taken} bytes were taken for {len(data)}")

        yield check


def _taken(run: Run, data: bytes) -> int:
    """The most memory, in bytes, that one input takes at a time."""
    with _traced():
        before, _ = tracemalloc.get_traced_memory()
        signal.setitimer(signal.ITIMER_PROF, _PROCESSOR_SECONDS)
        try:
            run(data)
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
        _, peak = tracemalloc.get_traced_memory()
    return peak - before


@contextmanager
def _traced() -> Iterator[None]:
    """Trace memory for one input and no longer: whatever runs meanwhile takes several times as long."""
    started = not tracemalloc.is_tracing()
    if started:
        tracemalloc.start()
    tracemalloc.reset_peak()
    try:
        yield
    finally:
        if started:
            tracemalloc.stop()


@contextmanager
def _interrupted() -> Iterator[None]:
    """Have the profiling timer, which counts processor time and no other, end what takes too long."""
    before = signal.signal(signal.SIGPROF, _took_long)
    try:
        yield
    finally:
        signal.signal(signal.SIGPROF, before)


def _took_long(_number: int, _frame: FrameType | None) -> NoReturn:
    raise AssertionError(f"one input took {_PROCESSOR_SECONDS:g} seconds of the processor")


@contextmanager
def _small_files(limit: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


class Source:
    """Takes values from the bytes of an input; zeros once they have run out."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def __bool__(self) -> bool:
        return self._at < len(self._data)

    def take(self, count: int) -> bytes:
        """The next `count` bytes, fewer at the end."""
        taken = self._data[self._at : self._at + count]
        self._at += count
        return taken

    def number(self, size: int) -> int:
        """A number of `size` bytes."""
        return int.from_bytes(self.take(size), "big")

    def short(self) -> bytes:
        """A string behind its length in one byte."""
        return self.take(self.number(1))
