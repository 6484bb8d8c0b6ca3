"""SFTP as a client, over one SSH channel: paths are bytes, and a window of requests is under way at once.

paramiko's own client decodes names as UTF-8, keeps the server's extensions to itself and reads ahead without
a limit; a courier can have none of the three.
"""

import itertools
import os
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import IntEnum
from typing import NamedTuple

import paramiko

from sftpd.errors import RemoteError, RemoteRefusedError
from sftpd.sftp import attributes
from sftpd.sftp.attributes import Attributes
from sftpd.sftp.extensions import CHECK_FILE
from sftpd.sftp.replies import PROTOCOL_VERSION
from sftpd.sftp.requests import EXTENDED, INIT, OpenFlag
from sftpd.sftp.status import Status
from sftpd.sftp.wire import MAX_PACKET, ProtocolError, Reader, frame, string, uint32, uint64

CHUNK = 32 * 1024
"""Bytes of a file in one packet, the most that every server takes."""

_WINDOW = 64
_TEXT_LIMIT = 200
_WRITING = OpenFlag.WRITE | OpenFlag.CREATE | OpenFlag.TRUNCATE
_NOTHING_SAID = attributes.encode(Attributes())
_STATUSES = {status.value: status for status in Status}
_FINAL = (Status.PERMISSION_DENIED, Status.OP_UNSUPPORTED)

POSIX_RENAME = b"posix-rename@openssh.com"
FSYNC = b"fsync@openssh.com"
LIMITS = b"limits@openssh.com"
_CHECK_FILE_NAME = b"check-file-name"


class _Ask(IntEnum):
    OPEN = 3
    CLOSE = 4
    READ = 5
    WRITE = 6
    FSTAT = 8
    SETSTAT = 9
    OPENDIR = 11
    READDIR = 12
    REMOVE = 13
    MKDIR = 14
    REALPATH = 16
    STAT = 17
    RENAME = 18


class _Reply(IntEnum):
    VERSION = 2
    STATUS = 101
    HANDLE = 102
    DATA = 103
    NAME = 104
    ATTRS = 105
    EXTENDED_REPLY = 201


class _Answer(NamedTuple):
    kind: int
    body: Reader


class StatusReply(RemoteError):  # noqa: N818  (a reply first, and an error only where it was not expected)
    """The server answered a request with this status; `text` is what it said, fit to be shown."""

    def __init__(self, status: Status, text: str) -> None:
        super().__init__(f"it answers {status.name}" + (f": {text}" if text else ""))
        self.status = status


