"""Answers each SFTP request of a session: one permission check, one operation on the view, one reply."""

from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar

import structlog

from sftpd.clock import Clock
from sftpd.errors import ProcessError, RefusedError, SftpdError
from sftpd.names import VirtualPath
from sftpd.sftp import replies, requests
from sftpd.sftp.attributes import Attributes
from sftpd.sftp.engine import Continued, Event, Init, Malformed, Requested, Unsupported
from sftpd.sftp.extensions import check_file_body, limits_body, offered, space_body, statvfs_body
from sftpd.sftp.listing import EntryEncoder, NameBatches
from sftpd.sftp.replies import Name, reply_status
from sftpd.sftp.requests import CHANGING, NAMING, SPECS, Request
from sftpd.sftp.status import Status, StatusError, status_for
from sftpd.sftp.wire import MAX_DATA
from sftpd.ssh import checksums
from sftpd.ssh.file_data import FileData, Writing
from sftpd.ssh.handles import Handles, Opened
from sftpd.ssh.listing import Listing, limited
from sftpd.ssh.long_answer import LongAnswer, Steps
from sftpd.ssh.messages import Admitted
from sftpd.ssh.open_file import Upload
from sftpd.ssh.place import Place
from sftpd.ssh.view import View

_log = structlog.get_logger()

Answer = bytes | FileData | LongAnswer
_READY = (bytes, FileData)
_OUTLASTING: frozenset[type[Request]] = frozenset(
    {requests.Close, requests.Rename, requests.PosixRename, requests.Setstat, requests.Hardlink}
)
"""What is done once it is asked for: some clients go without waiting for the answer."""


