"""A message of RFC 5322 and 2045 taken apart where it stands: entities as spans of its bytes, decoded."""

import binascii
import email.errors
import email.header
import email.parser
import email.policy
import quopri
import re
from collections.abc import Iterator
from dataclasses import dataclass
from email.message import Message
from itertools import pairwise

from sftpd.erasure.formats.html import visible
from sftpd.erasure.formats.model import UnsearchableError

_DEPTH_LIMIT = 30
_ENTITIES_LIMIT = 10_000
_HEADER_LIMIT = 1 << 16
_BLANK_LINE = re.compile(rb"^\r?\n", re.MULTILINE)
_PARSER = email.parser.BytesHeaderParser(policy=email.policy.compat32)
_IDENTITY = ("", "7bit", "8bit", "binary")
_UUENCODED = re.compile(r"(?m)^begin(?:-base64)? [0-7]{3,4} \S")
"""The line before a file in a text (POSIX uuencode)."""
_LINE = 57
"""Bytes a line of Base64, which has 76 characters then."""


@dataclass(frozen=True, slots=True)
class Entity:
    """A part of a message that has no parts itself."""

    head: Message
    body: int
    end: int
    cut: tuple[int, int] | None
    """What goes with the entity where it is removed; None for one that is the whole message."""

    @property
    def filename(self) -> str:
        """What it is called as an attachment; empty where it is not one."""
        return _decoded(self.head.get_filename("") or "")

    @property
    def is_body(self) -> bool:
        """Whether it is text of the message itself."""
        shown = self.head.get_content_disposition() != "attachment" and not self.filename
        return shown and self.head.get_content_type() in ("text/plain", "text/html")

    def content(self, data: bytes) -> bytes:
        """Its content, decoded. Raises UnsearchableError."""
        raw = data[self.body : self.end]
        encoding = _encoding(self.head)
        if encoding in _IDENTITY:
            return raw
        if encoding == "quoted-printable":
            return quopri.decodestring(raw)
        if encoding != "base64":
            raise UnsearchableError("its transfer encoding is not read")
        try:
            return binascii.a2b_base64(b"".join(raw.split()), strict_mode=True)
        except binascii.Error as fault:
            raise UnsearchableError("its Base64 is damaged") from fault

    def encoded(self, data: bytes, content: bytes) -> bytes:
        """Other content as it stands in the message."""
        encoding = _encoding(self.head)
        if encoding in _IDENTITY:
            return content
        if encoding == "quoted-printable":
            return binascii.b2a_qp(content, istext=False)
        raw = data[self.body : self.end]
        newline = b"\r\n" if b"\r\n" in data[: self.body] else b"\n"
        lines = [
            binascii.b2a_base64(content[at : at + _LINE], newline=False)
            for at in range(0, len(content), _LINE)
        ]
        return newline.join(lines) + (newline if raw.endswith(b"\n") else b"")

    def text(self, data: bytes) -> str:
        """What the body of a message says. Raises UnsearchableError."""
        content = self.content(data)
        charset = self.head.get_content_charset() or "utf-8"
        try:
            text = content.decode(charset)
        except (LookupError, UnicodeDecodeError, ValueError):
            text = content.decode("cp1252", "replace")
        return visible(text) if self.head.get_content_type() == "text/html" else text


def hidden_in(text: str) -> str | None:
    """What is in the text of a body that cannot be searched."""
    if "-----BEGIN PGP MESSAGE" in text:
        return "it is encrypted"
    return "it holds a file as uuencode has it" if _UUENCODED.search(text) else None


@dataclass(slots=True)
class Taken:
    """A message taken apart: its own headers, its entities, and text beside them."""

    head: Message
    entities: list[Entity]
    beside: list[str]
    is_signed: bool = False
    is_encrypted: bool = False


def take_apart(data: bytes) -> Taken:
    """Take a message apart. Raises UnsearchableError where its parts do not begin and end as they must."""
    head, body = _head(data, 0, len(data))
    taken = Taken(head, [], [])
    _take(data, head, body, len(data), None, taken, 0)
    return taken


