"""The child that parses what others wrote: one file in, one file out, and nothing else within its reach."""

import mmap
import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial

from sftpd.erasure.formats.detect import detect
from sftpd.erasure.formats.model import Data, Format, Inquiry, UnsearchableError
from sftpd.erasure.identifiers import parse_identifier
from sftpd.erasure.messages import (
    Answer,
    Finding,
    Found,
    Index,
    Indexed,
    Question,
    Redact,
    Tokenized,
    Unsearchable,
)
from sftpd.erasure.tokenizing import Collector
from sftpd.files import durable
from sftpd.process.channel import Channel, ChannelClosedError, close_all
from sftpd.process.messages import Request

_TOLD = 100
_TOLD_LENGTH = 200
"""How many places are told of a file, and how many characters of each."""
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
    """Search a file, write it anew without the person, or index it; `fds`: the file and what is written."""
    assert isinstance(question, Question | Index)
    try:
        return _index(question, fds) if isinstance(question, Index) else _look(question, fds)
    except UnsearchableError as fault:
        return Unsearchable(fault.what)
    except MemoryError:
        return Unsearchable("it takes more memory than a reader has")


def _look(question: Question, fds: tuple[int, ...]) -> Finding:
    identifiers = [parse_identifier(plain) for plain in question.identifiers]
    inquiry = Inquiry(identifiers, detect, name=question.name)
    with _mapped(fds[0]) as data:
        form = detect(question.name, data)
        findings = form.find(data, inquiry)
        if isinstance(question, Redact) and findings.locators and not findings.whole:
            for piece in findings.rest():
                durable.write_all(fds[1], piece)
            _search_again(form, fds[1], inquiry.again())
    locators, unsearched = _told(findings.locators), _told(findings.unsearched)
    return Found(findings.format, len(findings.locators), locators, findings.whole, unsearched)


def _index(question: Index, fds: tuple[int, ...]) -> Tokenized:
    os.setpriority(os.PRIO_PROCESS, 0, _BACKGROUND)
    # A reader that did not survive the file may have begun.
    os.ftruncate(fds[1], 0)
    os.lseek(fds[1], 0, os.SEEK_SET)
    collector = Collector(question.key, partial(durable.write_all, fds[1]))
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
