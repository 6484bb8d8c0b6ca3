"""rclone, by Go's pkg/sftp."""

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import ClassVar

from clients_contract import Contract
from clients_port import Program, Seen


class Rclone(Program):
    name = "rclone"
    version = r"rclone v1"
    lacks: ClassVar = {
        "resume_put": "it begins anew",
        "resume_get": "it begins anew",
        "chmod": "it sets no modes",
    }
    unsayable: ClassVar = {"not utf-8": "its listings are JSON", "newline": "its filter rules are lines"}

    def about(self) -> str:
        return self.run("rclone", "version").decode()

    def put(self, local: Path, remote: bytes) -> None:
        self.do("copyto", local, self._at(remote), "--ignore-times")

    def get(self, remote: bytes, local: Path) -> None:
        self.do("copyto", self._at(remote), local, "--ignore-times")

    def names(self, remote: bytes) -> set[bytes]:
        return {os.fsencode(entry["Name"]) for entry in json.loads(self.do("lsjson", self._at(remote)))}

    def rename(self, old: bytes, new: bytes) -> None:
        self.do("moveto", self._at(old), self._at(new))

    def replace(self, old: bytes, new: bytes) -> None:
        self.do("moveto", "--ignore-times", self._at(old), self._at(new))

    def mkdir(self, remote: bytes) -> None:
        self.do("mkdir", self._at(remote))

    def rmdir(self, remote: bytes) -> None:
        self.do("rmdir", self._at(remote))

    def stat(self, remote: bytes) -> Seen:
        found = json.loads(self.do("lsjson", "--stat", self._at(remote)))
        return Seen(found["Size"], None, int(datetime.fromisoformat(found["ModTime"]).timestamp()))

    def utime(self, remote: bytes, seconds: int) -> None:
        moment = f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}"
        self.do("touch", "--timestamp", moment, self._at(remote))

    def remove(self, remote: bytes) -> None:
        self.do("deletefile", self._at(remote))

    def _at(self, remote: bytes) -> bytes:
        return b":sftp:" + remote

    def do(self, *words: "str | bytes | Path") -> bytes:
        options = {
            "sftp-host": self.daemon.host,
            "sftp-port": self.daemon.port,
            "sftp-user": self.daemon.user,
            "sftp-key-file": self.daemon.key,
            "sftp-known-hosts-file": self.daemon.known_hosts,
            "retries": 1,
            "low-level-retries": 1,
        }
        flags = [f"--{name}={value}" for name, value in options.items()]
        return self.run("rclone", *flags, *words, RCLONE_CONFIG="/dev/null")


CLIENTS = (Rclone,)


class TestClient(Contract):
    pass


def test_a_tree_is_copied_checked_and_purged(client: Rclone) -> None:
    tree = client.daemon.desk / "tree"
    (tree / "sub").mkdir(parents=True)
    for number in range(10):
        (tree / "sub" / f"{number}").write_bytes(os.urandom(number * 40_000))
    client.do("copy", tree, ":sftp:/upload/tree")
    for path in tree.rglob("*/*"):
        twin = client.daemon.inbound / "tree" / path.relative_to(tree)
        assert twin.read_bytes() == path.read_bytes()
        assert int(twin.stat().st_mtime) == int(path.stat().st_mtime)
    assert b"0 differences found" in client.do("check", "--download", tree, ":sftp:/upload/tree")
    again = client.do("copy", "--verbose", tree, ":sftp:/upload/tree")
    assert b"nothing to transfer" in again
    client.do("move", tree, ":sftp:/upload/moved")
    assert not list(tree.rglob("*/*"))
    client.do("copy", ":sftp:/upload/moved", client.daemon.desk / "back")
    assert len(list((client.daemon.desk / "back").rglob("*/*"))) == 10
    client.do("purge", ":sftp:/upload/tree")
    assert not (client.daemon.inbound / "tree").exists()
