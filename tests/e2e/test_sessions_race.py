"""Two sessions race: one swaps a folder for a link to the outside, the other goes through it."""

import json
import os
import struct
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import paramiko
import pytest
from daemon import PATIENCE, Daemon

from sftpd.sftp.requests import Permission
from sftpd.sftp.wire import Reader, frame, string, uint32, uint64

CANARY = b"outside the partner's folders, and never seen"
INSIDE = b"inside"
TRIES = int(os.environ.get("SFTPD_RACE_TRIES", "1500"))
"""Requests through the folder that is being swapped."""

OPEN, CLOSE, READ, SETSTAT, OPENDIR, READDIR, STAT, RENAME, SYMLINK, EXTENDED = (
    3,
    4,
    5,
    9,
    11,
    12,
    17,
    18,
    20,
    200,
)
STATUS, HANDLE, DATA = 101, 102, 103
READING, CREATING = 0x01, 0x0B
NO_ATTRIBUTES = uint32(0)
DIR, TRAP, ASIDE = b"/upload/dir", b"/upload/trap", b"/upload/aside"


class Pipelined:
    """An SFTP session that sends many requests at once, and sees every byte of the replies."""

    def __init__(self, transport: paramiko.Transport) -> None:
        self._channel = transport.open_session()
        self._channel.settimeout(PATIENCE)
        self._channel.invoke_subsystem("sftp")
        self._channel.sendall(frame(1, uint32(3)))
        self._received = bytearray()
        self._reply()

    def ask(self, *requests: tuple[int, bytes]) -> list[tuple[int, bytes]]:
        """Kind and body of each reply, in order."""
        self._channel.sendall(b"".join(frame(kind, uint32(0), fields) for kind, fields in requests))
        return [self._reply() for _ in requests]

    def _reply(self) -> tuple[int, bytes]:
        (length,) = struct.unpack(">I", self._exactly(4))
        body = self._exactly(length)
        assert CANARY not in body
        return body[0], body[5:]

    def _exactly(self, size: int) -> bytes:
        while len(self._received) < size:
            came = self._channel.recv(1 << 16)
            assert came, "the channel ended"
            self._received += came
        taken = bytes(self._received[:size])
        del self._received[:size]
        return taken


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    made = Daemon(tmp_path / "instance")
    key = 'keys = ["file:keys/demo_partner_ed25519.pub"]'
    made.add_account("linker", key, f"permissions = {json.dumps([*Permission])}")
    with made as running:
        yield running


def swap(daemon: Daemon, over: threading.Event, swaps: list[int]) -> None:
    """Keep the folder and the link changing places."""
    there = [(RENAME, string(DIR) + string(ASIDE)), (RENAME, string(TRAP) + string(DIR))]
    back = [(RENAME, string(DIR) + string(TRAP)), (RENAME, string(ASIDE) + string(DIR))]
    with daemon.connected("linker") as transport:
        session = Pipelined(transport)
        while not over.is_set():
            replies = session.ask(*there, *back)
            swaps.append(sum(body.startswith(uint32(0)) for _, body in replies))


def extended(name: bytes, *fields: bytes) -> tuple[int, bytes]:
    return EXTENDED, string(name) + b"".join(fields)


def attempts(number: int) -> list[tuple[int, bytes]]:
    """One of everything that takes a path, through the folder."""
    canary, made, moved = (DIR + name for name in (b"/canary.part", b"/made.part", b"/moved.part"))
    stolen = b"/upload/stolen%d.part" % number
    return [
        (OPEN, string(canary) + uint32(READING) + NO_ATTRIBUTES),
        (OPEN, string(made) + uint32(CREATING) + NO_ATTRIBUTES),
        (OPENDIR, string(DIR)),
        (STAT, string(canary)),
        (SETSTAT, string(canary) + uint32(4) + uint32(0o600)),
        (RENAME, string(made) + string(moved)),
        (RENAME, string(canary) + string(stolen)),
        (RENAME, string(stolen) + string(canary)),
        extended(b"posix-rename@openssh.com", string(made), string(moved)),
        extended(b"hardlink@openssh.com", string(canary), string(stolen)),
        extended(b"check-file-name", string(canary), string(b"md5"), uint64(0), uint64(0), uint32(0)),
        extended(b"expand-path@openssh.com", string(DIR + b"/../canary.part")),
        extended(b"lsetstat@openssh.com", string(canary), uint32(4), uint32(0o600)),
        (SYMLINK, string(b"x") + string(DIR + b"/link")),
        (13, string(stolen)),
        (13, string(made)),
        (13, string(DIR + b"/link")),
    ]


def use(session: Pipelined, handles: list[bytes]) -> Iterator[tuple[int, bytes]]:
    """What comes of open handles: their content, told and copied."""
    copy = b"/upload/copy.part"
    ((kind, target),) = session.ask((OPEN, string(copy) + uint32(CREATING) + NO_ATTRIBUTES))
    target = Reader(memoryview(target)).string() if kind == HANDLE else b""
    requests: list[tuple[int, bytes]] = []
    for handle in map(string, handles):
        requests += [(READ, handle + uint64(0) + uint32(1000)), (READDIR, handle)]
        requests.append(extended(b"copy-data", handle, uint64(0), uint64(0), string(target), uint64(0)))
        requests.append((READ, string(target) + uint64(0) + uint32(1000)))
        requests.append((CLOSE, handle))
    yield from session.ask(*requests, (CLOSE, string(target)))


def outside(folder: Path) -> dict[str, tuple[bytes, int, int]]:
    found = {path: path.stat() for path in folder.iterdir()}
    return {path.name: (path.read_bytes(), stat.st_mode, stat.st_mtime_ns) for path, stat in found.items()}


def race(daemon: Daemon, tries: int) -> None:
    folder = daemon.link / "canaries"
    folder.mkdir()
    for name in ("canary.part", "made.part"):
        (folder / name).write_bytes(CANARY)
    before, over, swaps, seen = outside(folder), threading.Event(), [], Counter[bytes]()
    with daemon.sftp("linker") as client:
        client.mkdir(DIR.decode())
        with client.open(f"{DIR.decode()}/canary.part", "wb") as part:
            part.write(INSIDE)
        client.symlink(str(folder), TRAP.decode())
    swapper = threading.Thread(target=swap, args=(daemon, over, swaps))
    swapper.start()
    try:
        with daemon.connected("linker") as transport:
            session, done = Pipelined(transport), 0
            while done < tries:
                replies = session.ask(*attempts(done))
                handles = [Reader(memoryview(body)).string() for kind, body in replies if kind == HANDLE]
                for kind, body in use(session, handles):
                    seen[body[4:] if kind == DATA else b""] += 1
                seen.update(b"refused" for kind, body in replies[:1] if kind == STATUS)
                done += len(replies) + 5 * len(handles)
    finally:
        over.set()
        swapper.join()
    assert outside(folder) == before
    assert not [path for path in daemon.inbound.rglob("*") if path.is_file()]
    assert CANARY not in b"".join(path.read_bytes() for path in daemon.staging.rglob("*.part"))
    assert sum(swaps), "nothing was ever swapped"
    assert seen[INSIDE], "nothing was ever read"
    assert seen[b"refused"], "the swap was never met"


def test_nobody_gets_outside_by_a_race(daemon: Daemon) -> None:
    race(daemon, TRIES)


@pytest.mark.soak
def test_nobody_gets_outside_by_a_million_tries(daemon: Daemon) -> None:
    race(daemon, 1_000_000)
