"""Sockets that a service manager hands over: a restart refuses no connection."""

import os
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from daemon import SFTPD, Daemon, eventually

_HAND_OVER = 'LISTEN_PID=$$ LISTEN_FDS=1 exec "$@" 3<&"$SOCKET"'


@contextmanager
def activated(daemon: Daemon, handed: socket.socket) -> Iterator["subprocess.Popen[bytes]"]:
    log = (daemon.root / "activated.log").open("ab")
    with (
        log,
        subprocess.Popen(
            ["bash", "-c", _HAND_OVER, "bash", SFTPD, "serve", "--config", daemon.config],
            env={**os.environ, "SOCKET": str(handed.fileno())},
            pass_fds=[handed.fileno()],
            stdout=log,
            stderr=log,
        ) as process,
    ):
        try:
            yield process
        finally:
            process.terminate()


@pytest.fixture
def daemon(tmp_path: Path) -> Daemon:
    made = Daemon(tmp_path / "instance")
    made.file("local", b"local")
    return made


def test_a_restart_refuses_no_connection(daemon: Daemon) -> None:
    with socket.create_server(("127.0.0.1", 0)) as handed:
        meet(daemon, handed)
        with activated(daemon, handed):
            daemon.sftp_done("put local /upload/first")
        # Nobody accepts now, and yet nobody is refused.
        answers: list[str] = []
        client = threading.Thread(target=lambda: answers.append(daemon.sftp_done("ls /upload")))
        client.start()
        socket.create_connection(("127.0.0.1", daemon.port)).close()
        with activated(daemon, handed):
            client.join()
            daemon.sftp_done("put local /upload/second")
        assert "first" in answers[0]
    assert {path.name for path in daemon.inbound.iterdir()} == {"first", "second"}


def test_a_socket_for_both_families_lets_in_who_comes_from_a_network_of_ipv4(daemon: Daemon) -> None:
    """As systemd makes it where sftpd.socket names a port alone."""
    daemon.configure_link("[account]", 'networks = ["127.0.0.0/8"]')
    both = socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True)
    with both as handed, activated(daemon, handed):
        meet(daemon, handed)
        daemon.sftp_done("put local /upload/file")
    assert (daemon.inbound / "file").exists()


def meet(daemon: Daemon, handed: socket.socket) -> None:
    """Have clients go to the socket."""
    daemon.port = handed.getsockname()[1]
    daemon.known_hosts.write_text(
        daemon.known_hosts.read_text().replace(f":{daemon.about['port']} ", f":{daemon.port} ")
    )


def test_where_it_listens_is_told(daemon: Daemon) -> None:
    with socket.create_server(("127.0.0.1", 0)) as handed, activated(daemon, handed):
        log = daemon.root / "activated.log"
        port = handed.getsockname()[1]
        eventually(lambda: f" serves demo.local on 127.0.0.1:{port}\n" in log.read_text(), daemon)
        assert f'"127.0.0.1:{port}"' in daemon.cli("status", "--json").stdout


def test_what_is_no_listening_socket_is_named(daemon: Daemon) -> None:
    with socket.socket() as handed, activated(daemon, handed) as process:
        assert process.wait(60) == 1
    told = (daemon.root / "activated.log").read_text()
    assert "descriptor 3" in told
    assert "no listening stream socket" in told
