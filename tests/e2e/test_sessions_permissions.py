"""What each account may do in each folder."""

from collections.abc import Iterator

import pytest
from daemon import Daemon, eventually

KEYS = 'keys = ["file:keys/demo_partner_ed25519.pub"]'


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    made = Daemon(tmp_path_factory.mktemp("permissions") / "instance")
    made.add_account("reader", KEYS, 'permissions = ["list", "read"]')
    made.add_account("blind", KEYS, 'permissions = ["write"]')
    made.add_account("denied", KEYS, 'deny = ["posix-rename", "remove", "statvfs"]')
    made.file("local", b"local")
    (made.inbound / "there").write_bytes(b"there")
    with made as running:
        yield running


def refused(daemon: Daemon, command: str, user: str = "demo") -> None:
    done = daemon.sftp_batch(command, user=user)
    assert done.returncode == 1, command
    assert "ermission denied" in done.stderr, done.stderr


def test_the_audit_log_is_read_by_its_partner(daemon: Daemon) -> None:
    # First of all: the parts of a tile go when it is full, perhaps while a client fetches them.
    eventually(lambda: "tile" in daemon.sftp_done("ls /audit"), daemon)
    daemon.sftp_done("get /audit/checkpoint", "get -r /audit/tile")
    assert (daemon.desk / "checkpoint").read_text().startswith("demo.local/demo\n")
    assert list((daemon.desk / "tile/entries").iterdir())


@pytest.mark.parametrize(
    "command",
    [
        "put local /upload/x",
        "put local /upload/there",
        "rm /upload/there",
        "rename /upload/there /upload/gone",
        "mkdir /upload/d",
        "chmod 600 /upload/there",
        "put local /requests/x",
    ],
)
def test_a_reader_only_reads(daemon: Daemon, command: str) -> None:
    refused(daemon, command, "reader")
    daemon.sftp_done("ls -l /upload", "get /upload/there back", user="reader")
    assert (daemon.inbound / "there").read_bytes() == (daemon.desk / "back").read_bytes() == b"there"


def test_who_may_only_write_reads_nothing(daemon: Daemon) -> None:
    with daemon.sftp("blind") as sftp:
        for attempt in (lambda: sftp.open("/upload/there", "rb"), lambda: sftp.listdir("/upload")):
            with pytest.raises(PermissionError, match="is not allowed here"):
                attempt()
        with sftp.open("/upload/dropped", "wb") as remote:
            remote.write(b"dropped")
    assert (daemon.inbound / "dropped").read_bytes() == b"dropped"


def test_denied_requests_are_refused_and_not_offered(daemon: Daemon) -> None:
    with daemon.sftp("denied") as sftp:
        with pytest.raises(PermissionError, match="remove is not allowed for this account"):
            sftp.remove("/upload/there")
        with pytest.raises(PermissionError, match="posix-rename is not allowed for this account"):
            sftp.posix_rename("/upload/there", "/upload/gone")
    done = daemon.sftp_batch("df /upload", user="denied")
    assert "does not support statvfs" in done.stderr
    daemon.sftp_done("put local /upload/plain", "rename /upload/plain /upload/plain2", user="denied")


@pytest.mark.parametrize(
    "command",
    [
        "put local /download/x",
        "put local /download/offered",
        "rename /download/offered /download/other",
        "mkdir /download/d",
        "chmod 600 /download/offered",
    ],
)
def test_download_is_for_reading_listing_and_deleting(daemon: Daemon, command: str) -> None:
    offered = daemon.link / ".sftpd/download/offered"
    if not offered.exists():
        (daemon.outbound / "offered").write_bytes(b"offered")
    eventually(offered.exists, daemon)
    refused(daemon, command)
    daemon.sftp_done("get /download/offered fetched")
    assert (daemon.desk / "fetched").read_bytes() == b"offered"


@pytest.mark.parametrize("folder", ["audit", "receipts"])
@pytest.mark.parametrize("command", ["put local /{}/x", "mkdir /{}/x", "rm /{}/checkpoint", "rmdir /{}/tile"])
def test_audit_and_receipts_are_read_only(daemon: Daemon, folder: str, command: str) -> None:
    refused(daemon, command.format(folder))


def test_requests_take_files(daemon: Daemon) -> None:
    daemon.sftp_done(
        "put local /requests/erase.json", "get /requests/erase.json request-back", "ls /requests"
    )
    assert (daemon.link / ".sftpd/requests/erase.json").read_bytes() == b"local"
    assert not (daemon.inbound / "erase.json").exists()
    refused(daemon, "rm /requests/erase.json")


def test_accounts_do_not_see_each_others_parts(daemon: Daemon) -> None:
    daemon.sftp_done("put local /upload/mine.part")
    assert "mine.part" not in daemon.sftp_done("ls /upload", user="denied")
    assert daemon.sftp_batch("get /upload/mine.part x", user="denied").returncode == 1
