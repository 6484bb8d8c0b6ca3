"""How the daemon ends: on request in good order, and when it is killed without leaving anything behind."""

import os
import signal
import subprocess
import threading
from pathlib import Path

import leaks
import pytest
from daemon import PATIENCE, Daemon, eventually

SLOW_GATE = """#!/bin/sh
cat >/dev/null
sleep 3
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_ends_with_status_0_and_leaves_nothing_behind(tmp_path: Path, number: signal.Signals) -> None:
    daemon = Daemon(tmp_path / "instance")
    with daemon, daemon.sftp() as idle:
        idle.listdir("/")
        below = leaks.processes(daemon.pid)
        os.kill(daemon.pid, number)
        eventually(lambda: has_ended(daemon.pid), daemon)
        daemon.stop()
        assert not [pid for pid in below if not has_ended(pid)]
        assert not list((daemon.root / "state").glob("*.sock"))
        assert "Traceback" not in daemon.log
        assert [event["type"] for event in daemon.events("system")] == ["daemon.started", "daemon.stopped"]
        assert daemon.cli("audit", "verify").returncode == 0


def test_an_upload_under_way_is_finished_first(tmp_path: Path) -> None:
    with Daemon(tmp_path / "instance") as daemon, daemon.sftp() as client:
        with client.open("/upload/report", "wb") as upload:
            upload.write(b"first half, ")
            upload.flush()
            os.kill(daemon.pid, signal.SIGTERM)
            eventually(lambda: "stopping" in daemon.log, daemon)
            upload.write(b"second half")
        daemon.stop()
        assert (daemon.inbound / "report").read_bytes() == b"first half, second half"


def test_an_upload_that_is_being_screened_is_answered_first(tmp_path: Path) -> None:
    daemon = Daemon(tmp_path / "instance")
    daemon.add_hook("pre-receive", "10-slow", SLOW_GATE)
    daemon.file("report", b"whole")
    outcome: list[subprocess.CompletedProcess[str]] = []
    put = threading.Thread(target=lambda: outcome.append(daemon.sftp_batch("put report /upload/report")))
    with daemon:
        put.start()
        eventually(lambda: any(map(is_hook, leaks.processes(daemon.pid).values())), daemon)
        os.kill(daemon.pid, signal.SIGTERM)
        put.join(PATIENCE)
        daemon.stop()
    assert outcome[0].returncode == 0, outcome[0].stderr
    assert (daemon.inbound / "report").read_bytes() == b"whole"


@pytest.mark.slow
def test_an_upload_that_takes_too_long_stays_a_part(tmp_path: Path) -> None:
    with Daemon(tmp_path / "instance") as daemon, daemon.sftp() as client:
        upload = client.open("/upload/report", "wb")
        upload.write(b"first half, ")
        upload.flush()
        daemon.stop()
        assert not (daemon.inbound / "report").exists()
        assert (daemon.staging / "demo/upload/report").read_bytes() == b"first half, "
        daemon.start()
        assert "report" in daemon.sftp_done("ls /upload")
        assert not (daemon.inbound / "report").exists()


def test_while_it_drains_nobody_new_is_let_in(tmp_path: Path) -> None:
    with Daemon(tmp_path / "instance") as daemon, daemon.sftp() as client:
        with client.open("/upload/report", "wb") as upload:
            upload.write(b"x")
            upload.flush()
            os.kill(daemon.pid, signal.SIGTERM)
            eventually(lambda: "stopping" in daemon.log, daemon)
            eventually(lambda: daemon.sftp_batch("ls /").returncode != 0, daemon)
        daemon.stop()
        assert len(daemon.events_of("session.opened")) == 1


def test_a_killed_daemon_takes_all_its_processes_along_and_starts_again(tmp_path: Path) -> None:
    with Daemon(tmp_path / "instance") as daemon, daemon.sftp() as client:
        client.listdir("/upload")
        assert daemon.sessions
        daemon.kill()  # it checks that no process outlives the monitor
        daemon.start()
        assert daemon.cli("status").returncode == 0
        daemon.sftp_done("ls /upload")


def test_a_killed_zygote_costs_its_children_and_is_replaced(tmp_path: Path) -> None:
    with Daemon(tmp_path / "instance") as daemon, daemon.sftp() as client:
        client.listdir("/upload")
        session = daemon.sessions[0]
        os.kill(parent(session), signal.SIGKILL)
        eventually(lambda: has_ended(session), daemon)
        eventually(lambda: daemon.sftp_batch("ls /").returncode == 0, daemon)
        eventually(lambda: not daemon.sessions, daemon)
        assert "zygote_ended" in daemon.log
        daemon.stop()


def is_hook(name: str) -> bool:
    """Whether a process of this name runs the slow gate."""
    return name.startswith("10-slow")


def has_ended(pid: int) -> bool:
    """Whether a process is gone or only waits to be buried."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].startswith("Z")
    except (FileNotFoundError, ProcessLookupError):
        return True


def parent(pid: int) -> int:
    """The process that started this one."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()[1])