class Client:
    """One SFTP conversation.

    Every method raises StatusReply for a refusal, ProtocolError for nonsense, EOFError, OSError or
    paramiko.SSHException when the connection is lost, TimeoutError when the server does not answer.
    """

    def __init__(self, channel: paramiko.Channel) -> None:
        """Begin the conversation on a channel that has the subsystem."""
        self._channel = channel
        self._numbers = itertools.count(1)
        self._answers: dict[int, _Answer] = {}
        self._closing: deque[int] = deque()
        """Requests to close what was read, which nobody has waited for yet."""
        channel.sendall(frame(INIT, uint32(PROTOCOL_VERSION)))
        kind, body = self._packet()
        if kind != _Reply.VERSION or body.uint32() < PROTOCOL_VERSION:
            raise ProtocolError("server does not begin with SFTP version 3")
        self.extensions = frozenset(_extension_names(body))
        """The names of the extensions that the server offers."""

    @property
    def identification(self) -> str:
        """What the server calls itself (RFC 4253 §4.2)."""
        return printable(self._channel.get_transport().remote_version.encode())

    def limits(self) -> tuple[int, int, int, int]:
        """The most bytes of a packet, of a read and of a write, and open handles; an extension."""
        body = _expect(self._ask(EXTENDED, string(LIMITS)), _Reply.EXTENDED_REPLY)
        return body.uint64(), body.uint64(), body.uint64(), body.uint64()

    @property
    def hashes(self) -> bool:
        """Whether it offers to hash files; some servers do so without offering it."""
        return not self.extensions.isdisjoint((CHECK_FILE, _CHECK_FILE_NAME))

    def stat(self, path: bytes) -> Attributes:
        """The attributes of what `path` leads to."""
        return self._attributes(_Ask.STAT, string(path))

    def size(self, path: bytes) -> int | None:
        """The size of what `path` leads to, None when there is nothing."""
        try:
            return _known_size(self.stat(path))
        except StatusReply as reply:
            if reply.status is Status.NO_SUCH_FILE:
                return None
            raise

    def remove(self, path: bytes) -> None:
        """Delete a file."""
        self._do(_Ask.REMOVE, string(path))

    def make_directory(self, path: bytes) -> None:
        """Make one directory."""
        self._do(_Ask.MKDIR, string(path), _NOTHING_SAID)

    def set_attributes(self, path: bytes, told: Attributes) -> None:
        """Set what is said of what `path` leads to."""
        self._do(_Ask.SETSTAT, string(path), attributes.encode(told))

    def rename(self, old: bytes, new: bytes) -> None:
        """Rename; most servers refuse where `new` exists."""
        self._do(_Ask.RENAME, string(old), string(new))

    def posix_rename(self, old: bytes, new: bytes) -> None:
        """Rename in one step, replacing what is at `new`; an extension."""
        self._do(EXTENDED, string(POSIX_RENAME), string(old), string(new))

    def probe(self) -> None:
        """Ask for something that any server can answer."""
        self._ask(_Ask.REALPATH, string(b"."))

    def names(self, path: bytes) -> Iterator[tuple[bytes, Attributes]]:
        """The entries of a directory as the server gives them, `.` and `..` too."""
        handle = self._handle(_Ask.OPENDIR, string(path))
        while (body := self._unless_end(self._send(_Ask.READDIR, string(handle)), _Reply.NAME)) is not None:
            for _ in range(body.uint32()):
                name = body.string()
                body.view()
                yield name, attributes.decode(body)
        self._do(_Ask.CLOSE, string(handle))

    def write_file(self, path: bytes, chunks: Iterator[bytes], *, start: int = 0, sync: bool = True) -> None:
        """Write a file from `start` on, keeping what it held before that and nothing if that is 0.

        `sync`: have it made durable where the server can.
        """
        flags = _WRITING & ~OpenFlag.TRUNCATE if start else _WRITING
        handle = self._handle(_Ask.OPEN, string(path), uint32(flags), _NOTHING_SAID)
        under_way: deque[int] = deque()
        position = start
        try:
            for chunk in chunks:
                if len(under_way) == _WINDOW:
                    self._done(under_way.popleft())
                under_way.append(self._send(_Ask.WRITE, string(handle), uint64(position), string(chunk)))
                position += len(chunk)
            while under_way:
                self._done(under_way.popleft())
        except StatusReply:
            self._drop(under_way)
            self._ask(_Ask.CLOSE, string(handle))
            raise
        if sync and FSYNC in self.extensions:
            self._do(EXTENDED, string(FSYNC), string(handle))
        self._do(_Ask.CLOSE, string(handle))

    def read_file(self, path: bytes, size: int | None = None) -> Iterator[bytes]:
        """The bytes of a file in order; the server is asked for its size unless that is given.

        Raises RemoteError for one that grows meanwhile.
        """
        opening = self._send(_Ask.OPEN, string(path), uint32(OpenFlag.READ), _NOTHING_SAID)
        self._drop(self._closing)
        handle = _expect(self._await(opening), _Reply.HANDLE).string()
        if size is None:
            size = _known_size(self._attributes(_Ask.FSTAT, string(handle)))
        position = asked = 0
        longest = CHUNK
        under_way: deque[tuple[int, int]] = deque()
        while True:
            while len(under_way) < _WINDOW and asked <= size:
                length = min(longest, size - asked) or longest  # behind the end: whether there is more
                number = self._send(_Ask.READ, string(handle), uint64(asked), uint32(length))
                under_way.append((number, length))
                asked += length
            number, length = under_way.popleft()
            data = self._data(number, length)
            if not data:
                break
            yield data
            position += len(data)
            if position > size:
                raise RemoteError("the file grew while it was read")
            if len(data) < length:  # what was asked for behind it does not join on
                self._drop(deque(number for number, _ in under_way))
                under_way.clear()
                asked, longest = position, len(data) if position < size else longest
        self._drop(deque(number for number, _ in under_way))
        self._closing.append(self._send(_Ask.CLOSE, string(handle)))

    def hash_of(
        self, path: bytes, algorithm: bytes, *, start: int = 0, length: int = 0, patience: float
    ) -> bytes | None:
        """The server's hash of `length` bytes of a file, 0 for all up to its end; None if it tells none.

        It may take `patience` seconds more than other answers. Some servers put the name of the extension
        before that of the algorithm.
        """
        range_ = uint64(start) + uint64(length) + uint32(0)
        number = self._send(EXTENDED, string(_CHECK_FILE_NAME), string(path), string(algorithm), range_)
        usual = self._channel.gettimeout()
        self._channel.settimeout(None if usual is None else usual + patience)
        answer = self._await(number)
        self._channel.settimeout(usual)
        if answer.kind == _Reply.STATUS:
            return None
        body = _expect(answer, _Reply.EXTENDED_REPLY)
        used = body.string()
        if used == CHECK_FILE:
            used = body.string()
        return bytes(body.rest()) if used == algorithm else None

    def _data(self, number: int, length: int) -> bytes:
        """The data of a read, empty at the end of the file."""
        body = self._unless_end(number, _Reply.DATA)
        data = b"" if body is None else body.string()
        if len(data) > length:
            raise ProtocolError("server sends more than was asked for")
        return data

    def _drop(self, under_way: deque[int]) -> None:
        while under_way:
            self._await(under_way.popleft())

    def _attributes(self, kind: int, *fields: bytes) -> Attributes:
        return attributes.decode(_expect(self._ask(kind, *fields), _Reply.ATTRS))

    def _handle(self, kind: int, *fields: bytes) -> bytes:
        return _expect(self._ask(kind, *fields), _Reply.HANDLE).string()

    def _do(self, kind: int, *fields: bytes) -> None:
        self._done(self._send(kind, *fields))

    def _done(self, number: int) -> None:
        reply = _status(self._await(number))
        if reply.status is not Status.OK:
            raise reply

    def _unless_end(self, number: int, expected: _Reply) -> Reader | None:
        """The body of an answer; None for the status EOF."""
        answer = self._await(number)
        if answer.kind == _Reply.STATUS and (reply := _status(answer)).status is not Status.EOF:
            raise reply
        return None if answer.kind == _Reply.STATUS else _expect(answer, expected)

    def _ask(self, kind: int, *fields: bytes) -> _Answer:
        return self._await(self._send(kind, *fields))

    def _send(self, kind: int, *fields: bytes) -> int:
        number = next(self._numbers) & 0xFFFF_FFFF
        self._channel.sendall(frame(kind, uint32(number), *fields))
        return number

    def _await(self, number: int) -> _Answer:
        """The answer to a request; those that come before it are kept for who asked."""
        while number not in self._answers:
            kind, body = self._packet()
            self._answers[body.uint32()] = _Answer(kind, body)
            if len(self._answers) > _WINDOW:
                raise ProtocolError("server answers what was not asked")
        return self._answers.pop(number)

    def _packet(self) -> _Answer:
        length = int.from_bytes(self._take(4), "big")
        if not 1 <= length <= MAX_PACKET:
            raise ProtocolError(f"packet of {length} bytes", expected=f"1 to {MAX_PACKET}")
        body = Reader(memoryview(self._take(length)))
        return _Answer(body.uint8(), body)

    def _take(self, count: int) -> bytes:
        taken = bytearray()
        while len(taken) < count:
            part = self._channel.recv(count - len(taken))
            if not part:
                raise EOFError("the server has closed the connection")
            taken += part
        return bytes(taken)


