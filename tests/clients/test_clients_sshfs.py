"""sshfs: the files of the partner as a file system."""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from clients_contract import Contract
from clients_port import ClientError, Program, Seen
from daemon import Daemon, eventually


class Sshfs(Program):
    name = "sshfs"
    version = r"SSHFS version 3"

    def __init__(self, daemon: Daemon) -> None:
        super().__init__(daemon)
        self.mount = daemon.desk / "mounted"
        self.mount.mkdir()
        options = [word for word in daemon.ssh_options() if word not in ("-F", "none")]
        where = f"{daemon.user}@{daemon.host}:/"
        port = ["-p", str(daemon.port), "-F", "/dev/null"]
        self._process = subprocess.Popen(["sshfs", "-f", *port, *options, where, self.mount])
        eventually(lambda: os.path.ismount(self.mount) or self._process.poll() is not None, daemon)
        assert self._process.poll() is None

    def close(self) -> None:
        subprocess.run(["fusermount3", "-u", "-z", self.mount], check=True)
        self._process.wait()

    def about(self) -> str:
        return self.run("sshfs", "--version").decode()

    def put(self, local: Path, remote: bytes) -> None:
        self._do(shutil.copyfile, bytes(local), self._at(remote))

    def get(self, remote: bytes, local: Path) -> None:
        self._do(shutil.copyfile, self._at(remote), bytes(local))

    def resume_put(self, local: Path, remote: bytes) -> None:
        self._do(_append, bytes(local), self._at(remote))

    def resume_get(self, remote: bytes, local: Path) -> None:
        self._do(_append, self._at(remote), bytes(local))

    def names(self, remote: bytes) -> set[bytes]:
        return set(self._do(os.listdir, self._at(remote)))

    def rename(self, old: bytes, new: bytes) -> None:
        self._do(os.rename, self._at(old), self._at(new))

    def replace(self, old: bytes, new: bytes) -> None:
        self._do(os.rename, self._at(old), self._at(new))

    def mkdir(self, remote: bytes) -> None:
        self._do(os.mkdir, self._at(remote))

    def rmdir(self, remote: bytes) -> None:
        self._do(os.rmdir, self._at(remote))

    def stat(self, remote: bytes) -> Seen:
        found = self._do(os.stat, self._at(remote))
        return Seen(found.st_size, found.st_mode & 0o777, int(found.st_mtime))

    def chmod(self, remote: bytes, mode: int) -> None:
        self._do(os.chmod, self._at(remote), mode)

    def utime(self, remote: bytes, seconds: int) -> None:
        self._do(os.utime, self._at(remote), (seconds, seconds))

    def remove(self, remote: bytes) -> None:
        self._do(os.remove, self._at(remote))

    def _at(self, remote: bytes) -> bytes:
        return bytes(self.mount) + remote

    def _do(self, call: Callable[..., Any], *words: object) -> Any:
        try:
            return call(*words)
        except OSError as error:
            raise ClientError(str(error)) from error


def _append(source: bytes, target: bytes) -> None:
    with open(source, "rb") as old, open(target, "ab") as new:
        old.seek(new.tell())
        shutil.copyfileobj(old, new)


CLIENTS = (Sshfs,)


class TestClient(Contract):
    pass
