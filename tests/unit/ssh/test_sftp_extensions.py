"""The extensions on an account's real folders: attributes of links, copies, hashes, space and `~`."""

import errno
import hashlib
import os
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from account_sessions import BY_DEFAULT, Session
from hypothesis import given
from hypothesis import strategies as st

from sftpd.sftp.attributes import Attributes
from sftpd.sftp.requests import (
    CheckFileHandle,
    CheckFileName,
    Close,
    CopyData,
    ExpandPath,
    Fsetstat,
    Fsync,
    Lsetstat,
    Open,
    OpenFlag,
    Request,
    SpaceAvailable,
    Write,
)
from sftpd.sftp.status import Status, StatusError
from sftpd.sftp.wire import Reader
from sftpd.ssh import checksums, copying
from sftpd.ssh.long_answer import at_once
from sftpd.ssh.messages import Fetched

CREATE = OpenFlag.WRITE | OpenFlag.CREATE | OpenFlag.TRUNCATE
CONTENT = bytes(range(256)) * 5 + b"rest"
DONE = (Status.OK, b"")


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    with Session(tmp_path, granted=(*BY_DEFAULT, "symlink"), max_handles=16) as session:
        yield session


@pytest.fixture
def file(tmp_path: Path) -> Iterator[Callable[[bytes], int]]:
    opened = []

    def make(content: bytes) -> int:
        path = tmp_path / f"file-{len(opened)}"
        path.write_bytes(content)
        opened.append(os.open(path, os.O_RDWR))
        return opened[-1]

    yield make
    for fd in opened:
        os.close(fd)


def ask(session: Session, request: Request) -> Reader:
    """What follows the id in an extended reply."""
    reply = session.handler.handle(1, request)
    assert reply[4] == 201, reply
    return Reader(memoryview(reply)[9:])


def status(session: Session, request: Request) -> tuple[Status, bytes]:
    reply = session.handler.handle(1, request)
    assert reply[4] == 101, reply
    reader = Reader(memoryview(reply)[9:])
    return Status(reader.uint32()), reader.string()


def check(fd: int, request: CheckFileName) -> tuple[str, list[bytes]]:
    return at_once(checksums.checking(fd, request))


def opened(session: Session, path: bytes, flags: int) -> bytes:
    reply = session.handler.handle(1, Open(path, flags, Attributes()))
    assert reply[4] == 102, reply
    return reply[13:]


def expanded(session: Session, path: bytes) -> bytes:
    reply = session.handler.handle(1, ExpandPath(path))
    assert reply[4] == 104, reply
    return Reader(memoryview(reply)[13:]).string()


