"""An account's SFTP session without SSH: a simple monitor, and a channel that paramiko's client can use."""

import contextlib
import hashlib
import itertools
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import paramiko
import structlog
from paramiko.sftp import CMD_CLOSE

from sftpd.clock import SystemClock
from sftpd.errors import RefusedError, SftpdError
from sftpd.files import durable
from sftpd.files.beneath import Root
from sftpd.process.channel import CallFailedError
from sftpd.process.messages import Done, Failure, Message
from sftpd.sftp.engine import Engine
from sftpd.ssh import messages
from sftpd.ssh.asking import failure_for
from sftpd.ssh.file_data import FileData
from sftpd.ssh.handler import Answer, Handler
from sftpd.ssh.long_answer import LongAnswer
from sftpd.ssh.messages import Admitted, Folder
from sftpd.ssh.view import View

PERMISSIONS = {
    "upload": ("list", "read", "write", "delete", "rename", "mkdir", "setstat", "symlink", "hardlink"),
    "download": ("list", "read", "delete"),
    "requests": ("list", "read", "write"),
    "receipts": ("list", "read"),
    "audit": ("list", "read"),
}
BY_DEFAULT = ("list", "read", "write", "delete", "rename", "mkdir", "setstat")
STAGED = ("upload", "requests")


class SimpleMonitor:
    """Does at once, on the real folders, what a session asks; refuses names that hold `reject`."""

    def __init__(self, folders: dict[str, Folder]) -> None:
        self._folders = folders
        self._ids = itertools.count()
        self.heard: list[Message] = []

    def call(self, body: Message, expect: type[Any]) -> Any:
        self.heard.append(body)
        try:
            return getattr(self, f"_{type(body).__name__.lower()}")(body)
        except (SftpdError, OSError) as error:
            raise CallFailedError(Failure(0, *failure_for(error))) from error

    def call_in_steps(self, body: Message, expect: type[Any], patience: float) -> Iterator[None]:
        yield from ()
        return self.call(body, expect)

    def notify(self, body: Message) -> None:
        self.heard.append(body)

    def kinds(self) -> list[str]:
        return [type(body).__name__ for body in self.heard]

    @contextmanager
    def _roots(self, path: bytes) -> Iterator[tuple[Root, Root | None, tuple[bytes, ...]]]:
        _, name, *parts = path.split(b"/")
        folder = self._folders[name.decode()]
        with contextlib.ExitStack() as stack:
            published = stack.enter_context(Root.at(Path(folder.published)))
            staging = folder.staging and stack.enter_context(Root.at(Path(folder.staging)))
            yield published, staging or None, tuple(parts)

    def _begin(self, body: messages.Begin) -> Message:
        if b"forbidden" in body.path:
            raise RefusedError("this name is not welcome", reason="FORBIDDEN")
        return messages.Begun(f"t{next(self._ids)}")

    def _askroom(self, _: messages.AskRoom) -> Message:
        return messages.Room(None)

    def _complete(self, body: messages.Complete) -> Message:
        with self._roots(body.path) as (published, staging, parts):
            assert staging is not None
            content = (Path(staging.label) / os.fsdecode(b"/".join(parts))).read_bytes()
            assert len(content) == body.size
            assert hashlib.sha256(content).digest() == body.sha256
            if b"reject" in body.path:
                raise RefusedError("rejected by policy", reason="REJECTED")
            durable.publish(staging, parts, published, parts, replace=True)
        return messages.Completed("published")

    def _remove(self, body: messages.Remove) -> Message:
        with self._roots(body.path) as (published, _, parts):
            published.unlink(parts)
        return Done()

    def _rename(self, body: messages.Rename) -> Message:
        with self._roots(body.old) as (published, _, old), self._roots(body.new) as (_, _, new):
            published.rename(old, published, new, replace=body.replace)
        return Done()

    def _makedirectory(self, body: messages.MakeDirectory) -> Message:
        with self._roots(body.path) as (published, _, parts):
            published.mkdir(parts)
        return Done()

    def _removedirectory(self, body: messages.RemoveDirectory) -> Message:
        with self._roots(body.path) as (published, _, parts):
            published.rmdir(parts)
        return Done()

    def _setattributes(self, body: messages.SetAttributes) -> Message:
        with self._roots(body.path) as (published, _, parts):
            if body.mode is not None:
                published.chmod(parts, body.mode)
            if body.mtime is not None and body.atime is not None:
                published.utime(parts, (body.atime * 10**9, body.mtime * 10**9))
        return Done()


class Loopback:
    """What paramiko's client takes for a channel: what it sends is answered before `send` returns."""

    def __init__(self, handler: Handler) -> None:
        self._engine = Engine()
        self._handler = handler
        self._answers = bytearray()

    def send(self, data: bytes) -> int:
        for chunk in (data[:7], data[7:]):
            for event in self._engine.receive(chunk):
                self._answers += whole(self._handler.answer(event))
        return len(data)

    def recv(self, count: int) -> bytes:
        told = bytes(self._answers[:count])
        del self._answers[:count]
        return told

    def recv_ready(self) -> bool:
        return bool(self._answers)

    def get_name(self) -> str:
        return "loopback"

    def close(self) -> None:
        pass


def whole(reply: Answer) -> bytes:
    while isinstance(reply, LongAnswer):
        reply = reply.go_on() or reply
    return reply.reply() if isinstance(reply, FileData) else reply


class Session:
    """One session of the account over the folders in `base`; `end` is what a lost connection does."""

    def __init__(self, base: Path, *, granted: tuple[str, ...] = BY_DEFAULT, **limits: Any) -> None:
        folders = {name: _folder(base, name) for name in PERMISSIONS}
        settings = {"denied_requests": (), "max_handles": 8} | limits
        self.admitted = Admitted("alice", "demo", tuple(folders.values()), granted, **settings)
        self.monitor = SimpleMonitor(folders)
        self.view = View(folders.values(), granted, self.monitor)
        self.handler = Handler(self.view, self.admitted, SystemClock())
        self.client = paramiko.SFTPClient(Loopback(self.handler))

    def __enter__(self) -> "Session":
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def end(self) -> None:
        self.handler.end()
        self.view.close()

    def put(self, path: str, content: bytes) -> None:
        file = self.client.open(path, "wb")
        try:
            file.write(content)
        finally:
            close(file)

    def get(self, path: str) -> bytes:
        with self.client.open(path, "rb") as file:
            return file.read()


def close(file: paramiko.SFTPFile) -> None:
    """Close a file and raise what its server said to that, which paramiko's own close swallows."""
    file.flush()
    file._closed = True
    file.sftp._request(CMD_CLOSE, file.handle)


def _folder(base: Path, name: str) -> Folder:
    for layer in ("published", "staging"):
        (base / layer / name).mkdir(parents=True, exist_ok=True)
    staging = str(base / "staging" / name) if name in STAGED else None
    return Folder(name, str(base / "published" / name), staging, PERMISSIONS[name])


def serve_stdin(base: Path) -> None:
    """Be the server program of `sftp -D`: one session over standard input and output."""
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    session = Session(base)
    engine = Engine()
    while data := os.read(0, 1 << 16):
        for event in engine.receive(data):
            reply = memoryview(whole(session.handler.answer(event)))
            while reply:
                reply = reply[os.write(1, reply) :]
    session.end()


if __name__ == "__main__":
    serve_stdin(Path(sys.argv[1]))
