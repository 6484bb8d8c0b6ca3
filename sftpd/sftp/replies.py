"""The replies of SFTP version 3, as bytes ready to send."""

from collections.abc import Iterable, Iterator

import msgspec

from sftpd.sftp import attributes, wire
from sftpd.sftp.attributes import Attributes
from sftpd.sftp.status import Status
from sftpd.sftp.wire import string, uint32

PROTOCOL_VERSION = 3

_VERSION = 2
_STATUS = 101
_HANDLE = 102
_DATA = 103
_NAME = 104
_ATTRS = 105
_EXTENDED_REPLY = 201

_NAMES_LIMIT = 34_000
"""Bytes of a packet that every client must take (§3); longer ones gain nothing measurable in listings."""


class Name(msgspec.Struct, frozen=True):
    """One entry of a NAME reply."""

    filename: bytes
    longname: bytes
    attributes: Attributes


def reply_version(extensions: Iterable[tuple[bytes, bytes]]) -> bytes:
    """VERSION, the answer to INIT: version 3 and pairs of extension name and version."""
    pairs = (string(name) + string(version) for name, version in extensions)
    return wire.frame(_VERSION, uint32(PROTOCOL_VERSION), *pairs)


def reply_status(request_id: int, code: Status, message: str = "") -> bytes:
    """STATUS with a message in English."""
    return wire.frame(
        _STATUS, uint32(request_id), uint32(code), string(message.encode()), string(b"en" if message else b"")
    )


def reply_handle(request_id: int, handle: bytes) -> bytes:
    """HANDLE, the answer to OPEN and OPENDIR."""
    return wire.frame(_HANDLE, uint32(request_id), string(handle))


def reply_data(request_id: int, data: bytes | memoryview) -> bytes:
    """DATA, the answer to READ."""
    return wire.frame(_DATA, uint32(request_id), uint32(len(data)), data)


def reply_name(request_id: int, names: Iterable[Name]) -> bytes:
    """NAME with all of `names`."""
    return _name(request_id, [_encoded(name) for name in names])


def reply_attrs(request_id: int, told: Attributes) -> bytes:
    """ATTRS, the answer to the stat requests."""
    return wire.frame(_ATTRS, uint32(request_id), attributes.encode(told))


def reply_extended(request_id: int, body: bytes) -> bytes:
    """EXTENDED_REPLY with `body`, which the extension has encoded."""
    return wire.frame(_EXTENDED_REPLY, uint32(request_id), body)


class NameBatches:
    """Hands out the entries of one listing in NAME replies of a bounded size; `names` is drawn as needed."""

    def __init__(self, names: Iterator[Name], limit: int = _NAMES_LIMIT) -> None:
        self._encoded = (_encoded(name) for name in names)
        self._held = b""
        self._limit = limit

    def next_reply(self, request_id: int) -> bytes | None:
        """The next NAME reply, or None when all entries have been told."""
        batch: list[bytes] = []
        room = self._limit - len(_name(request_id, batch))
        while entry := self._held or next(self._encoded, b""):
            if batch and len(entry) > room:
                self._held = entry
                break
            self._held = b""
            batch.append(entry)
            room -= len(entry)
        return _name(request_id, batch) if batch else None


def _name(request_id: int, encoded: list[bytes]) -> bytes:
    return wire.frame(_NAME, uint32(request_id), uint32(len(encoded)), *encoded)


def _encoded(name: Name) -> bytes:
    return string(name.filename) + string(name.longname) + attributes.encode(name.attributes)
