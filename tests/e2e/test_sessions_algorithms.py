"""Algorithms by default and for old clients, and host keys that change without a break."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import sshd
from daemon import Daemon, eventually

SSH_AUDIT = Path(sys.executable).with_name("ssh-audit")
CURVE = ("curve25519-sha256", "curve25519-sha256@libssh.org")
NOT_QUANTUM_SAFE = "does not provide protection against post-quantum attacks"


@pytest.fixture
def daemon(tmp_path: Path) -> Daemon:
    made = Daemon(tmp_path / "instance")
    made.configure("server", "penalties = false")
    return made


@pytest.fixture
def compat(daemon: Daemon) -> Iterator[int]:
    port = sshd.free_port()
    everything = '["aes-ctr", "dh-group14", "dh-group16", "ecdh-nist"]'
    daemon.configure("server", f'compat_listen = "127.0.0.1:{port}"', f"compat = {everything}")
    daemon.known_hosts.write_text(
        daemon.known_hosts.read_text() + daemon.known_hosts.read_text().replace(str(daemon.port), str(port))
    )
    with daemon:
        yield port


def logs_in(daemon: Daemon, port: int, *options: str) -> bool:
    daemon_port, daemon.port = daemon.port, port
    try:
        words = [word for option in options for word in ("-o", option)]
        return daemon.sftp_batch("pwd", options=tuple(words)).returncode == 0
    finally:
        daemon.port = daemon_port


def test_ssh_audit_finds_nothing_but_that_older_clients_may_still_come(daemon: Daemon) -> None:
    with daemon:
        found = subprocess.run(
            [SSH_AUDIT, "--json", "--skip-rate-test", "--port", str(daemon.port), "127.0.0.1"],
            capture_output=True,
        )
    report = json.loads(found.stdout)
    assert report["banner"]["software"].startswith("sftpd_")
    notes = [
        (entry["algorithm"], level, note)
        for kind in ("kex", "key", "enc", "mac")
        for entry in report[kind]
        for level in ("fail", "warn")
        for note in entry["notes"].get(level, [])
    ]
    assert {note for note in notes if note[1] == "fail"} == set()
    assert sorted(notes) == sorted((name, "warn", NOT_QUANTUM_SAFE) for name in CURVE)
    assert "kex-strict-s-v00@openssh.com" in {entry["algorithm"] for entry in report["kex"]}


@pytest.mark.parametrize(("exchange", "macs"), [(CURVE[0], "+hmac-sha2-256"), (CURVE[1], "hmac-sha2-256")])
def test_an_openssh_client_agrees_on_strict_key_exchange_and_gcm(
    daemon: Daemon, exchange: str, macs: str
) -> None:
    # A MAC that both have is not needed: the cipher authenticates by itself.
    options = ("-v", "-v", "-v", "-o", f"KexAlgorithms={exchange}", "-o", f"MACs={macs}")
    with daemon:
        done = daemon.sftp_batch("pwd", options=options)
    assert done.returncode == 0
    assert f"kex: algorithm: {exchange}" in done.stderr
    assert "will use strict KEX ordering" in done.stderr
    assert re.search(r"server->client cipher: aes\d+-gcm@openssh.com MAC: <implicit>", done.stderr)


@pytest.mark.parametrize(
    "old",
    [
        ("KexAlgorithms=ecdh-sha2-nistp256",),
        ("KexAlgorithms=diffie-hellman-group14-sha256",),
        ("KexAlgorithms=diffie-hellman-group16-sha512",),
        ("Ciphers=aes256-ctr", "MACs=hmac-sha2-512"),
        ("Ciphers=aes128-ctr", "MACs=hmac-sha2-256-etm@openssh.com"),
    ],
)
def test_old_algorithms_are_for_addresses_that_allow_them_and_each_login_is_logged(
    daemon: Daemon, compat: int, old: tuple[str, ...]
) -> None:
    assert not logs_in(daemon, daemon.port, *old)
    assert "legacy_algorithms" not in daemon.log
    assert logs_in(daemon, compat, *old)
    names = [option.partition("=")[2] for option in old if "etm" not in option]
    eventually(lambda: all(name in daemon.log for name in ("legacy_algorithms", *names)), daemon)


def test_current_algorithms_are_not_logged_at_such_an_address(daemon: Daemon, compat: int) -> None:
    # The client's order decides, and OpenSSH's has AES-CTR before AES-GCM.
    assert logs_in(daemon, compat, "Ciphers=aes128-gcm@openssh.com")
    daemon.stop()
    assert "legacy_algorithms" not in daemon.log


@pytest.mark.parametrize(
    "weak", ["KexAlgorithms=diffie-hellman-group14-sha1", "Ciphers=aes128-cbc", "MACs=hmac-sha1"]
)
def test_what_is_weak_is_offered_nowhere(daemon: Daemon, compat: int, weak: str) -> None:
    forced = (weak, "Ciphers=aes128-ctr") if weak.startswith("MACs") else (weak,)
    assert not logs_in(daemon, compat, *forced)


@pytest.mark.parametrize("key_type", ["ed25519", "ecdsa", "rsa"])
def test_clients_learn_a_host_key_before_it_is_used_and_forget_the_old_one(
    daemon: Daemon, key_type: str
) -> None:
    path = daemon.root / "keys/next"
    told = json.loads(daemon.cli("host-key", "add", str(path), "--type", key_type, "--json").stdout)
    daemon.configure("server", *told["set"])
    learning = ("-o", "UpdateHostKeys=yes", "-o", "HashKnownHosts=no")
    with daemon:
        listed = json.loads(daemon.cli("host-key", "list", "--json").stdout)
        assert [row["in_use"] for row in listed] == [True, False]
        assert listed[1]["fingerprint"] == told["fingerprint"]
        assert len(known(daemon)) == 1
        assert daemon.sftp_batch("pwd", options=learning).returncode == 0
        assert len(known(daemon)) == 2
    old = listed[0]["fingerprint"]
    daemon.configure("server", *json.loads(daemon.cli("host-key", "retire", old, "--json").stdout)["set"])
    with daemon:
        # What it has learned is all that the client needs; now it forgets what is no longer shown.
        assert daemon.sftp_batch("pwd", options=learning).returncode == 0
        assert len(known(daemon)) == 1
        assert [
            row["fingerprint"] for row in json.loads(daemon.cli("host-key", "list", "--json").stdout)
        ] != [old]
        assert daemon.sftp_batch("pwd").returncode == 0


def known(daemon: Daemon) -> set[str]:
    return {line.split(None, 1)[1] for line in daemon.known_hosts.read_text().splitlines() if line.strip()}


def test_the_only_host_key_is_not_retired_and_an_unknown_one_is_named(daemon: Daemon) -> None:
    known_key = json.loads(daemon.cli("host-key", "list", "--json").stdout)[0]["fingerprint"]
    refused = daemon.cli("host-key", "retire", known_key)
    assert refused.returncode == 1
    assert "the only host key" in refused.stderr
    refused = daemon.cli("host-key", "retire", "SHA256:nothing")
    assert refused.returncode == 1
    assert known_key in refused.stderr
