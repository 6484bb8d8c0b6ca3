"""The transfers of a route that come next: as many of the ledger's as memory holds, in their order. Pure."""

import bisect
from collections.abc import Collection, Iterable
from datetime import datetime
from typing import NamedTuple

from sftpd.names import TransferId

HERE, FIRST, USUAL = range(3)
"""Ranks: what is finished without the counterparty, what goes before the rest of its route, and the rest."""

LIMIT = 256
"""Transfers of one route that memory holds; all others wait in the ledger alone."""

TOGETHER, TOGETHER_SIZE = 16, 1 << 20
"""Files, and bytes of them, that one step takes on together; a larger file goes by itself."""


class Due(NamedTuple):
    """A transfer to be taken on, which compares by its turn."""

    rank: int
    at: datetime
    id: TransferId
    path: bytes
    size: int


class DueList:
    """At most LIMIT of the transfers of a route that are due, the next of all among them."""

    def __init__(self) -> None:
        self._entries: list[Due] = []
        self.whole = False
        """Whether no other is due in the ledger."""

    def __len__(self) -> int:
        return len(self._entries)

    def replace(self, found: Iterable[Due], *, whole: bool) -> None:
        """Hold what was found in the ledger, and nothing else."""
        self._entries = sorted(found)
        self.whole = whole

    def add(self, due: Due) -> None:
        """Take in one that has just entered the ledger, unless others come first and fill the list."""
        if len(self._entries) < LIMIT and self.whole:
            bisect.insort(self._entries, due)
            return
        self.whole = False
        if self._entries and due < self._entries[-1]:
            bisect.insort(self._entries, due)
            del self._entries[LIMIT:]

    def take_here(self) -> Due | None:
        """Take out the first that is finished without the counterparty."""
        return self._entries.pop(0) if self._entries and self._entries[0].rank == HERE else None

    def take(self, busy: Collection[bytes], most: int) -> tuple[Due, ...]:
        """Take out the first that needs the counterparty, and those behind it that may go with it.

        They are of one rank, small and at most `most`; none has a path that is `busy` or another's.
        """
        taken: list[Due] = []
        paths, size = set(busy), 0
        for due in self._entries:
            if due.rank == HERE or due.path in paths:
                continue
            size += due.size
            if len(taken) == most or (taken and (due.rank != taken[0].rank or size > TOGETHER_SIZE)):
                break
            taken.append(due)
            paths.add(due.path)
        if taken:
            out = {due.id for due in taken}
            self._entries = [due for due in self._entries if due.id not in out]
        return tuple(taken)

    def head(self) -> Due | None:
        """The first that needs the counterparty."""
        return next((due for due in self._entries if due.rank != HERE), None)
