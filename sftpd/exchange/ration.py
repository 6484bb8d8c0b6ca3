"""What the accounts of a link may still bring: counted from ledger and disk, promised to uploads under way.

What is promised is known in this process alone: several monitors of one instance can together exceed a
limit by what is under way at each. What was completed is counted for all of them.
"""

import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, time, timedelta

import sqlalchemy as sa

from sftpd.clock import Clock
from sftpd.errors import LimitError
from sftpd.exchange.places import Places
from sftpd.exchange.records import Parts
from sftpd.files.beneath import Root
from sftpd.ledger import tables
from sftpd.ledger.ledger import Ledger
from sftpd.link.limits import Use, grant, room
from sftpd.link.model import Account, Link
from sftpd.names import TransferId

_LYING = ("inbound", "requests", "quarantine", "screening")
_NOBODY = TransferId("")
_KNOWN_FOR = 2.0
"""Seconds that what lies in the folders is remembered while there is room."""
_TIMES = 20
"""As many times as long as it took to find out it is remembered in any case."""


@dataclass(slots=True)
class _Open:
    account: str
    place: Parts
    """In the staging folder of the link."""
    granted: int
    completing: bool = False


class Ration:
    """Grants uploads of one link their bytes. For all threads."""

    def __init__(self, link: Link, places: Places, ledger: Ledger, clock: Clock) -> None:
        self._link = link
        self._places = places
        self._ledger = ledger
        self._clock = clock
        self._lock = threading.Lock()
        self._open: dict[TransferId, _Open] = {}
        self._lying = 0
        self._lying_until: float | None = None
        self._again_at = 0.0

    def go_by(self, link: Link) -> None:
        """Go by the limits of the link as it is now; what is promised stays so."""
        self._link = link

    def limits(self, account: Account) -> bool:
        """Whether there is any limit on what the account may bring."""
        limits = account.limits
        wanted = (limits.files_per_day, limits.bytes_per_day, self._link.storage)
        return any(limit is not None for limit in wanted)

    def grant(self, account: Account, transfer: TransferId, path: Parts, size: int) -> int | None:
        """To how many bytes the upload to `path`, which is to have `size`, may grow; None: to any.

        Raises LimitError.
        """
        if not self.limits(account):
            return None
        with self._lock:
            if transfer not in self._open:
                self._forget(account.name, path)
            return self._grant(account, transfer, path, size)

    def room(self, account: Account) -> int | None:
        """How many bytes it may still bring beyond those promised; None: no limit says how many."""
        with self._lock:
            self._may_count_again()
            return room(account.limits, self._link.storage, self._use(account, _NOBODY, ()))

    def give_back(self, transfer: TransferId) -> None:
        """The upload is over and what it was promised is free."""
        with self._lock:
            self._open.pop(transfer, None)

    @contextmanager
    def completing(self, account: Account, transfer: TransferId, path: Parts, size: int) -> Iterator[None]:
        """Take an upload in as a file of the day. Raises LimitError."""
        if not self.limits(account):
            yield
            return
        with self._lock:
            self._grant(account, transfer, path, size)
            now = self._open[transfer]
            now.completing, now.granted = True, size
        try:
            yield
        finally:
            with self._lock:
                del self._open[transfer]
                self._lying += size

    def _forget(self, account: str, path: Parts) -> None:
        """An upload to the same place is over: a part has one writer."""
        place = (account.encode(), *path)
        for transfer in [t for t, o in self._open.items() if o.place == place and not o.completing]:
            del self._open[transfer]

    def _grant(self, account: Account, transfer: TransferId, path: Parts, size: int) -> int | None:
        place = (account.name.encode(), *path)
        limits, storage = account.limits, self._link.storage
        try:
            granted = grant(limits, storage, self._use(account, transfer, place), size)
        except LimitError:
            if not self._may_count_again():
                raise
            granted = grant(limits, storage, self._use(account, transfer, place), size)
        self._open[transfer] = _Open(account.name, place, size if granted is None else granted)
        return granted

    def _use(self, account: Account, transfer: TransferId, place: Parts) -> Use:
        others = {t: o for t, o in self._open.items() if t != transfer}
        own = [upload for upload in others.values() if upload.account == account.name]
        files, size = self._today(account, self._open)
        return Use(
            files=files + sum(upload.completing for upload in own),
            size=size + sum(upload.granted for upload in own),
            stored=self._stored(place) + sum(upload.granted for upload in others.values()),
        )

    def _today(self, account: Account, without: Collection[TransferId]) -> tuple[int, int]:
        if account.limits.files_per_day is None and account.limits.bytes_per_day is None:
            return 0, 0
        zone, t = self._link.zone, tables.transfer.c
        today = self._clock.now().astimezone(zone).date()
        midnight = datetime.combine(today, time(), zone)
        query = sa.select(sa.func.count(), sa.func.coalesce(sa.func.sum(t.size), 0)).where(
            t.peer == account.name,
            t.began_at >= midnight,
            # What came while the clock was ahead would count for every day until it has caught up.
            t.began_at < datetime.combine(today + timedelta(days=1), time(), zone),
            t.link == self._link.name,
            t.direction == "inbound",
            t.id.not_in(without),
        )
        with self._ledger.read() as conn:
            files, size = conn.execute(query).one()
        return int(files), int(size)

    def _stored(self, asking: Parts) -> int:
        """Bytes on disk, but for uploads under way, which count by what they were promised or ask for."""
        if self._link.storage is None:
            return 0
        places = {asking, *(upload.place for upload in self._open.values())}
        return self._found_lying() + _size_of(self._places["staging"], without=places)

    def _found_lying(self) -> int:
        began = self._clock.monotonic()
        if self._lying_until is None or began >= self._lying_until:
            names: set[Parts] = {(transfer.encode(),) for transfer in self._open}
            names |= {upload.place[2:] for upload in self._open.values() if upload.completing}
            self._lying = sum(_size_of(self._places[name], without=names) for name in _LYING)
            ended = self._clock.monotonic()
            self._again_at = ended + _TIMES * (ended - began)
            self._lying_until = max(self._again_at, ended + _KNOWN_FOR)
        return self._lying

    def _may_count_again(self) -> bool:
        """Whether what lies in the folders is counted anew before somebody is refused: some may be taken."""
        if self._lying_until is None or self._clock.monotonic() < self._again_at:
            return False
        self._lying_until = None
        return True


def _size_of(root: Root, *, without: Collection[Parts]) -> int:
    return sum(status.st_size for parts, status in root.walk() if parts not in without)
