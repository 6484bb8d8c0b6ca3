"""The child that parses what others wrote: one file in, one file out, and nothing else within its reach."""

import hashlib
import json
import mmap
import os
import socket
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from typing import cast

from msgspec import structs

from sftpd.erasure import order
from sftpd.erasure.formats.detect import detect
from sftpd.erasure.formats.model import (
    NAME_OF_PART,
    Data,
    Findings,
    Format,
    Inquiry,
    Pieces,
    UnsearchableError,
    is_gone,
    span,
)
from sftpd.erasure.identifiers import Identifier, noting, parse_identifier, recalled, under
from sftpd.erasure.layouts import kinds_by_label
from sftpd.erasure.marks import MOST, SIZE, Marks
from sftpd.erasure.matches import carried, find_both, said_at
from sftpd.erasure.messages import (
    Answer,
    Carried,
    Found,
    Index,
    Indexed,
    NoOrder,
    OrderRead,
    Question,
    Reading,
    ReadOrder,
    Redact,
    Repeat,
    Search,
    Show,
    Shown,
    Tokenized,
    Unsearchable,
    Which,
)
from sftpd.erasure.plan import Possible
from sftpd.erasure.tokenizing import Collector
from sftpd.errors import RefusedError
from sftpd.files import durable
from sftpd.process.channel import Channel, ChannelClosedError
from sftpd.process.descriptors import close_all
from sftpd.process.messages import Request

_TOLD = 100
_TOLD_LENGTH = 200
"""How many places are told of a file, and how many characters of each."""
_ROOM, _OVERHEAD = 128 * 1024, 64
"""Bytes that possible matches may take of an answer, and those of each beside its locator."""
_SAID_LIMIT = 20_000
"""Characters that are shown of records."""
_MARK_SIZE = 16
_BACKGROUND = 15
"""How nice a reader is once it has indexed a file: nobody waits for it."""


def main(sock: socket.socket, _arguments: bytes, _fds: tuple[int, ...]) -> None:
    """Answer questions until the monitor closes the channel."""
    with Channel(sock, Question | Index) as channel:
        while True:
            try:
                envelope, fds = channel.receive()
            except ChannelClosedError:
                return
            try:
                if isinstance(envelope, Request):
                    channel.reply(envelope, answer(envelope.body, fds))
            finally:
                close_all(fds)


def answer(question: object, fds: tuple[int, ...]) -> Answer:
    """Answer one question; `fds`: the file, and what is written: the draft and marks, or tokens."""
    if isinstance(question, ReadOrder):
        return _read_order(fds[0])
    assert isinstance(question, Search | Redact | Repeat | Show | Which | Index)
    try:
        return _index(question, fds) if isinstance(question, Index) else _look(question, fds)
    except UnsearchableError as fault:
        return Unsearchable(fault.what)
    except MemoryError:
        return Unsearchable("it takes more memory than a reader has")


def _look(question: Search | Redact | Repeat | Show | Which, fds: tuple[int, ...]) -> Answer:
    """Search one file, write it anew without the person, or tell what a record or all of it says."""
    marks = _marks(question, fds)
    told = partial(detect, layouts=question.layouts)
    inquiry = Inquiry(_identifiers(question, marks), told, name=question.name)
    with _mapped(fds[0]) as data:
        form = told(question.name, data)
        match question:
            case Show(places=places):
                said = said_at(form, data, inquiry, places)
                return Shown("\n".join(said)[:_SAID_LIMIT], _digest(said), _mark(data))
            case Which():
                return Carried(carried(form, data, inquiry))
            case Redact(mark=mark) if mark and mark != _mark(data):
                raise UnsearchableError("it is not what was searched any more")
            case Redact(places=places) | Repeat(places=places):
                findings = _redact(form, data, inquiry, frozenset(places), fds[1])
            case _:
                findings, possible = find_both(form, data, inquiry)
                return _with_possible(_found(findings), possible, _mark(data) if possible else "")
    if marks is not None and isinstance(question, Redact):
        _write(fds[2], [marks.packed()])
    return _found(findings)


def _marks(question: Question, fds: tuple[int, ...]) -> Marks | None:
    """What notes the marks of a file, or knows them already; None where none are asked for."""
    match question:
        case Redact(key=key) if key:
            return Marks(key)
        case Repeat(key=key):
            return Marks(key, os.pread(fds[2], MOST * SIZE, 0))
        case _:
            return None


