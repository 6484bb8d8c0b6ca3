"""Clients that are libraries: a small program of the library's language carries out one operation a line.

The program reads `OPERATION ARGUMENT…` and answers `ok RESULT…` or `failed REASON`, each word after the first
in hexadecimal, so that a name may hold anything. It is connected as long as it runs.
"""

import os
import subprocess
from pathlib import Path
from typing import ClassVar

from clients_port import Client, ClientError, Seen
from daemon import PATIENCE, Daemon


class Driven(Client):
    """A library behind its program; `command` starts that."""

    variables: ClassVar[dict[str, str]] = {}

    def __init__(self, daemon: Daemon) -> None:
        super().__init__(daemon)
        kind, blob = self._host_key()
        settings = {
            "SFTP_HOST": daemon.host,
            "SFTP_PORT": str(daemon.port),
            "SFTP_USER": daemon.user,
            "SFTP_KEY": str(daemon.key),
            "SFTP_KNOWN_HOSTS": str(daemon.known_hosts),
            "SFTP_HOST_KEY_TYPE": kind,
            "SFTP_HOST_KEY": blob,
        }
        self._log = daemon.desk / f"{self.name}.log"
        log = self._log.open("wb")
        self._program = subprocess.Popen(
            self.command(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            cwd=daemon.desk,
            env=os.environ | {"HOME": str(daemon.desk)} | settings | self.variables,
        )
        log.close()
        self.about()  # now it is connected

    def command(self) -> list[str]:
        raise NotImplementedError

    def close(self) -> None:
        with self._program:
            self._program.stdin.close()
            try:
                self._program.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                self._program.kill()

    def about(self) -> str:
        return b" ".join(self._ask("about")).decode()

    def put(self, local: Path, remote: bytes) -> None:
        self._ask("put", bytes(local), remote)

    def get(self, remote: bytes, local: Path) -> None:
        self._ask("get", remote, bytes(local))

    def resume_put(self, local: Path, remote: bytes) -> None:
        self._ask("resume_put", bytes(local), remote)

    def resume_get(self, remote: bytes, local: Path) -> None:
        self._ask("resume_get", remote, bytes(local))

    def names(self, remote: bytes) -> set[bytes]:
        return set(self._ask("names", remote)) - {b".", b".."}

    def rename(self, old: bytes, new: bytes) -> None:
        self._ask("rename", old, new)

    def replace(self, old: bytes, new: bytes) -> None:
        self._ask("replace", old, new)

    def mkdir(self, remote: bytes) -> None:
        self._ask("mkdir", remote)

    def rmdir(self, remote: bytes) -> None:
        self._ask("rmdir", remote)

    def stat(self, remote: bytes) -> Seen:
        size, mode, mtime = self._ask("stat", remote)
        return Seen(int(size), int(mode) & 0o777, int(mtime))

    def chmod(self, remote: bytes, mode: int) -> None:
        self._ask("chmod", remote, b"%d" % mode)

    def utime(self, remote: bytes, seconds: int) -> None:
        self._ask("utime", remote, b"%d" % seconds)

    def remove(self, remote: bytes) -> None:
        self._ask("remove", remote)

    def _ask(self, operation: str, *arguments: bytes) -> list[bytes]:
        line = " ".join([operation, *(argument.hex() for argument in arguments)])
        try:
            self._program.stdin.write(f"{line}\n".encode())
            self._program.stdin.flush()
        except BrokenPipeError:
            pass
        outcome, *words = self._program.stdout.readline().decode().rstrip("\n").split(" ") or [""]
        results = [bytes.fromhex(word) for word in words]
        if outcome == "ok":
            return results
        if outcome == "failed":
            raise ClientError(results[0].decode(errors="replace"))
        log = self._log.read_text(errors="replace")
        raise AssertionError(f"{self.name} ended:\n{log}\n{self.daemon.log}")

    def _host_key(self) -> tuple[str, str]:
        kind, blob = self.daemon.known_hosts.read_text().split()[1:3]
        return kind, blob
