"""A program that wraps the data keys of a vault: a device or service behind it keeps the link's key.

It is asked once and ends: one JSON object on its standard input, one on its standard output.

    {"operation": "wrap", "key": …, "context": …, "secret": …}                     {"wrapped": …, "key_id": …}
    {"operation": "unwrap", "wrapped": …, "key_id": …, "context": …, "secret": …}  {"key": …}

Bytes are in base64. Another status than 0 is a failure, and the last line on standard error says why.
"""

import secrets
import tempfile
from collections.abc import Callable
from typing import TypeVar

import msgspec

from sftpd.config.vault_model import KeyProgram
from sftpd.documents.text import printable
from sftpd.files.data_keys import KeyFileError
from sftpd.files.sealed import KEY_SIZE
from sftpd.process.command import Completed, run_command
from sftpd.process.pool import Children
from sftpd.process.sandbox import Sandbox

DEADLINE = 30.0
"""Seconds that the program is given."""

_ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8"}
_ROOM = 448
"""Bytes that an entry takes at least, so that those of a later key, or of a longer name, fit its slot too."""
_WRAPPED_LIMIT = 2048
_ID_LIMIT = 128
_LINE_LIMIT = 300


class KeyProgramError(KeyFileError):
    """The program that wraps keys failed, or said something else than it may."""

    code = "KEY_PROGRAM"


class _Wrapped(msgspec.Struct, forbid_unknown_fields=True):
    wrapped: bytes
    key_id: str


class _Unwrapped(msgspec.Struct, forbid_unknown_fields=True):
    key: bytes


_Answer = TypeVar("_Answer", _Wrapped, _Unwrapped)


class WrappingProgram:
    """Has a program wrap keys; for any thread, each of which runs one of its own."""

    def __init__(self, program: KeyProgram, children: Callable[[], Children]) -> None:
        """`children` gives those in which it runs, when it is first needed."""
        self._program = program
        self._children = children

    def wrap(self, key: bytes, context: bytes) -> bytes:
        """As Wrapping says. Raises KeyProgramError, SecretError."""
        answer = self._ask(_Wrapped, operation="wrap", key=key, context=context)
        name, wrapped = answer.key_id, answer.wrapped
        if not (0 < len(name) <= _ID_LIMIT and name.isascii() and name.isprintable()):
            raise self._fault("named the key in another way", f"key_id of 1 to {_ID_LIMIT} ASCII characters")
        if not 0 < len(wrapped) <= _WRAPPED_LIMIT or key in wrapped:
            raise self._fault(
                "has not wrapped the key", f"wrapped of 1 to {_WRAPPED_LIMIT} bytes, without the key"
            )
        return _entry(name.encode(), wrapped)

    def unwrap(self, wrapped: bytes, context: bytes) -> bytes:
        """As Wrapping says. Raises KeyProgramError, SecretError."""
        key_id, kept = _parse(wrapped)
        answer = self._ask(_Unwrapped, operation="unwrap", wrapped=kept, key_id=key_id, context=context)
        if len(answer.key) != KEY_SIZE:
            raise self._fault("gave a key of another size", f"{KEY_SIZE} bytes")
        return answer.key

    def probe(self) -> None:
        """Pass if it wraps a key, and unwraps it in its own context alone. Raises as `wrap` does."""
        key = secrets.token_bytes(KEY_SIZE)
        wrapped = self.wrap(key, b"probe")
        if self.unwrap(wrapped, b"probe") != key:
            raise self._fault("gave another key than it was to wrap", "the same")
        try:
            self.unwrap(wrapped, b"another")
        except KeyProgramError:
            return
        raise self._fault("unwrapped a key in another context", "a failure: context must be bound to the key")

    def _ask(self, answer: type[_Answer], **request: object) -> _Answer:
        secret = self._program.secret
        told = request if secret is None else request | {"secret": secret.text()}
        done = self._run(msgspec.json.encode(told))
        if done.cause or done.timed_out or done.status != 0:
            raise self._fault(_ending(done))
        if done.truncated:
            raise self._fault("said too much", "one JSON object")
        try:
            return msgspec.json.decode(done.stdout, type=answer)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            # What it said stays untold: it may hold a key.
            wanted = ", ".join(answer.__struct_fields__)
            raise self._fault("gave no such answer", f"one JSON object with {wanted}") from error

    def _run(self, request: bytes) -> Completed:
        program = self._program
        with tempfile.TemporaryDirectory(prefix="sftpd-key-") as scratch:
            return run_command(
                self._children(),
                program.argv,
                sandbox=Sandbox(
                    execute=("/",), write=(scratch, "/dev/null", *program.write), connect_ports=None
                ),
                deadline=DEADLINE,
                stdin=request,
                env={**_ENVIRONMENT, "TMPDIR": scratch},
            )

    def _fault(self, what: str, expected: str | None = None) -> KeyProgramError:
        return KeyProgramError(what, where=f"key program {self._program.argv[0]}", expected=expected)


def _ending(done: Completed) -> str:
    """How a program failed, and what it said of that last."""
    if done.cause:
        return f"could not be run: {done.cause}"
    ended = f"ended by signal {done.signal}" if done.status is None else f"ended with status {done.status}"
    how = f"did not end within {DEADLINE:g} s" if done.timed_out else ended
    lines = done.stderr.decode("utf-8", "backslashreplace").strip().splitlines()
    return f"{how}: {printable(lines[-1][:_LINE_LIMIT])}" if lines else how


def _entry(key_id: bytes, wrapped: bytes) -> bytes:
    """What is kept of a wrapped key: the name of the key that wrapped it stands before it."""
    entry = len(key_id).to_bytes(1, "big") + key_id + len(wrapped).to_bytes(2, "big") + wrapped
    return entry.ljust(_ROOM, b"\0")


def _parse(entry: bytes) -> tuple[str, bytes]:
    """The name of the key and what it wrapped. Raises KeyFileError."""
    head = 1 + entry[0] if entry else 1
    end = head + 2 + int.from_bytes(entry[head : head + 2], "big")
    key_id, wrapped = entry[1:head], entry[head + 2 : end]
    if not (key_id and key_id.isascii() and wrapped and end <= len(entry)) or entry[end:].strip(b"\0"):
        raise KeyFileError("a wrapped key is none of a program's", expected="one that a program wrapped")
    return key_id.decode(), wrapped
