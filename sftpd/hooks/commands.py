"""Runs the commands of hooks as children of the zygote, where they can change nothing that lasts."""

import contextlib
import json
import os
import tempfile
import threading
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from sftpd.errors import HookError
from sftpd.process.command import Completed, run_command
from sftpd.process.conversation import Conversation
from sftpd.process.pool import Children
from sftpd.process.sandbox import Sandbox

PERSISTENT = b"# sftpd: persistent"
"""The line, one of the first three, by which a hook says that it takes one event after another."""
NAMING = PERSISTENT + b", answers name the transfer"
"""The same, of a hook whose answers begin with the transfer that they are about."""

_HEAD = 512
_FIRST_LINES = 3
_KNOWN = 256
_UNKNOWN = b""


class _Version(NamedTuple):
    """What a hook's file was when it was started; another one is another hook."""

    path: str
    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int


class _Kept(NamedTuple):
    conversation: Conversation
    scratch: "tempfile.TemporaryDirectory[str]"

    def close(self) -> None:
        self.conversation.close()
        self.scratch.cleanup()


class SandboxedCommands:
    """Commands may read and run everything, and write to a temporary directory of their own.

    The network stays open to them: scanners and notifiers talk to services of the operator's choice. Those
    that are persistent stay for the next event; as many of one run as events are being handled at once.
    """

    def __init__(self, children: Children) -> None:
        self._children = children
        self._lock = threading.Lock()
        self._kept: defaultdict[_Version, list[_Kept]] = defaultdict(list)
        self._persistent: dict[_Version, bytes | None] = {}
        """Which of these lines a hook has."""
        self._closed = False

    def run(self, argv: list[str], *, stdin: bytes, deadline: float, env: Mapping[str, str]) -> Completed:
        """Run `argv` in `/` for at most `deadline` seconds; its temporary directory is in `TMPDIR`.

        Raises ProcessError when there is no child to run it in or a persistent one does not answer,
        HookError for an answer that is none, OSError when there is no temporary directory.
        """
        version = _version(argv[0])
        if self._line_of(version) is not None:
            return self._ask(version, argv, stdin, deadline, env)
        with tempfile.TemporaryDirectory(prefix="sftpd-hook-") as scratch:
            return run_command(
                self._children,
                argv,
                sandbox=_sandbox(scratch),
                deadline=deadline,
                stdin=stdin,
                env={**env, "TMPDIR": scratch},
            )

    def close(self) -> None:
        """End the hooks that wait for events; one that is asked still ends after its answer."""
        with self._lock:
            self._closed = True
            kept, self._kept = self._kept, defaultdict(list)
        for one in (one for many in kept.values() for one in many):
            one.close()

    def _ask(
        self, version: _Version, argv: list[str], event: bytes, deadline: float, env: Mapping[str, str]
    ) -> Completed:
        kept = self._take(version) or self._start(argv, env)
        try:
            said = kept.conversation.ask(event, deadline)
            about = _transfer(event) if self._line_of(version) == NAMING else None
            status, reason = _parse(said.answer, about)
        except BaseException:
            kept.close()
            raise
        self._give_back(version, kept)
        return Completed(status, None, "", reason, said.besides, truncated=False, timed_out=False)

    def stays(self, program: str) -> bool:
        """As CommandRunner says."""
        return self._line_of(_version(program)) is not None

    def _line_of(self, version: _Version) -> bytes | None:
        line = self._persistent.get(version, _UNKNOWN)
        if line is _UNKNOWN:
            if len(self._persistent) >= _KNOWN:
                self._persistent.clear()
            line = self._persistent[version] = _persistent_line(version.path)
        return line

    def _start(self, argv: list[str], env: Mapping[str, str]) -> _Kept:
        scratch = tempfile.TemporaryDirectory(prefix="sftpd-hook-")
        try:
            conversation = Conversation(
                self._children,
                argv,
                sandbox=_sandbox(scratch.name),
                env={**env, "TMPDIR": scratch.name, "SFTPD_PERSISTENT": "1"},
            )
        except BaseException:
            scratch.cleanup()
            raise
        return _Kept(conversation, scratch)

    def _take(self, version: _Version) -> _Kept | None:
        """One that waits; those of an older version of its file are ended."""
        with self._lock:
            waiting = self._kept[version]
            found = waiting.pop() if waiting else None
            old = [other for other in self._kept if other.path == version.path and other != version]
            outdated = [one for other in old for one in self._kept.pop(other)]
        for one in outdated:
            one.close()
        return found

    def _give_back(self, version: _Version, kept: _Kept) -> None:
        with self._lock:
            keep = not self._closed
            if keep:
                self._kept[version].append(kept)
        if not keep:
            kept.close()


def _sandbox(scratch: str) -> Sandbox:
    return Sandbox(execute=("/",), write=(scratch, "/dev/null"), connect_ports=None)


def _persistent_line(program: str) -> bytes | None:
    with contextlib.suppress(OSError), Path(program).open("rb") as file:
        lines = file.read(_HEAD).splitlines()[:_FIRST_LINES]
        return next((line for line in lines if line in (PERSISTENT, NAMING)), None)
    return None


def _version(program: str) -> _Version:
    found = os.stat(program)  # noqa: PTH116 - for each event, and a Path takes longer than the kernel
    return _Version(program, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


def _transfer(event: bytes) -> bytes:
    return str(json.loads(event)["transfer"]).encode()


def _parse(answer: bytes, about: bytes | None) -> tuple[int, bytes]:
    """The status and the reason in an answer, which begins with what it is `about`. Raises HookError."""
    if about is not None:
        named, _, answer = answer.partition(b" ")
        if named != about:
            raise HookError("answers for another transfer", expected="the transfer, the status, the reason")
    status, _, reason = answer.partition(b" ")
    if not status.isdigit():
        raise HookError("answer is none", expected="a status, and after a space the reason: `20 too large`")
    return int(status[:4]), reason
