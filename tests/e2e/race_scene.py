"""A folder that keeps changing places with a link that leads outside, and what lies there untouched."""

import contextlib
import hashlib
import itertools
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from daemon import Daemon, eventually
from pipelined_sftp import Pipeline, Reply

from sftpd.sftp.requests import Rename, Request, Symlink
from sftpd.sftp.status import Status
from sftpd.sftp.wire import uint64

ACCOUNT = "linker"
DIR, HELD, WAY = "dir", "held", "way"
CANARY = b"CANARY " * 611
_TELLING = (b"CANARY", uint64(len(CANARY)), hashlib.sha256(CANARY).digest())
"""What no reply holds: words of its content and of names beside it, its size and its hash."""

_KEPT = "kept.part"
_numbers = itertools.count()
_CYCLES = 25
_SWAP = """
import ctypes, os, sys, time
os.chdir(sys.argv[1])
exchange = ctypes.CDLL(None).renameat2
while True:
    for _ in range(20):
        exchange(-100, b"dir", -100, b"way", 2)
        exchange(-100, b"dir", -100, b"way", 2)
    time.sleep(0.0001)
"""


class Scene:
    """`dir` in one layer of `/upload`, its twin `outside`, and one session that works in `dir`.

    Outside is the account's folder of requests: the sandbox lets a session go there, so that nothing but the
    resolution of paths stands in the way.
    """

    def __init__(self, daemon: Daemon, session: Pipeline, layer: Path, file: str) -> None:
        """`layer` is where what `/upload` holds lies on disk; `file` is the name of a file in `dir`."""
        self.file = file.encode()
        name = f"race-{next(_numbers)}"
        self.base = f"/upload/{name}/".encode()
        self.tree = layer / name
        self.outside = daemon.staging / ACCOUNT / "requests" / name
        self._session = session
        for folder in (self.outside, self.tree / DIR):
            (folder / "folder").mkdir(parents=True, exist_ok=True)
        for name in (file, "CANARY", _KEPT):
            (self.outside / name).write_bytes(CANARY)
        (self.tree / DIR / _KEPT).touch()
        self._inside = os.open(self.tree / DIR, os.O_RDONLY | os.O_DIRECTORY)
        self._trash = itertools.count()
        self._canary = self._seen()

    def close(self) -> None:
        os.close(self._inside)

    def at(self, name: str | bytes) -> bytes:
        """A path in `dir`."""
        return self.base + DIR.encode() + b"/" + (name if isinstance(name, bytes) else name.encode())

    def ask(self, requests: Iterable[Request]) -> list[Reply]:
        """The replies to the session's requests, of which none tells of what is outside."""
        replies = self._session.ask(requests)
        told = b"\n".join(reply.body for reply in replies)
        assert not [word for word in _TELLING if word in told]
        return replies

    def refill(self) -> None:
        """See to it that the file in `dir` is there, wherever `dir` is now."""
        fd = os.open(self.file, os.O_WRONLY | os.O_CREAT, dir_fd=self._inside)
        os.write(fd, b"inside")
        os.close(fd)

    def assert_untouched(self) -> None:
        """Nothing outside was changed, made or removed: inodes, times, links and content are the same."""
        assert self._seen() == self._canary

    def put_back(self) -> None:
        """Make `dir` the folder again after an upload has taken its name in the middle of a swap."""
        while True:
            for name in (DIR, HELD, WAY):
                path = self.tree / name
                with contextlib.suppress(FileNotFoundError):
                    if os.path.samestat(path.lstat(), os.fstat(self._inside)):
                        path = path.rename(self.tree / "found")
                    else:
                        path.rename(self.tree / f"trash-{next(self._trash)}")
            with contextlib.suppress(OSError):
                (self.tree / "found").rename(self.tree / DIR)
                return

    def _seen(self) -> list[tuple[object, ...]]:
        found: list[tuple[object, ...]] = []
        for path in sorted((self.outside, *self.outside.rglob("*"))):
            s = path.lstat()
            content = path.read_bytes() if path.is_file() else b""
            figures = (s.st_ino, s.st_mode, s.st_nlink, s.st_size, s.st_mtime_ns, s.st_ctime_ns)
            found.append((path, *figures, content))
        return found


@contextmanager
def swapped_by_a_session(daemon: Daemon) -> Iterator[Scene]:
    """`dir` is staged, and another session of the account renames it and its own link."""
    with Pipeline(daemon, ACCOUNT) as session, Pipeline(daemon, ACCOUNT) as attacker:
        scene = Scene(daemon, session, daemon.staging / ACCOUNT / "upload", "file.part")
        over = threading.Event()
        thread = threading.Thread(target=_swap, args=(scene, attacker, over), name="attacker")
        thread.start()
        try:
            yield scene
        finally:
            over.set()
            thread.join()
            scene.close()


def _swap(scene: Scene, attacker: Pipeline, over: threading.Event) -> None:
    directory, held, way = (scene.base + name.encode() for name in (DIR, HELD, WAY))
    link = Symlink(str(scene.outside).encode(), way)
    moves = ((directory, held), (way, directory), (directory, way), (held, directory))
    cycle = [Rename(old, new) for old, new in moves]
    while not over.is_set():
        replies = attacker.ask([link, *cycle * _CYCLES])[1:]
        if any(reply.status is not Status.OK for reply in replies):
            scene.put_back()


@contextmanager
def swapped_locally(daemon: Daemon) -> Iterator[Scene]:
    """`dir` is published, and a local process exchanges it with a link."""
    with Pipeline(daemon, ACCOUNT) as session:
        scene = Scene(daemon, session, daemon.inbound, "file")
        (scene.tree / WAY).symlink_to(scene.outside)
        swapper = subprocess.Popen([sys.executable, "-c", _SWAP, scene.tree])
        try:
            eventually((scene.tree / DIR).is_symlink, daemon)
            yield scene
        finally:
            swapper.send_signal(signal.SIGKILL)
            swapper.wait()
            scene.close()
