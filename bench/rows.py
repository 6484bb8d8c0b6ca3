"""The rows of the comparison: what a client does with each server, and how it is seen that it was done."""

import filecmp
import os
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from bench import clients
from bench.clients import GCM, Failed
from bench.peers import Peer
from bench.scale import CLIENTS, CONNECTING, SMALL_FILE, Scale

GIB = 1 << 30
Work = Callable[[Peer], object]


@dataclass(frozen=True)
class Row:
    """One task. `amount` is in `unit`s and is done each time; `size` in bytes is what is moved in it."""

    title: str
    unit: str
    amount: float
    work: Work
    check: Callable[[Peer, object], None] = field(default=lambda _peer, _result: None)
    size: int = 0
    needs: str | None = None
    """An extension without which the client leaves out a part of the task."""
    sessions: bool = False
    """It is about sessions, whatever goes on in them."""
    memory: bool = False
    """The work returns bytes a session, instead of taking time."""


@dataclass(frozen=True)
class Material:
    """The local files: what is uploaded, and where downloads go."""

    large: Path
    parts: list[Path]
    small: Path
    got: Path
    names: frozenset[str]
    """The entries of the folder that is listed."""

    @classmethod
    def make(cls, folder: Path, scale: Scale) -> "Material":
        """Make files of random content."""
        small, got, parts = folder / "small", folder / "got", folder / "parts"
        for made in (small, got, parts):
            made.mkdir(parents=True)
        large = folder / "large.bin"
        fill_with_noise(large, scale.large)
        for number in range(CLIENTS):
            fill_with_noise(parts / f"part-{number}.bin", scale.large // CLIENTS)
        for number in range(scale.files):
            fill_with_noise(small / f"{number % CLIENTS}-{number:05}.csv", SMALL_FILE)
        names = frozenset(f"entry-{number:06}.csv" for number in range(scale.entries))
        return cls(large, sorted(parts.iterdir()), small, got, names)

    def clear(self, peer: Peer) -> None:
        """Remove what the last task moved."""
        for folder in (self.got, peer.received):
            for path in folder.iterdir():
                shutil.rmtree(path) if path.is_dir() else path.unlink()


def rows(material: Material, scale: Scale) -> dict[str, Row]:
    """All rows by key."""
    return _large(material, scale) | _small(material, scale) | _other(material, scale)


def _large(m: Material, scale: Scale) -> dict[str, Row]:
    size, title = scale.large, f"{scale.large >> 20} MiB"
    up, down = partial(_received, [m.large]), partial(_fetched, [m.large], m.got)
    made = {}
    for cipher, key, words in ((None, "", "default ciphers"), (GCM, "-gcm", "aes128-gcm")):
        made[f"up{key}"] = Row(f"{title} up, {words}", "MB/s", size / 1e6, partial(_put, m, cipher), up, size)
        made[f"down{key}"] = Row(
            f"{title} down, {words}", "MB/s", size / 1e6, partial(_get, m, cipher), down, size
        )
    made["up-lftp"] = Row(f"{title} up, lftp", "MB/s", size / 1e6, partial(_put_lftp, m), up, size)
    made["down-rclone"] = Row(
        f"{title} down, rclone", "MB/s", size / 1e6, partial(_get_rclone, m), down, size
    )
    made["up-8"] = Row(
        f"{title} up by {CLIENTS} clients",
        "MB/s",
        size / 1e6,
        lambda peer: _together([partial(clients.sftp, peer, f"put {p} {peer.upload}/") for p in m.parts]),
        partial(_received, m.parts),
        size,
    )
    return made


def _small(m: Material, scale: Scale) -> dict[str, Row]:
    files = sorted(m.small.iterdir())
    up, down = partial(_received, files), partial(_fetched, files, m.got)
    title, fsync = f"{scale.files} × 4 KiB", "fsync@openssh.com"

    def put(peer: Peer, which: str = "") -> object:
        return clients.sftp(peer, f"put -f {m.small}/{which}*.csv {peer.upload}/")

    def get(peer: Peer, which: str = "") -> object:
        return clients.sftp(peer, f"get {peer.download}/small/{which}*.csv {m.got}/")

    def all_at_once(work: Callable[[Peer, str], object], peer: Peer) -> object:
        return _together([partial(work, peer, f"{number}-") for number in range(CLIENTS)])

    by_8 = f"{title}{{}} by {CLIENTS} clients"
    return {
        "small-up": Row(f"{title} up, fsync", "files/s", scale.files, put, up, needs=fsync),
        "small-down": Row(f"{title} down", "files/s", scale.files, get, down),
        "small-up-8": Row(
            by_8.format(" up, fsync,"), "files/s", scale.files, partial(all_at_once, put), up, needs=fsync
        ),
        "small-down-8": Row(by_8.format(" down"), "files/s", scale.files, partial(all_at_once, get), down),
    }


def _other(m: Material, scale: Scale) -> dict[str, Row]:
    count, serial = scale.connections, "connections/s"
    return {
        "list": Row(
            f"listing of {scale.entries} entries",
            "entries/s",
            scale.entries,
            lambda peer: clients.sftp(peer, f"ls -1f {peer.download}/list"),
            partial(_listed, m.names),
        ),
        "connect": Row(
            "connections, one after the other",
            serial,
            count,
            lambda peer: [clients.sftp(peer, "pwd") for _ in range(count)],
            sessions=True,
        ),
        "connect-16": Row(
            f"connections, {CONNECTING} at once",
            serial,
            count,
            lambda peer: _together([partial(clients.sftp, peer, "pwd")] * count, CONNECTING),
            sessions=True,
        ),
        "idle": Row(
            f"PSS of an idle session, of {scale.sessions}",
            "KiB",
            1,
            partial(_idle_memory, scale.sessions),
            sessions=True,
            memory=True,
        ),
    }


def _put(m: Material, cipher: str | None, peer: Peer) -> object:
    return clients.sftp(peer, f"put {m.large} {peer.upload}/", cipher=cipher)


def _get(m: Material, cipher: str | None, peer: Peer) -> object:
    return clients.sftp(peer, f"get {peer.download}/large.bin {m.got}/", cipher=cipher)


def _put_lftp(m: Material, peer: Peer) -> object:
    return clients.lftp(peer, f"put -O {peer.upload} {m.large}")


def _get_rclone(m: Material, peer: Peer) -> object:
    return clients.rclone(peer, "copyto", f":sftp:{peer.download}/large.bin", f"{m.got}/large.bin")


def _together(works: "list[partial[bytes]]", workers: int | None = None) -> None:
    with ThreadPoolExecutor(workers or len(works)) as pool:
        for future in [pool.submit(work) for work in works]:
            future.result()


def _idle_memory(sessions: int, peer: Peer) -> float:
    with clients.idle(peer, 1):
        before = peer.meter.pss()
        with clients.idle(peer, sessions):
            return (peer.meter.pss() - before) / sessions


def _received(sent: list[Path], peer: Peer, _result: object) -> None:
    require_same(sent, peer.received)


def _fetched(offered: list[Path], got: Path, _peer: Peer, _result: object) -> None:
    require_same(offered, got)


def require_same(sources: list[Path], folder: Path) -> None:
    """Compare contents, not only names and sizes. Raises Failed."""
    here = {path.name for path in folder.iterdir()}
    if here != {path.name for path in sources}:
        raise Failed(f"{len(here)} files have arrived, not {len(sources)}")
    filecmp.clear_cache()  # rclone keeps times, and then another server's file passes for a known one
    for source in sources:
        if not filecmp.cmp(source, folder / source.name, shallow=False):
            raise Failed(f"{source.name} has not arrived as it was sent")


def _listed(names: frozenset[str], _peer: Peer, result: object) -> None:
    assert isinstance(result, bytes)
    seen = [line.strip().rpartition("/")[2] for line in result.decode().splitlines()]
    listed = [name for name in seen if name.startswith("entry-")]
    if len(listed) != len(names) or set(listed) != names:
        raise Failed(f"{len(listed)} of {len(names)} entries were listed")


def fill_with_noise(path: Path, size: int) -> None:
    """Make a file of random content."""
    with path.open("wb") as file:
        while size > 0:
            piece = min(size, 1 << 20)
            file.write(os.urandom(piece))
            size -= piece
