"""Who is let in: keys of each type, passwords, networks, expiry, the link's state, the number of sessions."""

import json
import os
import re
import shlex
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import argon2
import paramiko
import pytest
import sshd
from daemon import Daemon, eventually

PASSWORD = "correct horse battery staple é"
KEYS = 'keys = ["file:keys/demo_partner_ed25519.pub"]'
KEY_TYPES = ("ed25519", "ecdsa", "rsa")


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    made = Daemon(tmp_path_factory.mktemp("logins") / "instance")
    made.configure("server", "max_sessions_per_account = 2", "penalties = false")
    for key_type in KEY_TYPES:
        sshd.make_key(made.desk / key_type, key_type)
        made.add_account(f"by-{key_type}", f'keys = ["file:{made.desk / key_type}.pub"]')
    hashed = made.root / "keys/secret.argon2id"
    hashed.touch(mode=0o600)
    hashed.write_text(argon2.PasswordHasher().hash(PASSWORD))
    made.add_account("by-password", 'password = "file:keys/secret.argon2id"')
    made.add_account("elsewhere", KEYS, 'networks = ["192.0.2.0/24", "2001:db8::/32"]')
    made.add_account("here", KEYS, 'networks = ["127.0.0.0/8"]')
    made.add_account("expired", KEYS, "expires = 2020-01-01")
    made.add_account("valid", KEYS, "expires = 9999-12-31")
    sshd.make_key(made.desk / "stranger", "ed25519")
    with made as running:
        yield running


def by_password(daemon: Daemon, user: str, password: str) -> "subprocess.CompletedProcess[str]":
    """OpenSSH's own login by password, which it asks a program for."""
    asked = daemon.desk / "askpass"
    asked.write_text(f"#!/bin/sh\necho {shlex.quote(password)}\n")
    asked.chmod(0o700)
    options = ["-F", "none", "-o", f"UserKnownHostsFile={daemon.known_hosts}"]
    options += ["-o", "PreferredAuthentications=password", "-o", "NumberOfPasswordPrompts=1"]
    return subprocess.run(
        ["sftp", "-o", "BatchMode=no", "-b", "-", *options, "-P", str(daemon.port), f"{user}@{daemon.host}"],
        input="ls\n",
        capture_output=True,
        text=True,
        env=os.environ | {"SSH_ASKPASS": str(asked), "SSH_ASKPASS_REQUIRE": "force"},
        timeout=60,
    )


@pytest.mark.parametrize("key_type", KEY_TYPES)
def test_a_key_of_each_type_logs_in(daemon: Daemon, key_type: str) -> None:
    assert "upload" in daemon.sftp_done("ls", user=f"by-{key_type}", key=daemon.desk / key_type)


def test_rsa_signs_with_sha_2_alone(daemon: Daemon) -> None:
    algorithm = ("-o", "PubkeyAcceptedAlgorithms=ssh-rsa")
    done = daemon.sftp_batch("ls", user="by-rsa", key=daemon.desk / "rsa", options=algorithm)
    assert done.returncode == 255
    for size in ("256", "512"):
        accepted = ("-o", f"PubkeyAcceptedAlgorithms=rsa-sha2-{size}")
        done = daemon.sftp_batch("ls", user="by-rsa", key=daemon.desk / "rsa", options=accepted)
        assert done.returncode == 0, done.stderr


def test_a_password_logs_in(daemon: Daemon) -> None:
    done = by_password(daemon, "by-password", PASSWORD)
    assert done.returncode == 0, done.stderr
    with daemon.sftp("by-password", password=PASSWORD) as sftp:
        assert "upload" in sftp.listdir("/")


@pytest.mark.parametrize(
    ("user", "password"),
    [
        ("by-password", "wrong"),
        ("by-password", ""),
        ("demo", PASSWORD),
        ("nobody", PASSWORD),
        ("../etc", "x"),
    ],
)
def test_a_wrong_password_is_answered_like_an_unknown_user(daemon: Daemon, user: str, password: str) -> None:
    done = by_password(daemon, user, password)
    assert done.returncode == 255
    assert done.stderr.splitlines()[0] == f"{user}@{daemon.host}: Permission denied (publickey,password)."


@pytest.mark.parametrize(
    ("user", "key"),
    [
        ("demo", "stranger"),
        ("nobody", "stranger"),
        ("nobody", "ed25519"),
        ("by-ed25519", "rsa"),
        ("by-password", "ed25519"),
    ],
)
def test_a_wrong_key_is_answered_like_an_unknown_user(daemon: Daemon, user: str, key: str) -> None:
    assert_refused(daemon, user, daemon.desk / key)


@pytest.mark.parametrize("user", ["elsewhere", "expired"])
def test_an_account_that_is_not_welcome_now_and_here_is_refused_alike(daemon: Daemon, user: str) -> None:
    assert_refused(daemon, user, daemon.key)


