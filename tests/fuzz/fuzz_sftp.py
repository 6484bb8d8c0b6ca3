"""SFTP: bytes, requests, attributes and extensions, answered over real folders."""

import os
import struct
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any

from account_sessions import PERMISSIONS, Session, whole
from fuzz_oracle import INPUT_LIMIT, Source, Target, always, scratch
from sftp_samples import INIT
from structlog.testing import capture_logs

from sftpd.sftp import attributes
from sftpd.sftp.attributes import Attributes
from sftpd.sftp.engine import Continued, Engine, Init
from sftpd.sftp.requests import EXTENDED, EXTENSIONS, REQUESTS
from sftpd.sftp.wire import MAX_PACKET, ProtocolError, Reader, frame, string, uint32, uint64

_GRANTED = PERMISSIONS["upload"]
_VERSION, _STATUS, _HANDLE, _DATA, _NAME, _ATTRS, _EXTENDED_REPLY = 2, 101, 102, 103, 104, 105, 201

_PATHS = (
    b"/",
    b"/upload",
    b"/upload/a",
    b"/upload/b.part",
    b"/upload/dir",
    b"/upload/dir/c",
    b"/upload/link",
    b"/download/d",
    b"/requests/e",
    b"/upload/reject",
    b"/upload/forbidden",
    b"/upload/../../x",
    b"",
    b"~/upload",
    b"/upload/\xff\xfe",
)


