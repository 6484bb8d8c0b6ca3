"""File systems of a test: a small one in memory, and one that fails as it is told to."""

import contextlib
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from waiting import holds

_MIB = 1 << 20


@contextlib.contextmanager
def full(folder: Path) -> Iterator[None]:
    """Leave not a byte of the file system below `folder`."""
    ballast = folder / ".ballast"
    with ballast.open("wb", buffering=0) as file:
        for size in (_MIB, 4096):
            with contextlib.suppress(OSError):
                while file.write(bytes(size)) == size:
                    pass
    try:
        yield
    finally:
        ballast.unlink()


@contextlib.contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Have the file system mounted at `folder` refuse every change, once nobody has a file open to write."""
    done = holds(lambda: _remount(folder, "ro"))
    assert done, "somebody goes on writing"
    try:
        yield
    finally:
        assert _remount(folder, "rw")


def _remount(folder: Path, mode: str) -> bool:
    done = subprocess.run(["mount", "-o", f"remount,{mode}", folder], capture_output=True)
    return done.returncode == 0


def linger(seconds: float) -> None:
    """Leave things as they are for a while, so that others run into them."""
    time.sleep(seconds)
