"""How a courier brings a file to its remote and publishes it there, each step as that remote needs it."""

import contextlib
import os

from sftpd.errors import OwnFaultError, RemoteFailedError
from sftpd.exchange.remote import Outcome
from sftpd.link.model import Handling
from sftpd.sftp.attributes import Attributes, clamped
from sftpd.sftp.status import Status
from sftpd.ssh import courier_messages as m
from sftpd.ssh.courier_filling import filling
from sftpd.ssh.courier_hashing import beside
from sftpd.ssh.courier_proof import Known, Ranges, is_same, prove
from sftpd.ssh.courier_replies import FINAL, StatusReply, told
from sftpd.ssh.courier_sftp import CHUNK, POSIX_RENAME, Client

RESUMED_FROM = 1 << 20
"""Bytes of a file from which it is worth asking whether a part of it is there."""


class Deliveries:
    """Deliveries over one SFTP conversation. Methods raise as those of Client."""

    def __init__(self, client: Client, handling: Handling) -> None:
        self._client = client
        self._handling = handling

    def upload(self, order: m.Sending, fd: int) -> m.Arrived:
        """Bring a file to its temporary name, and prove that it is there; raises RemoteError if it is not."""
        if order.unless is not None and self._client.size(order.unless) is not None:
            return m.Arrived("taken")
        sent = self._proven_part(order, fd)
        size = self._grown(order, fd, sent) if sent.size else None
        if size != order.size:
            sent, size = self._written_anew(order, fd)
        if sent.sha256 != order.sha256:
            raise OwnFaultError("the file changed while it was sent")
        self._set_attributes(order.path, fd)
        if size != order.size:
            raise RemoteFailedError(f"{order.size} bytes were sent, the server has {size}")
        return m.Arrived(prove(self._client, order.path, sent, self._handling))

    def publish(self, file: m.Renaming, order: m.Publish) -> m.Placed | m.Refused:
        """Rename a temporary file into place, once: one that the server has not got was renamed before."""
        outcome: Outcome = "renamed"
        if file.temporary != file.final:
            try:
                outcome = self._renamed(file, order)
            except StatusReply as refusal:
                before = self._known_before(file, order, refusal.status)
                if before is None:
                    return m.Refused(refusal.what)
                outcome = before
        if outcome == "gone":
            self._require_folder(order.folder)
            if self._size(file.temporary) is not None:
                raise RemoteFailedError("the folder was away for a moment, and the file with it")
        return m.Placed(outcome, self._client.size(file.final) if order.look else None)

    def place(self, file: m.Renaming, order: m.Place) -> None:
        """Rename and replace what is there, with the folders above it made if the order says so."""
        try:
            self.rename(file.temporary, file.final)
        except StatusReply as reply:
            if not order.make_folders or reply.status not in (Status.NO_SUCH_FILE, Status.FAILURE):
                raise
            self._make_parents(file.final)
            self.rename(file.temporary, file.final)

    def rename(self, old: bytes, new: bytes) -> None:
        """Rename, in one step where the server can, and replace what is there."""
        client = self._client
        if self._handling.posix_rename and POSIX_RENAME in client.extensions:
            client.posix_rename(old, new)
            return
        try:
            client.rename(old, new)
        except StatusReply as reply:
            # SFTP 3 has no code for "it exists": look, and only then make room
            if reply.status is not Status.FAILURE or self._size(new) is None or self._size(old) is None:
                raise
            client.remove(new)
            client.rename(old, new)

    def holds(self, order: m.AskContent) -> bool | None:
        """Whether a file has this content; None where no more than its size can be told."""
        client, handling = self._client, self._handling
        if client.size(order.path) != order.size:
            return False
        known, limit = Known(order.size, order.sha256), max(handling.confirm_limit, handling.resume_limit)
        return is_same(client, order.path, known, ask=handling.check_file, read_limit=limit)

    def _proven_part(self, order: m.Sending, fd: int) -> Ranges:
        """What of the file is at the remote already and is proven to be its beginning."""
        handling = self._handling
        if not handling.resume or order.size < RESUMED_FROM:
            return Ranges()
        there = self._client.size(order.path)
        if not there or there > order.size:
            return Ranges()
        part = Ranges()
        buffer, fill = memoryview(bytearray(CHUNK)), filling(fd, there, part.update)
        while fill([buffer], part.size):
            pass
        limit = handling.resume_limit
        same = is_same(self._client, order.path, part, ask=handling.check_file, read_limit=limit)
        return part if same else Ranges()

    def _grown(self, order: m.Sending, fd: int, part: Ranges) -> int | None:
        """The size once the rest is written, None where the server lets no file grow, as some do not."""
        try:
            return self._write(order, fd, part)
        except StatusReply:
            return None

    def _written_anew(self, order: m.Sending, fd: int) -> tuple[Ranges, int | None]:
        sent = Ranges()
        try:
            size = self._write(order, fd, sent)
        except StatusReply as reply:
            if reply.status is not Status.NO_SUCH_FILE:
                raise
            self._make_parents(order.path)
            sent = Ranges()
            size = self._write(order, fd, sent)
        return sent, size

    def _write(self, order: m.Sending, fd: int, sent: Ranges) -> int | None:
        """Write what was not sent yet; returns the size that the server has then."""
        start = sent.size
        with beside(sent.update, order.size - start) as see:
            fill = filling(fd, order.size, see)
            return self._client.write_file(order.path, fill, start=start, sync=self._handling.fsync)

    def _set_attributes(self, path: bytes, fd: int) -> None:
        handling, times = self._handling, None
        if handling.preserve_times:
            status = os.fstat(fd)
            times = (clamped(status.st_atime), clamped(status.st_mtime))
        if times is None and handling.mode is None:
            return
        try:
            self._client.set_attributes(path, Attributes(permissions=handling.mode, times=times))
        except StatusReply as reply:
            raise RemoteFailedError(
                f"the server sets no times or mode: {reply.what}",
                remedy="leave preserve_times and mode out of the configuration of this remote",
            ) from reply

    def _make_parents(self, path: bytes) -> None:
        """Make the directories above `path`; those that cannot be made may be there already."""
        parts = path.split(b"/")[:-1]
        for count in range(1, len(parts) + 1):
            parent = b"/".join(parts[:count])
            if parent:
                with contextlib.suppress(StatusReply):
                    self._client.make_directory(parent)

    def _renamed(self, file: m.Renaming, order: m.Publish) -> Outcome:
        """Rename a file, unless it must not replace another. Raises StatusReply where that is refused.

        Where it must not we look first, for some servers' rename replaces; a file that comes in between is
        lost there.
        """
        if order.replace:
            self.rename(file.temporary, file.final)
        elif self._size(file.final) is None:
            self._client.rename(file.temporary, file.final)
        else:
            return "gone" if self._size(file.temporary) is None else "taken"
        return "renamed"

    def _known_before(self, file: m.Renaming, order: m.Publish, status: Status) -> Outcome | None:
        """What had become of a file before its rename was refused; None: nothing, so that it is not placed.

        That there is none of its temporary name says that it was renamed by a try whose answer was lost. A
        gate at the server may have removed it as well; so that must be what the server says of the rename,
        or, where its answer is one for many things, a file must be seen at the final name.
        """
        if status in FINAL:
            return None
        if self._size(file.temporary) is not None:
            return "taken" if not order.replace and self._size(file.final) is not None else None
        if status is Status.NO_SUCH_FILE or (order.look and self._size(file.final) is not None):
            return "gone"
        return None

    def _size(self, path: bytes) -> int | None:
        """The size of what is at `path`. Raises RemoteError for a refusal, which is none of a rename."""
        try:
            return self._client.size(path)
        except StatusReply as reply:
            raise told(reply) from reply

    def _require_folder(self, folder: bytes) -> None:
        try:
            self._client.stat(folder)
        except StatusReply as reply:
            raise RemoteFailedError(f"the file is gone and so is its folder: {reply.what}") from reply
