"""curl, by libssh2."""

import email.utils
import urllib.parse
from pathlib import Path
from typing import ClassVar

import clients_longname
from clients_contract import Contract
from clients_port import Program, Seen


class Curl(Program):
    name = "curl"
    old = True
    version = r"curl \d.*\n?.*libssh2"
    lacks: ClassVar = {"replace": "its rename does not ask to replace"}
    unsayable: ClassVar = {"newline": "listings are lines"}

    def about(self) -> str:
        return self.run("curl", "--version").decode()

    def put(self, local: Path, remote: bytes) -> None:
        self._transfer("-T", local, self._url(remote))

    def get(self, remote: bytes, local: Path) -> None:
        self._transfer("-o", local, self._url(remote))

    def resume_put(self, local: Path, remote: bytes) -> None:
        self._transfer("-C", "-", "-T", local, self._url(remote))

    def resume_get(self, remote: bytes, local: Path) -> None:
        self._transfer("-C", "-", "-o", local, self._url(remote))

    def names(self, remote: bytes) -> set[bytes]:
        return set(self._transfer("-l", self._url(remote + b"/")).splitlines()) - {b".", b".."}

    def rename(self, old: bytes, new: bytes) -> None:
        self._quote(b"rename", old, new)

    def mkdir(self, remote: bytes) -> None:
        self._quote(b"mkdir", remote)

    def rmdir(self, remote: bytes) -> None:
        self._quote(b"rmdir", remote)

    def stat(self, remote: bytes) -> Seen:
        folder, _, name = remote.rpartition(b"/")
        return clients_longname.parse(self._transfer(self._url(folder + b"/")), name)

    def chmod(self, remote: bytes, mode: int) -> None:
        self._quote(f"chmod {mode:o}".encode(), remote)

    def utime(self, remote: bytes, seconds: int) -> None:
        self._quote(f'mtime "{email.utils.formatdate(seconds, usegmt=True)}"'.encode(), remote)

    def remove(self, remote: bytes) -> None:
        self._quote(b"rm", remote)

    def _quote(self, command: bytes, *paths: bytes) -> None:
        words = [b'"' + path.replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"' for path in paths]
        self._transfer("-o", "/dev/null", "-Q", b" ".join([command, *words]), self._url(b"/"))

    def _transfer(self, *words: "str | bytes | Path") -> bytes:
        login = ["-u", f"{self.daemon.user}:", "--key", self.daemon.key]
        quiet = ["--disable", "--silent", "--show-error", "--globoff"]
        return self.run("curl", *quiet, *login, *self._host_key(), *words)

    def _host_key(self) -> list[str]:
        told = self.run("ssh-keygen", "-lf", self.daemon.known_hosts).decode().split()[1]
        return ["--hostpubsha256", told.removeprefix("SHA256:")]

    def _url(self, remote: bytes) -> str:
        return f"sftp://{self.daemon.host}:{self.daemon.port}{urllib.parse.quote(remote)}"


CLIENTS = (Curl,)


class TestClient(Contract):
    pass
