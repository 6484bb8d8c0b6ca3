"""The child that parses what others wrote: one file in, one file out, and nothing else within its reach."""

import os
import socket

from sftpd.erasure.formats.detect import detect
from sftpd.erasure.formats.model import UnsearchableError
from sftpd.erasure.identifiers import parse_identifier
from sftpd.erasure.messages import Finding, Found, Question, Redact, Unsearchable
from sftpd.process.channel import Channel, ChannelClosedError, close_all
from sftpd.process.messages import Request
from sftpd.process.sandbox import Sandbox, interpreter_paths

ENTRY = "sftpd.erasure.reader:main"
SIZE_LIMIT = 256 << 20
"""Bytes; a larger file is not searched."""

_MEMORY_LIMIT = 2 << 30
_CPU_LIMIT = 3600
_LOCATORS = 100
_CHUNK = 16 << 20


def sandbox() -> Sandbox:
    """What a reader is left with: its interpreter, no folder, no network."""
    return Sandbox(
        read=interpreter_paths(),
        connect_ports=(),
        files=32,
        memory=_MEMORY_LIMIT,
        processes=0,
        cpu=_CPU_LIMIT,
    )


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
    """Search one file, or write it anew without the person; `fds`: the file and, to redact, the draft."""
    assert isinstance(question, Question)
    try:
        data = _read(fds[0])
        identifiers = [parse_identifier(plain) for plain in question.identifiers]
        form = detect(question.name, data)
        matches = form.find(data, identifiers)
        whole = any(match.whole for match in matches)
        if isinstance(question, Redact) and matches and not whole:
            redacted = form.redact(data, matches)
            if form.find(redacted, identifiers):
                return Unsearchable("the identifier is still there once its records are cut out")
            _write(fds[1], redacted)
        locators = tuple(match.locator for match in matches[:_LOCATORS])
        return Found(form.name, len(matches), locators, whole)
    except UnsearchableError as fault:
        return Unsearchable(fault.what)
    except MemoryError:
        return Unsearchable("it takes more memory than a reader has")


def _read(fd: int) -> bytes:
    size = os.fstat(fd).st_size
    if size > SIZE_LIMIT:
        raise UnsearchableError(f"it has {size} bytes, more than the {SIZE_LIMIT} that are searched")
    chunks = []
    position = 0
    while position <= SIZE_LIMIT and (chunk := os.pread(fd, _CHUNK, position)):
        chunks.append(chunk)
        position += len(chunk)
    if position != size:
        raise UnsearchableError("it changed while it was read")
    return b"".join(chunks)


def _write(fd: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(fd, rest) :]