class TestFsync:
    def test_what_is_durable_is_not_written_again_and_what_follows_is(
        self, session: Session, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        synced = []
        real = os.fsync
        monkeypatch.setattr(os, "fsync", lambda fd: synced.append(os.fstat(fd).st_size) or real(fd))
        handle = opened(session, b"/upload/a", CREATE)
        assert status(session, Write(handle, 0, memoryview(b"abc"))) == DONE
        for _ in range(2):
            assert status(session, Fsync(handle)) == DONE
        assert synced == [3]
        assert status(session, Write(handle, 3, memoryview(b"def"))) == DONE
        assert status(session, Fsetstat(handle, Attributes(times=(5, 7)))) == DONE
        assert status(session, Close(handle)) == DONE
        assert synced[1] == 6


class TestExpandPath:
    @pytest.mark.parametrize(
        ("path", "absolute"),
        [
            (b"", b"/"),
            (b"~", b"/"),
            (b"~/", b"/"),
            (b"~/upload/../x", b"/x"),
            (b"~alice", b"/"),
            (b"~alice/upload", b"/upload"),
            (b"~/../../x", b"/x"),
            (b"upload/~", b"/upload/~"),
            (b"/~", b"/~"),
            (b".", b"/"),
        ],
    )
    def test_home_is_the_root(self, session: Session, path: bytes, absolute: bytes) -> None:
        assert expanded(session, path) == absolute

    @pytest.mark.parametrize("path", [b"~root", b"~root/x", b"~~", b"~alic", b"~alice2/x", b"~\xff"])
    def test_nobody_elses_home_is_told(self, session: Session, path: bytes) -> None:
        assert status(session, ExpandPath(path)) == (Status.NO_SUCH_FILE, b"no such user")


class TestLsetstat:
    def test_times_of_a_link_are_its_own(self, session: Session, tmp_path: Path) -> None:
        session.put("/upload/a.part", b"abc")
        session.client.symlink("a.part", "/upload/link")
        before = session.client.stat("/upload/link").st_mtime
        assert status(session, Lsetstat(b"/upload/link", Attributes(times=(5, 7)))) == DONE
        assert session.client.lstat("/upload/link").st_mtime == 7
        assert session.client.stat("/upload/link").st_mtime == before
        told = status(session, Lsetstat(b"/upload/link", Attributes(permissions=0o600)))
        assert told[0] is Status.OP_UNSUPPORTED
        told = status(session, Lsetstat(b"/upload/link", Attributes(owner=(0, 0))))
        assert told[0] is Status.PERMISSION_DENIED

    def test_it_is_setstat_for_files(self, session: Session, tmp_path: Path) -> None:
        session.put("/upload/a", b"abc")
        session.put("/upload/b.part", b"abc")
        wanted = Attributes(permissions=0o100604, times=(5, 7))
        for name in (b"a", b"b.part"):
            assert status(session, Lsetstat(b"/upload/" + name, wanted)) == DONE
        found = (tmp_path / "published/upload/a").stat()
        assert (found.st_mtime, found.st_mode & 0o777) == (7, 0o604)
        assert session.client.stat("/upload/b.part").st_mtime == 7
        assert status(session, Lsetstat(b"/upload/nothing", wanted))[0] is Status.NO_SUCH_FILE

    def test_a_size_is_nonsense(self, session: Session) -> None:
        session.put("/upload/a", b"abc")
        told = status(session, Lsetstat(b"/upload/a", Attributes(size=1)))
        assert told[0] is Status.BAD_MESSAGE
        assert session.get("/upload/a") == b"abc"


class TestCopyData:
    def test_a_published_file_is_copied_whole_and_passes_the_gates(
        self, session: Session, tmp_path: Path
    ) -> None:
        (tmp_path / "published/download/a").write_bytes(CONTENT)
        source = opened(session, b"/download/a", OpenFlag.READ)
        target = opened(session, b"/upload/b", CREATE)
        assert status(session, CopyData(source, 0, 0, target, 0)) == DONE
        assert not (tmp_path / "published/upload/b").exists()
        assert status(session, Close(source)) == status(session, Close(target)) == DONE
        assert (tmp_path / "published/upload/b").read_bytes() == CONTENT
        assert session.monitor.kinds().count("Complete") == 1

    @pytest.mark.parametrize("order", ["written first", "copied first", "overwritten"])
    def test_the_hash_is_right_when_copies_and_writes_mix(
        self, session: Session, tmp_path: Path, order: str
    ) -> None:
        # The simple monitor compares the hash that it is told with the file.
        (tmp_path / "published/download/a").write_bytes(CONTENT)
        source = opened(session, b"/download/a", OpenFlag.READ)
        target = opened(session, b"/upload/b", CREATE)
        write = Write(target, 0, memoryview(b"head"))
        copy = CopyData(source, 0, 0, target, 0 if order == "overwritten" else 4)
        for request in (copy, write) if order == "copied first" else (write, copy):
            assert status(session, request) == DONE
        assert status(session, Close(target)) == DONE
        expected = CONTENT if order == "overwritten" else b"head" + CONTENT
        assert (tmp_path / "published/upload/b").read_bytes() == expected

    def test_the_hash_is_right_when_a_copy_changes_the_middle(self, session: Session, tmp_path: Path) -> None:
        session.put("/upload/a", b"abc")
        source = opened(session, b"/upload/a", OpenFlag.READ)
        target = opened(session, b"/upload/b", CREATE)
        assert status(session, Write(target, 0, memoryview(b"0123456789"))) == DONE
        assert status(session, CopyData(source, 0, 0, target, 2)) == DONE
        assert status(session, Close(target)) == DONE
        assert (tmp_path / "published/upload/b").read_bytes() == b"01abc56789"

    def test_a_range_is_copied_and_the_end_is_told(self, session: Session, tmp_path: Path) -> None:
        session.put("/upload/a", b"0123456789")
        source = opened(session, b"/upload/a", OpenFlag.READ)
        target = opened(session, b"/upload/b", CREATE)
        assert status(session, CopyData(source, 2, 3, target, 1)) == DONE
        assert status(session, CopyData(source, 8, 5, target, 4)) == (Status.EOF, b"end of file")
        assert status(session, CopyData(source, 99, 0, target, 0)) == DONE
        assert status(session, Close(target)) == DONE
        assert (tmp_path / "published/upload/b").read_bytes() == b"\x0023489"

    def test_an_appending_file_takes_it_at_its_end(self, session: Session, tmp_path: Path) -> None:
        session.put("/upload/a", b"abc")
        session.put("/upload/b", b"first ")
        source = opened(session, b"/upload/a", OpenFlag.READ)
        target = opened(session, b"/upload/b", OpenFlag.WRITE | OpenFlag.APPEND)
        assert status(session, CopyData(source, 0, 0, target, 0)) == DONE
        assert status(session, Close(target)) == DONE
        assert (tmp_path / "published/upload/b").read_bytes() == b"first abc"

    @pytest.mark.parametrize("how", ["one handle", "one path", "one file"])
    def test_a_file_is_not_copied_to_itself_and_stays(
        self, session: Session, tmp_path: Path, how: str
    ) -> None:
        session.put("/upload/a", b"abc")
        published = opened(session, b"/upload/a", OpenFlag.READ)
        flags = OpenFlag.WRITE if how == "one file" else CREATE | OpenFlag.READ
        target = opened(session, b"/upload/a", flags)
        session.client.symlink("a", "/upload/link")
        part = opened(session, b"/upload/link", OpenFlag.READ)
        source = {"one handle": target, "one path": published, "one file": part}[how]
        told = status(session, CopyData(source, 0, 0, target, 0))
        assert told == (Status.FAILURE, b"a file is not copied to itself")
        assert status(session, Close(target))[0] is Status.FAILURE
        assert (tmp_path / "published/upload/a").read_bytes() == b"abc"

    def test_handles_must_be_open_for_it(self, session: Session) -> None:
        session.put("/upload/a", b"abc")
        reading = opened(session, b"/upload/a", OpenFlag.READ)
        writing, other = (opened(session, path, CREATE) for path in (b"/upload/b", b"/upload/c"))
        for source, target in ((reading, reading), (reading, b"nope"), (b"nope", writing), (other, writing)):
            assert status(session, CopyData(source, 0, 0, target, 0))[0] is not Status.OK

    def test_what_does_not_fit_is_refused_at_once_and_not_published(
        self, session: Session, tmp_path: Path
    ) -> None:
        sparse = tmp_path / "published/download/sparse"
        sparse.touch()
        os.truncate(sparse, 1 << 43)
        source = opened(session, b"/download/sparse", OpenFlag.READ)
        target = opened(session, b"/upload/b", CREATE)
        assert status(session, CopyData(source, 0, 0, target, 0)) == (Status.FAILURE, b"no space left")
        assert session.client.stat("/upload/b").st_size == 0
        assert status(session, Close(target))[0] is Status.FAILURE
        assert not (tmp_path / "published/upload/b").exists()

    def test_offsets_beyond_a_files_are_refused(self, session: Session) -> None:
        session.put("/upload/a", b"abc")
        source = opened(session, b"/upload/a", OpenFlag.READ)
        target = opened(session, b"/upload/b", CREATE)
        for request in (CopyData(source, 0, 3, target, 2**64 - 1), CopyData(source, 0, 3, target, 2**63 - 1)):
            assert status(session, request)[0] is Status.FAILURE

    def test_it_can_be_denied(self, tmp_path: Path) -> None:
        with Session(tmp_path, denied_requests=("copy-data",)) as session:
            told = status(session, CopyData(b"a", 0, 0, b"b", 0))
            assert told == (Status.PERMISSION_DENIED, b"copy-data is not allowed for this account")


@pytest.mark.parametrize("number", [errno.EXDEV, errno.ENOSYS])
def test_what_the_kernel_does_not_copy_is_copied_by_hand(
    file: Callable[[bytes], int], monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(*_: object) -> int:
        raise OSError(number, "no")

    monkeypatch.setattr(os, "copy_file_range", refuse)
    content = os.urandom(3_000_000)
    source, target = file(content), file(b"abcdef")
    assert copying.copy_range(source, target, read_at=1, length=2**63 - 1, write_at=3) == 2_999_999
    assert os.pread(target, 4_000_000, 0) == b"abc" + content[1:]


class TestCheckFile:
    @pytest.mark.parametrize("algorithm", ["md5", "sha1", "sha256", "sha512"])
    def test_a_file_is_hashed_by_name_and_by_handle(self, session: Session, algorithm: str) -> None:
        session.put("/upload/a", CONTENT)
        handle = opened(session, b"/upload/a", OpenFlag.READ)
        for request in (
            CheckFileName(b"/upload/a", algorithm.encode(), 0, 0, 0),
            CheckFileHandle(handle, b"crc32,sha224,%s,md5" % algorithm.encode(), 0, 0, 0),
        ):
            reply = ask(session, request)
            assert reply.string() == algorithm.encode()
            assert bytes(reply.rest()) == hashlib.new(algorithm, CONTENT).digest()

    def test_a_part_is_hashed_but_not_through_a_handle_that_cannot_read(self, session: Session) -> None:
        writing = opened(session, b"/upload/a", CREATE)
        assert status(session, Write(writing, 0, memoryview(CONTENT))) == DONE
        told = ask(session, CheckFileName(b"/upload/a", b"md5", 0, 0, 0))
        told.string()
        assert bytes(told.rest()) == hashlib.md5(CONTENT).digest()
        told = status(session, CheckFileHandle(writing, b"md5", 0, 0, 0))
        assert told == (Status.PERMISSION_DENIED, b"file is not open for reading")

    def test_hashing_is_not_fetching(self, session: Session, tmp_path: Path) -> None:
        (tmp_path / "published/download/a").write_bytes(CONTENT)
        ask(session, CheckFileName(b"/download/a", b"md5", 0, 0, 0))
        handle = opened(session, b"/download/a", OpenFlag.READ)
        ask(session, CheckFileHandle(handle, b"md5", 0, 0, 0))
        assert status(session, Close(handle)) == DONE
        assert [body.read for body in session.monitor.heard if isinstance(body, Fetched)] == [()]

    @pytest.mark.parametrize(
        ("request_", "code"),
        [
            (CheckFileName(b"/upload/nothing", b"md5", 0, 0, 0), Status.NO_SUCH_FILE),
            (CheckFileName(b"/upload/d", b"md5", 0, 0, 0), Status.FAILURE),
            (CheckFileName(b"/upload", b"md5", 0, 0, 0), Status.PERMISSION_DENIED),
            (CheckFileName(b"/upload/a", b"", 0, 0, 0), Status.OP_UNSUPPORTED),
            (CheckFileName(b"/upload/a", b"sha3_256,\xff", 0, 0, 0), Status.OP_UNSUPPORTED),
            (CheckFileName(b"/upload/a", b"md5", len(CONTENT) + 1, 0, 0), Status.BAD_MESSAGE),
            (CheckFileName(b"/upload/a", b"md5", 2**64 - 1, 2**64 - 1, 0), Status.BAD_MESSAGE),
            (CheckFileName(b"/upload/a", b"md5", 0, 0, 255), Status.BAD_MESSAGE),
            (CheckFileHandle(b"nope", b"md5", 0, 0, 0), Status.FAILURE),
        ],
    )
    def test_what_cannot_be_hashed_is_refused(
        self, session: Session, request_: Request, code: Status
    ) -> None:
        session.put("/upload/a", CONTENT)
        session.client.mkdir("/upload/d")
        assert status(session, request_)[0] is code

    def test_who_may_not_read_learns_no_hash(self, tmp_path: Path) -> None:
        with Session(tmp_path, granted=("list", "write")) as session:
            session.put("/upload/a", CONTENT)
            told = status(session, CheckFileName(b"/upload/a", b"md5", 0, 0, 0))
            assert told == (Status.PERMISSION_DENIED, b"read is not allowed here")

    def test_more_than_a_reply_holds_is_refused(self, file: Callable[[bytes], int]) -> None:
        fd = file(b"")
        os.ftruncate(fd, 256 * 4080)
        assert len(check(fd, CheckFileName(b"", b"sha512", 0, 0, 256))[1]) == 4080
        os.ftruncate(fd, 256 * 4080 + 1)
        with pytest.raises(StatusError, match="more blocks"):
            check(fd, CheckFileName(b"", b"sha512", 0, 0, 256))

    def test_more_than_the_limit_is_refused_at_once(self, file: Callable[[bytes], int]) -> None:
        fd = file(b"")
        os.ftruncate(fd, 2 * checksums.WORK_LIMIT)
        with pytest.raises(StatusError, match="more than 16 GiB"):
            check(fd, CheckFileName(b"", b"md5", 0, 0, 0))
        assert check(fd, CheckFileName(b"", b"md5", checksums.WORK_LIMIT, 1, 0))[0] == "md5"


@given(
    content=st.binary(max_size=3000),
    start=st.integers(0, 3000),
    length=st.integers(0, 4000),
    block=st.just(0) | st.integers(256, 1000),
)
def test_blocks_are_those_of_the_range(content: bytes, start: int, length: int, block: int) -> None:
    fd = os.memfd_create("content")
    try:
        os.write(fd, content)
        start = min(start, len(content))
        algorithm, hashes = check(fd, CheckFileName(b"", b"sha1", start, length, block))
    finally:
        os.close(fd)
    part = content[start : start + length] if length else content[start:]
    blocks = [part[at : at + block] for at in range(0, len(part), block)] if block else [part]
    assert (algorithm, hashes) == ("sha1", [hashlib.sha1(block).digest() for block in blocks])


def test_space_available_is_what_the_device_has(session: Session, tmp_path: Path) -> None:
    reply = ask(session, SpaceAvailable(b"/upload"))
    total, unused, share, unused_share, unit = struct.unpack(">4QI", reply.rest())
    device = os.statvfs(tmp_path)
    assert (total, unit) == (device.f_blocks * device.f_frsize, device.f_frsize)
    assert total >= share >= unused_share > 0
    assert total > unused >= unused_share
