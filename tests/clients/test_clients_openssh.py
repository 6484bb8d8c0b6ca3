"""OpenSSH's sftp and scp."""

import os
import shutil
import subprocess
from pathlib import Path
from typing import ClassVar

import clients_longname
from clients_contract import Contract
from clients_port import BEYOND_COPYING, Program, Seen
from daemon import Daemon

_ONE_LINE = "a command is one line"
_ESCAPED = "listings show such bytes escaped"


class Sftp(Program):
    name = "sftp"
    version = r"OpenSSH_\d"
    lacks: ClassVar = {
        "utime": "`put -p` alone sets times",
    }
    unsayable: ClassVar = {"newline": _ONE_LINE, "not utf-8": _ESCAPED}

    def about(self) -> str:
        return self.run("ssh", "-V").decode()

    def put(self, local: Path, remote: bytes) -> None:
        # The target of a put is no pattern: what protects wildcards elsewhere would become part of the name.
        self._do(b"put " + _quoted(bytes(local)) + b" " + _escaped(remote))

    def get(self, remote: bytes, local: Path) -> None:
        self._do(b"get", remote, local)

    def names(self, remote: bytes) -> set[bytes]:
        said = self._do(b"cd", remote, more=b"ls -1a")
        return {line for line in said.splitlines() if not line.startswith(b"sftp>")} - {b".", b".."}

    def resume_put(self, local: Path, remote: bytes) -> None:
        self._do(b"reput", local, remote)

    def resume_get(self, remote: bytes, local: Path) -> None:
        self._do(b"reget", remote, local)

    def rename(self, old: bytes, new: bytes) -> None:
        self._do(b"rename -l", old, new)

    def replace(self, old: bytes, new: bytes) -> None:
        self._do(b"rename", old, new)

    def mkdir(self, remote: bytes) -> None:
        self._do(b"mkdir", remote)

    def rmdir(self, remote: bytes) -> None:
        self._do(b"rmdir", remote)

    def stat(self, remote: bytes) -> Seen:
        folder, _, name = remote.rpartition(b"/")
        said = self._do(b"cd", folder, more=b"ls -ln " + name)
        return clients_longname.parse(said, name)

    def chmod(self, remote: bytes, mode: int) -> None:
        self._do(f"chmod {mode:o}".encode(), remote)

    def remove(self, remote: bytes) -> None:
        self._do(b"rm", remote)

    def _do(self, command: bytes, *paths: "bytes | Path", more: bytes = b"") -> bytes:
        line = b" ".join([command, *(_quoted(bytes(path)) for path in paths)])
        return self.run(*self.daemon.sftp_command(), stdin=line + b"\n" + more + b"\n")


class Scp(Program):
    """It speaks SFTP from OpenSSH 9 on."""

    name = "scp"
    version = r"OpenSSH_(9|\d\d)"
    lacks: ClassVar = dict.fromkeys(BEYOND_COPYING, "scp copies")
    unsayable: ClassVar = {}

    def about(self) -> str:
        return self.run("ssh", "-V").decode()

    def put(self, local: Path, remote: bytes) -> None:
        self._copy(bytes(local), self._at(remote))

    def get(self, remote: bytes, local: Path) -> None:
        self._copy(self._at(_globbed(remote)), bytes(local))

    def names(self, remote: bytes) -> set[bytes]:
        into = self.daemon.desk / "listed"
        shutil.rmtree(into, ignore_errors=True)
        self._copy(b"-r", self._at(remote), bytes(into))
        return set(os.listdir(bytes(into)))

    def _at(self, remote: bytes) -> bytes:
        return f"{self.daemon.user}@{self.daemon.host}:".encode() + remote

    def _copy(self, *words: bytes) -> None:
        self.run("scp", "-P", str(self.daemon.port), *self.daemon.ssh_options(), *words)


def _quoted(word: bytes) -> bytes:
    """As sftp reads it in double quotes, in which it takes no wildcards."""
    return b'"' + word.replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"'


def _escaped(word: bytes) -> bytes:
    """As sftp reads it outside quotes, with wildcards as they are."""
    for special in (b"\\", b'"', b"'", b"#", b" "):
        word = word.replace(special, b"\\" + special)
    return word


def _globbed(word: bytes) -> bytes:
    for special in (b"\\", b"*", b"?", b"[", b"{", b"}"):
        word = word.replace(special, b"\\" + special)
    return word


CLIENTS = (Sftp, Scp)


class TestClient(Contract):
    pass


def test_scp_takes_a_tree_both_ways(daemon: Daemon) -> None:
    tree = daemon.desk / "tree"
    (tree / "inner").mkdir(parents=True)
    for number in range(20):
        leaf = tree / "inner" / f"{number}"
        leaf.write_bytes(os.urandom(number * 5000))
        os.utime(leaf, (1_400_000_000, 1_400_000_000))
    copy = ["scp", "-r", "-p", "-P", str(daemon.port), *daemon.ssh_options()]
    remote = f"{daemon.user}@{daemon.host}:/upload/tree"
    for source, target in ((tree, remote), (remote, daemon.desk / "tree-back")):
        subprocess.run([*copy, source, target], check=True, capture_output=True)
    for leaf in tree.rglob("*/*"):
        for there in (daemon.inbound / "tree", daemon.desk / "tree-back"):
            twin = there / leaf.relative_to(tree)
            assert twin.read_bytes() == leaf.read_bytes()
            assert twin.stat().st_mtime == leaf.stat().st_mtime


def test_scp_of_old_needs_a_command_and_is_refused(daemon: Daemon) -> None:
    daemon.file("by-rcp", b"by the older protocol")
    where = f"{daemon.user}@{daemon.host}:/upload/by-rcp"
    done = subprocess.run(
        ["scp", "-O", "-P", str(daemon.port), *daemon.ssh_options(), daemon.desk / "by-rcp", where],
        capture_output=True,
    )
    assert done.returncode != 0
    assert not (daemon.inbound / "by-rcp").exists()
