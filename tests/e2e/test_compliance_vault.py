"""A link with a vault on a live daemon: each file that crosses is archived, read for a reason, and ended."""

import json
import os
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
from daemon import SFTPD, Daemon, command, eventually

RULES = """
[[retention]]
name = "vault"
folder = "vault"
period = "PT0S"
mandate = "Agreement"
"""


def made(folder: Path, *lines: str) -> Daemon:
    daemon = Daemon(folder / "instance")
    text = daemon.link_config.read_text()
    head, _, rest = text.partition("[[retention]]")
    assert "[[" not in rest
    key = daemon.root / "keys/demo.vault"
    done = subprocess.run([SFTPD, "vault", "new-key", key], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert key.stat().st_mode & 0o777 == 0o600
    vault = "\n".join(["", "[vault]", 'key = "file:keys/demo.vault"', *lines, ""])
    daemon.link_config.write_text(head + RULES + vault)
    return daemon


def ask(daemon: Daemon, *words: str) -> Any:
    done = daemon.cli(*words, "--json")
    assert done.returncode == 0, f"{done.stderr}\n{daemon.log}"
    return json.loads(done.stdout)


def copies(daemon: Daemon) -> dict[str, dict[str, Any]]:
    return {copy["path"]: copy for copy in ask(daemon, "vault", "list")}


def sealed(daemon: Daemon) -> list[Path]:
    return [path for path in (daemon.link / ".sftpd/vault").rglob("*") if path.is_file()]


def dispose(daemon: Daemon) -> set[str]:
    done = ask(daemon, "retention", "run", "--plan", ask(daemon, "retention", "plan")["plan"])
    return {item["result"] for item in done["items"]}


def test_what_crosses_is_archived_and_read_for_a_reason(tmp_path: Path) -> None:
    with made(tmp_path) as daemon:
        daemon.file("local", b"person of interest\n" * 10_000)
        daemon.sftp_done("put local /upload/in.csv")
        (daemon.outbound / "out.csv").write_bytes(b"another person")
        eventually(lambda: len(copies(daemon)) == 2, daemon)
        known = copies(daemon)
        assert {path: copy["direction"] for path, copy in known.items()} == {
            "in.csv": "inbound", "out.csv": "outbound"
        }  # fmt: skip
        received = daemon.events_of("transfer.received", "transfer.delivered")
        assert {event["data"]["vault"] for event in received} == {copy["id"] for copy in known.values()}
        assert not any(b"person" in path.read_bytes() for path in sealed(daemon))

        output, copy = tmp_path / "read.csv", known["in.csv"]["id"]
        words = ("vault", "get", copy, "--output", str(output))
        assert daemon.cli(*words).returncode == 2, "a reason must be given"
        told = ask(daemon, *words, "--reason", "complaint of a person", "--by", "jan")
        assert (told["id"], told["size"]) == (copy, 190_000)
        assert output.read_bytes() == b"person of interest\n" * 10_000
        assert output.stat().st_mode & 0o777 == 0o600
        (event,) = daemon.events_of("vault.read")
        assert event["data"]["copy"] == copy
        assert "jan" not in json.dumps(event)
        assert "complaint" not in json.dumps(event)

        again = daemon.cli(*words, "--reason", "again")
        assert (again.returncode, "File exists" in again.stderr) == (1, True)
        assert output.stat().st_size == 190_000
        absent = tmp_path / "absent"
        none = daemon.cli("vault", "get", "nothing", "--output", str(absent), "--reason", "complaint")
        assert (none.returncode, absent.exists()) == (1, False)
        assert len(daemon.events_of("vault.read")) == 1
        daemon.stop()
        offline = tmp_path / "offline.csv"
        ask(daemon, "vault", "get", copy, "--output", str(offline), "--reason", "the daemon is down")
        assert offline.read_bytes() == output.read_bytes()


def test_a_disposal_ends_the_copy_for_backups_too_and_a_hold_keeps_it(tmp_path: Path) -> None:
    with made(tmp_path) as daemon:
        daemon.file("local", b"person of interest")
        daemon.sftp_done("put local /upload/a.csv", "put local /upload/held.csv")
        held = copies(daemon)["held.csv"]
        ask(daemon, "hold", "add", "--link", "demo", "--transfer", held["transfer"], "--reason", "claim")
        backup = tmp_path / "backup"
        shutil.copytree(daemon.link / ".sftpd/vault", backup)
        assert len(sealed(daemon)) == 2
        assert dispose(daemon) == {"disposed"}
        assert list(copies(daemon)) == ["held.csv"]
        assert len(sealed(daemon)) == 1

        shutil.copytree(backup, daemon.link / ".sftpd/vault", dirs_exist_ok=True)
        keys = (daemon.root / "state/vault-keys/demo.keys").read_bytes()
        (gone,) = (
            path.name for path in backup.rglob("*") if path.is_file() and path.name.encode() not in keys
        )
        output = tmp_path / "held.out"
        ask(daemon, "vault", "get", held["id"], "--output", str(output), "--reason", "claim")
        assert output.read_bytes() == b"person of interest"
        daemon.kill()
        daemon.start()
        assert gone not in [path.name for path in sealed(daemon)], "the next start removes it again"
        assert len(sealed(daemon)) == 1


def test_an_erasure_reaches_the_copy(tmp_path: Path) -> None:
    with made(tmp_path) as daemon:
        daemon.file("local", b"naam;mail\nJan;jan@example.nl\nPiet;piet@example.nl\n")
        daemon.sftp_done("put local /upload/a.csv")
        before = sealed(daemon)
        identifier = ("--identifier", "email=jan@example.nl")
        request = ask(daemon, "erasure", "open", "--link", "demo", *identifier)["id"]
        ask(daemon, "erasure", "find", request)
        ask(daemon, "erasure", "approve", request, "--by", "operator")
        ask(daemon, "erasure", "run", request)
        (copy,) = copies(daemon).values()
        output = tmp_path / "read.csv"
        ask(daemon, "vault", "get", copy["id"], "--output", str(output), "--reason", "to see")
        assert output.read_bytes() == b"naam;mail\nPiet;piet@example.nl\n"
        assert len(sealed(daemon)) == 1
        assert sealed(daemon) != before


def test_another_key_is_refused_before_a_file_crosses(tmp_path: Path) -> None:
    daemon = made(tmp_path)
    with daemon:
        daemon.file("local", b"person of interest")
        daemon.sftp_done("put local /upload/a.csv")
        daemon.configure_link("vault", 'key = "file:keys/other.vault"')
        subprocess.run([SFTPD, "vault", "new-key", daemon.root / "keys/other.vault"], check=True)
        before = daemon.log.count("reload_refused")
        os.kill(daemon.pid, signal.SIGHUP)
        eventually(lambda: daemon.log.count("reload_refused") > before, daemon)
        assert "vault of link demo changed" in daemon.log
        assert list(copies(daemon)) == ["a.csv"]
    with pytest.raises(RuntimeError, match="by another key"):
        daemon.start()


def test_a_vault_can_be_closed_to_new_copies(tmp_path: Path) -> None:
    with made(tmp_path) as daemon:
        daemon.file("local", b"person of interest")
        daemon.sftp_done("put local /upload/a.csv")
        daemon.configure_link("vault", "archive = false")
        daemon.reload()
        daemon.sftp_done("put local /upload/b.csv")
        assert list(copies(daemon)) == ["a.csv"]
        assert dispose(daemon) == {"disposed"}
        assert sealed(daemon) == []


def test_a_copy_that_a_restored_ledger_does_not_know_keeps_its_key_until_somebody_confirms(
    tmp_path: Path,
) -> None:
    folder, archive = tmp_path / "data-keys", tmp_path / "backup.tar"
    with made(tmp_path, f'keys = "{folder}"') as daemon:
        daemon.file("local", b"person of interest")
        daemon.sftp_done("put local /upload/before.csv")
        ask(daemon, "backup", "create", "--output", str(archive))
        daemon.sftp_done("put local /upload/after.csv")
        assert set(copies(daemon)) == {"before.csv", "after.csv"}
        daemon.stop()
        both = keys_in(folder)
        old = daemon.root.rename(tmp_path / "old")
        words = ("backup", "restore", str(archive), str(daemon.root), "--config", str(old / "sftpd.toml"))
        done = command(*words)
        assert done.returncode == 0, done.stderr
        for name in ("keys", "erasures"):
            shutil.copytree(old / name, daemon.root / name)

        daemon.start()
        assert set(copies(daemon)) == {"before.csv"}
        assert keys_in(folder) == both
        ask(daemon, "retention", "unfreeze", "--reason", "nothing was held since")
        daemon.stop()
        daemon.start()
        assert keys_in(folder) != both
        (event,) = daemon.events_of("vault.unrecorded_destroyed")
        assert event["data"]["copies"] == 1


def keys_in(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())
