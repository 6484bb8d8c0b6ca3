"""A backup of a live instance, and the instance again from it: nothing erased comes back, nothing is lost."""

import json
import shutil
import socket
import threading
from pathlib import Path
from typing import Any

import pytest
from daemon import Daemon, command, eventually

JAN = "jan@example.org"
TABLE = f"name,email\nJan,{JAN}\nAnna,anna@example.org\n".encode()
WITHOUT = b"name,email\nAnna,anna@example.org\n"


def asked(daemon: Daemon, *words: str) -> Any:
    """What a command that must succeed prints."""
    done = daemon.cli(*words, "--json")
    assert done.returncode == 0, f"{done.stderr}\n{daemon.log}"
    return json.loads(done.stdout)


def restore(daemon: Daemon, archive: Path) -> Any:
    """Put the instance aside and restore it in its place; its keys come from where they are kept."""
    old = daemon.root.with_name("old")
    daemon.root.rename(old)
    config = ("--config", str(old / "sftpd.toml"))
    done = command("backup", "restore", str(archive), str(daemon.root), *config, "--json")
    assert done.returncode == 0, done.stderr
    shutil.copytree(old / "keys", daemon.root / "keys")
    return json.loads(done.stdout)


def received(daemon: Daemon) -> set[str]:
    """The files that the ledger knows to be received."""
    return {item["path"] for item in asked(daemon, "transfer", "list", "--state", "done")}


def test_a_restored_instance_serves_only_when_what_was_erased_is_gone_again(tmp_path: Path) -> None:
    archive = tmp_path / "backup.tar"
    with Daemon(tmp_path / "instance") as daemon:
        daemon.file("table.csv", TABLE)
        daemon.file("letter.txt", f"Dear {JAN},\n".encode())
        daemon.sftp_done("put table.csv /upload/", "put letter.txt /upload/")
        daemon.sftp_done("get /audit/checkpoint early")
        made = asked(daemon, "backup", "create", "--output", str(archive))
        assert (made["epoch"], made["keys"]) == (0, False)
        assert daemon.cli("backup", "create", "--output", str(archive)).returncode == 1
        assert asked(daemon, "backup", "verify", str(archive))["signed"] is True
        request = asked(daemon, "erasure", "open", "--link", "demo", "--identifier", f"email={JAN}")["id"]
        for step in ("find", "approve", "run"):
            asked(daemon, "erasure", step, request)
        assert {path.name for path in daemon.inbound.iterdir()} == {"table.csv"}
        daemon.stop()
        shutil.copy(daemon.root / "state/audit/demo/public/checkpoint", daemon.desk / "late")

        told = restore(daemon, archive)
        assert (told["missing"], told["unknown"]) == (0, 0)
        assert (daemon.inbound / "letter.txt").exists()
        with pytest.raises(RuntimeError, match="erasure ledger is missing"):
            daemon.start()
        assert "ledger-lost" in daemon.cli("check").stderr
        shutil.copytree(tmp_path / "old" / "erasures", daemon.root / "erasures")

        with pytest.raises(RuntimeError, match="run sftpd erasure replay"):
            daemon.start()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((daemon.host, daemon.port), 1)
        assert "erasure replay" in daemon.cli("check").stderr
        assert daemon.cli("retention", "run", "--plan", "x").returncode == 1
        replayed = asked(daemon, "erasure", "replay", "--by", "Operator")
        assert [item["result"] for item in replayed["items"]] == ["done", "done", "done"]
        assert (replayed["standing"], replayed["left"]) == ("current", 0)

        daemon.start()
        assert (daemon.inbound / "table.csv").read_bytes() == WITHOUT
        request = asked(daemon, "erasure", "open", "--link", "demo", "--identifier", f"email={JAN}")["id"]
        assert asked(daemon, "erasure", "find", request)["items"] == []
        asked(daemon, "erasure", "deny", request, "--by", "Operator", "--reason", "there is nothing left")
        verified = asked(daemon, "audit", "verify")
        assert all(log["restored"][0]["origin"] == f"demo.local/{log['log']}" for log in verified["logs"])
        assert len({log["origin"] for log in verified["logs"]} | {"demo.local/demo"}) == 3
        (event,) = daemon.events_of("audit.restored")
        assert event["data"]["becomes"] in [log["origin"] for log in verified["logs"]]
        kept = {name: daemon.cli("audit", "verify", "--link", "demo", "--kept", str(daemon.desk / name))
                for name in ("early", "late")}  # fmt: skip
        assert kept["early"].returncode == 0, kept["early"].stderr
        assert kept["late"].returncode == 1
        assert "restored at" in kept["late"].stderr
        assert len(daemon.events_of("erasure.replayed")) == 2
        daemon.sftp_done("put table.csv /upload/again.csv")
        daemon.stop()
    there = [path for path in daemon.root.rglob("*") if path.is_file() and "again.csv" not in path.name]
    assert [path for path in there if JAN.encode() in path.read_bytes()] == []


