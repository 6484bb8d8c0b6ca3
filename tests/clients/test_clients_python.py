"""Python's libraries: paramiko, of three ages, and asyncssh."""

import os
import sys
from typing import ClassVar

import clients_kit
from clients_contract import Contract
from clients_driven import Driven
from daemon import Daemon

_DECODED = "it reads names as UTF-8 alone"


class Paramiko(Driven):
    lock: str
    unsayable: ClassVar = {"not utf-8": _DECODED}
    blinding: ClassVar = frozenset(unsayable)

    def __init__(self, daemon: Daemon) -> None:
        if self.lock:
            self.variables = {"PYTHONPATH": str(clients_kit.python_packages(self.lock))}
        super().__init__(daemon)

    def command(self) -> list[str]:
        return [sys.executable, str(clients_kit.DRIVERS / "paramiko_driver.py")]


class Paramiko212(Paramiko):
    name, version, lock = "paramiko-2.12", r"paramiko 2\.12", "paramiko-2.12.lock"
    old = True


class Paramiko35(Paramiko):
    name, version, lock = "paramiko-3.5", r"paramiko 3\.5", "paramiko-3.5.lock"


class Paramiko51(Paramiko):
    """The one that is installed here already."""

    name, version, lock = "paramiko-5.1", r"paramiko 5\.1", ""


class Asyncssh(Driven):
    name, version = "asyncssh", r"asyncssh 2"

    def __init__(self, daemon: Daemon) -> None:
        self.variables = {"PYTHONPATH": str(clients_kit.python_packages("asyncssh.lock"))}
        super().__init__(daemon)

    def command(self) -> list[str]:
        return [sys.executable, str(clients_kit.DRIVERS / "asyncssh_driver.py")]


CLIENTS = (Paramiko212, Paramiko35, Paramiko51, Asyncssh)


class TestClient(Contract):
    pass


def test_a_published_file_is_patched_extended_and_cut(daemon: Daemon) -> None:
    content = os.urandom(2_000_000)
    local = daemon.file("patched", content)
    with daemon.sftp() as sftp:
        assert sftp.put(str(local), "/upload/patched").st_size == len(content)
        with sftp.open("/upload/patched", "r+b") as remote:
            remote.seek(10)
            remote.write(b"patched")
        with sftp.open("/upload/patched", "ab") as remote:
            remote.write(b"appended")
        assert (daemon.inbound / "patched").read_bytes() == content[:10] + b"patched" + content[
            17:
        ] + b"appended"
        sftp.truncate("/upload/patched", 1_000_000)
    assert (daemon.inbound / "patched").read_bytes() == content[:10] + b"patched" + content[17:1_000_000]
