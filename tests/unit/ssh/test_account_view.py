"""What an account sees and does over SFTP, driven by paramiko's client on real folders."""

import errno
import os
import resource
import stat
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest
from account_sessions import BY_DEFAULT, Session, close

from sftpd.files.beneath import Parts
from sftpd.files.fingerprint import snapshot
from sftpd.files.staging import Staging, is_unfinished
from sftpd.sftp.engine import Event
from sftpd.ssh import messages, sftp_channel
from sftpd.ssh.file_data import FileData
from sftpd.ssh.sftp_channel import Peer, SftpChannel


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    with Session(tmp_path) as session:
        yield session


@pytest.fixture
def published(tmp_path: Path) -> Path:
    return tmp_path / "published"


@pytest.fixture
def staging(tmp_path: Path) -> Path:
    return tmp_path / "staging"


def test_the_root_shows_the_folders_and_no_owner(session: Session) -> None:
    listed = session.client.listdir_attr("/")
    assert [entry.filename for entry in listed] == ["upload", "download", "requests", "receipts", "audit"]
    assert all(entry.st_uid is None and "alice    demo" in entry.longname for entry in listed)
    assert stat.S_ISDIR(session.client.stat("/").st_mode or 0)


def test_an_upload_is_published_when_closed_and_not_before(session: Session, published: Path) -> None:
    file = session.client.open("/upload/a.csv", "wb")
    file.write(b"x" * 100_000)
    file.flush()
    assert not (published / "upload/a.csv").exists()
    assert session.client.stat("/upload/a.csv").st_size == 100_000
    file.close()
    assert (published / "upload/a.csv").read_bytes() == b"x" * 100_000
    assert session.monitor.kinds() == ["Begin", "Complete"]


def test_put_and_get_of_a_large_file(session: Session, tmp_path: Path) -> None:
    content = os.urandom(1_000_000)
    (tmp_path / "local").write_bytes(content)
    session.client.put(str(tmp_path / "local"), "/upload/big")
    session.client.get("/upload/big", str(tmp_path / "back"), prefetch=False)
    assert (tmp_path / "back").read_bytes() == content


def test_an_empty_file_is_published(session: Session, published: Path) -> None:
    session.put("/upload/empty", b"")
    assert (published / "upload/empty").read_bytes() == b""


def test_stat_still_answers_after_the_consumer_took_the_file(session: Session, published: Path) -> None:
    session.put("/upload/a", b"abc")
    (published / "upload/a").unlink()
    assert session.client.stat("/upload/a").st_size == 3
    session.client.utime("/upload/a", (5, 6))
    assert session.client.stat("/upload/a").st_mtime == 6
    with pytest.raises(FileNotFoundError):
        session.client.remove("/upload/a")
    with pytest.raises(FileNotFoundError):
        session.client.stat("/upload/a")


def test_a_session_that_ends_publishes_nothing_and_the_part_can_be_resumed(
    tmp_path: Path, published: Path
) -> None:
    with Session(tmp_path) as cut:
        file = cut.client.open("/upload/a", "wb")
        file.write(b"first ")
        file.flush()
        cut.end()
        assert messages.Abandoned(b"/upload/a", 6) in cut.monitor.heard
        file._closed = True
    assert not (published / "upload/a").exists()
    with Session(tmp_path) as again:
        assert again.client.stat("/upload/a").st_size == 6
        with again.client.open("/upload/a", "r+b") as file:
            file.seek(6)
            file.write(b"second")
    assert (published / "upload/a").read_bytes() == b"first second"


def test_appending_to_a_published_file_begins_with_a_copy(session: Session, published: Path) -> None:
    session.put("/upload/a", b"one ")
    before = (published / "upload/a").stat().st_ino
    with session.client.open("/upload/a", "ab") as file:
        file.write(b"two")
        assert (published / "upload/a").read_bytes() == b"one "
    assert (published / "upload/a").read_bytes() == b"one two"
    assert (published / "upload/a").stat().st_ino != before


