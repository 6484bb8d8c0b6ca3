"""Node's ssh2."""

from typing import ClassVar

import clients_kit
from clients_contract import Contract
from clients_driven import Driven
from daemon import Daemon


class Ssh2(Driven):
    name, version = "node-ssh2", r"ssh2 1\."
    unsayable: ClassVar = {"not utf-8": "its names are UTF-8"}

    def __init__(self, daemon: Daemon) -> None:
        self.variables = {"NODE_PATH": str(clients_kit.node_modules())}
        super().__init__(daemon)

    def command(self) -> list[str]:
        return ["node", str(clients_kit.DRIVERS / "ssh2.js")]


CLIENTS = (Ssh2,)


class TestClient(Contract):
    pass
