"""What takes long in a session: it goes on in steps, others have their turn, and it ends as if it had not."""

import errno
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import paramiko
import pytest
from ssh_scene import Server, connected
from test_data_path import INIT, MIB, opened, packet, subsystem
from waiting import until

from sftpd.sftp.requests import OpenFlag
from sftpd.sftp.status import Status
from sftpd.sftp.wire import frame, string, uint32, uint64
from sftpd.ssh import copying

SIZE = 128 * MIB
CREATE = uint32(OpenFlag.WRITE | OpenFlag.CREATE | OpenFlag.TRUNCATE)
KEEP = uint32(OpenFlag.WRITE | OpenFlag.CREATE)
OK, FAILURE = (uint32(status) for status in (Status.OK, Status.FAILURE))
UPLOAD = Path("published/upload")
PARTS = Path("staging/upload")


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[tuple[Server, paramiko.Transport]]:
    with connected(tmp_path) as made:
        yield made


def begun(client: paramiko.Transport) -> paramiko.Channel:
    channel = subsystem(client)
    channel.sendall(INIT)
    packet(channel)
    return channel


def hole(path: Path, size: int = SIZE) -> None:
    with path.open("wb") as file:
        file.truncate(size)


def closing(channel: paramiko.Channel, _: Path, name: bytes = b"/upload/f") -> bytes:
    """The CLOSE of a file that was written, but not in order from its start."""
    handle = opened(channel, name, CREATE)
    channel.sendall(frame(6, uint32(1), string(handle), uint64(SIZE - 3), string(b"end")))
    assert packet(channel)[5:9] == OK
    return frame(4, uint32(7), string(handle))


def linking(_: paramiko.Channel, base: Path) -> bytes:
    hole(base / UPLOAD / "old")
    return frame(
        200, uint32(7), string(b"hardlink@openssh.com"), string(b"/upload/old"), string(b"/upload/f")
    )


def opening(_: paramiko.Channel, base: Path) -> bytes:
    hole(base / UPLOAD / "f")
    return frame(3, uint32(7), string(b"/upload/f"), KEEP, uint32(0))


def cutting(_: paramiko.Channel, base: Path) -> bytes:
    hole(base / UPLOAD / "f")
    return frame(9, uint32(7), string(b"/upload/f"), uint32(1), uint64(SIZE - 1))


def renaming(_: paramiko.Channel, base: Path) -> bytes:
    hole(base / PARTS / "f.part")
    return frame(18, uint32(7), string(b"/upload/f.part"), string(b"/upload/f"))


LONG = {function.__name__: function for function in (closing, linking, opening, cutting, renaming)}


@pytest.mark.parametrize("what", LONG)
def test_the_other_channels_are_served_and_the_same_one_keeps_its_order(
    scene: tuple[Server, paramiko.Transport], tmp_path: Path, what: str
) -> None:
    _, client = scene
    busy, other = begun(client), begun(client)
    busy.sendall(LONG[what](busy, tmp_path) + frame(16, uint32(8), string(b"behind")))
    other.sendall(frame(16, uint32(3), string(b"aside")))
    assert b"/aside" in packet(other)
    client.global_request("keepalive@openssh.com", wait=True)
    assert not busy.recv_ready()
    assert packet(busy)[:9] in (b"\x65" + uint32(7) + OK, b"\x66" + uint32(7) + uint32(8))
    assert b"/behind" in packet(busy)


def test_a_large_file_is_written_to_its_disk_in_steps(
    scene: tuple[Server, paramiko.Transport], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copying, "_WRITTEN_AT_ONCE", 4096)
    _, client = scene
    busy, other = begun(client), begun(client)
    handle = opened(busy, b"/upload/f", CREATE)
    busy.sendall(frame(6, uint32(1), string(handle), uint64(SIZE - 3), string(b"end")))
    assert packet(busy)[5:9] == OK
    busy.sendall(frame(200, uint32(7), string(b"fsync@openssh.com"), string(handle)))
    other.sendall(frame(16, uint32(3), string(b"aside")))
    assert b"/aside" in packet(other)
    assert not busy.recv_ready()
    assert packet(busy)[5:9] == OK


