"""The audit log of a live link: it holds, a changed byte shows, and it names nobody and no file."""

import json
from pathlib import Path

import pytest
from daemon import Daemon, eventually

EMAIL = "jan.devries@example.org"
NAMES = ("salaries-2026.csv", "payslips", "prices-for-partner.csv")


@pytest.fixture(scope="module")
def traffic(tmp_path_factory: pytest.TempPathFactory) -> Daemon:
    """A stopped daemon whose logs tell of traffic both ways, a hold and a deletion request."""
    daemon = Daemon(tmp_path_factory.mktemp("audit") / "instance")
    with daemon:
        exchange(daemon)
        assert daemon.cli("audit", "verify").returncode == 0
        daemon.stop()
    return daemon


def test_every_log_verifies(traffic: Daemon) -> None:
    verified = json.loads(traffic.cli("audit", "verify", "--json").stdout)
    assert verified["valid"] is True
    assert {row["log"]: row["size"] for row in verified["logs"]} == {
        log: len(traffic.events(log)) for log in ("demo", "system")
    }
    assert len(traffic.events()) > 20


def test_a_changed_byte_is_found_and_located(traffic: Daemon) -> None:
    public = traffic.root / "state/audit/demo/public"
    size = len(traffic.events())
    for name in ("checkpoint", f"tile/0/000.p/{size}", f"tile/entries/000.p/{size}"):
        path = public / name
        genuine = path.read_bytes()
        middle = len(genuine) // 2
        path.write_bytes(genuine[:middle] + bytes([genuine[middle] ^ 1]) + genuine[middle + 1 :])
        found = traffic.cli("audit", "verify")
        assert found.returncode == 1, name
        assert str(path) in found.stderr
        path.write_bytes(genuine)
    assert traffic.cli("audit", "verify").returncode == 0


def test_no_leaf_names_a_file_or_a_person(traffic: Daemon) -> None:
    leaves = json.dumps(traffic.events() + traffic.events("system"), ensure_ascii=False)
    types = {event["type"] for event in traffic.events()}
    assert {"transfer.received", "transfer.delivered", "hold.placed", "erasure.closed"} <= types
    for secret in (*NAMES, EMAIL, "devries", "Jan", "127.0.0.1", "Privacy Officer", "Court order"):
        assert secret not in leaves


def test_the_operator_still_reads_the_names(traffic: Daemon) -> None:
    told = traffic.cli("audit", "tail", "--link", "demo", "--count", "500", "--json").stdout
    assert NAMES[2] in told
    found = json.loads(traffic.cli("audit", "search", NAMES[2], "--link", "demo", "--json").stdout)
    assert {"transfer.delivered"} <= {event["type"] for event in found}


def test_the_partner_verifies_its_own_copy_and_that_the_log_only_grew(tmp_path: Path) -> None:
    with Daemon(tmp_path / "instance") as daemon:
        exchange(daemon)
        key = json.loads(daemon.cli("audit", "verify", "--json").stdout)["key"]
        daemon.sftp_done("get -r /audit first")
        drop(daemon, "more.csv")
        eventually(lambda: "more.csv" in daemon.sftp_done("ls /download"), daemon)
        daemon.sftp_done("get -r /audit second")
        daemon.stop()
        offline = ["audit", "verify", "--origin", "demo.local/demo", "--key", key]
        first, second = daemon.desk / "first", daemon.desk / "second"
        assert daemon.cli(*offline, "--folder", str(first)).returncode == 0
        grown = daemon.cli(*offline, "--folder", str(second), "--kept", str(first / "checkpoint"))
        assert grown.returncode == 0, grown.stderr
        shrunk = daemon.cli(*offline, "--folder", str(first), "--kept", str(second / "checkpoint"))
        assert shrunk.returncode == 1


def exchange(daemon: Daemon) -> None:
    """Traffic both ways, a hold placed and released, and a deletion request from its receipt to its end."""
    daemon.file("local", f"name,email\nJan,{EMAIL}\nAnna,anna@example.org\n".encode())
    daemon.sftp_done(f"mkdir /upload/{NAMES[1]}", f"put local /upload/{NAMES[1]}/{NAMES[0]}")
    drop(daemon, NAMES[2])
    eventually(lambda: NAMES[2] in daemon.sftp_done("ls /download"), daemon)
    daemon.sftp_done(f"get /download/{NAMES[2]} fetched")
    placed = daemon.cli(
        *("hold", "add", "--link", "demo", "--glob", NAMES[0]),
        *("--reason", "Court order", "--by", "Privacy Officer", "--json"),
    )
    daemon.cli("hold", "release", json.loads(placed.stdout)["id"], "--by", "Privacy Officer")
    opened = daemon.cli("erasure", "open", "--link", "demo", "--identifier", f"email={EMAIL}", "--json")
    request = json.loads(opened.stdout)["id"]
    for step in (("find",), ("approve", "--by", "Privacy Officer"), ("run",)):
        done = daemon.cli("erasure", step[0], request, *step[1:])
        assert done.returncode == 0, done.stderr


def drop(daemon: Daemon, name: str) -> None:
    """A file for the partner, put into the watched folder whole."""
    daemon.file(name, b"bread,2.10\n").rename(daemon.outbound / name)
