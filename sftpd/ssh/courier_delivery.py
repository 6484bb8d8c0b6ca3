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
from sftpd.ssh.courier_proof import Known, Ranges, can_tell, is_same, prove
from sftpd.ssh.courier_replies import EXISTS, FINAL, FULL, StatusReply, told
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
        try:
            size = self._grown(order, fd, sent) if sent.size else None
            if size != order.size:
                sent, size = self._written_anew(order, fd)
        except StatusReply:
            self._tidy(order)
            raise
        if sent.sha256 != order.sha256:
            raise OwnFaultError("the file changed while it was sent")
        self._set_attributes(order.path, fd)
        if size not in (order.size, None):
            raise RemoteFailedError(f"{order.size} bytes were sent, the server has {size}")
        return m.Arrived(prove(self._client, order.path, sent, self._handling, seen=size is not None))

    def publish(self, file: m.Renaming, order: m.Publish) -> m.Placed | m.Refused:
        """Rename a temporary file into place, once: one that the server has not got was renamed before."""
        outcome: Outcome = "renamed"
        if file.temporary != file.final:
            try:
                outcome = self._renamed(file, order)
            except StatusReply as refusal:
                before = self._known_before(file, order, refusal)
                if before is None:
                    return m.Refused(refusal.what)
                outcome = before
        if outcome == "gone":
            self._require_folder(order.folder)
            if self._seen(file.temporary) is not None:
                raise RemoteFailedError("the folder was away for a moment, and the file with it")
        try:
            return m.Placed(outcome, self._client.size(file.final) if order.look else None)
        except StatusReply as refusal:
            # Some servers hide what they have: that undoes no rename.
            if outcome != "renamed" and refusal.status not in FINAL:
                raise
            return m.Placed(outcome, None, hidden=True)

    def place(self, file: m.Renaming, order: m.Place) -> None:
        """Rename and replace what is there, with the folders above it made if the order says so."""
        try:
            self.rename(file.temporary, file.final)
            self._require_gone(file.temporary)
        except StatusReply as reply:
            if self._is_gone(file.temporary, reply):
                return
            if not order.make_folders or reply.status not in (Status.NO_SUCH_FILE, Status.FAILURE):
                raise
            self._make_parents(file.final)
            self.rename(file.temporary, file.final)
            self._require_gone(file.temporary)

    def remove(self, path: bytes) -> None:
        """Delete a file, if it is there."""
        try:
            self._client.remove(path)
        except StatusReply as reply:
            if not self._is_gone(path, reply):
                raise
        else:
            self._require_gone(path)

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
            exists = reply.name == EXISTS or (reply.status is Status.FAILURE and self._seen(new) is not None)
            if not exists or self._seen(old) is None:
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
        there = self._client.size(order.path) if self._may_resume(order) else None
        if there is None or not self._resumable(order, there):
            return Ranges()
        part = Ranges()
        buffer, fill = memoryview(bytearray(CHUNK)), filling(fd, there, part.update)
        while fill([buffer], part.size):
            pass
        limit = handling.resume_limit
        # rclone gives nothing of a file that it failed at.
        with contextlib.suppress(StatusReply):
            if is_same(self._client, order.path, part, ask=handling.check_file, read_limit=limit):
                return part
        return Ranges()

    def _grown(self, order: m.Sending, fd: int, part: Ranges) -> int | None:
        """The size once the rest is written, None where the server lets no file grow, as some do not."""
        start = part.size
        try:
            return self._write(order, fd, part)
        except StatusReply as reply:
            if reply.name in FULL or self._would_grow(order.path, fd, start):
                raise  # it has no room: to begin anew would be to send the same again
            return None

    def _would_grow(self, path: bytes, fd: int, start: int) -> bool:
        """Whether the server lets parts grow that have room: this one has, or its end can be rewritten."""
        there = self._client.size(path)
        if there != start:
            return there is not None and there > start
        with contextlib.suppress(StatusReply):
            end = filling(fd, start, lambda _: None)
            return self._client.write_file(path, end, start=start - 1, sync=False) == start
        return False

    def _resumable(self, order: m.Sending, there: int) -> bool:
        """Whether a part of so many bytes may be proven to be the file's beginning."""
        handling = self._handling
        if not self._may_resume(order) or not 0 < there <= order.size:
            return False
        return can_tell(self._client, there, ask=handling.check_file, read_limit=handling.resume_limit)

    def _may_resume(self, order: m.Sending) -> bool:
        return self._handling.resume and order.size >= RESUMED_FROM

    def _tidy(self, order: m.Sending) -> None:
        """Remove what no later try could go on with."""
        with contextlib.suppress(StatusReply):
            there = self._client.size(order.path) if order.ours else None
            if there is not None and not self._resumable(order, there):
                self._client.remove(order.path)

    def _written_anew(self, order: m.Sending, fd: int) -> tuple[Ranges, int | None]:
        sent = Ranges()
        try:
            size = self._write(order, fd, sent)
        except StatusReply as reply:
            if not self._lacks_folder(order.path, reply):
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
            size = self._client.write_file(order.path, fill, start=start, sync=self._handling.fsync)
        if size != order.size:  # some servers do not wait with the answer until all is written
            with contextlib.suppress(StatusReply):
                return self._client.size(order.path)
        return size

    def _lacks_folder(self, path: bytes, refusal: StatusReply) -> bool:
        """Whether a file was not opened as there is no folder for it."""
        if refusal.status is Status.FAILURE:
            try:
                self._client.stat(_folder_of(path))
            except StatusReply as reply:
                return reply.status is Status.NO_SUCH_FILE
        return refusal.status is Status.NO_SUCH_FILE

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

    def _known_before(self, file: m.Renaming, order: m.Publish, refusal: StatusReply) -> Outcome | None:
        """What had become of a file before its rename was refused; None: nothing, so that it is not placed.

        That there is none of its temporary name says that it was renamed by a try whose answer was lost. A
        gate at the server may have removed it as well; so that must be what the server says of the rename,
        or, where its answer is one for many things, a file must be seen at the final name.
        """
        if refusal.status in FINAL:
            return None
        if self._seen(file.temporary) is not None:
            taken = refusal.name == EXISTS or self._seen(file.final) is not None
            return "taken" if taken and not order.replace else None
        if refusal.status is Status.NO_SUCH_FILE or (order.look and self._seen(file.final) is not None):
            return "gone"
        return None

    def _size(self, path: bytes) -> int | None:
        """The size of what is at `path`. Raises RemoteError for a refusal, which is none of a rename."""
        try:
            return self._client.size(path)
        except StatusReply as reply:
            raise told(reply) from reply

    def _seen(self, path: bytes) -> int | None:
        """The size of what is at `path`, None where there is nothing or nobody may look."""
        try:
            return self._client.size(path)
        except StatusReply as reply:
            if reply.status in FINAL:
                return None
            raise told(reply) from reply

    def _is_gone(self, path: bytes, refusal: StatusReply) -> bool:
        """Whether a refusal says but that a file is gone. Raises RemoteFailedError if its folder is too."""
        if refusal.status in FINAL or self._size(path) is not None:
            return False
        self._require_folder(_folder_of(path))
        return self._size(path) is None

    def _require_gone(self, path: bytes) -> None:
        """See that a file is not there any more, if one may look: else it would count as a new one."""
        with contextlib.suppress(StatusReply):
            if self._client.size(path) is not None:
                raise RemoteFailedError("it answers that the file is gone, which is still there")

    def _require_folder(self, folder: bytes) -> None:
        try:
            self._client.stat(folder)
        except StatusReply as reply:
            if reply.status in FINAL:
                return
            raise RemoteFailedError(f"the file is gone and so is its folder: {reply.what}") from reply


def _folder_of(path: bytes) -> bytes:
    return path.rpartition(b"/")[0] or b"/"