class Handler:
    """One SFTP channel of an admitted account. Not for several threads at once."""

    def __init__(
        self, view: View, admitted: Admitted, clock: Clock, in_all: Callable[[], int] | None = None
    ) -> None:
        """`in_all` tells how many handles the session has; None: this channel is its only one."""
        self._view = view
        self._admitted = admitted
        self._denied = frozenset(admitted.denied_requests)
        self._clock = clock
        self._in_all = in_all
        self._handles = Handles()
        self.remarks: list[str] = []
        """The reasons of refusals, for clients that show their user the status alone."""
        self.ahead: NameBatches | None = None
        """A listing whose next entries can be gathered before they are asked for."""
        self._writing: Writing | None = None

    def answer(self, event: Event) -> Answer:
        """The reply to an event of the engine, empty while more of a write is to come.

        Raises ProcessError when the monitor is gone.
        """
        match event:
            case Requested():
                return self.handle(event.id, event.request)
            case Continued():
                return self._go_on_writing(event)
            case Init():
                return replies.reply_version(offered(self._denied))
            case Malformed():
                return reply_status(event.id, Status.BAD_MESSAGE, "bad message")
            case Unsupported():
                return reply_status(event.id, Status.OP_UNSUPPORTED, "operation not supported")

    def handle(self, request_id: int, request: Request) -> Answer:
        """Carry a request out and return its reply. Raises ProcessError when the monitor is gone."""
        try:
            self._authorise(request)
            answer = self._OPERATIONS[type(request)](self, request_id, request)
            if isinstance(answer, _READY):
                return answer
            return self._begin(answer, request_id, type(request))
        except ProcessError:
            raise
        except Exception as error:
            refusal = self._refusal(request_id, type(request), error)
            if not (isinstance(request, requests.Write) and request.more):
                return refusal
            self._writing = Writing(request_id, None, 0, refusal)
            return b""

    def _begin(self, steps: Steps[bytes], request_id: int, kind: type[Request]) -> bytes | LongAnswer:
        """Take the first step, which for most is the only one."""
        try:
            next(steps)
        except StopIteration as done:
            reply: bytes = done.value
            return reply
        return LongAnswer(steps, partial(self._refusal, request_id, kind), outlasts=kind in _OUTLASTING)

    def take_remarks(self) -> list[str]:
        """The remarks since the last call."""
        remarks, self.remarks = self.remarks, []
        return remarks

    def look_ahead(self) -> None:
        """Gather the next entries of the listing that was told of last."""
        ahead, self.ahead = self.ahead, None
        if ahead is not None:
            ahead.look_ahead()

    @property
    def handles(self) -> int:
        """How many handles are open."""
        return len(self._handles)

    @property
    def uploading(self) -> bool:
        """Whether an upload is open."""
        return self._handles.uploading

    def end(self) -> None:
        """Close what the client left open: uploads stay parts, and nothing is published.

        Each is closed whatever another raises. Raises ProcessError when the monitor is gone.
        """
        self._handles.end(self._view.abandon)

    def _go_on_writing(self, part: Continued) -> bytes:
        writing = self._writing
        assert writing is not None
        if writing.upload is not None:
            try:
                writing.upload.write(writing.offset, part.data)
            except (OSError, OverflowError, RefusedError) as error:
                writing.upload, writing.reply = None, self._refusal(writing.id, requests.Write, error)
        if part.more:
            writing.offset += len(part.data)
            return b""
        self._writing = None
        return writing.reply

    def _refusal(self, request_id: int, kind: type[Request], error: Exception) -> bytes:
        status, message = status_for(error)
        if isinstance(error, RefusedError):
            self.remarks.append(message)
        name = SPECS[kind].name
        if isinstance(error, SftpdError | OSError | OverflowError):
            _log.debug("request_refused", request=name, status=status.name, error=str(error))
        else:
            _log.exception("request_failed", request=name)
        return reply_status(request_id, status, message)

    def _authorise(self, request: Request) -> None:
        """The one permission check: what the table says is needed, in the folder of each place named."""
        spec = SPECS[type(request)]
        if spec.name in self._denied:
            raise StatusError(Status.PERMISSION_DENIED, f"{spec.name} is not allowed for this account")
        needed = spec.permissions(request)
        if not needed and not spec.besides:
            return
        for field, is_path, besides in NAMING[type(request)]:
            named = getattr(request, field)
            place = self._view.place(named) if is_path else self._handles.at(named).place
            wanted = needed | besides if besides else needed
            if wanted <= place.permissions:
                continue
            if missing := place.missing(wanted, expected=field != "new"):
                raise StatusError(Status.PERMISSION_DENIED, f"{missing[0]} is not allowed here")

    def _keep(self, request_id: int, opened: Opened) -> bytes:
        return replies.reply_handle(request_id, self._handles.keep(opened))

    def _require_room(self) -> None:
        if (self.handles if self._in_all is None else self._in_all()) >= self._admitted.max_handles:
            self._view.tell_limit("HANDLES")
            raise StatusError(Status.FAILURE, "too many open handles")

    def _open(self, request_id: int, request: requests.Open) -> bytes | Steps[bytes]:
        self._require_room()
        place = self._view.place(request.path)
        if request.flags & CHANGING:
            return self._open_upload(request_id, place, request)
        return self._keep(request_id, self._view.fetch(place))

    def _open_upload(self, request_id: int, place: Place, request: requests.Open) -> Steps[bytes]:
        upload = yield from self._view.upload(place, request.flags, request.attributes.size)
        return self._keep(request_id, upload)

    def _close(self, request_id: int, request: requests.Close) -> bytes | Steps[bytes]:
        opened = self._handles.take(request.handle)
        if isinstance(opened, Upload):
            return self._finish(request_id, opened)
        if isinstance(opened, Listing):
            opened.close()
        else:
            self._view.fetched(opened)
        return reply_status(request_id, Status.OK)

    def _finish(self, request_id: int, upload: Upload) -> Steps[bytes]:
        yield from self._view.finish(upload)
        return reply_status(request_id, Status.OK)

    def _read(self, request_id: int, request: requests.Read) -> FileData:
        file = self._handles.file(request.handle)
        return FileData(request_id, file, request.offset, min(request.length, MAX_DATA))

    def _write(self, request_id: int, request: requests.Write) -> bytes:
        upload = self._handles.upload(request.handle)
        upload.write(request.offset, request.data)
        done = reply_status(request_id, Status.OK)
        if not request.more:
            return done
        self._writing = Writing(request_id, upload, request.offset + len(request.data), done)
        return b""

    def _lstat(self, request_id: int, request: requests.Lstat) -> bytes:
        place = self._view.place(request.path)
        return replies.reply_attrs(request_id, self._view.attributes(place, follow=False))

    def _stat(self, request_id: int, request: requests.Stat) -> bytes:
        place = self._view.place(request.path)
        return replies.reply_attrs(request_id, self._view.attributes(place, follow=True))

    def _fstat(self, request_id: int, request: requests.Fstat) -> bytes:
        return replies.reply_attrs(request_id, self._handles.file(request.handle).attributes())

    def _setstat(self, request_id: int, request: requests.Setstat) -> Steps[bytes]:
        yield from self._view.set_attributes(self._view.place(request.path), request.attributes)
        return reply_status(request_id, Status.OK)

    def _fsetstat(self, request_id: int, request: requests.Fsetstat) -> Steps[bytes]:
        file = self._handles.file(request.handle)
        if isinstance(file, Upload):
            file.set_attributes(request.attributes)
        else:
            yield from self._view.set_attributes(file.place, request.attributes)
        return reply_status(request_id, Status.OK)

    def _opendir(self, request_id: int, request: requests.Opendir) -> bytes:
        self._require_room()
        place = self._view.place(request.path)
        directory = self._view.scan(place) if place.path.parts else None
        entries = self._view.top() if directory is None else directory
        encode = EntryEncoder(self._admitted.account, self._admitted.link, self._clock.now()).encode
        told = limited(iter(entries), self._admitted.list_entries, self._view.tell_limit)
        names = (encode(entry.name, entry.stat) for entry in told)
        return self._keep(request_id, Listing(place, NameBatches(names), directory))

    def _readdir(self, request_id: int, request: requests.Readdir) -> bytes:
        opened = self._handles.directory(request.handle)
        reply = opened.batches.next_reply(request_id)
        if reply is None:
            raise StatusError(Status.EOF, "end of directory")
        self.ahead = opened.batches
        return reply

    def _remove(self, request_id: int, request: requests.Remove) -> bytes:
        self._view.remove(self._view.place(request.path))
        return reply_status(request_id, Status.OK)

    def _mkdir(self, request_id: int, request: requests.Mkdir) -> bytes:
        self._view.mkdir(self._view.place(request.path))
        return reply_status(request_id, Status.OK)

    def _rmdir(self, request_id: int, request: requests.Rmdir) -> bytes:
        self._view.rmdir(self._view.place(request.path))
        return reply_status(request_id, Status.OK)

    def _realpath(self, request_id: int, request: requests.Realpath) -> bytes:
        return _path_reply(request_id, VirtualPath.parse(request.path, clamp=True))

    def _rename(self, request_id: int, request: requests.Rename) -> Steps[bytes]:
        old, new = self._view.place(request.old), self._view.place(request.new)
        yield from self._view.rename(old, new, replace=False)
        return reply_status(request_id, Status.OK)

    def _posix_rename(self, request_id: int, request: requests.PosixRename) -> Steps[bytes]:
        old, new = self._view.place(request.old), self._view.place(request.new)
        yield from self._view.rename(old, new, replace=True)
        return reply_status(request_id, Status.OK)

    def _readlink(self, request_id: int, request: requests.Readlink) -> bytes:
        target = self._view.readlink(self._view.place(request.path))
        return replies.reply_name(request_id, [Name(target, target, Attributes())])

    def _symlink(self, request_id: int, request: requests.Symlink) -> bytes:
        self._view.symlink(request.target, self._view.place(request.path))
        return reply_status(request_id, Status.OK)

    def _hardlink(self, request_id: int, request: requests.Hardlink) -> Steps[bytes]:
        yield from self._view.hardlink(self._view.place(request.old), self._view.place(request.new))
        return reply_status(request_id, Status.OK)

    def _statvfs(self, request_id: int, request: requests.Statvfs) -> bytes:
        figures = self._view.statvfs(self._view.place(request.path))
        return replies.reply_extended(request_id, statvfs_body(figures))

    def _fstatvfs(self, request_id: int, request: requests.Fstatvfs) -> bytes:
        figures = self._view.fstatvfs(self._handles.at(request.handle).place)
        return replies.reply_extended(request_id, statvfs_body(figures))

    def _fsync(self, request_id: int, request: requests.Fsync) -> Steps[bytes]:
        yield from self._handles.upload(request.handle).sync()
        return reply_status(request_id, Status.OK)

    def _lsetstat(self, request_id: int, request: requests.Lsetstat) -> Steps[bytes]:
        yield from self._view.set_own_attributes(self._view.place(request.path), request.attributes)
        return reply_status(request_id, Status.OK)

    def _copy_data(self, request_id: int, request: requests.CopyData) -> Steps[bytes]:
        yield from self._handles.upload(request.write_handle).copying(
            self._handles.file(request.read_handle),
            read_at=request.read_offset,
            length=request.length,
            write_at=request.write_offset,
        )
        return reply_status(request_id, Status.OK)

    def _check_file_name(self, request_id: int, request: requests.CheckFileName) -> Steps[bytes]:
        with self._view.reading(self._view.place(request.path)) as fd:
            found = yield from checksums.checking(fd, request)
        return replies.reply_extended(request_id, check_file_body(*found))

    def _check_file_handle(self, request_id: int, request: requests.CheckFileHandle) -> Steps[bytes]:
        try:
            fd = self._handles.file(request.handle).readable_fd
        except OSError:  # what the draft has for this, where a READ is told the file is not open
            raise StatusError(Status.PERMISSION_DENIED, "file is not open for reading") from None
        found = yield from checksums.checking(fd, request)
        return replies.reply_extended(request_id, check_file_body(*found))

    def _space_available(self, request_id: int, request: requests.SpaceAvailable) -> bytes:
        figures = self._view.statvfs(self._view.place(request.path))
        return replies.reply_extended(request_id, space_body(figures))

    def _limits(self, request_id: int, _request: requests.Limits) -> bytes:
        return replies.reply_extended(request_id, limits_body(self._admitted.max_handles))

    def _home_directory(self, request_id: int, _request: requests.HomeDirectory) -> bytes:
        return _path_reply(request_id, VirtualPath())

    def _expand_path(self, request_id: int, request: requests.ExpandPath) -> bytes:
        head, _, rest = request.pattern.partition(b"/")
        if not head.startswith(b"~"):
            return _path_reply(request_id, VirtualPath.parse(request.pattern, clamp=True))
        if head not in (b"~", b"~" + self._admitted.account.encode()):
            raise StatusError(Status.NO_SUCH_FILE, "no such user")
        return _path_reply(request_id, VirtualPath.parse(rest, clamp=True))

    _OPERATIONS: ClassVar[
        dict[type[Request], Callable[["Handler", int, Any], bytes | FileData | Steps[bytes]]]
    ] = {
        requests.Open: _open,
        requests.Close: _close,
        requests.Read: _read,
        requests.Write: _write,
        requests.Lstat: _lstat,
        requests.Fstat: _fstat,
        requests.Setstat: _setstat,
        requests.Fsetstat: _fsetstat,
        requests.Opendir: _opendir,
        requests.Readdir: _readdir,
        requests.Remove: _remove,
        requests.Mkdir: _mkdir,
        requests.Rmdir: _rmdir,
        requests.Realpath: _realpath,
        requests.Stat: _stat,
        requests.Rename: _rename,
        requests.Readlink: _readlink,
        requests.Symlink: _symlink,
        requests.PosixRename: _posix_rename,
        requests.Statvfs: _statvfs,
        requests.Fstatvfs: _fstatvfs,
        requests.Fsync: _fsync,
        requests.Hardlink: _hardlink,
        requests.Limits: _limits,
        requests.HomeDirectory: _home_directory,
        requests.Lsetstat: _lsetstat,
        requests.ExpandPath: _expand_path,
        requests.CopyData: _copy_data,
        requests.CheckFileHandle: _check_file_handle,
        requests.CheckFileName: _check_file_name,
        requests.SpaceAvailable: _space_available,
    }


def _path_reply(request_id: int, path: VirtualPath) -> bytes:
    return replies.reply_name(request_id, [Name(bytes(path), bytes(path), Attributes())])
