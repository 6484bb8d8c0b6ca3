"""No secret of an instance leaves the place it was put: not for the log, the ledger, nor for /proc."""

from contextlib import suppress
from pathlib import Path

import argon2
import leaks
import paramiko
import pytest
from daemon import Daemon, eventually

PASSWORD = "correct-canary-battery"
WRONG = "wrong-canary-staple"


def test_no_secret_is_found_where_it_does_not_belong(tmp_path: Path) -> None:
    daemon = Daemon(tmp_path / "instance")
    hash_file = daemon.root / "keys/second.hash"
    hash_file.write_text(argon2.PasswordHasher(time_cost=1, memory_cost=64).hash(PASSWORD))
    hash_file.chmod(0o600)
    daemon.configure("log", 'level = "debug"')
    daemon.add_account("second", 'password = "file:keys/second.hash"')
    secrets = {
        "password": PASSWORD,
        "refused password": WRONG,
        "password hash": hash_file.read_text().strip(),
        **{path.name: key_text(path) for path in (daemon.root / "keys").glob("*_ed25519")},
    }
    assert len(secrets) == 6
    with daemon:
        with pytest.raises(paramiko.AuthenticationException), daemon.connected("second", password=WRONG):
            pass
        with pytest.raises(paramiko.AuthenticationException), daemon.connected("nobody", password=WRONG):
            pass
        with daemon.sftp() as first, daemon.sftp("second", password=PASSWORD) as second:
            first.listdir("/upload")
            second.listdir("/upload")
            daemon.cli("account", "list")
            seen = "\n".join(process_texts(daemon))
        eventually(lambda: daemon.events_of("session.refused", log="system"), daemon)
        daemon.stop()
    assert "sftpd serve" in seen.replace("\0", " ")
    for name, secret in secrets.items():
        assert secret not in daemon.log, name
        assert secret not in seen, name
        files = [path for path in daemon.root.rglob("*") if path.is_file() and path.parent.name != "keys"]
        found = [path for path in files if secret.encode() in path.read_bytes()]
        assert found == [], name


def key_text(path: Path) -> str:
    """The part of a private key's file that no other key's file has."""
    return path.read_text().splitlines()[-2]


def process_texts(daemon: Daemon) -> list[str]:
    """What /proc tells of the daemon's processes: their command lines and environments."""
    pids = [daemon.pid, *leaks.processes(daemon.pid)]
    texts = []
    for path in (Path(f"/proc/{pid}/{name}") for pid in pids for name in ("cmdline", "environ")):
        with suppress(FileNotFoundError, ProcessLookupError):  # a child may have ended
            texts.append(path.read_bytes().decode("utf-8", "replace"))
    return texts
