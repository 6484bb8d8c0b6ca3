"""How a courier finds out what a server can do: each step of a delivery, tried with small files of ours."""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import suppress

from sftpd.sftp.attributes import Attributes
from sftpd.ssh import courier_messages as m
from sftpd.ssh.courier_filling import filling_with
from sftpd.ssh.courier_proof import Ranges, is_same
from sftpd.ssh.courier_replies import StatusReply
from sftpd.ssh.courier_sftp import FSYNC, POSIX_RENAME, Client

_CONTENT = bytes(range(251)) * 300
_OTHER = b"another content"
_TIME = 1_500_000_001
"""An odd second: some file systems keep even ones alone."""
_MODE = 0o640
_LISTED = 100_000
"""Entries of a listing that are looked at."""

Told = tuple[bool | None, str]
"""Whether a step works, None if it could not be tried, and what is to be said of it."""


def left_by_examination(folder: bytes, mark: str) -> Iterator[bytes]:
    """Every path at which an examination that was cut off may have left a file."""
    for form in (b".sftpd-%s-%d.part", b"sftpd-%s-%d.part"):
        for number in (1, 2):
            yield folder.rstrip(b"/") + b"/" + form % (mark.encode(), number)


class Examination:
    """One examination, over one SFTP conversation; files that it made are gone afterwards."""

    def __init__(self, client: Client, order: m.Examine) -> None:
        self._client = client
        self._folder = order.folder
        hidden, hidden_other, plain, plain_other = left_by_examination(order.folder, order.mark)
        self._hidden, self._plain = (hidden, hidden_other), (plain, plain_other)
        self._file, self._other = self._hidden

    def findings(self) -> m.Findings:
        """Try every step. Raises what Client raises but StatusReply, which is a finding."""
        steps: list[m.Finding] = []
        try:
            for name, step in self._steps():
                steps.append(m.Finding(name, *self._tried(step)))
                if name in ("folder", "write") and steps[-1].works is False:
                    break  # nothing else can be tried
        finally:
            for path in (*self._hidden, *self._plain):
                with suppress(StatusReply):
                    if self._client.size(path) is not None:
                        self._client.remove(path)
        extensions = sorted(name.decode("ascii", "replace")[:255] for name in self._client.extensions)
        return m.Findings(self._client.identification, tuple(extensions[:100]), self._limits(), tuple(steps))

    def _steps(self) -> Iterator[tuple[str, Callable[[], Told]]]:
        """The steps in the order in which each finds what it needs."""
        yield "folder", self._folder_is_there
        yield "hidden_names", self._hidden_names
        yield "write", self._write
        yield "size", self._size
        yield "read", self._read
        yield "list", self._list
        yield "check_file", self._check_file
        yield "check_file_offered", self._check_file_offered
        yield "fsync", self._fsync
        yield "resume", self._resume
        yield "preserve_times", self._times
        yield "mode", self._mode
        yield "rename", self._rename
        yield "rename_replaces", self._rename_replaces
        yield "posix_rename", self._posix_rename
        yield "remove", self._remove

    def _tried(self, step: Callable[[], Told]) -> Told:
        try:
            works, said = step()
        except StatusReply as reply:
            return False, reply.what[: m.TEXT_LIMIT]
        return works, said

    def _folder_is_there(self) -> Told:
        self._client.stat(self._folder)
        return True, ""

    def _hidden_names(self) -> Told:
        try:
            self._fill(self._file, _CONTENT)
        except StatusReply as reply:
            self._file, self._other = self._plain
            return False, reply.what[: m.TEXT_LIMIT]
        return True, "names that begin with a dot"

    def _write(self) -> Told:
        self._fill(self._file, _CONTENT)
        return True, f"{len(_CONTENT)} bytes"

    def _size(self) -> Told:
        size = self._client.size(self._file)
        return size == len(_CONTENT), "" if size == len(_CONTENT) else f"told as {size}"

    def _read(self) -> Told:
        content = bytearray()
        self._client.read_file(self._file, content.extend)
        return content == _CONTENT, "" if content == _CONTENT else "other bytes than were written"

    def _list(self) -> Told:
        names: list[bytes] = []
        size = None
        for name, told in self._client.names(self._folder):
            if len(names) < _LISTED:
                names.append(name)
            if name == self._file.rpartition(b"/")[2]:
                size = told.size
        order = "in order of names" if names == sorted(names) else "in no order of names"
        seen = "its size is told" if size == len(_CONTENT) else "our file is not in it, or without its size"
        return size == len(_CONTENT), f"{len(names)} entries, {order}; {seen}"

    def _check_file(self) -> Told:
        seen = Ranges()
        seen.update(_CONTENT)
        same = is_same(self._client, self._file, seen, ask="always", read_limit=-1)
        if same is None:
            return None, "no SHA-256 is told"
        if not same:
            return False, "the SHA-256 is wrong"
        part = self._client.hash_of(self._file, b"sha256", start=1, length=999, patience=0)
        right = part == hashlib.sha256(_CONTENT[1:1000]).digest()
        return True, "SHA-256, of a range too" if right else "SHA-256 of a whole file; of a range it is wrong"

    def _check_file_offered(self) -> Told:
        return self._client.hashes, ""

    def _fsync(self) -> Told:
        if FSYNC not in self._client.extensions:
            return None, "not offered"
        self._fill(self._other, _OTHER, sync=True)
        return True, ""

    def _resume(self) -> Told:
        half = len(_CONTENT) // 2
        self._fill(self._other, _CONTENT[:half])
        size = self._client.write_file(self._other, filling_with(_CONTENT), start=half, sync=False)
        works = size == len(_CONTENT)
        return works, "" if works else f"{half} bytes and {len(_CONTENT) - half} behind them make {size}"

    def _times(self) -> Told:
        self._client.set_attributes(self._file, Attributes(times=(_TIME, _TIME)))
        times = self._client.stat(self._file).times
        if times is None or abs(times[1] - _TIME) > 2:
            return False, "accepted, and the time is another"
        return True, "to the second" if times[1] == _TIME else "to two seconds"

    def _mode(self) -> Told:
        self._client.set_attributes(self._file, Attributes(permissions=_MODE))
        told = self._client.stat(self._file).permissions
        works = told is not None and told & 0o777 == _MODE
        return works, "" if works else "accepted, and the mode is another"

    def _rename(self) -> Told:
        if self._client.size(self._other) is not None:
            self._client.remove(self._other)
        self._client.rename(self._file, self._other)
        size = self._client.size(self._other)
        return size is not None, "to a free name" if size is not None else "accepted, and nothing is there"

    def _rename_replaces(self) -> Told:
        return self._replaced_by(self._client.rename)

    def _posix_rename(self) -> Told:
        if POSIX_RENAME not in self._client.extensions:
            return None, "not offered"
        return self._replaced_by(self._client.posix_rename)

    def _replaced_by(self, rename: Callable[[bytes, bytes], None]) -> Told:
        """Whether a file replaces another by such a rename."""
        self._fill(self._file, _CONTENT)
        self._fill(self._other, _OTHER)
        rename(self._file, self._other)
        size = self._client.size(self._other)
        return size == len(_CONTENT), "" if size == len(_CONTENT) else f"accepted, and {size} bytes are there"

    def _remove(self) -> Told:
        self._fill(self._file, _CONTENT)
        self._client.remove(self._file)
        gone = self._client.size(self._file) is None
        return gone, "" if gone else "accepted, and the file is still there"

    def _limits(self) -> tuple[int, int, int, int] | None:
        if self._client.limits is None:
            return None
        packet, read, write, handles = (min(each, m.SIZE_LIMIT) for each in self._client.limits)
        return packet, read, write, handles

    def _fill(self, path: bytes, content: bytes, *, sync: bool = False) -> None:
        self._client.write_file(path, filling_with(content), sync=sync)
