"""Uploads of one session: from the first byte in the staging area to the monitor's verdict."""

import contextlib
import errno
import os
import stat
import time
from functools import partial
from typing import NamedTuple

from sftpd.errors import RefusedError, SftpdError
from sftpd.files import durable
from sftpd.files.fingerprint import snapshot
from sftpd.files.staging import READ_WRITE, OpenPart, is_unfinished, looks_temporary
from sftpd.names import VirtualPath
from sftpd.process.messages import Done
from sftpd.sftp.attributes import Attributes
from sftpd.sftp.requests import OpenFlag
from sftpd.ssh import messages
from sftpd.ssh.asking import Monitor, ask, ask_in_steps
from sftpd.ssh.copying import filling, require_room
from sftpd.ssh.folder import fault
from sftpd.ssh.long_answer import Steps
from sftpd.ssh.open_file import Upload, told
from sftpd.ssh.place import Place
from sftpd.ssh.recent import Recent

_TICK = 10_000_000
"""The most nanoseconds that a kernel's clock stands still: of changes within them ctime may tell one."""


class Part(NamedTuple):
    """A part that is whole and durable."""

    transfer_id: str | None
    status: os.stat_result
    sha256: bytes
    sealed_at: int
    """When it was looked at, in nanoseconds since 1970, while nobody else could change it."""

    def is_at(self, fd: int) -> bool:
        """Whether an open file is the part and the hash holds; not known of one changed just before it.

        Its sender sets mtime, and may set that of another content; ctime is the kernel's alone.
        """
        now, then = os.fstat(fd), self.status
        same = snapshot(now) == snapshot(then) and now.st_ctime_ns == then.st_ctime_ns
        return same and then.st_ctime_ns + _TICK < self.sealed_at