def test_the_copy_of_a_published_file_is_on_its_disk_before_it_is_taken_for_whole(
    session: Session, published: Path, staging: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (published / "upload/file").write_bytes(b"before")
    steps: list[tuple[str, bool, bytes]] = []
    for name in ("fsync", "fchmod"):
        real = getattr(os, name)

        def noted(fd: int, *args: int, name: str = name, real: Callable[..., None] = real) -> None:
            real(fd, *args)
            steps.append((name, is_unfinished(os.fstat(fd)), (staging / "upload/file").read_bytes()))

        monkeypatch.setattr(os, name, noted)
    with session.client.open("/upload/file", "r+"):
        assert steps[-2:] == [("fsync", True, b"before"), ("fchmod", False, b"before")]


def test_a_copy_that_fails_is_never_taken_for_whole(
    session: Session, published: Path, staging: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (published / "upload/file").write_bytes(b"before")
    seen: list[bool] = []
    real = Staging.remove

    def noted(area: Staging, parts: Parts) -> None:
        seen.append(is_unfinished((staging / "upload/file").stat()))
        real(area, parts)

    def fails(fd: int) -> None:
        raise OSError(errno.EIO, "no")

    monkeypatch.setattr(Staging, "remove", noted)
    monkeypatch.setattr(os, "fsync", fails)
    with pytest.raises(OSError, match="error"):
        session.client.open("/upload/file", "r+")
    assert seen == [True]
    assert not (staging / "upload/file").exists()


def test_opening_a_published_file_for_writing_and_not_writing_changes_nothing(
    session: Session, published: Path, staging: Path
) -> None:
    session.put("/upload/a", b"one")
    before = (published / "upload/a").stat().st_ino
    session.client.open("/upload/a", "r+b").close()
    assert (published / "upload/a").stat().st_ino == before
    assert not list((staging / "upload").iterdir())


def test_truncate_by_path_uploads_a_published_file_anew(session: Session, published: Path) -> None:
    session.put("/upload/a", b"abcdef")
    session.client.truncate("/upload/a", 3)
    assert (published / "upload/a").read_bytes() == b"abc"


def test_a_size_set_on_an_open_file_keeps_its_content(session: Session, published: Path) -> None:
    with session.client.open("/upload/a", "wb") as file:
        file.write(b"abcdef")
        file.truncate(4)
        file.chmod(0o600)
        file.utime((10, 20))
    assert (published / "upload/a").read_bytes() == b"abcd"
    assert (published / "upload/a").stat().st_mtime == 20


@pytest.mark.parametrize(
    "writes",
    [
        [(3, b"def"), (0, b"abc"), (1, b"B")],
        [(0, b"abc"), (1, b"B")],
        [(0, b"abc"), (0, b"ABC")],
        [(0, b"ab"), (2, b"c"), (3, b"d")],
        [(0, b"ab"), (4, b"gap")],
    ],
)
def test_writes_in_any_order_are_hashed_as_they_lie(
    session: Session, published: Path, writes: list[tuple[int, bytes]]
) -> None:
    expected = bytearray()
    file = session.client.open("/upload/a", "wb", bufsize=0)
    for offset, data in writes:
        file.seek(offset)
        file.write(data)
        expected.extend(bytes(max(offset + len(data) - len(expected), 0)))
        expected[offset : offset + len(data)] = data
    close(file)
    assert (published / "upload/a").read_bytes() == expected


def test_a_file_that_was_cut_is_hashed_anew(session: Session, published: Path) -> None:
    file = session.client.open("/upload/a", "wb", bufsize=0)
    file.write(b"abcdef")
    file.truncate(4)
    file.truncate(6)
    close(file)
    assert (published / "upload/a").read_bytes() == b"abcd\0\0"


def test_an_upload_removed_while_open_is_not_acknowledged(session: Session, published: Path) -> None:
    file = session.client.open("/upload/a", "wb", bufsize=0)
    file.write(b"abc")
    session.client.remove("/upload/a")
    with pytest.raises(FileNotFoundError):
        close(file)
    assert session.monitor.kinds() == ["Begin", "GivenUp"]


def test_a_temporary_name_is_published_by_rename(session: Session, published: Path, staging: Path) -> None:
    session.put("/upload/a.csv.part", b"abc")
    assert session.client.listdir("/upload") == ["a.csv.part"]
    assert not list((published / "upload").iterdir())
    session.client.posix_rename("/upload/a.csv.part", "/upload/a.csv")
    assert (published / "upload/a.csv").read_bytes() == b"abc"
    assert not list((staging / "upload").iterdir())
    assert session.monitor.kinds() == ["Begin", "GivenUp", "Begin", "Complete"]


def test_a_temporary_name_of_an_earlier_session_is_published_by_rename(
    tmp_path: Path, published: Path
) -> None:
    with Session(tmp_path) as first:
        first.put("/upload/a.tmp", b"abc")
    with Session(tmp_path) as second:
        second.client.rename("/upload/a.tmp", "/upload/a")
    assert (published / "upload/a").read_bytes() == b"abc"


def test_an_unfinished_upload_stays_one_under_another_name(tmp_path: Path, published: Path) -> None:
    with Session(tmp_path) as session:
        (tmp_path / "staging/upload/cut").write_bytes(b"half")
        session.client.rename("/upload/cut", "/upload/other")
        assert session.client.listdir("/upload") == ["other"]
    assert not list((published / "upload").iterdir())


def test_two_sessions_do_not_write_one_file(tmp_path: Path) -> None:
    with Session(tmp_path) as one, Session(tmp_path) as two, one.client.open("/upload/a", "wb") as file:
        file.write(b"abc")
        with pytest.raises(PermissionError, match="another session"):
            two.client.open("/upload/a", "wb")
        assert two.monitor.kinds() == ["Begin", "GivenUp"]


def test_an_upload_that_is_left_open_is_promised_nothing_more(tmp_path: Path) -> None:
    with Session(tmp_path) as session:
        file = session.client.open("/upload/a", "wb")
    file._closed = True  # by the end of the session
    assert session.monitor.kinds() == ["Begin", "Abandoned", "GivenUp"]


@contextmanager
def files_at_most(size: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_file_of_which_a_write_failed_is_not_published(session: Session, published: Path) -> None:
    file = session.client.open("/upload/a", "wb", bufsize=0)
    file.write(b"abc")
    with files_at_most(4), pytest.raises(OSError, match="too large"):
        file.write(b"defghi")
    with pytest.raises(OSError, match="error"):
        close(file)
    assert not (published / "upload/a").exists()


def test_a_rejected_file_fails_with_its_reason(session: Session, published: Path) -> None:
    with pytest.raises(PermissionError, match="rejected by policy"):
        session.put("/upload/reject.exe", b"MZ")
    assert not list((published / "upload").iterdir())


def test_a_rejected_rename_leaves_the_temporary_name(session: Session) -> None:
    session.put("/upload/a.part", b"abc")
    with pytest.raises(PermissionError, match="rejected by policy"):
        session.client.rename("/upload/a.part", "/upload/reject")
    assert session.client.listdir("/upload") == ["a.part"]


def test_an_upload_that_may_not_begin_leaves_nothing(session: Session, staging: Path) -> None:
    with pytest.raises(PermissionError, match="not welcome"):
        session.client.open("/upload/forbidden", "wb")
    assert not list((staging / "upload").iterdir())


def test_an_upload_into_a_missing_directory_is_refused(session: Session) -> None:
    with pytest.raises(FileNotFoundError):
        session.client.open("/upload/missing/a", "wb")


def test_directories_are_made_listed_renamed_and_removed(session: Session, published: Path) -> None:
    session.client.mkdir("/upload/d")
    session.put("/upload/d/a", b"x")
    session.put("/upload/d/b.part", b"y")
    assert sorted(session.client.listdir("/upload/d")) == ["a", "b.part"]
    assert session.client.listdir("/upload") == ["d"]
    session.client.rename("/upload/d", "/upload/e")
    assert sorted(session.client.listdir("/upload/e")) == ["a", "b.part"]
    with pytest.raises(OSError, match="not empty"):
        session.client.rmdir("/upload/e")
    session.client.remove("/upload/e/b.part")
    session.client.remove("/upload/e/a")
    session.client.rmdir("/upload/e")
    assert not list((published / "upload").iterdir())
    with pytest.raises(FileNotFoundError):
        session.client.listdir("/upload/e")


def test_a_staged_file_hides_the_published_one_and_both_are_removed(
    session: Session, published: Path, staging: Path
) -> None:
    (published / "upload/a").write_bytes(b"old content")
    (staging / "upload/a").write_bytes(b"new")
    assert session.client.listdir("/upload") == ["a"]
    assert session.client.stat("/upload/a").st_size == 3
    assert session.get("/upload/a") == b"new"
    session.client.remove("/upload/a")
    assert session.client.listdir("/upload") == []


def test_rename_does_not_replace_and_posix_rename_does(session: Session, published: Path) -> None:
    session.put("/upload/a", b"a")
    session.put("/upload/b", b"b")
    with pytest.raises(OSError, match="exists"):
        session.client.rename("/upload/a", "/upload/b")
    session.client.posix_rename("/upload/a", "/upload/b")
    assert [path.read_bytes() for path in (published / "upload").iterdir()] == [b"a"]


def test_attributes_of_published_files_are_set_by_the_monitor(session: Session, published: Path) -> None:
    session.put("/upload/a", b"a")
    session.client.chmod("/upload/a", 0o4600)
    session.client.utime("/upload/a", (100, 200))
    found = (published / "upload/a").stat()
    assert (stat.S_IMODE(found.st_mode), found.st_mtime) == (0o600, 200)
    assert session.monitor.kinds()[2:] == ["SetAttributes", "SetAttributes"]
    with pytest.raises(PermissionError):
        session.client.chown("/upload/a", 0, 0)


def test_attributes_of_parts_are_set_by_the_session(session: Session, staging: Path) -> None:
    session.put("/upload/a.part", b"a")
    session.client.chmod("/upload/a.part", 0o400)
    assert stat.S_IMODE((staging / "upload/a.part").stat().st_mode) == 0o640
    assert session.monitor.kinds() == ["Begin", "GivenUp"]


def test_a_fetch_is_told_to_the_monitor_with_what_was_read(session: Session, published: Path) -> None:
    (published / "download/a").write_bytes(b"x" * 50_000)
    assert len(session.get("/download/a")) == 50_000
    with session.client.open("/download/a") as file:
        file.read(10)
    with session.client.open("/download/a") as file:
        for offset, size in ((49_000, 1000), (0, 100), (200, 100), (100, 100)):
            file.seek(offset)
            file.read(size)
    version = str(snapshot((published / "download/a").stat()))
    reads = (((0, 50_000),), ((0, 10),), ((0, 300), (49_000, 50_000)))
    assert session.monitor.heard == [
        messages.Fetched(b"/download/a", 50_000, read, version) for read in reads
    ]
    session.client.remove("/download/a")
    assert session.client.listdir("/download") == []


@pytest.mark.parametrize("path", ["/download/a", "/receipts/a", "/audit/a", "/a", "/upload"])
def test_writing_is_refused_where_it_is_not_allowed(session: Session, path: str) -> None:
    with pytest.raises(PermissionError):
        session.client.open(path, "wb")


@pytest.mark.parametrize("path", ["/../etc/passwd", "/upload/../../etc/passwd", "../../etc/passwd"])
def test_climbing_above_the_root_is_refused(session: Session, path: str) -> None:
    with pytest.raises(PermissionError, match="leaves your folders"):
        session.client.stat(path)
    assert session.client.normalize(path) == "/etc/passwd"


def test_links_of_local_people_are_not_seen(session: Session, published: Path) -> None:
    (published / "upload/link").symlink_to("/etc/passwd")
    (published / "upload/dir").symlink_to("/etc")
    assert session.client.listdir("/upload") == []
    with pytest.raises(FileNotFoundError):
        session.client.stat("/upload/link")
    with pytest.raises(PermissionError, match="leaves your folders"):
        session.client.open("/upload/dir/passwd")


def test_links_need_a_permission_that_is_not_given_by_default(session: Session) -> None:
    with pytest.raises(PermissionError, match="symlink is not allowed here"):
        session.client.symlink("target", "/upload/link")


def test_a_partner_s_link_stays_staged_and_leads_nowhere_outside(tmp_path: Path, published: Path) -> None:
    with Session(tmp_path, granted=(*BY_DEFAULT, "symlink", "hardlink")) as session:
        session.client.symlink("/etc/passwd", "/upload/link")
        assert session.client.readlink("/upload/link") == "/etc/passwd"
        assert stat.S_ISLNK(session.client.lstat("/upload/link").st_mode or 0)
        for attempt in (lambda: session.get("/upload/link"), lambda: session.put("/upload/link", b"x")):
            with pytest.raises(PermissionError):
                attempt()
        session.client.remove("/upload/link")
    assert not list((published / "upload").iterdir())


def test_requests_are_written_and_never_removed(session: Session, published: Path) -> None:
    session.put("/requests/erase.json", b"{}")
    assert (published / "requests/erase.json").read_bytes() == b"{}"
    with pytest.raises(PermissionError, match="delete is not allowed here"):
        session.client.remove("/requests/erase.json")


def test_files_do_not_move_between_folders(session: Session) -> None:
    session.put("/upload/a.part", b"{}")
    with pytest.raises(PermissionError, match="rename is not allowed here"):
        session.client.rename("/upload/a.part", "/requests/a")


def test_a_long_listing_is_told_whole(session: Session, published: Path) -> None:
    for number in range(1500):
        (published / f"download/{number}").touch()
    assert sorted(map(int, session.client.listdir("/download"))) == list(range(1500))


def test_a_long_name_shows_the_account_and_the_link(session: Session) -> None:
    session.put("/upload/a", b"abc")
    (entry,) = session.client.listdir_attr("/upload")
    day = time.strftime("%b", time.gmtime(entry.st_mtime))
    assert entry.longname.startswith(f"-rw-r-----   1 alice    demo            3 {day} ")


@pytest.mark.parametrize("path", ["/nowhere", "/nowhere/at/all", "/Upload/a"])
def test_what_is_beside_the_folders_is_not_there_and_not_made(tmp_path: Path, path: str) -> None:
    with Session(tmp_path) as session:
        session.put("/upload/a", b"a")
        sftp = session.client
        for finds_nothing in (
            lambda: sftp.stat(path),
            lambda: sftp.listdir(path),
            lambda: sftp.open(path, "rb"),
            lambda: sftp.remove(path),
            lambda: sftp.rmdir(path),
            lambda: sftp.chmod(path, 0o600),
            lambda: sftp.rename(path, "/upload/b"),
        ):
            with pytest.raises(FileNotFoundError):
                finds_nothing()
        for is_refused in (
            lambda: sftp.open(path, "wb"),
            lambda: sftp.mkdir(path),
            lambda: sftp.rename("/upload/a", path),
        ):
            with pytest.raises(PermissionError, match="not allowed here"):
                is_refused()


def test_a_session_is_not_idle_while_a_request_is_carried_out(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    real = session.handler.answer

    def slow(event: Event) -> bytes | FileData:
        now[0] += 100
        return real(event)

    monkeypatch.setattr(sftp_channel, "monotonic", lambda: now[0])
    monkeypatch.setattr(session.handler, "answer", slow)
    wire = SimpleNamespace(
        exchanging=False,
        plain=memoryview(bytearray(1 << 16)),
        congested=lambda: False,
        seal=lambda at, length: None,
        later=lambda job: None,
    )
    channel = SftpChannel(wire, Peer(0, 1 << 20, 1 << 15), session.handler, lambda error: None)
    channel.data(memoryview(struct.pack(">IBI", 5, 1, 3)))
    assert channel.active_at == 100


def test_a_size_that_cannot_be_set_leaves_no_upload_behind(session: Session, tmp_path: Path) -> None:
    session.put("/upload/a", b"first")
    with pytest.raises(OSError, match="no space left"):
        session.client.truncate("/upload/a", 1 << 62)
    assert not list((tmp_path / "staging/upload").iterdir())
    session.put("/upload/a", b"second")
    assert (tmp_path / "published/upload/a").read_bytes() == b"second"
