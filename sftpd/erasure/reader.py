"""The child that parses what others wrote: one file in, one file out, and nothing else within its reach."""

import mmap
import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import cast

from sftpd.erasure import order
from sftpd.erasure.formats.detect import detect
from sftpd.erasure.formats.model import Data, Format, Inquiry, UnsearchableError
from sftpd.erasure.identifiers import parse_identifier
from sftpd.erasure.messages import (
    Finding,
    Found,
    NoOrder,
    OrderRead,
    Question,
    Reading,
    ReadOrder,
    Redact,
    Search,
    Unsearchable,
)
from sftpd.errors import RefusedError
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


def answer(question: object, fds: tuple[int, ...]) -> Finding | Reading:
    """Answer one question; `fds`: the file and, to redact, the draft."""
    if isinstance(question, ReadOrder):
        return _read_order(fds[0])
    assert isinstance(question, Search | Redact)
    return _look(question, fds)


def _look(question: Search | Redact, fds: tuple[int, ...]) -> Finding:
    """Search one file, or write it anew without the person."""
    identifiers = [parse_identifier(plain) for plain in question.identifiers]
    told = partial(detect, layouts=question.layouts)
    inquiry = Inquiry(identifiers, told, name=question.name)
    try:
        with _mapped(fds[0]) as data:
            form = told(question.name, data)
            findings = form.find(data, inquiry)
            if isinstance(question, Redact) and findings.locators and not findings.whole:
                for piece in findings.rest():
                    durable.write_all(fds[1], piece)
                _search_again(form, fds[1], inquiry.again())
        locators, unsearched = _told(findings.locators), _told(findings.unsearched)
        return Found(findings.format, len(findings.locators), locators, findings.whole, unsearched)
    except UnsearchableError as fault:
        return Unsearchable(fault.what)
    except MemoryError:
        return Unsearchable("it takes more memory than a reader has")


def _read_order(fd: int) -> Reading:
    try:
        return OrderRead(order.read(os.pread(fd, order.LIMIT + 1, 0)))
    except RefusedError as fault:
        text = fault.what if fault.where is None else f"{fault.where}: {fault.what}"
        return NoOrder(cast("order.Fault", fault.reason), text[: order.TEXT_LIMIT])


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
