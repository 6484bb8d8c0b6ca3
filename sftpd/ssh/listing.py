"""A directory that a session holds open."""

from typing import NamedTuple

from sftpd.sftp.listing import NameBatches
from sftpd.ssh.folder import Directory
from sftpd.ssh.place import Place


class Listing(NamedTuple):
    """An open directory: its entries yet to be told; the root has nothing to close."""

    place: Place
    batches: NameBatches
    directory: Directory | None

    def close(self) -> None:
        """Let the directory go."""
        if self.directory is not None:
            self.directory.close()
