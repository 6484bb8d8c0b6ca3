"""Locks on paths: changes of a file, with what the ledger says of it, come one after another."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sftpd.files.beneath import Parts


class PathLocks:
    """Which paths of which folders somebody is changing; for any thread."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._changing: set[tuple[Path, Parts]] = set()

    @contextmanager
    def lock(self, folder: Path, *paths: Parts) -> Iterator[None]:
        """Change these paths of a folder while nobody else does: ledger and disk see one order of changes."""
        wanted = {(folder, path) for path in paths}
        with self._changed:
            self._changed.wait_for(lambda: self._changing.isdisjoint(wanted))
            self._changing |= wanted
        try:
            yield
        finally:
            with self._changed:
                self._changing -= wanted
                self._changed.notify_all()
