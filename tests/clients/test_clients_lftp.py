"""lftp, which has OpenSSH make the connection and speaks SFTP itself."""

import os
from pathlib import Path
from typing import ClassVar

import clients_longname
from clients_contract import Contract
from clients_port import Program, Seen


class Lftp(Program):
    name = "lftp"
    version = r"LFTP \| Version 4"
    lacks: ClassVar = {
        "replace": "its mv does not ask to replace",
        "utime": "it sets times only of what it puts",
    }
    unsayable: ClassVar = {
        "newline": "a command is one line",
        "not utf-8": "it converts names to the locale's characters",
    }

    def about(self) -> str:
        return self.run("lftp", "--version").decode()

    def put(self, local: Path, remote: bytes) -> None:
        self._do(b"put", bytes(local), b"-o", remote)

    def get(self, remote: bytes, local: Path) -> None:
        local.unlink(missing_ok=True)
        self._do(b"get", remote, b"-o", bytes(local))

    def resume_put(self, local: Path, remote: bytes) -> None:
        self._do(b"put -c", bytes(local), b"-o", remote)

    def resume_get(self, remote: bytes, local: Path) -> None:
        self._do(b"get -c", remote, b"-o", bytes(local))

    def names(self, remote: bytes) -> set[bytes]:
        said = self._do(b"cd", remote, more=b"; nlist")
        return {line.rstrip(b"/") for line in said.splitlines()} - {b".", b".."}

    def rename(self, old: bytes, new: bytes) -> None:
        self._do(b"mv", old, new)

    def mkdir(self, remote: bytes) -> None:
        self._do(b"mkdir", remote)

    def rmdir(self, remote: bytes) -> None:
        self._do(b"rmdir", remote)

    def stat(self, remote: bytes) -> Seen:
        folder, _, name = remote.rpartition(b"/")
        return clients_longname.parse(self._do(b"cd", folder, more=b"; ls"), name)

    def chmod(self, remote: bytes, mode: int) -> None:
        self._do(f"chmod {mode:o}".encode(), remote)

    def remove(self, remote: bytes) -> None:
        self._do(b"rm", remote)

    def _do(self, command: bytes, *words: bytes, more: bytes = b"") -> bytes:
        return self.run_commands(b" ".join([command, *map(_quoted, words)]) + more)

    def run_commands(self, commands: bytes) -> bytes:
        """Run them in one connection, up to the first that fails."""
        connect = " ".join(["ssh", "-a", "-x", *self.daemon.ssh_options()])
        settings = f'set cmd:fail-exit yes; set net:max-retries 1; set sftp:connect-program "{connect}"; '
        where = f"open -u {self.daemon.user},none sftp://{self.daemon.host}:{self.daemon.port}; "
        return self.run("lftp", "--norc", "-c", (settings + where).encode() + commands)


def _quoted(word: bytes) -> bytes:
    return word if word == b"-o" else b'"' + word.replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"'


CLIENTS = (Lftp,)


class TestClient(Contract):
    pass


def test_a_tree_is_mirrored_again_and_removed(client: Lftp) -> None:
    tree = client.daemon.desk / "tree"
    (tree / "sub").mkdir(parents=True)
    for number in range(20):
        (tree / f"{number}").write_bytes(os.urandom(number * 5000))
    (tree / "sub/leaf").write_bytes(b"leaf")
    client.run_commands(b"mirror -R tree /upload/mirrored")
    for path in tree.rglob("*"):
        twin = client.daemon.inbound / "mirrored" / path.relative_to(tree)
        assert twin.is_dir() if path.is_dir() else twin.read_bytes() == path.read_bytes()
    client.run_commands(b"mirror -R tree /upload/mirrored; rm -r /upload/mirrored")
    assert not (client.daemon.inbound / "mirrored").exists()
