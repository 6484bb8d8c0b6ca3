"""What a session does by name to a file that it is writing itself."""

import errno
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from account_sessions import Session, close

from sftpd.process.messages import Message
from sftpd.ssh import messages


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    with Session(tmp_path) as session:
        yield session


def published(base: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (base / "published/upload").iterdir()}


def staged(base: Path) -> list[str]:
    return [path.name for path in (base / "staging/upload").iterdir()]


def test_it_is_cut_by_its_name(session: Session, tmp_path: Path) -> None:
    file = session.client.open("/upload/cut", "wb")
    file.write(b"0123456789")
    session.client.truncate("/upload/cut", 4)
    assert session.client.stat("/upload/cut").st_size == 4
    file.write(b"!")
    close(file)
    assert published(tmp_path) == {"cut": b"0123\0\0\0\0\0\0!"}


@pytest.mark.parametrize("name", ["old", "old.part"])
def test_it_is_published_under_the_name_that_it_has_when_it_is_closed(
    session: Session, tmp_path: Path, name: str
) -> None:
    file = session.client.open(f"/upload/{name}", "wb")
    file.write(b"first ")
    session.client.rename(f"/upload/{name}", "/upload/new")
    assert published(tmp_path) == {}
    file.write(b"and second")
    close(file)
    assert published(tmp_path) == {"new": b"first and second"}
    assert staged(tmp_path) == []
    assert session.client.listdir("/upload") == ["new"]


def test_a_directory_is_not_renamed_over_it(session: Session, tmp_path: Path) -> None:
    session.client.mkdir("/upload/folder")
    with session.client.open("/upload/part", "wb") as file:
        file.write(b"here")
        with pytest.raises(FileNotFoundError, match="not a directory"):
            session.client.posix_rename("/upload/folder", "/upload/part")
    assert (tmp_path / "published/upload/part").read_bytes() == b"here"


def test_it_is_renamed_over_what_is_published(session: Session, tmp_path: Path) -> None:
    session.put("/upload/there", b"older")
    file = session.client.open("/upload/here", "wb")
    file.write(b"newer")
    with pytest.raises(OSError, match="file exists"):
        session.client.rename("/upload/here", "/upload/there")
    session.client.posix_rename("/upload/here", "/upload/there")
    assert published(tmp_path) == {"there": b"older"}
    close(file)
    assert published(tmp_path) == {"there": b"newer"}


@pytest.mark.parametrize(("change", "content"), [(b"", b"before"), (b"after!", b"after!")])
def test_what_is_published_is_renamed_with_it(
    session: Session, tmp_path: Path, change: bytes, content: bytes
) -> None:
    session.put("/upload/old", b"before")
    file = session.client.open("/upload/old", "r+b")
    session.client.rename("/upload/old", "/upload/new")
    assert published(tmp_path) == {"new": b"before"}
    file.write(change)
    close(file)
    assert published(tmp_path) == {"new": content}


def test_what_is_published_takes_its_place_and_its_close_is_refused(session: Session, tmp_path: Path) -> None:
    session.put("/upload/winner", b"wins")
    file = session.client.open("/upload/loser", "wb")
    file.write(b"loses")
    session.client.posix_rename("/upload/winner", "/upload/loser")
    with pytest.raises(FileNotFoundError):
        close(file)
    assert published(tmp_path) == {"loser": b"wins"}


@pytest.mark.parametrize("gone", ["removed", "renamed", "closed"])
def test_its_name_is_free_once_it_is_gone(session: Session, tmp_path: Path, gone: str) -> None:
    file = session.client.open("/upload/name", "wb")
    file.write(b"one")
    match gone:
        case "removed":
            session.client.remove("/upload/name")
        case "renamed":
            session.client.rename("/upload/name", "/upload/other")
        case "closed":
            close(file)
    session.put("/upload/name", b"two")
    assert published(tmp_path) == {"name": b"two"}


@pytest.mark.parametrize("last", [0, 1])
def test_opened_twice_it_is_published_when_it_is_closed_twice(
    session: Session, tmp_path: Path, last: int
) -> None:
    session.put("/upload/twice", b"before")
    files = [session.client.open("/upload/twice", "wb"), session.client.open("/upload/twice", "r+b")]
    files[0].write(b"0123")
    files[1].seek(1)
    files[1].write(b"xy")
    files[0].flush()
    close(files[1 - last])
    assert published(tmp_path) == {"twice": b"before"}
    close(files[last])
    assert published(tmp_path) == {"twice": b"0xy3"}
    assert session.monitor.kinds().count("Complete") == 2


