"""The transfers of a route that come next: as many of the ledger's as memory holds, in their order. Pure."""

import bisect
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import NamedTuple

from sftpd.names import TransferId

HERE, FIRST, USUAL = range(3)
"""Ranks: what is finished without the counterparty, what goes before the rest of its route, and the rest."""

LIMIT = 256
"""Transfers of one route that memory holds; all others wait in the ledger alone."""


class Due(NamedTuple):
    """A transfer to be taken on, which compares by its turn."""

    rank: int
    at: datetime
    id: TransferId
    path: bytes


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

    def take(self, may: Callable[[Due], bool]) -> Due | None:
        """Take out the first that `may` be taken on."""
        for position, due in enumerate(self._entries):
            if may(due):
                return self._entries.pop(position)
        return None

    def head(self) -> Due | None:
        """The first that needs the counterparty."""
        return next((due for due in self._entries if due.rank != HERE), None)
