"""How the daemon starts, refuses to start, tells systemd of itself, and what it says of its state."""

import json
import os
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from daemon import PATIENCE, Daemon, eventually
from folders import quick_folder


@pytest.fixture(params=["path", "abstract"])
def service_manager(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[socket.socket]:
    """The socket on which systemd would hear of the daemon, by either kind of address."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        if request.param == "path":
            sock.bind(str(tmp_path / "notify"))
            monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        else:
            sock.bind("")  # the kernel picks an abstract name
            monkeypatch.setenv("NOTIFY_SOCKET", "@" + sock.getsockname()[1:].decode())
        monkeypatch.setenv("WATCHDOG_USEC", "400000")
        sock.settimeout(PATIENCE)
        yield sock


def test_systemd_hears_of_every_turn(tmp_path: Path, service_manager: socket.socket) -> None:
    with Daemon(tmp_path / "instance") as daemon:
        ready = next_with(service_manager, "READY")
        assert ready["READY"] == "1"
        assert ready["MAINPID"] == str(daemon.pid)
        assert ready["STATUS"] == "1 links, 0 sessions, 0 queued"
        alive = next_with(service_manager, "WATCHDOG")
        assert alive["WATCHDOG"] == "1"
        assert "1 links" in alive["STATUS"]
        os.kill(daemon.pid, signal.SIGHUP)
        reloading = next_with(service_manager, "RELOADING")
        assert int(reloading["MONOTONIC_USEC"]) > 0
        next_with(service_manager, "READY")
        daemon.stop()
        assert next_with(service_manager, "STOPPING")["STATUS"] == "draining"


def test_a_service_manager_that_is_gone_is_no_obstacle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "gone"))
    with Daemon(tmp_path / "instance") as daemon:
        daemon.sftp_done("ls /")
        daemon.stop()


def test_an_instance_is_served_once(tmp_path: Path) -> None:
    with Daemon(tmp_path / "instance") as daemon:
        second = daemon.process("serve")
        assert second.returncode == 1
        (line,) = second.stderr.splitlines()
        assert line.startswith("sftpd: ")
        assert "another sftpd has this instance open" in line
        assert str(daemon.root) in line
        daemon.sftp_done("ls /")


def test_a_taken_port_is_named(tmp_path: Path) -> None:
    daemon = Daemon(tmp_path / "instance")
    with socket.create_server((daemon.host, daemon.port)):
        refused = daemon.process("serve")
    assert refused.returncode == 1
    (line,) = refused.stderr.splitlines()
    assert f"{daemon.host}:{daemon.port}: cannot listen: Address already in use" in line
    assert "server.listen" in line


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda state: (state / "ledger.db").write_bytes(b"not a database" * 100), "ledger.db"),
        (lambda state: (state / "ledger.db").mkdir(), "ledger.db"),
        (lambda state: (state / "lock").mkdir(), "state"),
        (lambda state: (state / "audit").write_text(""), "audit"),
        (lambda state: (state / "control.sock").mkdir(), "control.sock"),
    ],
    ids=["ledger damaged", "ledger a folder", "lock a folder", "audit a file", "control socket a folder"],
)
def test_a_state_folder_that_cannot_be_used_is_told_in_one_line(
    tmp_path: Path, spoil: Callable[[Path], object], told: str
) -> None:
    daemon = Daemon(tmp_path / "instance")
    spoil(daemon.root / "state")
    refused = daemon.process("serve")
    assert refused.returncode == 1
    lines = [line for line in refused.stderr.splitlines() if line.startswith("sftpd: ")]
    assert len(lines) == 1, refused.stderr
    assert told in lines[0]
    assert "Traceback" not in refused.stderr


def test_status_tells_how_it_stands(tmp_path: Path) -> None:
    with Daemon(tmp_path / "instance") as daemon, daemon.sftp() as client:
        client.listdir("/")
        status = json.loads(daemon.process("status", "--json").stdout)
        assert status["running"] is True
        assert status["instance"] == "demo.local"
        assert status["links"] == {"demo": "active"}
        assert status["sessions"] == 1
        assert status["accounts"] == ["demo"]
        assert status["listen"] == [f"{daemon.host}:{daemon.port}"]
        assert status["queue"] == 0
        assert status["logs"].keys() == {"demo", "system"}
        assert {"version", "outbox", "jobs", "transfers", "children"} <= status.keys()
        assert daemon.process("status").returncode == 0


def test_status_of_a_daemon_that_does_not_run(tmp_path: Path) -> None:
    down = Daemon(tmp_path / "instance").process("status", "--json")
    assert down.returncode == 1
    assert json.loads(down.stdout)["running"] is False


def test_json_logs_are_one_object_a_line(tmp_path: Path) -> None:
    daemon = Daemon(tmp_path / "instance")
    daemon.configure("log", 'level = "debug"', 'format = "json"')
    with daemon:
        with socket.create_connection((daemon.host, daemon.port)) as stranger:
            stranger.sendall(b"SSH-1.0-stranger\r\n")
            while stranger.recv(4096):
                pass
        eventually(lambda: "connection_failed" in daemon.log, daemon)
        with daemon.sftp() as client:
            client.listdir("/")
            os.kill(daemon.sessions[-1], signal.SIGKILL)
            eventually(lambda: "session_died" in daemon.log, daemon)
        daemon.stop()
    lines = [line for line in daemon.log.splitlines() if " serves " not in line]
    entries = [json.loads(line) for line in lines]
    assert all({"event", "level", "timestamp"} <= entry.keys() for entry in entries)


def next_with(sock: socket.socket, key: str) -> dict[str, str]:
    """The next message with this key; whether messages without it come before is not asked."""
    while True:
        message = dict(line.split("=", 1) for line in sock.recv(4096).decode().splitlines())
        if key in message:
            return message


def test_a_folder_on_another_file_system_than_the_others_of_its_link_is_named(tmp_path: Path) -> None:
    with quick_folder() as elsewhere:
        daemon = Daemon(tmp_path / "instance")
        if elsewhere.stat().st_dev == daemon.root.stat().st_dev:
            pytest.skip("there is one file system only")
        daemon.outbound.rmdir()
        daemon.outbound.symlink_to(elsewhere)
        with daemon:
            assert daemon.log.count(f"{daemon.outbound}: lies on another file system") == 1
            daemon.outbound.unlink()
            daemon.outbound.mkdir()
            daemon.reload()
            assert daemon.log.count("folder_apart") == 1
