"""What the answers of an SFTP server say to a courier, and what its errors say to the monitor."""

from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum

import paramiko

from sftpd.errors import RemoteError, RemoteFailedError, RemoteRefusedError
from sftpd.sftp import attributes
from sftpd.sftp.attributes import Attributes
from sftpd.sftp.extensions import CHECK_FILE
from sftpd.sftp.status import Status
from sftpd.sftp.wire import ProtocolError, Reader
from sftpd.ssh.courier_answers import Answer

_TEXT_LIMIT = 200
_STATUSES = {status.value: status for status in Status}
_LATER = {
    9: (Status.FAILURE, "INVALID_HANDLE"),
    10: (Status.NO_SUCH_FILE, "NO_SUCH_PATH"),
    11: (Status.FAILURE, "FILE_ALREADY_EXISTS"),
    12: (Status.PERMISSION_DENIED, "WRITE_PROTECT"),
    13: (Status.FAILURE, "NO_MEDIA"),
    14: (Status.FAILURE, "NO_SPACE_ON_FILESYSTEM"),
    15: (Status.FAILURE, "QUOTA_EXCEEDED"),
    16: (Status.FAILURE, "UNKNOWN_PRINCIPAL"),
    17: (Status.FAILURE, "LOCK_CONFLICT"),
    18: (Status.FAILURE, "DIR_NOT_EMPTY"),
    19: (Status.NO_SUCH_FILE, "NOT_A_DIRECTORY"),
    20: (Status.OP_UNSUPPORTED, "INVALID_FILENAME"),
    21: (Status.FAILURE, "LINK_LOOP"),
    22: (Status.PERMISSION_DENIED, "CANNOT_DELETE"),
    23: (Status.FAILURE, "INVALID_PARAMETER"),
    24: (Status.FAILURE, "FILE_IS_A_DIRECTORY"),
    25: (Status.FAILURE, "BYTE_RANGE_LOCK_CONFLICT"),
    26: (Status.FAILURE, "BYTE_RANGE_LOCK_REFUSED"),
    27: (Status.FAILURE, "DELETE_PENDING"),
    28: (Status.FAILURE, "FILE_CORRUPT"),
    29: (Status.FAILURE, "OWNER_INVALID"),
    30: (Status.FAILURE, "GROUP_INVALID"),
    31: (Status.FAILURE, "NO_MATCHING_BYTE_RANGE_LOCK"),
}
"""The codes of later drafts (draft-ietf-secsh-filexfer-13 §9.1), which some servers answer nevertheless."""

EXISTS, FULL = "FILE_ALREADY_EXISTS", ("NO_SPACE_ON_FILESYSTEM", "QUOTA_EXCEEDED")

FINAL = (Status.PERMISSION_DENIED, Status.OP_UNSUPPORTED)
"""What a server does not answer because something is not there, and will answer again."""

_UNCONNECTED = (Status.NO_CONNECTION, Status.CONNECTION_LOST)


class Reply(IntEnum):
    """The types of answers."""

    VERSION = 2
    STATUS = 101
    HANDLE = 102
    DATA = 103
    NAME = 104
    ATTRS = 105
    EXTENDED_REPLY = 201


class StatusReply(RemoteError):  # noqa: N818  (a reply first, and an error only where it was not expected)
    """The server answered a request with this status; `text` is what it said, fit to be shown.

    `name`: what it called the status, where version 3 has no such one.
    """

    def __init__(self, status: Status, text: str, name: str | None = None) -> None:
        self.status = status
        self.name = name or status.name
        super().__init__(f"it answers {self.name}" + (f": {text}" if text else ""))


@contextmanager
def errors_told() -> Iterator[None]:
    """Turn all that a Client raises into RemoteError, or of its kinds what `told` says."""
    try:
        yield
    except StatusReply as reply:
        raise told(reply) from reply
    except TimeoutError as fault:
        raise RemoteError("the server does not answer") from fault
    except ProtocolError as fault:
        raise RemoteError(f"the server does not speak SFTP as it should: {fault}") from fault
    except (EOFError, OSError, paramiko.SSHException) as fault:
        raise RemoteError(f"the connection is lost: {printable(str(fault).encode())}") from fault


