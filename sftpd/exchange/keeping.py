"""What legal holds keep from being removed, renamed or replaced in the folders of one link.

What a partner removes or replaces all the same is refused, or put aside where the link is configured so: the
partner is told that it is done, and the file waits out of sight until no hold covers it.
"""

import stat
from collections.abc import Mapping
from functools import partial
from typing import Any, Protocol

import sqlalchemy as sa
import structlog

from sftpd.errors import ContainmentError, RefusedError
from sftpd.exchange.places import Places, is_at
from sftpd.exchange.records import Parts, join, split, text
from sftpd.files import durable
from sftpd.ledger import tables
from sftpd.ledger.ledger import Ledger
from sftpd.ledger.outbox import Event
from sftpd.ledger.writer import Unit
from sftpd.link import aside

_file = tables.kept_file
_log = structlog.get_logger()


class Held(Protocol):
    """Looks legal holds up."""

    def __call__(self, link: str, folder: str, path: bytes, conn: sa.Connection | None = None) -> str | None:
        """The reason of the hold on the file at a path, or None; as it is for `conn` if that is given."""
        ...


class Keeping:
    """The holds on one link, as they stand in the way of what a partner or a newer file would do."""

    def __init__(
        self, link: str, places: Places, ledger: Ledger, held: Held, *, puts_aside: bool = False
    ) -> None:
        self._link = link
        self._places = places
        self._ledger = ledger
        self._held = held
        self._puts_aside = puts_aside

    def require_free(self, folder: str, parts: Parts, conn: sa.Connection | None = None) -> None:
        """Pass where no file lies that is under a hold; with `conn` that is so when its transaction commits.

        Raises RefusedError `HELD`. Of a name that is not taken no hold is asked.
        """
        if self._is_file(folder, parts) and self.covers(folder, parts, conn):
            raise RefusedError("the file is kept for a legal reason", reason="HELD")

    def require_room(self, folder: str, parts: Parts) -> None:
        """Pass where a newer file may come: none that is held lies there, or it will be put aside.

        Raises RefusedError `HELD`.
        """
        if not self._puts_aside:
            self.require_free(folder, parts)

    def covers(self, folder: str, parts: Parts, conn: sa.Connection | None = None) -> bool:
        """Whether a hold is on the file at a path, of a folder that need not be one of the link's own."""
        return self._held(self._link, folder, join(parts), conn) is not None

    def put_aside(self, folder: str, parts: Parts, private: Mapping[str, Any]) -> bool:
        """Put the held file at a path out of its partner's sight, for who has that path alone.

        False, with nothing changed, where files are not put aside, none that is held lies there, sftpd has no
        record of it, or the disk fails: `require_free` then refuses.
        """
        if not (self._puts_aside and self._is_file(folder, parts) and self.covers(folder, parts)):
            return False
        where = tables.at_place(self._link, folder, join(parts))

        def intend(unit: Unit) -> tuple[str, Parts] | None:
            query = sa.select(_file.c.id).where(*where, _file.c.state == "present")
            if (file := unit.conn.scalar(query)) is None:
                return None
            place = aside.place_of(file, folder, parts)
            row = _file.update().where(_file.c.id == file)
            values = {"state": "moving_aside", "renamed_to": join(place), "changed_at": unit.now}
            unit.conn.execute(row.values(values))
            unit.record(Event("file.put_aside", self._link, {"folder": folder, "file": file}, private))
            return file, place

        if (intended := self._ledger.write(intend)) is None:
            return False
        file, place = intended
        try:
            durable.publish(self._places[folder], parts, self._places[aside.FOLDER], place)
        except (OSError, ContainmentError) as error:
            _log.error("put_aside_failed", link=self._link, file=file, error=str(error))
            self._take_back(file, folder, private)
            return False
        self._ledger.write(partial(self._enter, file, place))
        return True

    def finish_all(self) -> None:
        """After a crash: end what was being put aside."""
        query = sa.select(_file).where(_file.c.link == self._link, _file.c.state == "moving_aside")
        with self._ledger.read() as conn:
            rows = list(conn.execute(query))
        for row in rows:
            place = split(row.renamed_to)
            if is_at(self._places[aside.FOLDER], place, row.source):
                durable.sync_parent(self._places[aside.FOLDER], place)
                self._ledger.write(partial(self._enter, row.id, place))
            else:  # nobody was told that it is gone
                self._take_back(row.id, row.folder, {"path": text(split(row.path))})

    def _enter(self, file: str, place: Parts, unit: Unit) -> None:
        values = {"folder": aside.FOLDER, "path": join(place), "state": "present", "renamed_to": None}
        unit.conn.execute(_file.update().where(_file.c.id == file).values(values))

    def _take_back(self, file: str, folder: str, private: Mapping[str, Any]) -> None:
        """Record that a file was not put aside after all."""
        public = {"folder": folder, "file": file, "change": "file.put_aside"}

        def work(unit: Unit) -> None:
            row = _file.update().where(_file.c.id == file)
            unit.conn.execute(row.values(state="present", renamed_to=None, changed_at=unit.now))
            unit.record(Event("file.change_failed", self._link, public, private))

        self._ledger.write(work)

    def _is_file(self, folder: str, parts: Parts) -> bool:
        try:
            return not stat.S_ISDIR(self._places[folder].stat(parts, follow=False).st_mode)
        except (FileNotFoundError, NotADirectoryError, ContainmentError):
            return False  # whatever comes next fails by itself
