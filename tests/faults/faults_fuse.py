"""FUSE file systems of a test: each served by a process of its own, so that nothing waits for itself."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from waiting import holds

_HERE = Path(__file__).parent
_MOUNTS = Path("/proc/self/mounts")


def require_fuse() -> None:
    """Skip the test where it may not mount FUSE file systems."""
    if os.geteuid() != 0 or not os.access("/dev/fuse", os.R_OK | os.W_OK):
        pytest.skip("needs root and /dev/fuse")


@contextlib.contextmanager
def served(script: str, first: Path, mount: Path, *more: Path) -> Iterator[None]:
    """Have a script beside this serve the file system at `mount`, until nobody has a file there open."""
    command = [sys.executable, _HERE / script, first, mount, *more]
    environment = {**os.environ, "FUSE_LIBRARY_NAME": "fuse3"}
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, env=environment) as server:
        try:
            assert holds(lambda: is_mounted(mount) or server.poll() is not None)
            assert server.poll() is None, f"{script} does not serve"
            yield
        finally:
            if is_mounted(mount):
                unmount(mount)
            else:
                server.kill()


def is_mounted(folder: Path) -> bool:
    """Whether a file system is mounted there, by the word of the kernel, which asks nobody."""
    return any(line.split()[1] == str(folder) for line in _MOUNTS.read_text().splitlines())


def unmount(folder: Path) -> None:
    """Unmount, once nobody has a file open there; where somebody keeps one, take it from the tree even so."""
    done = holds(lambda: subprocess.run(["umount", folder], capture_output=True).returncode == 0)
    if not done:
        subprocess.run(["umount", "--lazy", folder], check=True)
    assert done, f"{folder} was in use"


class Layer:
    """A folder whose operations fail as told; see `faults_layer`."""

    def __init__(self, folder: Path, *history: Path) -> None:
        require_fuse()
        self._folder = folder
        self._kept, self._orders, self._told = (
            folder.with_name(f"{folder.name}-{what}") for what in ("below", "orders", "told")
        )
        self._history = history
        self._serving = contextlib.ExitStack()

    def __enter__(self) -> "Layer":
        """Mount it over what the folder holds now."""
        subprocess.run(["cp", "-a", self._folder, self._kept], check=True)
        self._orders.touch()
        self._told.touch()
        self._mount()
        return self

    def __exit__(self, *_: object) -> None:
        self._serving.close()

    def remount(self) -> None:
        """Have nothing remembered but what was durable."""
        self._serving.close()
        self._mount()

    @contextlib.contextmanager
    def failing(self, *operations: str, below: str = "/") -> Iterator[None]:
        """Have these operations fail on what is below a path of the layer."""
        self._orders.write_text("".join(f"{operation} {below}\n" for operation in operations))
        try:
            yield
        finally:
            self._orders.write_text("")

    @property
    def told(self) -> list[str]:
        """Each operation that failed so far, and where."""
        return self._told.read_text(errors="surrogateescape").splitlines()

    def _mount(self) -> None:
        files = (self._orders, self._told, *self._history)
        self._serving.enter_context(served("faults_layer.py", self._kept, self._folder, *files))
