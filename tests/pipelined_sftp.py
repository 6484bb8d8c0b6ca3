"""An SFTP session with many requests in flight, every byte of them the test's; OpenSSH's ssh carries it."""

import itertools
import subprocess
from collections.abc import Iterable
from typing import NamedTuple, Self

from daemon import PATIENCE, Daemon
from sftp_samples import INIT, encode

from sftpd.sftp.requests import Request
from sftpd.sftp.status import Status
from sftpd.sftp.wire import Reader

VERSION, STATUS, HANDLE, NAME = 2, 101, 102, 104


class Reply(NamedTuple):
    """A reply: its type, and what follows the request's id."""

    kind: int
    body: bytes

    @property
    def status(self) -> Status | None:
        """The code, where it is a STATUS."""
        return Status(int.from_bytes(self.body[:4], "big")) if self.kind == STATUS else None

    @property
    def text(self) -> bytes:
        """What its first string says: the text of a STATUS, a handle, data, or the name in a NAME."""
        return Reader(memoryview(self.body[4:] if self.kind in (STATUS, NAME) else self.body)).string()


class Pipeline:
    """One session of an account; as a context manager it ends with the block."""

    def __init__(self, daemon: Daemon, user: str | None = None, *options: str) -> None:
        """`options` are further ones of ssh's."""
        where = [*options, "-p", str(daemon.port), "-s", f"{user or daemon.user}@{daemon.host}", "sftp"]
        self._ssh = subprocess.Popen(
            ["ssh", *daemon.ssh_options(), *where],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # what sftpd tells people of each refusal
            bufsize=1 << 16,
        )
        assert self._ssh.stdin is not None
        assert self._ssh.stdout is not None
        self._to, self._from = self._ssh.stdin, self._ssh.stdout
        self._ids = itertools.count(1)
        self.send(INIT)
        assert self._packet()[0] == VERSION

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._to.close()
        self._from.close()
        self._ssh.wait(PATIENCE)

    def send(self, data: bytes) -> None:
        """Send bytes as they are."""
        self._to.write(data)
        self._to.flush()

    def ask(self, requests: Iterable[Request]) -> list[Reply]:
        """Send all requests before the first reply is read; they and their replies must fit into a pipe."""
        asked = {next(self._ids) & 0xFFFF_FFFF: request for request in requests}
        self.send(b"".join(itertools.starmap(encode, asked.items())))
        return [self._reply(number) for number in asked]

    def _reply(self, number: int) -> Reply:
        packet = self._packet()
        assert int.from_bytes(packet[1:5], "big") == number
        return Reply(packet[0], packet[5:])

    def _packet(self) -> bytes:
        head = self._from.read(4)
        assert len(head) == 4, "the session has ended"
        return self._from.read(int.from_bytes(head, "big"))
