"""A session that is killed in the midst of something leaves what its partner can go on with."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import paramiko
import pytest
from daemon import Daemon, eventually
from paramiko.sftp import CMD_EXTENDED, CMD_OPEN

from sftpd.sftp.requests import OpenFlag

SIZE = 512 << 20


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    made = Daemon(tmp_path / "instance")
    granted = '"list", "read", "write", "delete", "hardlink", "rename"'
    made.configure_link("[account]", f"permissions = [{granted}]")
    with made as daemon:
        yield daemon


def killed_while_it_copies(daemon: Daemon, kind: int, *fields: object, name: str = "data") -> None:
    """A request has a published file copied, and its session is killed before that is done."""
    with (daemon.inbound / "data").open("wb") as file:
        file.truncate(SIZE)
    with daemon.sftp() as client:
        (pid,) = daemon.sessions
        client._async_request(type(None), kind, *fields)
        part = daemon.staging / daemon.user / "upload" / name
        eventually(lambda: part.exists() and part.stat().st_size, daemon)
        os.kill(pid, signal.SIGKILL)
        eventually(lambda: not daemon.sessions, daemon)
    assert 0 < part.stat().st_size < SIZE, "the copy was done already"


def killed_while_it_opens(daemon: Daemon) -> None:
    killed_while_it_copies(daemon, CMD_OPEN, b"/upload/data", OpenFlag.WRITE, paramiko.SFTPAttributes())


def test_a_copy_that_is_cut_off_hides_nothing_and_is_not_gone_on_with(daemon: Daemon) -> None:
    killed_while_it_opens(daemon)
    with daemon.sftp() as client:
        assert client.stat("/upload/data").st_size == SIZE
        assert [entry.st_size for entry in client.listdir_attr("/upload")] == [SIZE]
        with client.open("/upload/data", "r+") as file:
            file.write(b"begin")
        assert client.stat("/upload/data").st_size == SIZE
    with (daemon.inbound / "data").open("rb") as file:
        assert file.read(6) == b"begin\0"
        file.seek(0, os.SEEK_END)
        assert file.tell() == SIZE


def test_nor_does_its_content_come_into_another_file_of_that_name(daemon: Daemon) -> None:
    killed_while_it_opens(daemon)
    with daemon.sftp() as client:
        client.remove("/upload/data")
        assert client.listdir("/upload") == []
        with client.open("/upload/data", "ab") as file:
            file.write(b"new")
        assert client.stat("/upload/data").st_size == 3
    assert (daemon.inbound / "data").read_bytes() == b"new"
    assert not any(path.is_file() for path in daemon.staging.rglob("*"))


def test_a_part_with_a_hole_ends_there_after_a_crash_unless_it_was_closed_so(daemon: Daemon) -> None:
    """Where the power goes a file may have its length, and no content yet: who resumes it goes by that."""
    hole, end = 8192, 1 << 20
    for name in ("closed.part", "data"):
        with daemon.sftp() as client:
            file = client.open(f"/upload/{name}", "wb")
            file.write(b"x" * hole)
            file.seek(end - 1)
            file.write(b"y")
            file.flush()
            if name == "closed.part":
                file.close()
            else:
                daemon.kill()
    daemon.start()
    with daemon.sftp() as client:
        assert client.stat("/upload/data").st_size == hole
        with client.open("/upload/data", "ab") as file:
            file.write(b"z")
        assert (daemon.inbound / "data").read_bytes() == b"x" * hole + b"z"
        assert client.stat("/upload/closed.part").st_size == end
        client.rename("/upload/closed.part", "/upload/closed")
    assert (daemon.inbound / "closed").read_bytes() == b"x" * hole + bytes(end - hole - 1) + b"y"
    assert (daemon.inbound / "closed").stat().st_mode & 0o7777 == 0o640
    assert "part_cut" in daemon.log


def test_a_link_that_was_cut_off_can_be_made_again(daemon: Daemon) -> None:
    link = (b"hardlink@openssh.com", b"/upload/data", b"/upload/link")
    killed_while_it_copies(daemon, CMD_EXTENDED, *link, name="link")
    with daemon.sftp() as client:
        assert client.listdir("/upload") == ["data"]
        client._request(CMD_EXTENDED, *link)
        assert client.stat("/upload/link").st_size == SIZE
    assert (daemon.inbound / "link").stat().st_size == SIZE