def test_opened_twice_it_is_cut_by_the_second(session: Session, tmp_path: Path) -> None:
    first = session.client.open("/upload/cut", "wb", bufsize=0)
    first.write(b"0123456789")
    session.put("/upload/cut", b"abc")
    close(first)
    assert published(tmp_path) == {"cut": b"abc"}


def test_opened_twice_and_closed_once_it_stays_a_part(tmp_path: Path) -> None:
    with Session(tmp_path) as session:
        first = session.client.open("/upload/part", "wb")
        first.write(b"half")
        first.flush()
        second = session.client.open("/upload/part", "r+b")
        close(first)
        monitor = session.monitor
    second._closed = True  # by the end of the session
    assert published(tmp_path) == {}
    assert staged(tmp_path) == ["part"]
    assert monitor.kinds().count("Abandoned") == 1


def test_one_of_it_that_failed_to_write_spoils_it(
    session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = [session.client.open("/upload/spoilt", mode, bufsize=0) for mode in ("wb", "r+b")]

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "")

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(OSError, match="no space"):
        files[0].write(b"x")
    monkeypatch.undo()
    files[1].write(b"y")
    for file in files:
        with pytest.raises(OSError, match="input/output"):
            close(file)
    assert published(tmp_path) == {}


@pytest.mark.parametrize("size", [1 << 50, (1 << 62) + 1])
def test_a_hole_larger_than_the_disk_is_refused(session: Session, tmp_path: Path, size: int) -> None:
    file = session.client.open("/upload/hole", "wb", bufsize=0)
    file.write(b"x")
    with pytest.raises(OSError, match="no space"):
        file.truncate(size)
    with pytest.raises(OSError, match="no space"):
        session.client.truncate("/upload/hole", size)
    file.seek(size)
    with pytest.raises(OSError, match="no space"):
        file.write(b"x")
    with pytest.raises(OSError, match="input/output"):
        close(file)
    session.client.remove("/upload/hole")
    assert staged(tmp_path) == []


def test_a_hole_that_there_is_room_for_is_a_part_of_the_file(session: Session, tmp_path: Path) -> None:
    with session.client.open("/upload/hole", "wb", bufsize=0) as file:
        file.seek(1 << 20)
        file.write(b"x")
    assert published(tmp_path) == {"hole": bytes(1 << 20) + b"x"}


def put_with_time(session: Session, mode: str, content: bytes) -> None:
    """Write a part and set its time, so that size and time say nothing of what was written."""
    with session.client.open("/upload/order.part", mode) as file:
        file.write(content)
        file.flush()
        file.utime((1_700_000_000, 1_700_000_000))


def test_a_part_that_another_session_changed_is_hashed_anew(session: Session, tmp_path: Path) -> None:
    """Size and time are as before, and now and then all happens within one tick of the kernel's clock."""
    with Session(tmp_path) as other:
        for _ in range(50):
            put_with_time(session, "wb", b"pay 1000 euro")
            put_with_time(other, "r+b", b"pay 9999 euro")
            session.client.posix_rename("/upload/order.part", "/upload/order")
    complete = session.monitor.heard[-1]
    assert isinstance(complete, messages.Complete)
    assert complete.sha256 == hashlib.sha256(b"pay 9999 euro").digest()


@pytest.mark.parametrize("name", ["order", "order.part"])
def test_nobody_else_writes_it_until_the_monitor_has_answered(
    session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    refusals: list[str] = []
    real = session.monitor._complete

    def complete(body: messages.Complete) -> Message:
        with Session(tmp_path) as other, pytest.raises(OSError, match="another session") as refused:
            other.client.open("/upload/order", "r+b")
        refusals.append(str(refused.value))
        return real(body)

    monkeypatch.setattr(session.monitor, "_complete", complete)
    session.put(f"/upload/{name}", b"whole")
    if name != "order":
        session.client.posix_rename(f"/upload/{name}", "/upload/order")
    assert len(refusals) == 1
    assert published(tmp_path) == {"order": b"whole"}
    session.put("/upload/order", b"next")
    assert published(tmp_path) == {"order": b"next"}