def _identifiers(question: Search | Redact | Repeat | Show | Which, marks: Marks | None) -> list[Identifier]:
    if isinstance(question, Repeat):
        assert marks is not None
        return [recalled(marks.knows, marks.knows_record if marks.has_records else None)]
    kinds = kinds_by_label(question.layouts)
    known = [under(parse_identifier(plain), kinds) for plain in question.identifiers]
    if marks is None:
        return known
    return [noting(identifier, marks.note, marks.note_record) for identifier in known]


def _write(fd: int, pieces: Pieces) -> None:
    """Put the pieces into a file, in place of what is in it."""
    os.ftruncate(fd, 0)
    os.lseek(fd, 0, os.SEEK_SET)
    for piece in pieces:
        durable.write_all(fd, piece)


def _read_order(fd: int) -> Reading:
    try:
        return OrderRead(order.read(os.pread(fd, order.LIMIT + 1, 0)))
    except RefusedError as fault:
        text = fault.what if fault.where is None else f"{fault.where}: {fault.what}"
        return NoOrder(cast("order.Fault", fault.reason), text[: order.TEXT_LIMIT])


def _redact(form: Format, data: Data, inquiry: Inquiry, places: frozenset[str], draft: int) -> Findings:
    findings = form.find(data, replace(inquiry, places=places))
    _require_gone(findings, places)
    if findings.locators and not findings.whole:
        # Another reader may have died over it.
        _write(draft, findings.rest())
        _search_again(form, draft, inquiry.again())
    return findings


def _found(findings: Findings) -> Found:
    locators, unsearched = _told(findings.locators), _told(findings.unsearched)
    return Found(findings.format, len(findings.locators), locators, findings.whole, unsearched)


def _with_possible(found: Found, possible: Sequence[Possible], mark: str) -> Found:
    """The answer with the possible matches that a message has room for."""
    room = _ROOM
    for told, each in enumerate(possible):
        room -= len(each.place.encode("utf-8", "surrogatepass")) + _OVERHEAD
        if room < 0:
            left = f"{len(possible) - told} more records may be the person's, too many to review"
            return structs.replace(
                found, possible=tuple(possible[:told]), mark=mark, unsearched=(*found.unsearched, left)
            )
    return structs.replace(found, possible=tuple(possible), mark=mark)


def _mark(data: Data) -> str:
    digest = hashlib.blake2b(digest_size=_MARK_SIZE)
    for piece in span(data, 0, len(data)):
        digest.update(piece)
    return digest.hexdigest()


def _digest(said: Sequence[str]) -> str:
    told = json.dumps(said).encode()
    return hashlib.blake2b(told, digest_size=_MARK_SIZE).hexdigest()


def _require_gone(findings: Findings, places: Collection[str]) -> None:
    gone = frozenset(findings.locators)
    # Which records are in a part that goes for its name is not told.
    told = not (findings.whole or any(NAME_OF_PART in place for place in gone))
    if told and not all(is_gone(place, gone) for place in places):
        raise UnsearchableError("a record that is to go is not where it was found")


def _index(question: Index, fds: tuple[int, ...]) -> Tokenized:
    with suppress(PermissionError):  # where a service manager forbids it
        os.setpriority(os.PRIO_PROCESS, 0, _BACKGROUND)
    # A reader that did not survive the file may have begun.
    os.ftruncate(fds[1], 0)
    os.lseek(fds[1], 0, os.SEEK_SET)
    collector = Collector(question.key, partial(durable.write_all, fds[1]), question.layouts)
    with _mapped(fds[0]) as data:
        findings = collector.detect(question.name, data).find(data, collector.inquiry(question.name))
    collector.flush()
    return Indexed(collector.written, _told(findings.unsearched))


def _told(places: Sequence[str]) -> tuple[str, ...]:
    return tuple(place[:_TOLD_LENGTH] for place in places[:_TOLD])


def _search_again(form: Format, fd: int, inquiry: Inquiry) -> None:
    with _mapped(fd) as data:
        if form.find(data, inquiry).locators:
            raise UnsearchableError("the identifier is still there once its records are cut out")


@contextmanager
def _mapped(fd: int) -> Iterator[Data]:
    """The file's content, which must not change meanwhile: one that shrinks takes its reader with it."""
    before = os.fstat(fd)
    if before.st_size == 0:
        yield b""
        return
    with mmap.mmap(fd, before.st_size, access=mmap.ACCESS_READ) as data:
        yield data
    after = os.fstat(fd)
    if (after.st_size, after.st_mtime_ns) != (before.st_size, before.st_mtime_ns):
        raise UnsearchableError("it changed while it was read")
