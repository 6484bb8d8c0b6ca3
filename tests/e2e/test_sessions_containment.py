"""A session reaches its account's folders and nothing else, whatever paths and links it tries."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import paramiko
import pytest
from daemon import Daemon

from sftpd.sftp.requests import Permission

SECRET = b"outside the partner's folders"


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    made = Daemon(tmp_path_factory.mktemp("containment") / "instance")
    made.add_account(
        "linker",
        'keys = ["file:keys/demo_partner_ed25519.pub"]',
        f"permissions = {json.dumps([*Permission])}",
    )
    made.file("local", b"local")
    (made.link / "secret").write_bytes(SECRET)
    with made as running:
        yield running


@pytest.fixture
def linker(daemon: Daemon) -> Iterator[paramiko.SFTPClient]:
    with daemon.sftp("linker") as sftp:
        yield sftp


@pytest.mark.parametrize(
    "command",
    [
        "get /upload/../../secret stolen",
        "get /../secret stolen",
        "get ../../../../etc/passwd stolen",
        "get /etc/passwd stolen",
        "ls /etc",
        "ls /upload/../../..",
        "put local /etc/planted",
        "put local /upload/../../planted",
        "put local /planted",
        "mkdir /planted",
        "rename /upload/../../secret /upload/stolen",
        "rm /../secret",
        "rmdir /upload",
        "rename /upload /elsewhere",
        "chmod 777 /upload",
        "chmod 777 /",
    ],
)
def test_paths_that_lead_outside_are_refused(daemon: Daemon, command: str) -> None:
    done = daemon.sftp_batch(command)
    assert done.returncode == 1
    assert any(said in done.stderr for said in ("ermission denied", "not found", "o such file")), done.stderr
    assert not (daemon.desk / "stolen").exists()
    assert not (daemon.link / "planted").exists()
    assert (daemon.link / "secret").read_bytes() == SECRET


def test_the_way_up_from_the_root_is_the_root(daemon: Daemon) -> None:
    assert "Remote working directory: /\n" in daemon.sftp_done("cd ../../..", "pwd")


@pytest.mark.parametrize("request_", ["ln -s /etc/passwd /upload/link", "ln /upload/local /upload/link"])
def test_links_are_not_granted_by_default(daemon: Daemon, request_: str) -> None:
    done = daemon.sftp_batch("put local /upload/local", request_)
    assert done.returncode == 1
    assert "ermission denied" in done.stderr


@pytest.mark.parametrize(
    "target", ["/etc/passwd", "../../../../secret", "../../../../../../../../etc/passwd"]
)
def test_a_granted_link_that_leads_outside_reads_and_writes_nothing(
    daemon: Daemon, linker: paramiko.SFTPClient, target: str
) -> None:
    before = Path("/etc/passwd").read_bytes()
    linker.symlink(target, "/upload/way")
    try:
        for attempt in (
            lambda: linker.open("/upload/way", "rb"),
            lambda: linker.open("/upload/way", "wb"),
            lambda: linker.open("/upload/way", "r+b"),
            lambda: linker.truncate("/upload/way", 0),
            lambda: linker.chmod("/upload/way", 0o777),
            lambda: linker.stat("/upload/way"),
        ):
            with pytest.raises(OSError, match=r"denied|link|leaves|no such file"):
                attempt()
        assert not (daemon.inbound / "way").is_symlink()
    finally:
        linker.remove("/upload/way")
    assert Path("/etc/passwd").read_bytes() == before
    assert (daemon.link / "secret").read_bytes() == SECRET


def test_a_granted_link_to_a_directory_outside_is_no_way_through(
    daemon: Daemon, linker: paramiko.SFTPClient
) -> None:
    linker.symlink("../../../..", "/upload/up")
    try:
        for attempt in (
            lambda: linker.listdir("/upload/up"),
            lambda: linker.open("/upload/up/secret", "rb"),
            lambda: linker.open("/upload/up/planted", "wb"),
            lambda: linker.mkdir("/upload/up/planted"),
        ):
            with pytest.raises(OSError, match=r"denied|link|leaves|no such file|directory"):
                attempt()
    finally:
        linker.remove("/upload/up")
    assert not (daemon.link / "planted").exists()


def test_a_link_is_never_published_not_even_by_a_rename(daemon: Daemon, linker: paramiko.SFTPClient) -> None:
    linker.symlink("/etc/passwd", "/upload/link.part")
    linker.posix_rename("/upload/link.part", "/upload/link")
    assert not os.path.lexists(daemon.inbound / "link")
    linker.remove("/upload/link")


def test_a_hard_link_is_an_upload_of_the_same_content(daemon: Daemon, linker: paramiko.SFTPClient) -> None:
    daemon.sftp_done("put local /upload/original")
    daemon.sftp_done("ln /upload/original /upload/second", user="linker")
    assert (daemon.inbound / "second").read_bytes() == b"local"
    assert (daemon.inbound / "second").stat().st_nlink == 1
    done = daemon.sftp_batch("ln /../secret /upload/third", user="linker")
    assert done.returncode == 1


@pytest.mark.parametrize("target", ["/etc", "/etc/passwd", "../secret", "local-target"])
def test_a_link_that_local_people_put_into_inbound_is_not_followed(daemon: Daemon, target: str) -> None:
    (daemon.inbound / "local-target").write_bytes(b"target")
    link = daemon.inbound / "ours"
    link.symlink_to(target)
    try:
        assert "ours" not in daemon.sftp_done("ls /upload")
        for command in ("get /upload/ours stolen", "ls /upload/ours/", "get /upload/ours/passwd stolen"):
            done = daemon.sftp_batch(command)
            assert done.returncode == 1, command
            assert not (daemon.desk / "stolen").exists()
    finally:
        link.unlink()


def test_an_upload_over_a_local_link_leaves_its_target_alone(daemon: Daemon) -> None:
    (daemon.inbound / "ours2").symlink_to("../secret")
    daemon.sftp_batch("put local /upload/ours2")
    assert (daemon.link / "secret").read_bytes() == SECRET
    assert (daemon.inbound / "ours2").is_symlink() or (daemon.inbound / "ours2").read_bytes() == b"local"