def told(error: RemoteError) -> RemoteError:
    """An error as the monitor is told of it: RemoteRefusedError for a status that will not change.

    RemoteFailedError for any other that says nothing of the connection.
    """
    if not isinstance(error, StatusReply):
        return error
    if error.status in FINAL:
        return RemoteRefusedError(error.what)
    return (RemoteError if error.status in _UNCONNECTED else RemoteFailedError)(error.what)


def described(answer: Answer) -> Attributes:
    """The attributes that an answer tells. Raises StatusReply, ProtocolError."""
    return attributes.decode(expect(answer, Reply.ATTRS))


def size_told(answer: Answer) -> int | None:
    """The size that an answer to STAT tells; None when there is nothing."""
    try:
        return known_size(described(answer))
    except StatusReply as reply:
        if reply.status is Status.NO_SUCH_FILE:
            return None
        raise


def marks_told(answer: Answer) -> tuple[int | None, int | None] | None:
    """Size and time of the last write that an answer to FSTAT tells; None where it is refused."""
    if answer.kind == Reply.STATUS:
        return None
    told = described(answer)
    return told.size, told.times and told.times[1]


def entries_told(names: Reader) -> list[tuple[bytes, Attributes]]:
    """The entries of a directory that an answer names."""
    found = []
    for _ in range(names.uint32()):
        name = names.string()
        names.view()
        found.append((name, attributes.decode(names)))
    return found


def hash_told(answer: Answer, algorithm: bytes) -> bytes | None:
    """The hash by this algorithm that an answer tells; None where it is refused.

    Some servers put the name of the extension before that of the algorithm.
    """
    if answer.kind == Reply.STATUS:
        return None
    body = expect(answer, Reply.EXTENDED_REPLY)
    used = body.string()
    if used == CHECK_FILE:
        used = body.string()
    return bytes(body.rest()) if used == algorithm else None


def limits_told(answer: Answer) -> tuple[int, int, int, int] | None:
    """The limits that an answer tells; None where it is refused."""
    if answer.kind == Reply.STATUS:
        return None
    body = expect(answer, Reply.EXTENDED_REPLY)
    return body.uint64(), body.uint64(), body.uint64(), body.uint64()


def extension_names(greeting: Reader) -> Iterator[bytes]:
    """The names of the extensions that a server offers in its first packet."""
    while not greeting.at_end:
        yield greeting.string()
        greeting.view()


def unless_end(answer: Answer, expected: Reply) -> Reader | None:
    """The body of an answer; None for the status EOF."""
    if answer.kind != Reply.STATUS:
        return expect(answer, expected)
    reply = status_of(answer)
    if reply.status is not Status.EOF:
        raise reply
    return None


def expect(answer: Answer, kind: Reply) -> Reader:
    """The body of an answer of one type. Raises StatusReply for a status, ProtocolError for another."""
    if answer.kind == Reply.STATUS:
        raise status_of(answer)
    if answer.kind != kind:
        raise ProtocolError(f"answer of type {answer.kind}", expected=f"type {kind} ({kind.name})")
    return answer.body


def status_of(answer: Answer) -> StatusReply:
    """The status that an answer is, which is not raised. Raises ProtocolError for another answer."""
    if answer.kind != Reply.STATUS:
        raise ProtocolError(f"answer of type {answer.kind}", expected="a status")
    code = answer.body.uint32()
    text = b"" if answer.body.at_end else answer.body.string()
    if code in _STATUSES:
        return StatusReply(_STATUSES[code], printable(text))
    status, name = _LATER.get(code, (Status.FAILURE, f"status {code}"))
    return StatusReply(status, printable(text), name)


def printable(text: bytes) -> str:
    """What a remote wrote, fit for a log line: UTF-8 without control characters, cut to a length."""
    plain = text.decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else "?" for c in plain)[:_TEXT_LIMIT]


def known_size(told: Attributes) -> int:
    """The size that attributes tell. Raises ProtocolError where they do not."""
    if told.size is None:
        raise ProtocolError("server does not tell a file's size")
    return told.size
