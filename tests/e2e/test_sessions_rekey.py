"""Files that cross many key exchanges, which OpenSSH's client asks for, with every cipher."""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import sshd
from daemon import Daemon

MIB = 1 << 20
CIPHERS = {
    "aes128-gcm": ("Ciphers=aes128-gcm@openssh.com",),
    "aes256-gcm": ("Ciphers=aes256-gcm@openssh.com",),
    "aes128-ctr": ("Ciphers=aes128-ctr", "MACs=hmac-sha2-256-etm@openssh.com"),
    "aes192-ctr": ("Ciphers=aes192-ctr", "MACs=hmac-sha2-512"),
    "aes256-ctr": ("Ciphers=aes256-ctr", "MACs=hmac-sha2-256"),
}


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    made = Daemon(tmp_path_factory.mktemp("rekey") / "instance")
    port = sshd.free_port()
    made.configure("server", f'compat_listen = "127.0.0.1:{port}"', 'compat = ["aes-ctr"]')
    known = made.known_hosts.read_text()
    made.known_hosts.write_text(known + known.replace(str(made.port), str(port)))
    with made as running:
        running.port = port
        yield running


def crosses(daemon: Daemon, cipher: str, size: int) -> None:
    local = daemon.file("local", os.urandom(MIB) * (size // MIB))
    options = [word for option in (*CIPHERS[cipher], "RekeyLimit=16M") for word in ("-o", option)]
    done = daemon.sftp_batch("put local /upload/f", "get /upload/f back", options=("-v", *options))
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("SSH2_MSG_NEWKEYS received") > size // (16 * MIB)
    assert digest(daemon.inbound / "f") == digest(daemon.desk / "back") == digest(local)


def digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@pytest.mark.parametrize("cipher", CIPHERS)
def test_content_is_the_same_after_many_key_exchanges(daemon: Daemon, cipher: str) -> None:
    crosses(daemon, cipher, 64 * MIB)


@pytest.mark.soak
@pytest.mark.parametrize("cipher", CIPHERS)
def test_a_gibibyte_is_the_same_after_many_key_exchanges(daemon: Daemon, cipher: str) -> None:
    crosses(daemon, cipher, 1024 * MIB)
