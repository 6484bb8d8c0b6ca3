"""PuTTY's psftp and pscp."""

import subprocess
from pathlib import Path
from typing import ClassVar

import clients_longname
from clients_contract import Contract
from clients_port import BEYOND_COPYING, Program, Seen
from daemon import Daemon


class Putty(Program):
    version = r"Release 0\.\d+"
    unsayable: ClassVar = {"not utf-8": "it shows such bytes escaped", "newline": "its listings are lines"}

    def __init__(self, daemon: Daemon) -> None:
        super().__init__(daemon)
        self._key = daemon.desk / f"{self.name}.ppk"
        convert = ["puttygen", daemon.key, "-O", "private", "-o", self._key, "--new-passphrase", "/dev/null"]
        subprocess.run(convert, check=True, capture_output=True)

    def about(self) -> str:
        return self.run(self.name, "-V").decode()

    def _options(self) -> list[str]:
        told = self.run("ssh-keygen", "-lf", self.daemon.known_hosts).decode().split()[1]
        return ["-batch", "-P", str(self.daemon.port), "-i", str(self._key), "-hostkey", told]

    @property
    def _whom(self) -> str:
        return f"{self.daemon.user}@{self.daemon.host}"


class Psftp(Putty):
    name = "psftp"
    lacks: ClassVar = {"replace": "it does not ask to replace", "utime": "it sets no times"}

    def put(self, local: Path, remote: bytes) -> None:
        self._do(b"put", bytes(local), remote)

    def get(self, remote: bytes, local: Path) -> None:
        self._do(b"get", remote, bytes(local))

    def resume_put(self, local: Path, remote: bytes) -> None:
        self._do(b"reput", bytes(local), remote)

    def resume_get(self, remote: bytes, local: Path) -> None:
        self._do(b"reget", remote, bytes(local))

    def names(self, remote: bytes) -> set[bytes]:
        return clients_longname.names(self._do(b"ls", remote))

    def rename(self, old: bytes, new: bytes) -> None:
        self._do(b"mv", _globbed(old), new)

    def mkdir(self, remote: bytes) -> None:
        self._do(b"mkdir", remote)

    def rmdir(self, remote: bytes) -> None:
        self._do(b"rmdir", _globbed(remote))

    def stat(self, remote: bytes) -> Seen:
        folder, _, name = remote.rpartition(b"/")
        return clients_longname.parse(self._do(b"ls", folder), name)

    def chmod(self, remote: bytes, mode: int) -> None:
        self._do(f"chmod {mode:o}".encode(), _globbed(remote))

    def remove(self, remote: bytes) -> None:
        self._do(b"rm", _globbed(remote))

    def _do(self, command: bytes, *words: bytes) -> bytes:
        script = self.daemon.desk / "psftp-script"
        script.write_bytes(b" ".join([command, *map(_quoted, words)]) + b"\n")
        return self.run("psftp", *self._options(), "-b", script, self._whom)


class Pscp(Putty):
    name = "pscp"
    lacks: ClassVar = dict.fromkeys(BEYOND_COPYING, "pscp copies and lists")

    def put(self, local: Path, remote: bytes) -> None:
        self.run("pscp", *self._options(), "-sftp", local, self._at(remote))

    def get(self, remote: bytes, local: Path) -> None:
        self.run("pscp", *self._options(), "-sftp", self._at(_globbed(remote)), local)

    def names(self, remote: bytes) -> set[bytes]:
        return clients_longname.names(self.run("pscp", *self._options(), "-sftp", "-ls", self._at(remote)))

    def _at(self, remote: bytes) -> bytes:
        return self._whom.encode() + b":" + remote


def _quoted(word: bytes) -> bytes:
    return b'"' + word.replace(b'"', b'""') + b'"'


def _globbed(word: bytes) -> bytes:
    for special in (b"\\", b"*", b"?", b"["):
        word = word.replace(special, b"\\" + special)
    return word


CLIENTS = (Psftp, Pscp)


class TestClient(Contract):
    pass
