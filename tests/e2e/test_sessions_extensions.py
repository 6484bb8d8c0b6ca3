"""The extensions in the hands of real clients: OpenSSH's sftp and scp, and paramiko's raw requests."""

import hashlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import paramiko
import pytest
from daemon import PATIENCE, Daemon, eventually
from paramiko.sftp import CMD_EXTENDED, CMD_EXTENDED_REPLY, int64

KEYS = 'keys = ["file:keys/demo_partner_ed25519.pub"]'
CONTENT = bytes(range(256)) * 12_000


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    made = Daemon(tmp_path_factory.mktemp("extensions") / "instance")
    made.add_account("plain", KEYS, 'deny = ["copy-data", "lsetstat", "expand-path", "check-file-name"]')
    made.file("local", CONTENT)
    with made as running:
        yield running


def refusal(daemon: Daemon, *commands: str, user: str | None = None) -> str:
    done = daemon.sftp_batch(*commands, user=user)
    assert done.returncode == 1
    return done.stderr


def scp(daemon: Daemon, *argv: str) -> "subprocess.CompletedProcess[str]":
    command = ["scp", "-s", "-P", str(daemon.port), *daemon.ssh_options(), *argv]
    return subprocess.run(command, capture_output=True, text=True, cwd=daemon.desk, timeout=2 * PATIENCE)


def extended(sftp: paramiko.SFTPClient, *fields: object) -> paramiko.Message:
    kind, reply = sftp._request(CMD_EXTENDED, *fields)
    assert kind == CMD_EXTENDED_REPLY
    return reply


def test_sftp_copies_within_the_server(daemon: Daemon) -> None:
    daemon.sftp_done("put local /upload/a", "cp /upload/a /upload/b", "cp /upload/b /upload/c.part")
    assert (daemon.inbound / "b").read_bytes() == CONTENT
    assert not (daemon.inbound / "c.part").exists()
    daemon.sftp_done("rename /upload/c.part /upload/c", "get /upload/c back")
    assert (daemon.inbound / "c").read_bytes() == (daemon.desk / "back").read_bytes() == CONTENT


def test_what_was_offered_is_copied_to_uploads_but_not_the_reverse(daemon: Daemon) -> None:
    (daemon.outbound / "offered").write_bytes(CONTENT)
    eventually((daemon.link / ".sftpd/download/offered").exists, daemon)
    daemon.sftp_done("cp /download/offered /upload/returned")
    assert (daemon.inbound / "returned").read_bytes() == CONTENT
    assert "ermission denied" in refusal(daemon, "cp /upload/returned /download/more")


def test_a_copy_passes_the_gates_as_an_upload_does(daemon: Daemon) -> None:
    # sftp's cp prints what its CLOSE was told, and then forgets it.
    done = daemon.sftp_batch("put local /upload/fine", "cp /upload/fine /upload/virus.exe")
    assert "close remote: Permission denied" in done.stderr
    assert "sftpd: file name is on the deny list" in done.stderr
    assert not (daemon.inbound / "virus.exe").exists()


def test_a_file_copied_to_itself_keeps_its_content(daemon: Daemon) -> None:
    daemon.sftp_done("put local /upload/self")
    refusal(daemon, "cp /upload/self /upload/self")
    assert (daemon.inbound / "self").read_bytes() == CONTENT


def test_sftp_changes_modes_without_following(daemon: Daemon) -> None:
    daemon.sftp_done("put local /upload/mode", "chmod -h 604 /upload/mode")
    assert (daemon.inbound / "mode").stat().st_mode & 0o777 == 0o644


def test_scp_finds_home_by_its_tilde_and_nobody_elses(daemon: Daemon) -> None:
    where = f"{daemon.user}@{daemon.host}"
    assert scp(daemon, "local", f"{where}:~{daemon.user}/upload/tilde").returncode == 0
    assert scp(daemon, f"{where}:~/upload/tilde", "tilde-back").returncode == 0
    assert (daemon.inbound / "tilde").read_bytes() == (daemon.desk / "tilde-back").read_bytes() == CONTENT
    done = scp(daemon, f"{where}:~root/upload/tilde", "not-back")
    assert done.returncode == 1
    assert not (daemon.desk / "not-back").exists()


def test_denied_extensions_are_not_offered(daemon: Daemon) -> None:
    daemon.sftp_done("put local /upload/denied", user="plain")
    assert "does not support copy-data" in refusal(daemon, "cp /upload/denied /upload/x", user="plain")
    assert "does not support lsetstat" in refusal(daemon, "chmod -h 600 /upload/denied", user="plain")
    with daemon.sftp("plain") as sftp, pytest.raises(PermissionError, match="check-file-name is not allowed"):
        extended(sftp, "check-file-name", "/upload/denied", "md5", int64(0), int64(0), 0)


@pytest.mark.parametrize("algorithm", ["md5", "sha1", "sha256", "sha512"])
def test_a_client_has_a_file_hashed(daemon: Daemon, algorithm: str) -> None:
    daemon.sftp_done("put local /upload/hashed")
    wanted = hashlib.new(algorithm, CONTENT).digest()
    with daemon.sftp() as sftp, sftp.open("/upload/hashed") as file:
        by_name = extended(sftp, "check-file-name", "/upload/hashed", algorithm, int64(0), int64(0), 0)
        by_handle = extended(sftp, "check-file-handle", file.handle, algorithm, int64(0), int64(0), 0)
    for reply in (by_name, by_handle):
        assert reply.get_text() == algorithm
        assert reply.get_remainder() == wanted


def test_a_client_has_a_files_blocks_hashed(daemon: Daemon) -> None:
    daemon.sftp_done("put local /upload/blocks")
    with daemon.sftp() as sftp:
        reply = extended(sftp, "check-file-name", "/upload/blocks", "md5", int64(5), int64(2500), 1000)
    reply.get_text()
    blocks = (CONTENT[5:1005], CONTENT[1005:2005], CONTENT[2005:2505])
    assert reply.get_remainder() == b"".join(hashlib.md5(block).digest() for block in blocks)


def test_a_client_asks_for_the_room_there_is(daemon: Daemon) -> None:
    with daemon.sftp() as sftp:
        reply = extended(sftp, "space-available", "/upload")
    total, unused, share, unused_share = (reply.get_int64() for _ in range(4))
    device = os.statvfs(Path(daemon.inbound))
    assert (total, reply.get_int()) == (device.f_blocks * device.f_frsize, device.f_frsize)
    assert total >= share > unused_share > 0
    assert total > unused
