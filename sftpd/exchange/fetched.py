"""Which of the files at a remote were fetched: by name, size and time, or by a digest of these.

Where the ledger has to forget the name, as of an erased file, it keeps the digest: the remote may offer it
still.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from sftpd.exchange.fetch import origin
from sftpd.exchange.remote import RemoteFile
from sftpd.ledger import tables
from sftpd.ledger.database import in_parts
from sftpd.ledger.ledger import Ledger
from sftpd.ledger.writer import Unit
from sftpd.link.model import Inbound

DISMISSED = ""
"""The origin of a file that was taken away at the remote."""

Digest = Callable[[bytes, str], bytes]
"""What stands for a file in the ledger, given its name and its origin."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """What the ledger knows of files that were fetched."""

    ledger: Ledger
    digest: Digest

    def among(self, route: Inbound, files: list[RemoteFile]) -> set[RemoteFile]:
        """Those of `files` that the route has fetched."""
        return self._named(route, files) | self._forgotten(route, files)

    def dismiss(self, route: Inbound, files: Sequence[RemoteFile]) -> None:
        """Know, soon, that files were taken away there: what comes under such a name is another file.

        That may have the same size and, where a remote tells no times, the same origin.
        """

        def work(unit: Unit) -> None:
            for file in files:
                t, a = tables.transfer, tables.attempt
                there = (t.c.path == file.name, t.c.link == route.link, t.c.route == route.name)
                known = t.update().where(*there, t.c.origin == origin(file))
                unit.conn.execute(known.values(origin=DISMISSED))
                key = a.c.key == self.digest(file.name, origin(file))
                unit.conn.execute(a.delete().where(a.c.link == route.link, a.c.route == route.name, key))

        self.ledger.defer(work)

    def _named(self, route: Inbound, files: list[RemoteFile]) -> set[RemoteFile]:
        t = tables.transfer.c
        mine = (t.link == route.link, t.route == route.name)
        seen: set[tuple[bytes, str | None]] = set()
        with self.ledger.read() as conn:
            for paths in in_parts([file.name for file in files]):
                rows = conn.execute(sa.select(t.path, t.origin).where(*mine, t.path.in_(paths)))
                seen.update((path, origin) for path, origin in rows)
        return {file for file in files if (file.name, origin(file)) in seen}

    def _forgotten(self, route: Inbound, files: list[RemoteFile]) -> set[RemoteFile]:
        a = tables.attempt.c
        mine = (a.link == route.link, a.route == route.name)
        by_key = {self.digest(file.name, origin(file)): file for file in files}
        found: set[RemoteFile] = set()
        with self.ledger.read() as conn:
            for some in in_parts([*by_key]):
                keys = conn.scalars(sa.select(a.key).where(*mine, a.key.in_(some)))
                found.update(by_key[key] for key in keys)
        return found