@pytest.mark.parametrize("what", ["closing", "linking", "cutting", "renaming"])
@pytest.mark.parametrize("goes", ["channel", "connection"])
def test_what_is_asked_for_is_done_although_its_client_goes(tmp_path: Path, what: str, goes: str) -> None:
    with connected(tmp_path) as (server, client):
        busy, other = begun(client), begun(client)
        busy.sendall(LONG[what](busy, tmp_path))
        until(lambda: server.channels[0].busy)
        if goes == "channel":
            busy.close()
            other.sendall(frame(16, uint32(3), string(b"aside")))
            assert b"/aside" in packet(other)
            assert server.channels[0].outlasts
            until(lambda: not server.channels[0].outlasts)
        else:
            client.close()
    assert (tmp_path / UPLOAD / "f").stat().st_size == SIZE - (what == "cutting")
    assert not any((tmp_path / PARTS).iterdir())


def test_a_copy_that_nobody_waits_for_leaves_what_was_there(tmp_path: Path) -> None:
    with connected(tmp_path) as (server, client):
        busy = begun(client)
        busy.sendall(opening(busy, tmp_path))
        until(lambda: server.channels[0].busy)
        assert (tmp_path / PARTS / "f").exists()
        busy.close()
        until(lambda: not (tmp_path / PARTS / "f").exists())
    assert (tmp_path / UPLOAD / "f").stat().st_size == SIZE


@pytest.mark.parametrize("what", ["linking", "opening", "cutting"])
def test_a_disk_that_fills_in_the_midst_leaves_nothing(
    scene: tuple[Server, paramiko.Transport], tmp_path: Path, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, client = scene
    steps = iter(range(3))
    real = os.copy_file_range

    def full(*args: int) -> int:
        if next(steps, None) is None:
            raise OSError(errno.ENOSPC, "full")
        return real(*args)

    monkeypatch.setattr(os, "copy_file_range", full)
    busy = begun(client)
    busy.sendall(LONG[what](busy, tmp_path))
    assert packet(busy)[:9] == b"\x65" + uint32(7) + FAILURE
    assert not any((tmp_path / PARTS).iterdir())
    monkeypatch.undo()
    again = closing(busy, tmp_path, b"/upload/g")
    busy.sendall(again)
    assert packet(busy)[5:9] == OK


def test_a_session_that_its_monitor_ends_does_not_go_on(tmp_path: Path) -> None:
    with connected(tmp_path) as (server, client):
        busy = begun(client)
        busy.sendall(closing(busy, tmp_path))
        until(lambda: server.channels[0].busy)

        def end() -> None:
            raise EOFError

        server.monitored = False
        server.transport.wire.watch = end
        assert busy.recv(1) == b""
    assert (tmp_path / PARTS / "f").stat().st_size == SIZE
    assert not (tmp_path / UPLOAD / "f").exists()


def test_a_file_written_backwards_is_what_was_written(
    scene: tuple[Server, paramiko.Transport], tmp_path: Path
) -> None:
    _, client = scene
    content = os.urandom(20 * MIB)
    channel = begun(client)
    handle = opened(channel, b"/upload/f", CREATE)
    for at in range(len(content) - MIB // 8, -1, -MIB // 8):
        data = string(content[at : at + MIB // 8])
        channel.sendall(frame(6, uint32(1), string(handle), uint64(at), data))
        assert packet(channel)[5:9] == OK
    channel.sendall(frame(4, uint32(7), string(handle)))
    assert packet(channel)[5:9] == OK
    told = hashlib.sha256((tmp_path / UPLOAD / "f").read_bytes()).digest()
    assert told == hashlib.sha256(content).digest()
