"""Go's pkg/sftp, as Debian has it."""

import clients_kit
from clients_contract import Contract
from clients_driven import Driven


class PkgSftp(Driven):
    name, version = "pkg-sftp", r"pkg/sftp"

    def command(self) -> list[str]:
        return [str(clients_kit.go_program("pkgsftp"))]


CLIENTS = (PkgSftp,)


class TestClient(Contract):
    pass
