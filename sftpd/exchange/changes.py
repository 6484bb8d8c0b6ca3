"""Changes to received files that a partner asks for: intended in the ledger, done on disk, finished there.

Recovery ends what was intended and not finished: it removes, and takes back a rename that did not happen.
"""

import errno
import stat
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import msgspec
import sqlalchemy as sa
import structlog

from sftpd.errors import ContainmentError, RefusedError, SftpdError
from sftpd.exchange.keeping import Keeping
from sftpd.exchange.places import Places, is_at
from sftpd.exchange.records import Parts, join, split, text
from sftpd.files import durable
from sftpd.files.beneath import DIRECTORY_MODE, FILE_MODE, Root
from sftpd.files.fingerprint import snapshot
from sftpd.files.staging import Staging
from sftpd.ledger import tables
from sftpd.ledger.ledger import Ledger
from sftpd.ledger.outbox import Event
from sftpd.ledger.writer import Unit
from sftpd.link import aside

_file = tables.kept_file
_log = structlog.get_logger()


class Published(NamedTuple):
    """A published path: the ledger's name of its folder, that folder, and the path in it."""

    folder: str
    root: Root
    parts: Parts


class Changes:
    """Removes and renames published files of one link."""

    def __init__(self, link: str, places: Places, ledger: Ledger, keeping: Keeping) -> None:
        self._link = link
        self._places = places
        self._ledger = ledger
        self._keeping = keeping

    def remove(self, at: Published, private: Mapping[str, str]) -> None:
        """Delete a file, or put it aside if it is held. Raises RefusedError `HELD`."""
        with self._places.alone(at.folder, at.parts):
            if not self._keeping.put_aside(at.folder, at.parts, private):
                self._withdraw(at, private)

    def take_away(self, at: Published, transfer: str, private: Mapping[str, str]) -> None:
        """Delete a file that we have no more use for, unless it is another transfer's by now.

        Raises RefusedError `HELD`.
        """
        here = tables.at_place(self._link, at.folder, join(at.parts))
        query = sa.select(_file.c.id).where(*here, _file.c.state == "present")
        with self._places.alone(at.folder, at.parts):
            with self._ledger.read() as conn:
                found = conn.scalar(query)
            if found == transfer:
                self._withdraw(at, private)

    def let_go(self) -> None:
        """Delete what was put aside, now that no hold covers it: its partner wanted that."""
        query = sa.select(_file.c.path).where(
            _file.c.link == self._link, _file.c.folder == aside.FOLDER, _file.c.state == "present"
        )
        with self._ledger.read() as conn:
            paths = list(conn.scalars(query))
        for path in paths:
            at = Published(aside.FOLDER, self._places[aside.FOLDER], split(path))
            try:
                with self._places.alone(at.folder, at.parts):
                    self._withdraw(at, {"path": text(split(path))})
                Staging(at.root).prune(at.parts)
            except RefusedError:
                continue  # it is held still
            except (OSError, SftpdError) as error:
                _log.error("let_go_failed", link=self._link, error=str(error))

    def rename(self, at: Published, to: Parts, private: Mapping[str, str], *, replace: bool) -> None:
        """Rename a file, or an empty directory; `private` has the `path` and the `new_path`.

        Raises RefusedError `HELD` for either name, but of the new one where held files are put aside.
        """
        event = Event("file.renamed", self._link, {"folder": at.folder}, private)
        with self._places.alone(at.folder, at.parts, to):
            if not replace and at.root.exists(to):
                raise FileExistsError(errno.EEXIST, "the new name is taken")
            if at.root.exists(at.parts):
                self._keeping.require_free(at.folder, at.parts)
                self._keeping.put_aside(at.folder, to, {**private, "path": private["new_path"]})
            self._intend(at, event, (at.parts, to), state="renaming", renamed_to=join(to))
            try:
                durable.rename(at.root, at.parts, at.root, to, replace=replace)
            except (OSError, ContainmentError):
                self._ledger.write(partial(self._take_back, at, event))
                raise
            self._ledger.write(partial(self._renamed, at, to))

    def set_attributes(
        self, at: Published, private: Mapping[str, str], *, mode: int | None, times: tuple[int, int] | None
    ) -> None:
        """Set permission bits, but for our and our group's own, and access and modification time (ns).

        The ledger goes on knowing the file by its new time: a partner that sets it evades no retention.
        """
        event = Event("file.attributes_set", self._link, {"folder": at.folder}, private)
        with self._places.alone(at.folder, at.parts):
            status = at.root.stat(at.parts)
            seen = snapshot(status)
            then = seen if times is None else msgspec.structs.replace(seen, mtime_ns=times[1])

            def work(unit: Unit) -> None:
                row = self._row(at, "present").where(_file.c.source == str(seen))
                unit.conn.execute(row.values(source=str(then)))
                unit.record(event)

            self._ledger.write(work)
            if mode is not None:
                at.root.chmod(
                    at.parts, mode | (DIRECTORY_MODE if stat.S_ISDIR(status.st_mode) else FILE_MODE)
                )
            if times is not None:
                at.root.utime(at.parts, times)
            durable.sync_attributes(at.root, at.parts)

    def finish_all(self) -> None:
        """After a crash: end what was intended and not finished."""
        self._keeping.finish_all()
        query = sa.select(_file).where(
            _file.c.link == self._link, _file.c.state.in_(("withdrawing", "renaming"))
        )
        with self._ledger.read() as conn:
            rows = list(conn.execute(query))
        for row in rows:
            try:
                self._end(row)
            except (OSError, SftpdError) as error:
                # One file must not keep the daemon from starting; the next start tries again.
                _log.error("recovery_failed", link=self._link, file=row.id, error=str(error))

    def _end(self, row: sa.Row[Any]) -> None:
        at = Published(row.folder, self._places[row.folder], split(row.path))
        there = is_at(at.root, at.parts, row.source)
        if row.state == "renaming" and there:
            # Nobody was told that it happened, and by now something may lie where it was to go.
            event = Event("file.renamed", self._link, {"folder": at.folder}, {"path": text(split(row.path))})
            self._ledger.write(partial(self._take_back, at, event))
        elif row.state == "renaming":
            self._ledger.write(partial(self._renamed, at, split(row.renamed_to)))
        elif there and self._keeping.covers(at.folder, at.parts):
            # The hold was placed while nobody was at work.
            event = Event(
                "file.withdrawn", self._link, {"folder": at.folder}, {"path": text(split(row.path))}
            )
            self._ledger.write(partial(self._take_back, at, event))
        else:
            if there:
                at.root.unlink(at.parts)
                durable.sync_parent(at.root, at.parts)
            self._ledger.write(partial(self._finish, at, state="withdrawn"))

    def _withdraw(self, at: Published, private: Mapping[str, str]) -> None:
        event = Event("file.withdrawn", self._link, {"folder": at.folder}, private)
        self._intend(at, event, (at.parts,), state="withdrawing")
        try:
            at.root.unlink(at.parts)
        except (OSError, ContainmentError):
            self._ledger.write(partial(self._take_back, at, event))
            raise
        durable.sync_parent(at.root, at.parts)
        self._ledger.defer(partial(self._finish, at, state="withdrawn"))

    def _intend(self, at: Published, event: Event, touched: Sequence[Parts], **values: object) -> None:
        def work(unit: Unit) -> None:
            # Looked at in here, so that a name that is not there fails before anything is recorded.
            at.root.stat(at.parts, follow=False)
            for parts in touched:
                self._keeping.require_free(at.folder, parts, unit.conn)
            unit.conn.execute(self._row(at, "present").values(changed_at=unit.now, **values))
            unit.record(event)

        self._ledger.write(work)

    def _finish(self, at: Published, unit: Unit, **values: object) -> None:
        unit.conn.execute(self._row(at, "withdrawing", "renaming").values(changed_at=unit.now, **values))

    def _take_back(self, at: Published, event: Event, unit: Unit) -> None:
        """Record that a change was not made after all."""
        self._finish(at, unit, state="present", renamed_to=None)
        public = {**event.public, "change": event.type}
        unit.record(Event("file.change_failed", self._link, public, event.private))

    def _renamed(self, at: Published, to: Parts, unit: Unit) -> None:
        replaced = at._replace(parts=to)
        unit.conn.execute(self._row(replaced, "present").values(state="replaced", changed_at=unit.now))
        self._finish(at, unit, state="present", path=join(to), renamed_to=None)

    def _row(self, at: Published, *states: str) -> sa.Update:
        where = tables.at_place(self._link, at.folder, join(at.parts))
        return _file.update().where(*where, _file.c.state.in_(states))
