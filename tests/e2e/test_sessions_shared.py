"""Several sessions in one process: served, kept apart, drained and ended as those with one of their own."""

import contextlib
import io
import os
import resource
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import paramiko
import pytest
from daemon import Daemon, eventually
from usage import MIB, sample


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    made = Daemon(tmp_path / "instance")
    made.configure("server", "sessions_per_process = 3", "login_grace = 3", "penalties = false")
    made.file("local", b"local")
    with made as running:
        yield running


def test_three_sessions_share_a_process_and_a_fourth_has_another(daemon: Daemon) -> None:
    contents = [os.urandom(MIB) for _ in range(4)]
    with ExitStack() as stack:
        clients = [stack.enter_context(daemon.sftp()) for _ in contents]
        threads = [
            threading.Thread(target=client.putfo, args=(io.BytesIO(content), f"/upload/f{number}"))
            for number, (client, content) in enumerate(zip(clients, contents, strict=True))
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(daemon.sessions) == 2
        for number, content in enumerate(contents):
            assert (daemon.inbound / f"f{number}").read_bytes() == content
    eventually(lambda: len(daemon.sessions) == 1, daemon)
    daemon.sftp_done("put local /upload/again")
    assert len(daemon.sessions) == 1


def test_a_process_that_crashes_is_told_of_by_each_of_its_sessions_and_replaced(daemon: Daemon) -> None:
    with (
        contextlib.suppress(EOFError, OSError, paramiko.SSHException),
        daemon.sftp(),
        daemon.sftp() as client,
    ):
        os.kill(daemon.sessions[0], signal.SIGSEGV)
        eventually(lambda: len(daemon.events_of("session.crashed")) == 2, daemon)
        client.stat("/")
    assert {event["data"]["how"] for event in daemon.events_of("session.crashed")} == {"SIGSEGV"}
    daemon.sftp_done("put local /upload/again")


def test_who_does_not_log_in_is_sent_away_and_others_stay(daemon: Daemon) -> None:
    with daemon.sftp() as client, socket.create_connection((daemon.host, daemon.port)) as silent:
        silent.settimeout(30)
        while silent.recv(4096):
            pass
        assert client.listdir("/upload") == []
        assert len(daemon.sessions) == 1


def test_a_session_that_is_ended_takes_no_other_along(daemon: Daemon) -> None:
    daemon.add_account("other", f'keys = ["file:{daemon.key}.pub"]')
    daemon.reload()
    with (
        daemon.sftp() as stays,
        contextlib.suppress(EOFError, OSError, paramiko.SSHException),
        daemon.sftp("other") as ended,
    ):
        assert len(daemon.sessions) == 1
        text = daemon.link_config.read_text()
        daemon.link_config.write_text(text[: text.index('\n[[account]]\nname = "other"')])
        daemon.reload()
        eventually(lambda: len(daemon.events_of("session.closed")) == 1, daemon)
        assert stays.listdir("/upload") == []
        ended.listdir("/upload")


def test_not_a_word_is_exchanged_after_a_link_was_suspended(daemon: Daemon) -> None:
    for _ in range(3):
        with daemon.sftp() as client:
            client.listdir("/upload")
            assert daemon.cli("link", "suspend", "demo", "--by", "Ina").returncode == 0
            with pytest.raises((OSError, EOFError, paramiko.SSHException)):
                client.listdir("/upload")
        assert daemon.cli("link", "resume", "demo", "--by", "Ina").returncode == 0


def test_a_session_that_is_ended_leaves_no_descriptor_and_no_lock_behind(daemon: Daemon) -> None:
    without = daemon.link_config.read_text()
    daemon.add_account("other", f'keys = ["file:{daemon.key}.pub"]')
    daemon.reload()
    with daemon.sftp() as stays:
        stays.listdir("/upload")
        host, before = daemon.sessions, opened(daemon)
        with (
            contextlib.suppress(EOFError, OSError, paramiko.SSHException),
            daemon.connected("other") as transport,
        ):
            clients = [paramiko.SFTPClient.from_transport(transport) for _ in range(2)]
            files = [
                client.open(f"/upload/{c}{n}", "wb") for c, client in enumerate(clients) for n in range(2)
            ]
            for file in files:
                file.write(b"half")
                file.flush()
            account = daemon.link_config.read_text()
            daemon.link_config.write_text(without)
            daemon.reload()
            eventually(lambda: len(daemon.events_of("session.closed")) == 1, daemon)
        assert daemon.sessions == host
        eventually(lambda: opened(daemon) == before, daemon)
        daemon.link_config.write_text(account)
        daemon.reload()
        with daemon.sftp("other") as again:
            for name in ("00", "01", "10", "11"):
                with again.open(f"/upload/{name}", "ab") as part:
                    part.write(b" whole")
                assert (daemon.inbound / name).read_bytes() == b"half whole"


def test_a_connection_for_which_there_is_no_descriptor_takes_no_other_along(daemon: Daemon) -> None:
    with daemon.sftp() as stays:
        stays.listdir("/upload")
        host = daemon.sessions
        limits = resource.prlimit(host[0], resource.RLIMIT_NOFILE)
        highest = max(int(fd.name) for fd in Path(f"/proc/{host[0]}/fd").iterdir())
        resource.prlimit(host[0], resource.RLIMIT_NOFILE, (highest + 1, limits[1]))
        assert daemon.sftp_batch("ls /upload").returncode != 0
        eventually(lambda: "descriptors did not fit" in daemon.log, daemon)
        resource.prlimit(host[0], resource.RLIMIT_NOFILE, limits)
        daemon.sftp_done("put local /upload/file")
        assert stays.listdir("/upload") == ["file"]
        assert daemon.sessions == host


def opened(daemon: Daemon) -> list[str]:
    """What its only process of sessions has open of the link's folders."""
    found = []
    for fd in Path(f"/proc/{daemon.sessions[0]}/fd").iterdir():
        with contextlib.suppress(OSError):
            found.append(os.readlink(fd))
    return sorted(path for path in found if path.startswith(str(daemon.link)))


def test_an_upload_under_way_is_finished_before_the_daemon_stops(daemon: Daemon) -> None:
    with (
        contextlib.suppress(EOFError, OSError, paramiko.SSHException),
        daemon.sftp() as idle,
        daemon.sftp() as client,
    ):
        file = client.open("/upload/slow", "wb")
        file.write(b"one ")
        stopping = threading.Thread(target=daemon.stop)
        stopping.start()
        eventually(lambda: "stopping" in daemon.log, daemon)
        file.write(b"two")
        file.close()
        stopping.join()
        idle.listdir("/")
    assert (daemon.inbound / "slow").read_bytes() == b"one two"


def test_an_empty_process_that_is_killed_leaves_no_descriptor_behind(daemon: Daemon) -> None:
    daemon.sftp_done("put local /upload/first")
    # From its first receipt on the monitor keeps their folder open.
    eventually(lambda: list((daemon.link / ".sftpd/receipts").rglob("*.json")), daemon)
    before = sample(daemon.pid)["monitor"].descriptors
    for _ in range(5):
        os.kill(daemon.sessions[0], signal.SIGKILL)
        eventually(lambda: not daemon.sessions, daemon)
        # Until the monitor knows that it ended, it may give it the next connection, which ends with it.
        eventually(lambda: daemon.sftp_batch("ls /upload").returncode == 0, daemon)
    eventually(lambda: sample(daemon.pid)["monitor"].descriptors <= before, daemon)


def test_sessions_that_have_ended_leave_no_memory_behind(daemon: Daemon) -> None:
    daemon.file("medium", os.urandom(MIB))
    with daemon.sftp() as stays:
        used = []
        for _ in range(20):
            daemon.sftp_done("put medium /upload/medium", "ls -l /upload")
            eventually(lambda: sample(daemon.pid)["sessions"].threads == 2, daemon)
            used.append(sample(daemon.pid)["sessions"].private)
        stays.listdir("/upload")
    assert max(used) - used[2] < MIB
