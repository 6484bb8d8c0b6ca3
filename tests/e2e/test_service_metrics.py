"""What Prometheus is told: counted from events, read from the running daemon, and of nobody by name."""

import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
import sshd
from daemon import PATIENCE, Daemon, eventually
from prometheus_client.parser import text_string_to_metric_families


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    made = Daemon(tmp_path / "instance")
    made.port_of_metrics = sshd.free_port()
    made.configure("metrics", f'listen = "127.0.0.1:{made.port_of_metrics}"')
    made.configure("limits", "files_per_day = 1")
    made.file("local", b"x" * 1000)
    with made as running:
        yield running


def fetch(daemon: Daemon, path: str = "/metrics") -> str:
    url = f"http://127.0.0.1:{daemon.port_of_metrics}{path}"
    with urllib.request.urlopen(url, timeout=PATIENCE) as answer:
        return answer.read().decode()


def scrape(daemon: Daemon) -> dict[tuple[str, ...], float]:
    """Each sample by its name and the values of its labels."""
    families = text_string_to_metric_families(fetch(daemon))
    return {(s.name, *sorted(s.labels.values())): s.value for family in families for s in family.samples}


def test_what_happened_is_counted_and_what_is_there_is_shown(daemon: Daemon) -> None:
    assert scrape(daemon)["sftpd_sessions", "demo"] == 0
    (daemon.link / ".sftpd/download/there").write_bytes(b"y" * 50)
    daemon.sftp_done("put local /upload/one", "get /download/there")
    assert daemon.sftp_batch("put local /upload/two").returncode != 0
    assert daemon.sftp_batch("ls", user="nobody").returncode != 0
    with daemon.sftp():
        assert scrape(daemon)["sftpd_sessions", "demo"] == 1
    eventually(lambda: scrape(daemon)["sftpd_sessions", "demo"] == 0, daemon)
    # What nobody waits for is committed a moment later, and is in the log once the daemon says so.
    eventually(lambda: scrape(daemon)["sftpd_audit_log_leaves", "demo"] == len(daemon.events()), daemon)
    eventually(lambda: scrape(daemon)["sftpd_outbox_events",] == 0, daemon)
    seen = scrape(daemon)
    assert seen["sftpd_logins_total", "demo"] == 3
    assert seen["sftpd_limits_reached_total", "FILES_PER_DAY", "demo"] == 1
    assert seen["sftpd_received_files_total", "demo"] == 1
    assert seen["sftpd_received_bytes_total", "demo"] == 1000
    assert seen["sftpd_fetched_bytes_total", "demo"] == 50
    assert seen["sftpd_connections_refused_total", "PENALTY"] == 0
    assert seen["sftpd_erasure_requests", "demo"] == seen["sftpd_erasure_overdue", "demo"] == 0
    assert seen["process_resident_memory_bytes",] > 0


def test_nobody_is_named_and_nothing_else_is_told(daemon: Daemon) -> None:
    daemon.stop()
    daemon.add_account("mr-somebody", f'keys = ["file:{daemon.key}.pub"]')
    daemon.start()
    daemon.sftp_done("put local /upload/a-name", user="mr-somebody")
    told = fetch(daemon)
    assert 'sftpd_logins_total{link="demo"} 1.0' in told
    assert not [word for word in ("mr-somebody", "a-name", "127.0.0.1") if word in told]
    with pytest.raises(urllib.error.HTTPError, match="404"):
        fetch(daemon, "/")


def test_an_address_that_is_taken_is_named(daemon: Daemon) -> None:
    second = Daemon(daemon.root.with_name("second"))
    second.configure("metrics", f'listen = "127.0.0.1:{daemon.port_of_metrics}"')
    with pytest.raises(RuntimeError, match=f"127.0.0.1:{daemon.port_of_metrics}: cannot tell metrics"):
        second.start()