@pytest.mark.parametrize("user", ["here", "valid"])
def test_an_account_within_its_bounds_is_let_in(daemon: Daemon, user: str) -> None:
    daemon.sftp_done("ls", user=user)


def test_more_sessions_than_an_account_may_have(daemon: Daemon) -> None:
    eventually(lambda: not daemon.sessions, daemon)
    with ExitStack() as stack:
        for _ in range(2):
            stack.enter_context(daemon.sftp("here"))
        assert_refused(daemon, "here", daemon.key)
        daemon.sftp_done("ls", user="valid")
    eventually(lambda: not daemon.sessions, daemon)
    daemon.sftp_done("ls", user="here")


def test_refusals_are_recorded_without_names_and_logged_with_them(daemon: Daemon) -> None:
    before = len(refusals(daemon))
    assert_refused(daemon, "expired", daemon.key)
    by_password(daemon, "intruder", "guessed-word")
    eventually(lambda: len(refusals(daemon)) == before + 2, daemon)
    assert "intruder" not in str(daemon.events("system"))
    for user in ("expired", "intruder"):
        assert f"user={user}" in daemon.log
    assert "guessed-word" not in daemon.log


def test_keys_that_led_to_no_login_are_one_refusal_a_connection(daemon: Daemon) -> None:
    before = len(refusals(daemon))
    keys = [daemon.desk / name for name in ("stranger", "rsa", "ecdsa")]
    offered = tuple(word for key in keys for word in ("-i", str(key)))
    agent = ("-o", "IdentityAgent=none")
    done = daemon.sftp_batch(
        "ls", user="valid", key=keys[0], options=(*agent, *offered, "-i", str(daemon.key))
    )
    assert done.returncode == 0, done.stderr
    done = daemon.sftp_batch("ls", user="nobody-known", key=keys[0], options=(*agent, *offered))
    assert done.returncode == 255
    eventually(lambda: not daemon.sessions and len(refusals(daemon)) > before, daemon)
    (refused,) = refusals(daemon)[before:]
    assert refused["public"] == {"reason": "NOT_AUTHENTICATED"}
    proof = refused["private"].pop("proof")
    assert refused["private"] == {"user": "nobody-known", "address": "127.0.0.1"}
    assert sorted(proof.split(", ")) == sorted(map(fingerprint, keys))
    assert "nobody-known" not in str(daemon.events("system"))


def fingerprint(key: Path) -> str:
    """A key's fingerprint, as OpenSSH has it."""
    told = subprocess.run(
        ["ssh-keygen", "-l", "-f", f"{key}.pub"], capture_output=True, text=True, check=True
    )
    return told.stdout.split()[1]


def refusals(daemon: Daemon) -> list[dict[str, Any]]:
    """The logins that were refused and belong to no link, as the operator reads of them."""
    told = json.loads(daemon.cli("audit", "tail", "--count", "1000", "--json").stdout)
    return [event for event in told if event["type"] == "session.refused"]


def test_at_most_six_tries_a_connection(daemon: Daemon) -> None:
    transport = paramiko.Transport((daemon.host, daemon.port))
    try:
        transport.start_client(timeout=30)
        for _ in range(6):
            with pytest.raises(paramiko.SSHException):
                transport.auth_password("by-password", "wrong")
        with pytest.raises((paramiko.SSHException, EOFError)):
            transport.auth_password("by-password", PASSWORD)
        assert not transport.is_authenticated()
    finally:
        transport.close()


def test_a_suspended_link_lets_nobody_in(tmp_path: Path) -> None:
    with Daemon(tmp_path / "instance") as daemon:
        daemon.sftp_done("ls")
        suspended = daemon.cli("link", "suspend", "demo", "--by", "tester", "--reason", "test")
        assert suspended.returncode == 0, suspended.stderr
        assert_refused(daemon, daemon.user, daemon.key)


def test_suspending_a_link_ends_its_sessions_and_no_other(tmp_path: Path) -> None:
    daemon = Daemon(tmp_path / "instance")
    ours = (daemon.root / "links.d/demo.toml").read_text()
    other = re.sub(r'^name = "demo.*"$', 'name = "other"', ours, flags=re.MULTILINE)
    (daemon.root / "links.d/other.toml").write_text(other)
    with daemon, daemon.sftp() as stopped, daemon.sftp(user="other") as going:
        assert stopped.listdir("/upload") == going.listdir("/upload") == []
        assert daemon.cli("link", "suspend", "demo", "--by", "tester").returncode == 0
        with pytest.raises((OSError, EOFError, paramiko.SSHException)):
            stopped.listdir("/upload")
        assert going.listdir("/upload") == []


def assert_refused(daemon: Daemon, user: str, key: Path) -> None:
    done = daemon.sftp_batch("ls", user=user, key=key)
    assert done.returncode == 255
    assert done.stderr.splitlines()[0] == f"{user}@{daemon.host}: Permission denied (publickey,password)."
