"""SFTP as a client, over one SSH channel: paths are bytes, and a window of requests is under way at once.

paramiko's own client decodes names as UTF-8, keeps the server's extensions to itself and reads ahead without
a limit; a courier can have none of the three.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from enum import IntEnum
from typing import TypeVar

from sftpd.errors import ChangedThereError, RemoteError
from sftpd.sftp import attributes
from sftpd.sftp.attributes import Attributes
from sftpd.sftp.extensions import CHECK_FILE
from sftpd.sftp.replies import PROTOCOL_VERSION
from sftpd.sftp.requests import EXTENDED, INIT, OpenFlag
from sftpd.sftp.status import Status
from sftpd.sftp.wire import MAX_DATA, MAX_PACKET, ProtocolError, frame, string, uint32, uint64
from sftpd.ssh.courier_answers import Answer, Reading, Sink, Streamed
from sftpd.ssh.courier_channel import CourierChannel, Fill
from sftpd.ssh.courier_replies import (
    Reply,
    StatusReply,
    described,
    entries_told,
    expect,
    extension_names,
    hash_told,
    known_size,
    limits_told,
    marks_told,
    printable,
    size_told,
    status_of,
    unless_end,
)
from sftpd.ssh.courier_strands import together

T = TypeVar("T")

CHUNK = 32 * 1024
"""Bytes of a file in one packet, the most that every server takes; some say that they take more."""

_FIRST_WINDOW = 512 * 1024
_WINDOW = 4 * 1024 * 1024
"""Bytes of a file that are asked for, or sent, ahead of the answers: so many at first, and at the most."""
_READS = _WINDOW // CHUNK
"""Reads under way at the most."""

_HANDLE_LIMIT = 256
_HEARD_LATELY = 10.0
"""Seconds within which a server that has said something is known to be there."""

_WRITING = OpenFlag.WRITE | OpenFlag.CREATE | OpenFlag.TRUNCATE
_NOTHING_SAID = attributes.encode(Attributes())

POSIX_RENAME = b"posix-rename@openssh.com"
FSYNC = b"fsync@openssh.com"
_LIMITS = b"limits@openssh.com"
_CHECK_FILE_NAME = b"check-file-name"


class _Ask(IntEnum):
    OPEN = 3
    CLOSE = 4
    READ = 5
    FSTAT = 8
    SETSTAT = 9
    OPENDIR = 11
    READDIR = 12
    REMOVE = 13
    MKDIR = 14
    REALPATH = 16
    STAT = 17
    RENAME = 18


class Client:
    """One SFTP conversation.

    Every method raises StatusReply for a refusal, ProtocolError for nonsense, EOFError, OSError or
    paramiko.SSHException when the connection is lost, TimeoutError when the server does not answer.
    """

    def __init__(self, channel: CourierChannel) -> None:
        """Begin the conversation on a channel that has the subsystem."""
        self._channel = channel
        self._moved: Callable[[int], object] = at_will
        self.taken: Callable[[int], object] = at_will
        """Called, while a file is written, with the bytes that the server has answered for."""
        self._most_ahead = _WINDOW
        greeting = channel.greet(frame(INIT, uint32(PROTOCOL_VERSION)))
        if greeting.kind != Reply.VERSION or greeting.body.uint32() < PROTOCOL_VERSION:
            raise ProtocolError("server does not begin with SFTP version 3")
        self.extensions = frozenset(extension_names(greeting.body))
        """The names of the extensions that the server offers."""
        self.limits = self._limits()
        """The most bytes of a packet, a read and a write, and open handles; None where it tells none."""
        packet, read, write, _ = self.limits or (0, 0, 0, 0)
        self._most_read, self._most_written = _within(read, packet), _within(write, packet)

    @property
    def identification(self) -> str:
        """What the server calls itself (RFC 4253 §4.2)."""
        return printable(self._channel.identification.encode())

    @property
    def hashes(self) -> bool:
        """Whether it offers to hash files; some servers do so without offering it."""
        return not self.extensions.isdisjoint((CHECK_FILE, _CHECK_FILE_NAME))

    def stat(self, path: bytes) -> Attributes:
        """The attributes of what `path` leads to."""
        return described(self._ask(_Ask.STAT, string(path)))

    def size(self, path: bytes) -> int | None:
        """The size of what `path` leads to, None when there is nothing."""
        return size_told(self._ask(_Ask.STAT, string(path)))

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
        """See that the server is there: ask for something that any can answer, if it was not heard lately."""
        self._channel.peek()
        if self._channel.silent_for > _HEARD_LATELY:
            self._ask(_Ask.REALPATH, string(b"."))

    def rest(self, fd: int, seconds: float) -> bool:
        """Keep the connection up until `fd` has something to read; False when that took too long."""
        return self._channel.rest(fd, seconds)

    def together(self, works: Sequence[Callable[[], T]]) -> list[T | RemoteError]:
        """Do several works over this conversation, each of which goes on while others wait for answers.

        Returns what each returned, or the RemoteError that it raised.
        """
        return together(self._channel, works)

    @contextmanager
    def paced(self, moved: Callable[[int], object], ahead: int) -> Iterator[None]:
        """Have `moved` called after each part of a file that was sent or has come, with its number of bytes.

        It may wait. No more than `ahead` bytes are under way then, or one packet.
        """
        self._moved, self._most_ahead = moved, max(CHUNK, min(ahead, _WINDOW))
        try:
            yield
        finally:
            self._moved, self._most_ahead = at_will, _WINDOW

    def names(self, path: bytes) -> Iterator[tuple[bytes, Attributes]]:
        """The entries of a directory as the server gives them, `.` and `..` too."""
        handle = self._opened(self._send(_Ask.OPENDIR, string(path)))
        try:
            while (body := unless_end(self._ask(_Ask.READDIR, string(handle)), Reply.NAME)) is not None:
                if not (entries := entries_told(body)):  # some servers say the end so
                    break
                yield from entries
        except StatusReply:
            self._close(handle)
            raise
        self._do(_Ask.CLOSE, string(handle))

    def write_file(self, path: bytes, fill: Fill, *, start: int = 0, sync: bool = True) -> int | None:
        """Write a file from `start` on, keeping what it held before that, and nothing if that is 0.

        `sync`: have it made durable where the server can. Returns the size that it has there then, None when
        it is gone already or nobody may look. After a StatusReply the conversation can go on.
        """
        flags = _WRITING & ~OpenFlag.TRUNCATE if start else _WRITING
        handle = self._opened(self._send(_Ask.OPEN, string(path), uint32(flags), _NOTHING_SAID))
        under_way: deque[tuple[int, int]] = deque()
        try:
            self._write(handle, start, fill, under_way)
            if sync and FSYNC in self.extensions:
                under_way.append((self._send(EXTENDED, string(FSYNC), string(handle)), 0))
            under_way.append((self._send(_Ask.CLOSE, string(handle)), 0))
            handle = b""
            told = self._send(_Ask.STAT, string(path))
            while under_way:
                self._done(under_way.popleft()[0])
        except StatusReply:
            for number, _ in under_way:
                self._channel.drop(number)
            if handle:
                self._close(handle)
            else:
                self._channel.drop(told)
            raise
        seen = self._await(told)  # a refusal is none of the writing, all of which was answered
        return None if seen.kind == Reply.STATUS else known_size(described(seen))

    def _write(self, handle: bytes, position: int, fill: Fill, under_way: deque[tuple[int, int]]) -> None:
        """Ask for what `fill` has to be written; `under_way` gets what is not answered yet, and sizes."""
        most, ahead = self._most_ahead, 0
        window, length = min(_FIRST_WINDOW, most), min(self._most_written, most)
        while True:
            if ahead >= window:
                # Half a window at a time, so that neither side waits for the other at each request.
                while ahead > window // 2:
                    number, count = under_way.popleft()
                    self._done(number)
                    self.taken(count)
                    ahead -= count
                window = min(2 * window, most)
            number, count = self._channel.write(handle, position, length, fill)
            if not count:
                return
            under_way.append((number, count))
            position += count
            ahead += count
            self._moved(count)

    def read_file(
        self,
        path: bytes,
        sink: Sink,
        size: int | None = None,
        *,
        to_the_end: bool = True,
        steady: bool = False,
    ) -> int:
        """Give `sink` the bytes of a file in order; returns how many there were.

        The server is asked for its size unless that is given. Raises ChangedThereError for a file that grows;
        not `to_the_end`: what is behind that size is left alone. `steady`: for any that changes meanwhile.
        After a StatusReply or that the conversation can go on.
        """
        asked = self._send(_Ask.STAT, string(path)) if size is None else None
        opening = self._send(_Ask.OPEN, string(path), uint32(OpenFlag.READ), _NOTHING_SAID)
        told = None if asked is None else self._await(asked)
        handle = self._opened(opening)
        marks = []
        try:
            if told is not None:
                size = self._size_of(handle, told)
            assert size is not None
            if steady:
                marks.append(self._send(_Ask.FSTAT, string(handle)))
            position = self._streamed(handle, size, Reading(sink), behind=1 if to_the_end else 0)
            if steady:
                marks.append(self._send(_Ask.FSTAT, string(handle)))
        except (StatusReply, ChangedThereError):
            for number in marks:
                self._channel.drop(number)
            self._close(handle)
            raise
        self._close(handle)
        told_of_it = [marks_told(self._await(number)) for number in marks]
        if None not in told_of_it and len({*told_of_it}) > 1:
            raise ChangedThereError("the file changed while it was read")
        return position

    def _streamed(self, handle: bytes, size: int, reading: Reading, *, behind: int) -> int:
        streamed = self._channel.stream(reading)
        under_way: deque[tuple[int, int]] = deque()
        try:
            return self._read(handle, size, reading, under_way, behind=behind)
        finally:
            self._drop(under_way, reading)
            if streamed:
                self._channel.stream_no_more()

    def _size_of(self, handle: bytes, told: Answer) -> int:
        """The size that an answer tells; some servers describe what is open and nothing else."""
        if told.kind != Reply.ATTRS:
            told = self._ask(_Ask.FSTAT, string(handle))
        return known_size(described(told))

    def _read(
        self, handle: bytes, size: int, reading: Reading, under_way: deque[tuple[int, int]], *, behind: int
    ) -> int:
        """Read a file of which `size` bytes are expected; returns how many there were.

        It is at its end where a read of `behind` bytes behind them says so; 0: there is none. `under_way`
        gets what is not answered yet.
        """
        most = self._most_ahead
        window, length = min(_FIRST_WINDOW, most), min(self._most_read, most)
        position = asked = 0
        while position < size + behind:
            while asked < size + behind and (_has_room(under_way, asked - position, window) or not under_way):
                count = min(length, size - asked) or behind
                number = self._send(_Ask.READ, string(handle), uint64(asked), uint32(count))
                under_way.append((number, count))
                reading.expected.append((number, count))
                asked += count
            number, wanted = under_way.popleft()
            count = self._data(number, wanted, reading)
            position += count
            window = min(window + count, most)
            self._moved(count)
            if position > size:
                raise ChangedThereError("the file grew while it was read")
            if not count:
                break
            if count < wanted:  # what was asked for behind it does not join on
                self._drop(under_way, reading)
                asked, length = position, count
        return position

    def _data(self, number: int, length: int, reading: Reading) -> int:
        """Have the data of a read given to its sink; returns how much it is, 0 at the end of the file."""
        answer = self._channel.answer(number)
        if isinstance(answer, Streamed):
            return answer.size
        if reading.expected and reading.expected[0][0] == number:
            reading.expected.popleft()
        body = unless_end(answer, Reply.DATA)
        if body is None:
            return 0
        data = body.view()
        if len(data) > length:
            raise ProtocolError("server sends more than was asked for")
        reading.sink(data)
        return len(data)

    def _drop(self, under_way: deque[tuple[int, int]], reading: Reading) -> None:
        reading.expected.clear()
        while under_way:
            self._channel.drop(under_way.popleft()[0])

    def hash_of(
        self, path: bytes, algorithm: bytes, *, start: int = 0, length: int = 0, patience: float
    ) -> bytes | None:
        """The server's hash of `length` bytes of a file, 0 for all up to its end; None if it tells none.

        It may take `patience` seconds more than other answers.
        """
        range_ = uint64(start) + uint64(length) + uint32(0)
        number = self._send(EXTENDED, string(_CHECK_FILE_NAME), string(path), string(algorithm), range_)
        return hash_told(self._await(number, patience), algorithm)

    def _limits(self) -> tuple[int, int, int, int] | None:
        return limits_told(self._ask(EXTENDED, string(_LIMITS))) if _LIMITS in self.extensions else None

    def _opened(self, number: int) -> bytes:
        """The handle that the answer to an OPEN or OPENDIR gives."""
        handle = expect(self._await(number), Reply.HANDLE).string()
        if len(handle) > _HANDLE_LIMIT:
            raise ProtocolError(f"handle of {len(handle)} bytes", expected=f"at most {_HANDLE_LIMIT}")
        return handle

    def _close(self, handle: bytes) -> None:
        self._channel.ask(_Ask.CLOSE, string(handle), wanted=False)

    def _do(self, kind: int, *fields: bytes) -> None:
        self._done(self._send(kind, *fields))

    def _done(self, number: int) -> None:
        reply = status_of(self._await(number))
        if reply.status is not Status.OK:
            raise reply

    def _ask(self, kind: int, *fields: bytes) -> Answer:
        return self._await(self._send(kind, *fields))

    def _send(self, kind: int, *fields: bytes) -> int:
        return self._channel.ask(kind, *fields)

    def _await(self, number: int, more_patience: float = 0.0) -> Answer:
        answer = self._channel.answer(number, more_patience)
        assert isinstance(answer, Answer)
        return answer


def at_will(count: int) -> None:
    """Let a file move."""
    del count


def _has_room(under_way: deque[tuple[int, int]], ahead: int, window: int) -> bool:
    """Whether one more read may be asked for: they are few, however little a server gives at a time."""
    return ahead < window and len(under_way) < _READS


def _within(most: int, packet: int) -> int:
    """What is asked of a server at a time that says it takes `most` bytes, 0 if it says nothing."""
    return max(CHUNK, min(most, packet - (MAX_PACKET - MAX_DATA), MAX_DATA))
