"""Floods and guessers are kept out by where they come from; honest clients get in beside them at once."""

import contextlib
import os
import re
import signal
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import argon2
import paramiko
import pytest
from daemon import PATIENCE, Daemon, eventually
from waiting import holds

ATTEMPTS = 20


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    made = Daemon(tmp_path / "instance")
    made.configure("server", "unauthenticated_per_address = 10", "penalty_exempt = []")
    hashed = made.root / "keys/secret.argon2id"
    hashed.touch(mode=0o600)
    hashed.write_text(argon2.PasswordHasher().hash("right"))
    made.add_account("by-password", 'password = "file:keys/secret.argon2id"')
    made.file("local", b"honest")
    with made as running:
        yield running


def come(daemon: Daemon, source: str) -> socket.socket:
    """A connection from an address of the loopback network."""
    return socket.create_connection((daemon.host, daemon.port), PATIENCE, source_address=(source, 0))


def is_turned_away(daemon: Daemon, source: str) -> bool:
    """Whether a connection is closed before the server says who it is."""
    with come(daemon, source) as sock:
        try:
            return sock.recv(1) == b""
        except ConnectionError:
            return True


def guess(daemon: Daemon, source: str) -> None:
    """One wrong password in a connection of its own, as far as it gets."""
    transport = paramiko.Transport(come(daemon, source))
    try:
        transport.start_client(timeout=PATIENCE)
        transport.auth_password("by-password", "wrong")
    finally:
        transport.close()


def transfer(daemon: Daemon, name: str) -> None:
    daemon.sftp_done(f"put local /upload/{name}", f"ls /upload/{name}")
    assert (daemon.inbound / name).read_bytes() == b"honest"


def crash(daemon: Daemon) -> None:
    """Have the only session crash."""
    (session,) = daemon.sessions
    os.kill(session, signal.SIGSEGV)


def refusals(daemon: Daemon, source: str) -> list[tuple[str, int]]:
    """Reason and count of each line on refused connections."""
    lines = [line for line in daemon.log.splitlines() if f" address={source} " in line]
    told = [dict(re.findall(r"(\w+)=(\S+)", line)) for line in lines if "connection_refused" in line]
    return [(line["reason"], int(line["count"])) for line in told]


def test_silent_connections_of_one_address_leave_room_for_others(daemon: Daemon) -> None:
    with ExitStack() as stack:
        for _ in range(300):
            stack.enter_context(come(daemon, "127.0.0.2"))
        for number in range(5):
            transfer(daemon, f"beside-{number}")
        eventually(lambda: len(daemon.sessions) == 10, daemon)
        assert is_turned_away(daemon, "127.0.0.2")
        assert {reason for reason, _ in refusals(daemon, "127.0.0.2")} == {"ADDRESS_LIMIT"}
        assert daemon.log.count("connection_refused") < 10
    eventually(lambda: not daemon.sessions, daemon)


def test_silent_connections_of_many_networks_displace_each_other_alone(daemon: Daemon) -> None:
    with ExitStack() as stack:
        client = stack.enter_context(daemon.sftp())
        for last in range(10):
            for network in range(30):
                stack.enter_context(come(daemon, f"127.1.{network}.{last}"))
        transfer(daemon, "beside")  # it came last: all others have been received before it
        eventually(lambda: len(daemon.sessions) <= 101, daemon)
        assert "beside" in client.listdir("/upload")
        assert "connections_displaced" in daemon.log
        assert "session_died" not in daemon.log
    eventually(lambda: not daemon.sessions, daemon)


@pytest.mark.slow
def test_who_guesses_passwords_is_refused_for_a_time_and_nobody_else(daemon: Daemon) -> None:
    turned_away = 0
    for _ in range(ATTEMPTS):
        try:
            guess(daemon, "127.0.0.3")
        except paramiko.AuthenticationException:
            eventually(lambda: not daemon.sessions, daemon)
        except (paramiko.SSHException, EOFError, ConnectionError):
            turned_away += 1
    assert ATTEMPTS - turned_away < 10
    assert is_turned_away(daemon, "127.0.0.3")
    transfer(daemon, "beside")
    assert {reason for reason, _ in refusals(daemon, "127.0.0.3")} == {"PENALTY"}
    refused = daemon.events_of("session.refused", log="system")
    assert [event["data"]["reason"] for event in refused].count("PENALTY") == 1
    assert "127.0.0.3" not in str(daemon.events("system"))
    assert holds(lambda: not is_turned_away(daemon, "127.0.0.3"), 4 * PATIENCE)
    with daemon.sftp("by-password", password="right", sock=come(daemon, "127.0.0.3")) as client:
        assert "upload" in client.listdir("/")


def test_who_twice_does_not_log_in_in_time_is_refused(daemon: Daemon) -> None:
    daemon.stop()
    daemon.configure("server", "login_grace = 1")
    daemon.start()
    with come(daemon, "127.0.0.5"), come(daemon, "127.0.0.5"):
        eventually(lambda: "offence=grace-exceeded" in daemon.log, daemon)
    assert is_turned_away(daemon, "127.0.0.5")
    with come(daemon, "127.0.0.1") as sock:
        assert sock.recv(4) == b"SSH-"


def test_a_crash_before_the_login_is_penalised_at_once(daemon: Daemon) -> None:
    with come(daemon, "127.0.0.4") as sock:
        assert sock.recv(4) == b"SSH-"
        crash(daemon)
        eventually(lambda: "penalty_begun" in daemon.log, daemon)
    assert is_turned_away(daemon, "127.0.0.4")
    transfer(daemon, "beside")


def test_a_crash_after_the_login_is_not(daemon: Daemon) -> None:
    with contextlib.suppress(OSError, EOFError, paramiko.SSHException), daemon.sftp():
        crash(daemon)
        eventually(lambda: "session_died" in daemon.log, daemon)
    transfer(daemon, "after")


def test_who_starts_too_often_is_turned_away_and_nobody_else(daemon: Daemon) -> None:
    daemon.stop()
    daemon.configure("server", "starts_per_network = 2", "penalties = false")
    daemon.start()
    assert [is_turned_away(daemon, "127.0.9.1") for _ in range(20)].count(True) > 0
    assert {reason for reason, _ in refusals(daemon, "127.0.9.1")} == {"START_LIMIT"}
    transfer(daemon, "beside")
    assert holds(lambda: not is_turned_away(daemon, "127.0.9.1"))
