"""Real SFTP servers as remotes, each with a folder that can be looked into from both sides."""

import contextlib
import os
import shutil
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from clients.clients_kit import python_packages
from daemon import Daemon
from paramiko.common import MSG_NEWKEYS
from sshd import Sshd, sshd

from bench import peers


@dataclass(frozen=True)
class Server:
    """A server that runs: how to log in there, a folder of it, and where that folder lies here."""

    name: str
    login: Sshd
    directory: bytes
    places: tuple[Path, ...]
    """Where a file may lie; what the test puts there itself goes to the first."""

    def local(self, name: str) -> Path:
        """Where the file of that name lies."""
        return next((place / name for place in self.places if (place / name).exists()), self.places[0] / name)

    def content(self, name: str) -> bytes | None:
        path = self.local(name)
        return path.read_bytes() if path.exists() else None

    def put(self, name: str, content: bytes) -> None:
        path = self.places[-1] / name if not name.endswith(".part") else self.places[0] / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    def names(self) -> list[str]:
        found = (path.relative_to(place) for place in self.places for path in place.rglob("*"))
        return sorted(str(path) for path in found)

    def at(self, name: str) -> bytes:
        """The remote's own path of that name."""
        return self.directory.rstrip(b"/") + b"/" + name.encode()


@contextlib.contextmanager
def openssh(folder: Path) -> Iterator[Server]:
    with sshd(folder) as server:
        yield Server("openssh", server, os.fsencode(server.root), (server.root,))


@contextlib.contextmanager
def openssh_chrooted(folder: Path) -> Iterator[Server]:
    if os.geteuid() != 0:
        pytest.skip("only root may change the root")
    # sshd changes its root only to a folder above which nobody else may write, and anybody may in /tmp
    top = Path(tempfile.mkdtemp(prefix="sftpd-test-", dir="/run"))
    top.chmod(0o755)
    (top / "exchange").mkdir()
    options = f"ChrootDirectory {top}\nForceCommand internal-sftp"
    try:
        with sshd(folder) as server:
            server.kill()
            server.config.write_text(f"{server.config.read_text()}\nMatch all\n{options}\n")
            server.start()
            yield Server("openssh-chrooted", server, b"/exchange", (top / "exchange",))
    finally:
        shutil.rmtree(top)


def _peer(start: Callable[[Path, peers.Ground], "contextlib.AbstractContextManager[peers.Peer]"]):
    @contextlib.contextmanager
    def run(folder: Path) -> Iterator[Server]:
        folder.mkdir()
        ground = peers.Ground.make(folder / "ground")
        with start(folder / "server", ground) as peer:
            public = ground.host_key.with_suffix(".pub").read_text()
            login = Sshd(peer.port, public, peer.user, peer.key, ground.root, folder / "none")
            yield Server(peer.name, login, peer.upload.encode(), (peer.received,))

    return run


@contextlib.contextmanager
def asyncssh(folder: Path) -> Iterator[Server]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(python_packages("asyncssh.lock")))
        with _peer(peers.asyncssh)(folder) as server:
            yield server


@contextlib.contextmanager
def ours(folder: Path) -> Iterator[Server]:
    folder.mkdir()
    daemon = Daemon(folder / "i")
    host_key = daemon.known_hosts.read_text().split(maxsplit=1)[1]
    login = Sshd(daemon.port, host_key, daemon.user, daemon.key, daemon.root, daemon.config)
    staging = daemon.staging / daemon.user / "upload"
    with daemon:
        yield Server("sftpd", login, b"/upload", (staging, daemon.inbound))


SERVERS = {
    "openssh": openssh,
    "openssh-chrooted": openssh_chrooted,
    "proftpd": _peer(peers.proftpd),
    "rclone": _peer(peers.rclone),
    "asyncssh": asyncssh,
    "sftpd": ours,
}


class Relay:
    """A relay to a server that counts what goes there, holds it up after some bytes or cuts it off."""

    def __init__(self, port: int, *, by_packets: bool = False) -> None:
        """Pass on in one piece what comes at once, or `by_packets` if the client seals by AES-GCM."""
        self._to = port
        self._by_packets = by_packets
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.sent = 0
        self.cut_after: int | None = None
        self.hold_after: int | None = None
        self.held = threading.Event()
        """Set once something waits here that is behind `hold_after`."""
        self.before_each: Callable[[], None] = lambda: None
        self.after_each: Callable[[], None] = lambda: None
        """What to do before and after bytes are passed on to the server."""
        self._released = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._accept)]
        self._sockets: list[socket.socket] = []

    def __enter__(self) -> "Relay":
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._released.set()
        self.cut()
        for thread in self._threads:
            thread.join()
        for one in self._sockets:
            one.close()

    def before(self, server: Server) -> Server:
        """The server as it is reached through here."""
        return replace(server, login=replace(server.login, port=self.port))

    def release(self) -> None:
        """Hold nothing up any more."""
        self.hold_after = None
        self._released.set()

    def cut(self) -> None:
        """End all connections."""
        for one in self._sockets:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                far = socket.create_connection(("127.0.0.1", self._to))
                self._sockets += [near, far]
                for one, other, count in ((near, far, True), (far, near, False)):
                    thread = threading.Thread(target=self._copy, args=(one, other, count))
                    self._threads.append(thread)
                    thread.start()

    def _copy(self, one: socket.socket, other: socket.socket, count: bool) -> None:
        packets = Packets() if count and self._by_packets else None
        with contextlib.suppress(OSError):
            while data := one.recv(65536):
                for piece in [data] if packets is None else packets.cut(data):
                    if count:
                        self._hold()
                        self.before_each()
                    other.sendall(piece)
                    if count:
                        self.after_each()
                        with self._lock:
                            self.sent += len(piece)
                if count and self.cut_after is not None and self.sent > self.cut_after:
                    break
        for each in (one, other):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def _hold(self) -> None:
        if self.hold_after is not None and self.sent > self.hold_after:
            self.held.set()
            self._released.wait()


class Packets:
    """Cuts what a client sends into packets of SSH, whose lengths AES-GCM leaves readable (RFC 5647)."""

    def __init__(self) -> None:
        self._rest = b""
        self._end = self._end_of_line
        self._tail = 0

    def cut(self, data: bytes) -> Iterator[bytes]:
        """The packets that are whole with these bytes; the identification is one."""
        self._rest += data
        while 0 < (end := self._end()) <= len(self._rest):
            packet, self._rest = self._rest[:end], self._rest[end:]
            self._end = self._end_of_packet
            yield packet
            if packet[5] == MSG_NEWKEYS and not self._tail:
                self._tail = 16

    def _end_of_line(self) -> int:
        return self._rest.find(b"\n") + 1

    def _end_of_packet(self) -> int:
        return 4 + int.from_bytes(self._rest[:4]) + self._tail if len(self._rest) >= 4 else 0