class Uploads:
    """Begins, finishes and renames parts. Methods raise OSError, RefusedError and ContainmentError.

    What is dropped between two steps is as if it had failed there.
    """

    def __init__(self, monitor: Monitor, *, rationed: bool) -> None:
        """`rationed`: the monitor is asked before an upload begins."""
        self._monitor = monitor
        self._rationed = rationed
        self._open: dict[VirtualPath, list[Upload]] = {}
        """What this session has open to write, by where it is now: whole once the last of them is closed."""
        self._waiting: Recent[Part] = Recent()
        self.completed: Recent[Attributes] = Recent()
        """The files that this session completed, as they were: their consumers may have taken them."""

    def room(self) -> int | None:
        """How many bytes the account may still bring; None: no limit says how many."""
        return ask(self._monitor, messages.AskRoom(), messages.Room).size if self._rationed else None

    def begin(self, place: Place, flags: int, size_hint: int | None) -> Steps[Upload]:
        """Open a part for writing; without TRUNCATE one of a published file begins as a copy of it."""
        if writers := self._open.get(place.path):
            writers.append(writers[0].opened_again(flags))
            return writers[-1]
        place.require_parent()
        if size_hint is not None and size_hint > messages.SIZE_MAX:
            raise fault(errno.EFBIG)
        staging, parts = place.folder.staging, place.parts
        there = public = None
        if not flags & OpenFlag.TRUNCATE:
            public = None if (there := place.folder.staged(parts)) else place.folder.public(parts)
            there = there or public
        copied = public is not None
        begun = self._begun(place, max(size_hint or 0, there.st_size if there else 0))
        transfer_id = None if begun is None else begun.transfer_id
        truncate = os.O_TRUNC if flags & OpenFlag.TRUNCATE else 0
        try:
            part = staging.open_part(parts, READ_WRITE | os.O_CREAT | truncate, for_copy=copied)
            self._waiting.pop(place.path)
            if copied:
                yield from _fill_from_published(part, place)
            elif is_unfinished(os.fstat(part.fd)):
                part.begin_copy()
                part.end_copy()
            else:
                part.write_on()
        except BaseException:
            self._give_up(transfer_id)
            raise
        upload = Upload(
            part,
            place,
            transfer_id,
            copied=copied,
            readable=bool(flags & OpenFlag.READ),
            append=bool(flags & OpenFlag.APPEND),
        )
        self._open[place.path] = [upload]
        if begun is not None and begun.granted is not None:
            upload.bound(begun.granted, partial(self._extend, begun.transfer_id, place))
        return upload

    def copy(self, source: int, new: Place) -> Steps[None]:
        """Upload the content of an open file as `new`; of a copy that fails nothing stays."""
        upload = yield from self.begin(new, OpenFlag.CREATE, os.fstat(source).st_size)
        try:
            yield from filling(upload.part, source)
        except BaseException:
            with contextlib.suppress(OSError):
                if upload.is_at_its_place():
                    new.folder.staging.remove(new.parts)
            self.abandon(upload)
            raise
        yield from self.finish(upload)

    def finish(self, upload: Upload) -> Steps[None]:
        """Close a part on its client's word: with a final name it is whole now.

        When this returns it is durable and recorded, or waits durably under its temporary name or for this
        session to close it a last time. When it raises, the part stays for another try, unless the monitor
        has taken it, the disk did not, or it may not replace what is there.
        """
        shared = self._is_shared(upload)
        completed = False
        try:
            completed = yield from self._seal_and_complete(upload, shared=shared)
        finally:
            upload.unlock()
            if not (shared or completed):
                self._give_up(upload.transfer_id)

    def _seal_and_complete(self, upload: Upload, *, shared: bool) -> Steps[bool]:
        """Returns whether the monitor has taken it."""
        try:
            yield from _secure(upload)
            waits = looks_temporary(upload.place.path.name)
            if waits and not shared:
                upload.part.keep_holes()
            if shared or waits:
                # The monitor takes any other where it makes the name durable itself before it answers.
                durable.sync_parent(upload.place.folder.staging.root, upload.place.parts)
            part = None if shared else (yield from _sealed(upload))
        finally:
            self._let_go(upload)
        if part is None:
            return False
        if upload.unchanged_copy:
            upload.place.folder.staging.remove(upload.place.parts)
        elif waits:
            self._waiting.put(upload.place.path, part)
        else:
            yield from self._complete_or_drop(upload.place, part)
            return True
        return False

    def abandon(self, upload: Upload) -> None:
        """Close a part that is not whole; it stays for resume."""
        size, shared = os.fstat(upload.fd).st_size, self._is_shared(upload)
        self._let_go(upload)
        upload.unlock()
        if not shared:
            self._monitor.notify(messages.Abandoned(bytes(upload.place.path), size))
            self._give_up(upload.transfer_id)

    def truncate(self, place: Place, size: int) -> Steps[None]:
        """Cut or extend what is at a path: a part stays a part, a published file is uploaded anew."""
        if writers := self._open.get(place.path):
            writers[0].truncate(size)
        elif place.folder.staged(place.parts) is not None:
            with contextlib.closing(place.folder.staging.open_part(place.parts, READ_WRITE)) as part:
                require_room(part.fd, size)
                part.write_on()
                os.ftruncate(part.fd, size)
        elif place.folder.public(place.parts) is None:
            raise fault(errno.ENOENT)
        else:
            upload = yield from self.begin(place, OpenFlag.WRITE, size)
            try:
                upload.truncate(size)
            finally:
                # Of what could not be cut nothing stays: it still is what it was copied from.
                yield from self.finish(upload)

    def rename(self, old: Place, new: Place, *, replace: bool) -> Steps[None]:
        """Rename a part; one with a temporary name is whole once it gets a final name.

        A part of a final name is not: nobody said that it is whole, and it stays a part. One that this
        session is writing is whole when it is closed, under the name that it has then.
        """
        if writers := self._open.get(old.path):
            if old.folder.public(old.parts) is not None:
                ask(self._monitor, messages.Rename(bytes(old.path), bytes(new.path), replace), Done)
            self._move(old, new, replace=replace)
            for writer in writers:
                writer.place = new
            self._open[new.path] = writers
            return
        regular = _is_regular(old)
        if regular and looks_temporary(old.path.name) and not looks_temporary(new.path.name):
            yield from self._publish(old, new, replace=replace)
            return
        if regular:
            # Whoever is still writing it holds the lock, and must not find it elsewhere.
            with contextlib.closing(old.folder.staging.open_part(old.parts, READ_WRITE)):
                self._move(old, new, replace=replace)
        else:
            self._move(old, new, replace=replace)

    def forget(self, path: VirtualPath) -> None:
        """Know nothing of a path any more."""
        self._open.pop(path, None)
        self._waiting.pop(path)
        self.completed.pop(path)

    def _is_shared(self, upload: Upload) -> bool:
        writers = self._open.get(upload.place.path, [])
        return upload in writers and len(writers) > 1

    def _let_go(self, upload: Upload) -> None:
        upload.seal()
        writers = self._open.get(upload.place.path, [])
        if upload not in writers:
            return
        writers.remove(upload)
        if writers:
            writers[0].absorb(upload)
        else:
            del self._open[upload.place.path]

    def _begun(self, place: Place, size_hint: int) -> messages.Begun | None:
        if not self._rationed:
            return None
        return ask(self._monitor, messages.Begin(bytes(place.path), size_hint), messages.Begun)

    def _extend(self, transfer_id: str, place: Place, size: int) -> int | None:
        """Have an upload granted more. Raises RefusedError."""
        if size > messages.SIZE_MAX:
            raise fault(errno.EFBIG)
        request = messages.Extend(transfer_id, bytes(place.path), size)
        return ask(self._monitor, request, messages.Begun).granted

    def _publish(self, old: Place, new: Place, *, replace: bool) -> Steps[None]:
        known = self._waiting.get(old.path)
        opened = old.folder.staging.open_part(old.parts, READ_WRITE)
        opened.write_on()
        upload = Upload(opened, old, None, copied=False, readable=False, append=False)
        completed = False
        try:
            try:
                begun = self._begun(old, os.fstat(upload.fd).st_size)  # where it lies and is counted
                upload.transfer_id = None if begun is None else begun.transfer_id
                if known and known.is_at(upload.fd):
                    part = known._replace(transfer_id=upload.transfer_id)
                else:
                    yield from _secure(upload)
                    part = yield from _sealed(upload)
            finally:
                upload.seal()
            self._move(old, new, replace=replace)
            yield from self._complete_or_move_back(old, new, part)
            completed = True
        finally:
            upload.unlock()
            if not completed:
                self._give_up(upload.transfer_id)

    def _give_up(self, transfer_id: str | None) -> None:
        """Have the monitor promise no bytes any more to an upload that was begun and is not completed."""
        if transfer_id is not None:
            self._monitor.notify(messages.GivenUp(transfer_id))

    def _complete_or_move_back(self, old: Place, new: Place, part: Part) -> Steps[None]:
        try:
            yield from self._complete(new, part)
        except (OSError, SftpdError):
            with contextlib.suppress(OSError):
                new.folder.staging.rename(new.parts, old.parts, replace=False)
            raise

    def _move(self, old: Place, new: Place, *, replace: bool) -> None:
        replace = replace or new.folder.has_unfinished(new.parts)
        old.folder.staging.rename(old.parts, new.parts, replace=replace)
        self.forget(new.path)
        known = self._waiting.pop(old.path)
        self.forget(old.path)
        if known is not None:
            self._waiting.put(new.path, known)

    def _complete_or_drop(self, place: Place, part: Part) -> Steps[None]:
        try:
            yield from self._complete(place, part)
        except RefusedError as refusal:
            if refusal.reason == "HELD":
                # As a part it would be seen in the place of the file that stays.
                place.folder.staging.remove(place.parts)
            raise

    def _complete(self, place: Place, part: Part) -> Steps[None]:
        found = part.status
        request = messages.Complete(
            part.transfer_id, bytes(place.path), found.st_size, part.sha256, found.st_ino
        )
        yield from ask_in_steps(self._monitor, request, messages.Completed)
        self._waiting.pop(place.path)
        self.completed.put(place.path, told(part.status))
        place.folder.staging.prune(place.parts)


def _secure(upload: Upload) -> Steps[None]:
    """Make a part's content durable. Raises OSError where it is not what its client wrote, or is gone."""
    if not upload.whole:
        raise fault(errno.EIO)
    yield from upload.sync()
    if not upload.is_at_its_place():
        raise fault(errno.ENOENT)


def _sealed(upload: Upload) -> Steps[Part]:
    status = os.fstat(upload.fd)
    sha256 = yield from upload.sha256(status.st_size)
    return Part(upload.transfer_id, status, sha256, time.time_ns())


def _fill_from_published(part: OpenPart, place: Place) -> Steps[None]:
    """Copy the published file into a new part; where that fails there is no part."""
    try:
        source = place.folder.published.open(place.parts, os.O_RDONLY | os.O_NOFOLLOW)
        try:
            yield from filling(part, source)
        finally:
            os.close(source)
    except BaseException:
        part.close()
        place.folder.staging.remove(place.parts)
        raise


def _is_regular(place: Place) -> bool:
    found = place.folder.staged(place.parts)
    return found is not None and stat.S_ISREG(found.st_mode)
