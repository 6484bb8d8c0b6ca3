"""Collecting return receipts: those that are new at a remote are fetched, judged, kept for proof and noted.

    fetched into memory → judged → kept durably → noted with the position, in one transaction

A crash anywhere leaves the position where it was: the same receipt is then fetched again. What it is kept as
follows from our transfer alone.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from datetime import UTC, datetime
from typing import NamedTuple

from sftpd.audit import sshsig
from sftpd.clock import Clock
from sftpd.errors import RemoteRefusedError
from sftpd.exchange import receipt, receipts, records, return_records
from sftpd.exchange.places import Places
from sftpd.exchange.receipt import Receipt
from sftpd.exchange.records import Parts
from sftpd.exchange.remote import Download, Look, Remote, RemoteFile, Remotes, in_directory, only
from sftpd.exchange.return_receipt import (
    RECEIPT_LIMIT,
    SIGNATURE_LIMIT,
    Delivery,
    Filed,
    Match,
    Position,
    Reason,
    Refusal,
    days,
    examine,
    filed,
    folders,
    judge,
)
from sftpd.files import durable
from sftpd.files.beneath import Root
from sftpd.ledger.ledger import Ledger
from sftpd.ledger.writer import Unit
from sftpd.link import model
from sftpd.names import TransferId

FOLDER = "return_receipts"
"""The folder of the link in which they are kept."""

_BATCH = 1000
"""Receipts that one look takes."""
_SIGNATURE = sshsig.SUFFIX.encode()


class _Said(NamedTuple):
    """What a receipt says, and the bytes that say so."""

    claim: Receipt | Refusal
    content: bytes = b""
    signature: bytes = b""


class ReturnCollector:
    """The return receipts of one remote; one run at a time."""

    def __init__(
        self,
        remote: model.Remote,
        routes: Mapping[str, str],
        places: Places,
        *,
        remotes: Remotes,
        ledger: Ledger,
        clock: Clock,
        alone: AbstractContextManager[object],
    ) -> None:
        """`remote` is one whose receipts are collected; `routes`: the folder there of each that leads to it.

        `alone` is held by who keeps receipts, and by who removes some with the files that they are of.
        """
        assert remote.receipts is not None
        self.remote = remote
        self.wanted = remote.receipts
        self._routes = routes
        self._kept = places[FOLDER]
        self._remotes = remotes
        self._ledger = ledger
        self._clock = clock
        self._alone = alone
        self._top = in_directory(self.wanted.folder)

    def collect(self) -> bool:
        """Take what is new, and tell of the deliveries whose receipt is overdue; says whether there is more.

        Raises RemoteError when the remote cannot be reached or failed meanwhile; what could be done is done.
        """
        try:
            return self._collect()
        finally:
            return_records.tell_missed(self._ledger, *self._here, self.wanted.within)

    @property
    def _here(self) -> tuple[str, str]:
        return self.remote.link, self.remote.name

    def _collect(self) -> bool:
        with self._ledger.read() as conn:
            position, since = return_records.position(conn, *self._here)
        ahead = self._list(position)
        rest: Sequence[Filed] = ahead[:_BATCH]
        at = position
        while rest:
            with self._remotes.borrow(self.remote.name) as remote:
                at, rest = self._take(remote, rest, at, since)
        if at != position:
            self._ledger.write(lambda unit: return_records.advance(unit, *self._here, at))
        return len(ahead) > _BATCH

    def _take(
        self, remote: Remote, found: Sequence[Filed], at: Position, since: datetime
    ) -> tuple[Position, Sequence[Filed]]:
        """Take receipts while the connection is of use; returns how far that went, and what is left."""
        for number, one in enumerate(found, 1):
            at = at.behind(one)
            try:
                said = self._said(remote, one)
            except RemoteRefusedError:
                self._settle(one, _Said(Refusal(Reason.UNREADABLE)), at, since)
                return at, found[number:]
            if said is not None:
                self._settle(one, said, at, since)
        return at, ()

    def _list(self, position: Position) -> list[Filed]:
        """The new receipts, in order, and none that has some before it that are not seen yet.

        A listing may lack what was made while it was read. What it shows was made in order, so that a second
        one has all that comes before the last of the first.
        """
        with self._remotes.borrow(self.remote.name) as remote:
            first = max(self._ahead(remote, position), default=None)
            if first is None:
                return []
            return sorted(found for found in self._ahead(remote, position) if found <= first)

    def _ahead(self, remote: Remote, position: Position) -> Iterator[Filed]:
        behind = RemoteFile(position.days_after, 0, 0)
        named = remote.look(self._top, Look(folders=True, after=behind)).files
        for day in days((folder.name for folder in named), self._clock.now()):
            at = self._top + day.isoformat().encode()
            found = (folder.name for folder in remote.look(at, Look(folders=True)).files)
            for folder in folders(found, day, position):
                files = remote.look(at + b"/" + folder, Look()).files
                yield from filed(day, folder, {file.name: file.size for file in files}, position)

    def _said(self, remote: Remote, found: Filed) -> "_Said | None":
        """What a receipt says; None if it is not of a delivery of ours."""
        if found.kind == "delivered":
            return None
        if found.signature is None:
            return _Said(Refusal(Reason.UNSIGNED))
        if found.size > RECEIPT_LIMIT or found.signature > SIGNATURE_LIMIT:
            return _Said(Refusal(Reason.SIZE_LIMIT))
        path = self._top + found.folder + b"/" + found.name
        signature = _read(remote, path + _SIGNATURE, found.signature)
        content = _read(remote, path, found.size)
        said = examine(found, content, signature, self.wanted.signers)
        if isinstance(said, Receipt) and said.peer != self.remote.user:
            return None
        return _Said(said, content, signature)

    def _settle(self, found: Filed, said: "_Said", at: Position, since: datetime) -> None:
        """Note what a receipt shows, once it is kept, and that it has been gone over."""
        claim = said.claim
        with self._alone:
            outcome = claim if isinstance(claim, Refusal) else judge(claim, self._deliveries(claim))
            if isinstance(outcome, Match) and not outcome.again:
                self._keep(outcome.transfer, found.index, said)

            def work(unit: Unit) -> None:
                return_records.advance(unit, *self._here, at)
                self._note(unit, found, outcome, since)

            self._ledger.write(work)

    def _note(self, unit: Unit, found: Filed, outcome: Match | Refusal, since: datetime) -> None:
        if isinstance(outcome, Match):
            if not outcome.again:
                transfer = records.get(unit.conn, outcome.transfer)
                return_records.matched(unit, transfer, outcome, self.wanted.within)
        elif outcome.made is None or outcome.made >= since:
            return_records.refused(unit, *self._here, found, outcome)

    def _deliveries(self, claim: Receipt) -> list[Delivery]:
        with self._ledger.read() as conn:
            known = return_records.candidates(conn, *self._here, self._routes.keys(), claim.sha256)
        return [
            Delivery(
                one.transfer.id,
                self._routes.get(one.transfer.route, ""),
                records.text(one.transfer.final),
                one.transfer.size,
                one.transfer.sha256,
                one.theirs,
                one.position,
                one.rejected,
            )
            for one in known
        ]

    def _keep(self, transfer: TransferId, index: int, said: "_Said") -> None:
        """Keep a receipt durably, in place of what a crash left of it."""
        folder = _place(transfer, _began(self._ledger, [transfer])[transfer])
        name = b"%d%s" % (index, receipt.SUFFIX.encode())
        durable.make_directories(self._kept, (*folder, name))
        with self._kept.sub(folder) as into:
            for each in (name, name + _SIGNATURE):
                with suppress(FileNotFoundError):
                    into.unlink((each,))
            durable.write_new(into, [((name + _SIGNATURE,), said.signature), ((name,), said.content)])
            into.sync()


def kept(folder: Root, ledger: Ledger, transfer: TransferId) -> list[Parts]:
    """Where the return receipts of a transfer lie, in the order in which they were made."""
    place = _place(transfer, _began(ledger, [transfer])[transfer])
    suffix = receipt.SUFFIX.encode()
    names = [name for name in receipts.names_in(folder, place) if name.endswith(suffix)]
    return [(*place, name) for name in sorted(names, key=lambda name: int(name.removesuffix(suffix)))]


def remove(folder: Root, ledger: Ledger, transfers: Sequence[str]) -> None:
    """Remove the return receipts of these transfers durably, and await none."""
    return_records.forget(ledger, transfers)
    for transfer, began in _began(ledger, transfers).items():
        place = _place(transfer, began)
        names = receipts.names_in(folder, place)
        for name in names:
            folder.unlink((*place, name))
        if names:
            durable.sync_parent(folder, (*place, b""))


def _began(ledger: Ledger, transfers: Sequence[str]) -> dict[str, datetime]:
    spans = receipts.spans(ledger, transfers)
    return {transfer: spans[transfer][0] for transfer in transfers if transfer in spans}


def _place(transfer: str, began: datetime) -> Parts:
    """The folder of a transfer's return receipts: by its day in UTC and its id."""
    return began.astimezone(UTC).date().isoformat().encode(), transfer.encode()


def _read(remote: Remote, path: bytes, size: int) -> bytes:
    """A small file at a remote, kept in memory."""
    fd = os.memfd_create("receipt")
    try:
        got = only(remote.download([Download(path, fd, size)]))
        return os.pread(fd, got.size, 0)
    finally:
        os.close(fd)