def test_what_was_kept_by_decision_since_a_backup_is_kept_in_what_is_restored_from_it(tmp_path: Path) -> None:
    archive = tmp_path / "backup.tar"
    with Daemon(tmp_path / "instance") as daemon:
        files = {"table.csv": TABLE, "books.csv": b"book\n" + TABLE, "case.csv": b"case\n" + TABLE}
        for name, content in files.items():
            daemon.file(name, content)
            daemon.sftp_done(f"put {name} /upload/")
        request = asked(daemon, "erasure", "open", "--link", "demo", "--identifier", f"email={JAN}")["id"]
        asked(daemon, "erasure", "find", request)
        asked(daemon, "erasure", "approve", request)
        asked(daemon, "backup", "create", "--output", str(archive))
        hold = ("hold", "add", "--link", "demo", "--file", "inbound/case.csv", "--reason", "case 7")
        asked(daemon, *hold)
        steps = {item["path"]: item["seq"] for item in asked(daemon, "erasure", "find", request)["items"]}
        excepted = ("--ground", "17(3)(b)", "--reason", "books of 2025")
        asked(daemon, "erasure", "except", request, str(steps["books.csv"]), *excepted)
        asked(daemon, "erasure", "approve", request)
        assert asked(daemon, "erasure", "run", request)["state"] == "partial"
        left = {**files, "table.csv": WITHOUT}
        assert {path.name: path.read_bytes() for path in daemon.inbound.iterdir()} == left
        daemon.stop()

        restore(daemon, archive)
        shutil.copytree(tmp_path / "old" / "erasures", daemon.root / "erasures")
        assert asked(daemon, "erasure", "show", request)["state"] == "scoping"
        replayed = asked(daemon, "erasure", "replay", "--by", "Operator")
        assert [(item["action"], item["path"], item["result"]) for item in replayed["items"]] == [
            ("except", "books.csv", "done"),
            ("hold", "case.csv", "other"),
            ("redact", "table.csv", "done"),
        ]
        daemon.start()
        assert "scoping" in daemon.cli("erasure", "run", request).stderr
        asked(daemon, "erasure", "find", request)
        refused = daemon.cli("erasure", "approve", request)
        assert (refused.returncode, "place again what was held since" in refused.stderr) == (1, True)
        asked(daemon, *hold)
        asked(daemon, "retention", "unfreeze", "--reason", "the hold is placed again")
        asked(daemon, "erasure", "find", request)
        asked(daemon, "erasure", "approve", request)
        assert asked(daemon, "erasure", "run", request)["state"] == "partial"
        assert {path.name: path.read_bytes() for path in daemon.inbound.iterdir()} == left


def test_who_restores_is_told_each_step_and_goes_on_without_the_erasure_ledger_only_knowingly(
    tmp_path: Path,
) -> None:
    archive, target = tmp_path / "backup.tar", tmp_path / "restored"
    with Daemon(tmp_path / "instance") as daemon:
        asked(daemon, "backup", "create", "--output", str(archive))
    of_old, of_new = (("--config", str(root / "sftpd.toml")) for root in (daemon.root, target))
    told = command("backup", "restore", str(archive), str(target), *of_old).stdout
    for path in ("keys", "sftpd.toml", "erasures/ledger.jsonl"):
        assert str(target / path) in told
    assert f"sftpd erasure replay --config {target / 'sftpd.toml'}" in told
    shutil.copytree(daemon.root / "keys", target / "keys")

    lost = "the erasure ledger is missing; put it back from where it is copied to; if it is lost for good"
    assert lost in command("check", *of_new).stderr
    words = ("erasure", "ledger-lost", "--reason", "the disk died", *of_new)
    refused = command(*words)
    assert refused.returncode == 2
    for part in ("may be here again", "destroy", "--confirm"):
        assert part in refused.stderr
    assert lost in command("check", *of_new).stderr
    done = command(*words, "--confirm")
    assert (done.returncode, "destroy the backups" in done.stdout) == (0, True)
    assert lost not in command("check", *of_new).stderr


def test_what_was_acknowledged_when_a_backup_began_is_in_it_and_the_rest_is_told(tmp_path: Path) -> None:
    archive = tmp_path / "backup.tar"
    with Daemon(tmp_path / "instance") as daemon:
        daemon.file("first", b"x" * 3_000_000)
        daemon.sftp_done(*(f"put first /upload/before-{number}" for number in range(10)))
        for number in range(40):
            daemon.file(f"local-{number}", b"%d" % number)
        names = [f"put local-{number} /upload/later-{number}" for number in range(40)]
        uploads = threading.Thread(target=daemon.sftp_done, args=names)
        uploads.start()
        asked(daemon, "backup", "create", "--output", str(archive))
        uploads.join()
        later = {path.name for path in daemon.inbound.iterdir()}
        daemon.kill()

        told = restore(daemon, archive)
        shutil.copytree(tmp_path / "old" / "erasures", daemon.root / "erasures")
        there = {path.name for path in daemon.inbound.iterdir()}
        unknown = {place["path"] for place in told["unknown_files"] if place["folder"] == "inbound"}
        assert told["missing"] == 0
        assert {f"before-{number}" for number in range(10)} <= there <= later
        daemon.start()
        eventually(
            lambda: {path.name for path in daemon.inbound.iterdir()} == received(daemon) | unknown, daemon
        )
        assert len(daemon.events_of("backup.file_unknown")) == len(told["unknown_files"])
        assert daemon.events_of("backup.restored", log="system")[0]["data"]["missing"] == 0
