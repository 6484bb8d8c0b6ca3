"""C's libraries: libssh2 and libssh."""

from typing import ClassVar

import clients_kit
from clients_contract import Contract
from clients_driven import Driven


class Libssh2(Driven):
    name, version = "libssh2", r"libssh2 1\."
    old = True
    lacks: ClassVar = {"replace": "its rename does not ask to replace"}

    def command(self) -> list[str]:
        return [str(clients_kit.c_program("libssh2", "ssh2"))]


class Libssh(Driven):
    name, version = "libssh", r"libssh 0\."
    lacks: ClassVar = {"replace": "its rename does not ask to replace"}

    def command(self) -> list[str]:
        return [str(clients_kit.c_program("libssh", "ssh"))]


CLIENTS = (Libssh2, Libssh)


class TestClient(Contract):
    pass
