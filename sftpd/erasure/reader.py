"""The child that parses what others wrote: one file in, one file out, and nothing else within its reach."""

import mmap
import os
import socket
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from sftpd.erasure.formats.detect import detect
from sftpd.erasure.formats.model import Data, Findings, Format, Inquiry, Pieces, UnsearchableError, is_gone
from sftpd.erasure.identifiers import Identifier, noting, parse_identifier, recalled
from sftpd.erasure.marks import MOST, SIZE, Marks
from sftpd.erasure.messages import Finding, Found, Question, Redact, Repeat, Search, Unsearchable
from sftpd.files import durable
from sftpd.process.channel import Channel, ChannelClosedError, close_all
from sftpd.process.messages import Request

_TOLD = 100
_TOLD_LENGTH = 200
"""How many places are told of a file, and how many characters of each."""


def main(sock: socket.socket, _arguments: bytes, _fds: tuple[int, ...]) -> None:
    """Answer questions until the monitor closes the channel."""
    with Channel(sock, Question) as channel:
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


def answer(question: object, fds: tuple[int, ...]) -> Finding:
    """Search one file, or write it anew without the person; `fds`: the file and then draft and marks."""
    assert isinstance(question, Question)
    marks = _marks(question, fds)
    inquiry = Inquiry(_identifiers(question, marks), detect, name=question.name)
    places = frozenset(() if isinstance(question, Search) else question.places)
    try:
        with _mapped(fds[0]) as data:
            form = detect(question.name, data)
            findings = form.find(data, replace(inquiry, places=places))
            _require_gone(findings, places)
            if not isinstance(question, Search) and findings.locators and not findings.whole:
                # Another reader may have died over it.
                _write(fds[1], findings.rest())
                _search_again(form, fds[1], inquiry.again())
        if marks is not None and not isinstance(question, Repeat):
            _write(fds[2], [marks.packed()])
        locators, unsearched = _told(findings.locators), _told(findings.unsearched)
        return Found(findings.format, len(findings.locators), locators, findings.whole, unsearched)
    except UnsearchableError as fault:
        return Unsearchable(fault.what)
    except MemoryError:
        return Unsearchable("it takes more memory than a reader has")


def _marks(question: Question, fds: tuple[int, ...]) -> Marks | None:
    """What notes the marks of a file, or knows them already; None where none are asked for."""
    match question:
        case Redact(key=key) if key:
            return Marks(key)
        case Repeat(key=key):
            return Marks(key, os.pread(fds[2], MOST * SIZE, 0))
        case _:
            return None


def _identifiers(question: Question, marks: Marks | None) -> list[Identifier]:
    if isinstance(question, Repeat):
        assert marks is not None
        return [recalled(marks.knows)]
    known = [parse_identifier(plain) for plain in question.identifiers]
    return known if marks is None else [noting(identifier, marks.note) for identifier in known]


def _write(fd: int, pieces: Pieces) -> None:
    """Put the pieces into a file, in place of what is in it."""
    os.ftruncate(fd, 0)
    os.lseek(fd, 0, os.SEEK_SET)
    for piece in pieces:
        durable.write_all(fd, piece)


def _require_gone(findings: Findings, places: Collection[str]) -> None:
    gone = frozenset(findings.locators)
    if not (findings.whole or all(is_gone(place, gone) for place in places)):
        raise UnsearchableError("a record that is to go is not where it was found")


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