@contextmanager
def errors_told() -> Iterator[None]:
    """Turn all that a Client raises into RemoteError, or RemoteRefusedError where trying again is in vain."""
    try:
        yield
    except StatusReply as reply:
        kind = RemoteRefusedError if reply.status in _FINAL else RemoteError
        raise kind(reply.what) from reply
    except TimeoutError as fault:
        raise RemoteError("the server does not answer") from fault
    except ProtocolError as fault:
        raise RemoteError(f"the server does not speak SFTP as it should: {fault}") from fault
    except (EOFError, OSError, paramiko.SSHException) as fault:
        raise RemoteError(f"the connection is lost: {printable(str(fault).encode())}") from fault


def chunks_of(fd: int, size: int, see: Callable[[bytes], object], *, start: int = 0) -> Iterator[bytes]:
    """An open file from `start` to `size`; `see` gets each chunk too. The file's offset does not move.

    Raises RemoteError when it cannot be read.
    """
    position = start
    while position < size:
        try:
            chunk = os.pread(fd, min(CHUNK, size - position), position)
        except OSError as fault:
            raise RemoteError(f"the local file cannot be read: {fault.strerror}") from fault
        if not chunk:
            return
        see(chunk)
        yield chunk
        position += len(chunk)


def _expect(answer: _Answer, kind: _Reply) -> Reader:
    if answer.kind == _Reply.STATUS:
        raise _status(answer)
    if answer.kind != kind:
        raise ProtocolError(f"answer of type {answer.kind}", expected=f"type {kind} ({kind.name})")
    return answer.body


def _status(answer: _Answer) -> StatusReply:
    if answer.kind != _Reply.STATUS:
        raise ProtocolError(f"answer of type {answer.kind}", expected="a status")
    code = answer.body.uint32()
    text = b"" if answer.body.at_end else answer.body.string()
    return StatusReply(_STATUSES.get(code, Status.FAILURE), printable(text))


def printable(text: bytes) -> str:
    """What a remote wrote, fit for a log line: UTF-8 without control characters, cut to a length."""
    plain = text.decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else "?" for c in plain)[:_TEXT_LIMIT]


def _known_size(told: Attributes) -> int:
    if told.size is None:
        raise ProtocolError("server does not tell a file's size")
    return told.size


def _extension_names(body: Reader) -> Iterator[bytes]:
    while not body.at_end:
        yield body.string()
        body.view()
