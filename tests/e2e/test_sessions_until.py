"""Sessions that are open, and what is on its way, when what they rest on comes to its end."""

import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import paramiko
import pytest
from daemon import Daemon, eventually
from sshd import Sshd, sshd
from test_compliance_guards import Shifted
from traffic_scene import outbound, with_remote

DAYS = timedelta(days=2)
GONE = (OSError, EOFError, paramiko.SSHException)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Sshd]:
    with sshd(tmp_path / "sshd") as running:
        yield running


def add_terms(daemon: Daemon, effective: str) -> None:
    """Terms that nobody has accepted."""
    sha256 = hashlib.sha256(b"terms").hexdigest()
    lines = ('document = "Terms"', 'version = "2"', f'sha256 = "{sha256}"', f"effective = {effective}")
    daemon.configure_link("link.terms", *lines)


def ends(daemon: Daemon, client: paramiko.SFTPClient) -> None:
    def is_over() -> bool:
        try:
            client.listdir("/upload")
        except GONE:
            return True
        return False

    eventually(is_over, daemon)


def test_from_the_day_of_terms_that_nobody_accepted_nothing_goes_on(tmp_path: Path, server: Sshd) -> None:
    daemon = Shifted(tmp_path / "instance")
    daemon.configure("instance", 'time_zone = "UTC"')
    with_remote(daemon, server, outbound(server.root, 'rate = "2 KiB"'))
    with daemon, daemon.sftp() as client:
        add_terms(daemon, (datetime.now(UTC) + DAYS).date().isoformat())
        daemon.reload()
        client.listdir("/upload")
        (daemon.outbound / "large.bin").write_bytes(bytes(2 << 20))
        eventually(lambda: list(server.root.glob(".*.part")), daemon)
        daemon.set_clock(DAYS)
        ends(daemon, client)
        eventually(lambda: "reason=TERMS_NOT_ACCEPTED" in daemon.log, daemon)
        assert not (server.root / "large.bin").exists()


def test_terms_that_a_reload_brings_bind_those_who_are_logged_in(tmp_path: Path) -> None:
    with Daemon(tmp_path / "instance") as daemon, daemon.sftp() as client:
        client.listdir("/upload")
        add_terms(daemon, "2026-01-01")
        daemon.reload()
        with pytest.raises(GONE):
            client.listdir("/upload")
        assert daemon.cli("link", "accept", "demo", "--by", "Ina").returncode == 0
        daemon.sftp_done("ls /upload")


def test_an_account_is_logged_in_no_longer_than_it_may_log_in(tmp_path: Path) -> None:
    daemon = Shifted(tmp_path / "instance")
    daemon.configure("instance", 'time_zone = "UTC"')
    last = (datetime.now(UTC) + DAYS).date() - timedelta(days=1)
    daemon.add_account("guest", f'keys = ["file:{daemon.key}.pub"]', f"expires = {last.isoformat()}")
    with daemon, daemon.sftp() as stays, daemon.sftp("guest", key_filename=str(daemon.key)) as guest:
        guest.listdir("/upload")
        daemon.set_clock(DAYS)
        ends(daemon, guest)
        stays.listdir("/upload")
        daemon.stop()
