"""What legal holds keep from being removed, renamed or replaced in the folders of one link."""

import stat
from typing import Protocol

import sqlalchemy as sa

from sftpd.errors import ContainmentError, RefusedError
from sftpd.exchange.places import Places
from sftpd.exchange.records import Parts, join


class Held(Protocol):
    """Looks legal holds up."""

    def __call__(self, link: str, folder: str, path: bytes, conn: sa.Connection | None = None) -> str | None:
        """The reason of the hold on the file at a path, or None; as it is for `conn` if that is given."""
        ...


class Keeping:
    """The holds on one link, as they stand in the way of what a partner or a newer file would do."""

    def __init__(self, link: str, places: Places, held: Held) -> None:
        self._link = link
        self._places = places
        self._held = held

    def require_free(self, folder: str, parts: Parts, conn: sa.Connection | None = None) -> None:
        """Pass where no file lies that is under a hold; with `conn` that is so when its transaction commits.

        Raises RefusedError `HELD`. Of a name that is not taken no hold is asked.
        """
        if self._is_file(folder, parts) and self._held(self._link, folder, join(parts), conn) is not None:
            raise RefusedError("the file is kept for a legal reason", reason="HELD")

    def covers(self, folder: str, parts: Parts) -> bool:
        """Whether a hold is on the file at a path, of a folder that need not be one of the link's own."""
        return self._held(self._link, folder, join(parts), None) is not None

    def _is_file(self, folder: str, parts: Parts) -> bool:
        try:
            return not stat.S_ISDIR(self._places[folder].stat(parts, follow=False).st_mode)
        except (FileNotFoundError, NotADirectoryError, ContainmentError):
            return False  # whatever comes next fails by itself
