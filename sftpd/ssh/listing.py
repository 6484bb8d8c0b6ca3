"""A directory that a session holds open."""

import itertools
from collections.abc import Callable, Iterator
from typing import Literal, NamedTuple

from sftpd.files.beneath import Entry
from sftpd.sftp.listing import NameBatches
from sftpd.sftp.status import Status, StatusError
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


def limited(
    entries: Iterator[Entry], most: int | None, tell: Callable[[Literal["LIST_ENTRIES"]], None]
) -> Iterator[Entry]:
    """The entries, at most so many; where there are more it `tell`s of that and raises StatusError."""
    yield from itertools.islice(entries, most)
    if most is not None and next(entries, None) is not None:
        tell("LIST_ENTRIES")
        raise StatusError(Status.FAILURE, f"directory has more than {most} entries, the most you may list")