def texts(head: Message) -> Iterator[tuple[str, str]]:
    """The headers, decoded: name and value."""
    for name, value in head.items():
        yield name, _decoded(str(value))


def _take(
    data: bytes, head: Message, body: int, end: int, cut: tuple[int, int] | None, taken: Taken, depth: int
) -> None:
    kind = head.get_content_type()
    taken.is_signed = taken.is_signed or kind == "multipart/signed"
    taken.is_encrypted = taken.is_encrypted or kind == "multipart/encrypted"
    if head.get_content_maintype() != "multipart":
        taken.entities.append(Entity(head, body, end, cut))
        if len(taken.entities) > _ENTITIES_LIMIT:
            raise UnsearchableError(f"it has more than {_ENTITIES_LIMIT} parts")
        return
    if depth == _DEPTH_LIMIT:
        raise UnsearchableError(f"it is nested deeper than {_DEPTH_LIMIT} levels")
    if _encoding(head) not in _IDENTITY:
        raise UnsearchableError("a part of it has parts and a transfer encoding")
    marks = _delimiters(data, head, body, end)
    around = ((body, marks[0].start()), (marks[-1].end(), end))
    taken.beside += (data[start:stop].decode("utf-8", "replace") for start, stop in around)
    for mark, following in pairwise(marks):
        stop = following.start()
        inner, inner_body = _head(data, mark.end(), stop)
        last = max(inner_body, _without_line_end(data, stop))
        _take(data, inner, inner_body, last, (mark.start(), stop), taken, depth + 1)


def _delimiters(data: bytes, head: Message, start: int, end: int) -> list[re.Match[bytes]]:
    """The lines that part a multipart, the closing one last."""
    boundary = str(head.get_boundary("")).encode("utf-8", "surrogateescape")
    line = re.compile(rb"^--" + re.escape(boundary) + rb"(--)?[ \t]*(?:\r?\n|\Z)", re.MULTILINE)
    marks: list[re.Match[bytes]] = []
    for mark in line.finditer(data, start, end) if boundary else ():
        marks.append(mark)
        if mark[1]:
            return marks
    raise UnsearchableError("a part of it does not end as its boundary says")


def _without_line_end(data: bytes, position: int) -> int:
    """Where the text before a delimiter ends: its last line end is the delimiter's."""
    for newline in (b"\r\n", b"\n"):
        if data[:position].endswith(newline):
            return position - len(newline)
    return position


def _head(data: bytes, start: int, end: int) -> tuple[Message, int]:
    """The headers of an entity, and where its body starts."""
    found = _BLANK_LINE.search(data, start, end)
    body = found.end() if found else end
    try:
        return _PARSER.parsebytes(data[start:body]), body
    except (ValueError, LookupError) as fault:
        raise UnsearchableError("its headers are not read") from fault


def _encoding(head: Message) -> str:
    return str(head.get("Content-Transfer-Encoding", "")).strip().lower()


def _decoded(raw: str) -> str:
    """A header's value with its encoded words (RFC 2047) decoded. Raises UnsearchableError."""
    if len(raw) > _HEADER_LIMIT:
        raise UnsearchableError(f"a header of it has more than {_HEADER_LIMIT} characters")
    unfolded = (
        re.sub(r"\r?\n(?=[ \t])", "", raw).encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    )
    try:
        words = email.header.decode_header(unfolded)
    except (email.errors.HeaderParseError, ValueError):
        return unfolded
    try:
        return str(email.header.make_header(words))
    except (email.errors.HeaderParseError, LookupError, ValueError):
        return "".join(word if isinstance(word, str) else _read(word, charset) for word, charset in words)


def _read(word: bytes, charset: str | None) -> str:
    """A word of a header whose encoding is unknown, or not the one that it says."""
    for encoding in (charset or "ascii", "utf-8"):
        try:
            return word.decode(encoding)
        except (LookupError, ValueError):
            continue
    return word.decode("cp1252", "replace")
