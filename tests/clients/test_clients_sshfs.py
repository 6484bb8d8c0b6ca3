"""sshfs: the files of the partner as a file system."""

import os
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from clients_contract import Contract, published
from clients_port import ClientError, Program, Seen
from daemon import Daemon, eventually
from file_exerciser import Exerciser


class Sshfs(Program):
    name = "sshfs"
    version = r"SSHFS version 3"

    def __init__(self, daemon: Daemon) -> None:
        if not os.access("/dev/fuse", os.R_OK | os.W_OK):
            pytest.skip("FUSE cannot be used here")
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
        self._process.terminate()  # it would wait for namespaces of other tests, which have the mount as well
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


def test_a_file_is_removed_and_renamed_while_it_is_open(client: Sshfs) -> None:
    folder = client.mount / "upload/sshfs"
    with open(folder / "renamed", "wb", buffering=0) as file:
        file.write(b"one ")
        os.rename(folder / "renamed", folder / "renamed-then")
        file.write(b"and two")
    published(client, "renamed-then", b"one and two")
    received = len(client.daemon.events_of("transfer.received"))
    with open(folder / "removed", "w+b", buffering=0) as file:
        file.write(b"gone")
        os.remove(folder / "removed")
        assert not (folder / "removed").exists()
        file.seek(0)
        assert file.read() == b"gone"
        hidden = [name for name in os.listdir(client.staged) if name.startswith(".fuse_hidden")]
        assert len(hidden) == 1
    eventually(lambda: not client.staged.exists() or not os.listdir(client.staged), client.daemon)
    assert len(client.daemon.events_of("transfer.received")) == received


def test_a_file_is_written_by_two_at_once(client: Sshfs) -> None:
    path = client.mount / "upload/sshfs/shared"
    with open(path, "wb", buffering=0) as one, open(path, "r+b", buffering=0) as two:
        one.write(b"0123")
        two.seek(2)
        two.write(b"ab")
        one.write(b"45")
    published(client, "shared", b"01ab45")


@pytest.mark.parametrize("seed", range(2))
def test_random_operations_on_a_file(client: Sshfs, seed: int) -> None:
    exercise(client, seed, lambda done: done < 2000)


@pytest.mark.soak
def test_random_operations_for_ten_minutes(client: Sshfs) -> None:
    end = time.monotonic() + 600
    exercise(client, 1, lambda _: time.monotonic() < end)


@pytest.mark.soak
@pytest.mark.parametrize("pattern", ["write", "randwrite", "randrw"])
def test_fio_verifies_what_it_wrote(client: Sshfs, pattern: str) -> None:
    folder = client.mount / "upload/sshfs"
    job = ["--name", pattern, "--directory", folder, "--rw", pattern, "--size=64m", "--bsrange=4k-128k"]
    verify = ["--ioengine=psync", "--numjobs=2", "--verify=sha256", "--verify_fatal=1", "--do_verify=1"]
    ending = ["--end_fsync=1", "--fallocate=none", "--randrepeat=1", "--loops=2", "--thread"]
    client.run("fio", *job, *verify, *ending)
    for number in range(2):
        eventually(lambda name=f"{pattern}.{number}.0": (client.inbound / name).exists(), client.daemon)


def exercise(client: Sshfs, seed: int, goes_on: Callable[[int], bool]) -> None:
    with Exerciser(client.mount / "upload/sshfs/exercised", seed=seed, longest=300_000) as exerciser:
        done = 0
        while goes_on(done):
            exerciser.step()
            done += 1
        name, content = exerciser.outcome
    published(client, name, content)
    os.remove(client.inbound / name)
