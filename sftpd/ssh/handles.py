"""What one SFTP channel has open, by the handles that its client was given."""

import contextlib
import secrets
from collections.abc import Callable

from sftpd.sftp.status import Status, StatusError
from sftpd.ssh.listing import Listing
from sftpd.ssh.open_file import Fetch, Upload

_HANDLE_BYTES = 8

Opened = Fetch | Upload | Listing


class Handles:
    """The open files and directories of a channel. Methods raise StatusError for a handle that is none."""

    def __init__(self) -> None:
        self._opened: dict[bytes, Opened] = {}

    def __len__(self) -> int:
        return len(self._opened)

    @property
    def uploading(self) -> bool:
        """Whether an upload is open."""
        return any(isinstance(opened, Upload) for opened in tuple(self._opened.values()))

    def keep(self, opened: Opened) -> bytes:
        """Make a handle, which nobody guesses."""
        handle = secrets.token_bytes(_HANDLE_BYTES)
        self._opened[handle] = opened
        return handle

    def take(self, handle: bytes) -> Opened:
        """What a handle stood for, which stands for nothing from now on."""
        opened = self.at(handle)
        del self._opened[handle]
        return opened

    def at(self, handle: bytes) -> Opened:
        """What a handle stands for."""
        try:
            return self._opened[handle]
        except KeyError:
            raise StatusError(Status.FAILURE, "no such handle") from None

    def file(self, handle: bytes) -> Fetch | Upload:
        """The same, of a file."""
        opened = self.at(handle)
        if isinstance(opened, Listing):
            raise StatusError(Status.FAILURE, "handle is a directory's")
        return opened

    def upload(self, handle: bytes) -> Upload:
        """The same, of a file that is open for writing."""
        opened = self.at(handle)
        if not isinstance(opened, Upload):
            raise StatusError(Status.FAILURE, "file is not open for writing")
        return opened

    def directory(self, handle: bytes) -> Listing:
        """The same, of a directory."""
        opened = self.at(handle)
        if not isinstance(opened, Listing):
            raise StatusError(Status.FAILURE, "handle is not a directory's")
        return opened

    def end(self, abandon: Callable[[Fetch | Upload], None]) -> None:
        """Close all directories and `abandon` all files, each whatever another raises."""
        with contextlib.ExitStack() as closing:
            for opened in self._opened.values():
                if isinstance(opened, Listing):
                    closing.callback(opened.close)
                else:
                    closing.callback(abandon, opened)
            self._opened.clear()
