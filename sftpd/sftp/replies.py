"""The replies of SFTP version 3, as bytes ready to send."""

import struct
from collections.abc import Iterable

import msgspec

from sftpd.sftp import attributes, wire
from sftpd.sftp.attributes import Attributes
from sftpd.sftp.status import Status
from sftpd.sftp.wire import string, uint32

PROTOCOL_VERSION = 3

_VERSION = 2
_STATUS = 101
_HANDLE = 102
DATA = 103
_NAME = 104
_ATTRS = 105
_EXTENDED_REPLY = 201

_OK = struct.Struct(">IBIIII")
"""STATUS with no message in no language."""

_CODE = struct.Struct(">III")
"""Id, code, and how long the message of a STATUS is."""

_COUNTED = struct.Struct(">II")
"""Id, and how many bytes or names follow."""


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
    if code is Status.OK and not message:
        return _OK.pack(_OK.size - 4, _STATUS, request_id, code, 0, 0)
    text, language = message.encode(), string(b"en" if message else b"")
    return wire.frame(_STATUS, _CODE.pack(request_id, code, len(text)), text, language)


def reply_handle(request_id: int, handle: bytes) -> bytes:
    """HANDLE, the answer to OPEN and OPENDIR."""
    return wire.frame(_HANDLE, _COUNTED.pack(request_id, len(handle)), handle)


def reply_data(request_id: int, data: bytes | memoryview) -> bytes:
    """DATA, the answer to READ."""
    return wire.frame(DATA, _COUNTED.pack(request_id, len(data)), data)


def reply_name(request_id: int, names: Iterable[Name]) -> bytes:
    """NAME with all of `names`."""
    return reply_encoded_names(request_id, [_encoded(name) for name in names])


def reply_attrs(request_id: int, told: Attributes) -> bytes:
    """ATTRS, the answer to the stat requests."""
    return wire.frame(_ATTRS, uint32(request_id), attributes.encode(told))


def reply_extended(request_id: int, body: bytes) -> bytes:
    """EXTENDED_REPLY with `body`, which the extension has encoded."""
    return wire.frame(_EXTENDED_REPLY, uint32(request_id), body)


def reply_encoded_names(request_id: int, encoded: list[bytes]) -> bytes:
    """NAME with entries that are encoded already."""
    return wire.frame(_NAME, _COUNTED.pack(request_id, len(encoded)), *encoded)


def _encoded(name: Name) -> bytes:
    return string(name.filename) + string(name.longname) + attributes.encode(name.attributes)