class Client:
    """One session, each of whose replies is checked."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._engine = Engine()
        self.handles: list[bytes] = []

    def send(self, data: bytes) -> None:
        """Hand bytes in, and take the replies. Raises ProtocolError as the engine does."""
        for event in self._engine.receive(data):
            reply = whole(self._session.handler.answer(event))
            if isinstance(event, Continued):
                # The reply to a write whose data came in pieces comes with the last of them.
                assert bool(reply) != event.more
                self._note(reply, None)
            elif isinstance(event, Init):
                assert _fields(reply)[0] == _VERSION
            elif reply or not getattr(getattr(event, "request", None), "more", False):
                self._note(reply, event.id)

    def _note(self, reply: bytes, request_id: int | None) -> None:
        if not reply:
            return
        kind, number, reader = _fields(reply)
        assert request_id in (None, number)
        if kind == _HANDLE:
            self.handles.append(reader.string())


def _fields(reply: bytes) -> tuple[int, int, Reader]:
    """Kind and id of a well-formed reply, and a reader behind them."""
    (length,) = struct.unpack(">I", reply[:4])
    assert length == len(reply) - 4 <= MAX_PACKET, "a reply of another length than it says"
    reader = Reader(memoryview(reply)[4:])
    kind, number = reader.uint8(), reader.uint32()
    rest = Reader(memoryview(reply)[9:])
    _SHAPES[kind](rest)
    assert rest.at_end, f"a reply of kind {kind} has a tail"
    return kind, number, reader


def _status(reader: Reader) -> None:
    assert reader.uint32() <= 8
    reader.string().decode()
    reader.string().decode()


def _names(reader: Reader) -> None:
    for _ in range(reader.uint32()):
        reader.string()
        reader.string()
        attributes.decode(reader)


_SHAPES: dict[int, Callable[[Reader], object]] = {
    _VERSION: Reader.rest,
    _STATUS: _status,
    _HANDLE: Reader.string,
    _DATA: Reader.string,
    _NAME: _names,
    _ATTRS: attributes.decode,
    _EXTENDED_REPLY: Reader.rest,
}


@contextmanager
def _client() -> Iterator[Client]:
    """A session over new folders; afterwards no request has failed by an error that nobody foresaw."""
    with scratch() as base, capture_logs() as said, Session(base, granted=_GRANTED) as session:
        (base / "published/upload/a").write_bytes(b"published")
        (base / "published/download/d").write_bytes(b"x" * 1000)
        (base / "published/upload/dir").mkdir()
        os.symlink("/etc/passwd", base / "staging/upload/link")
        yield Client(session)
    assert not [line for line in said if line["event"] == "request_failed"], said


def _bytes(data: bytes) -> None:
    """What a client sends, as it is: it is answered, or the channel ends by ProtocolError."""
    with _client() as client:
        try:
            source = Source(data)
            while source:
                client.send(source.take(source.number(2)))
        except ProtocolError:
            return


def _requests(data: bytes) -> None:
    """Requests with known handles and likely paths among others, whole: each is answered."""
    with _client() as client:
        client.send(INIT)
        source, kinds = Source(data), [*REQUESTS.items(), *EXTENSIONS.items()]
        for number in count(1):
            if not source:
                return
            kind, spec = kinds[source.number(1) % len(kinds)]
            fields = [_ENCODED.get(field, _string)(source, client) for field in spec.fields]
            client.send(_packet(kind, number, *fields))


def _extensions(data: bytes) -> None:
    """Extended requests with fields that are any bytes at all: each is answered."""
    with _client() as client:
        client.send(INIT)
        source, names = Source(data), [*EXTENSIONS, b"", b"no-such@example.org"]
        for number in count(1):
            if not source:
                return
            name = names[source.number(1) % len(names)]
            client.send(frame(EXTENDED, uint32(number), string(name), source.short()))


def _attributes(data: bytes) -> None:
    """ATTRS are read, and what was read is written and read to the same; or ProtocolError."""
    try:
        told = attributes.decode(Reader(memoryview(data)))
    except ProtocolError:
        return
    assert attributes.decode(Reader(memoryview(attributes.encode(told)))) == told


def _packet(kind: int | bytes, number: int, *fields: bytes) -> bytes:
    if isinstance(kind, bytes):
        return frame(EXTENDED, uint32(number), string(kind), *fields)
    return frame(kind, uint32(number), *fields)


def _string(source: Source, client: Client) -> bytes:
    choice = source.number(1)
    if choice < len(_PATHS):
        return string(_PATHS[choice])
    if choice < 0x80 and client.handles:
        return string(client.handles[choice % len(client.handles)])
    return string(source.short())


def _attrs(source: Source, _client: Client) -> bytes:
    flags = source.number(1)
    return attributes.encode(
        Attributes(
            size=source.number(1 + flags % 8) if flags & 1 else None,
            owner=(source.number(1), source.number(1)) if flags & 0x40 else None,
            permissions=source.number(2) if flags & 4 else None,
            times=(source.number(4), source.number(4)) if flags & 8 else None,
        )
    )


_ENCODED: dict[Any, Callable[[Source, Client], bytes]] = {
    Reader.uint32: lambda source, _: uint32(source.number(1 + 3 * (source.number(1) & 1))),
    Reader.uint64: lambda source, _: uint64(source.number(1 + 7 * (source.number(1) & 1))),
    attributes.decode: _attrs,
}


def _raw_seeds() -> Iterable[bytes]:
    opening = frame(3, uint32(1), string(b"/upload/new"), uint32(0x1A), uint32(0))
    listing = frame(11, uint32(2), string(b"/upload"))
    extended = frame(EXTENDED, uint32(3), string(b"limits@openssh.com"))
    for packets in ((opening, listing, extended), (b"\xff\xff\xff\xff",), (opening[:9], opening[9:])):
        yield b"".join(struct.pack(">H", len(part)) + part for part in (INIT, *packets))


def _request_seeds() -> Iterable[bytes]:
    kinds = [*REQUESTS, *EXTENSIONS]
    at = {kind: bytes((kinds.index(kind),)) for kind in kinds}
    new = b"\xff\x0b/upload/new"
    handle = b"\x10"
    opened = at[3] + new + b"\x00\x1b" + b"\x00"
    written = at[6] + handle + b"\x00\x00" + b"\xff\x05hello"
    closed = at[4] + handle
    yield opened + written + closed
    yield opened + at[10] + handle + b"\x01\x08" + closed
    yield at[11] + b"\x01" + at[12] + handle + at[12] + handle + closed
    yield at[18] + b"\x02" + b"\x03" + at[13] + b"\x02" + at[14] + b"\xff\x09/upload/n\x00"
    for kind, spec in (*REQUESTS.items(), *EXTENSIONS.items()):
        yield at[kind] + b"\x02" * len(spec.fields)
        yield opened + at[kind] + handle * len(spec.fields)


def _extension_seeds() -> Iterable[bytes]:
    for index, spec in enumerate(EXTENSIONS.values()):
        body = b"".join(_sample(field) for field in spec.fields)
        yield bytes((index, len(body))) + body
        yield bytes((index, len(body) // 2)) + body[: len(body) // 2]


def _sample(field: Any) -> bytes:
    if field is attributes.decode:
        return attributes.encode(Attributes(permissions=0o644, times=(1, 2)))
    return {Reader.uint32: uint32(1), Reader.uint64: uint64(1)}.get(field, string(b"/upload/a"))


def _attribute_seeds() -> Iterable[bytes]:
    yield attributes.encode(Attributes(size=2**64 - 1, owner=(1, 2), permissions=0o100644, times=(3, 4)))
    yield uint32(0x8000_0000) + uint32(1) + string(b"name") + string(b"value")
    yield uint32(0x8000_0000) + b"\xff" * 4
    yield b"\xff" * 40


# A READ is answered with 255 KiB whatever it costs to ask, and the tables of a session stay below that.
_WITH_ANSWERS = 16 * MAX_PACKET + INPUT_LIMIT

TARGETS = (
    Target("sftp-bytes", always(_bytes), _raw_seeds, _WITH_ANSWERS),
    Target("sftp-requests", always(_requests), _request_seeds, _WITH_ANSWERS),
    Target("sftp-extensions", always(_extensions), _extension_seeds, _WITH_ANSWERS),
    Target("sftp-attributes", always(_attributes), _attribute_seeds, 2 * INPUT_LIMIT),
)
