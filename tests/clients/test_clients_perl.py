"""Perl's Net::SFTP::Foreign."""

import clients_kit
from clients_contract import Contract
from clients_driven import Driven
from daemon import Daemon


class Foreign(Driven):
    name, version = "net-sftp-foreign", r"Net::SFTP::Foreign 1\."

    def __init__(self, daemon: Daemon) -> None:
        self.variables = {"SFTP_SSH_OPTIONS": " ".join(daemon.ssh_options())}
        super().__init__(daemon)

    def command(self) -> list[str]:
        return ["perl", str(clients_kit.DRIVERS / "foreign.pl")]


CLIENTS = (Foreign,)


class TestClient(Contract):
    pass
