"""Claiming: settled files of a watched folder are screened and entered in the ledger."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from pathlib import Path

import structlog

from sftpd.errors import SftpdError
from sftpd.exchange import records, turn_records
from sftpd.exchange.apart import set_apart
from sftpd.exchange.away import Away, Tools
from sftpd.exchange.deliver import Delivery
from sftpd.exchange.due import FIRST, HERE, TOGETHER_SIZE, USUAL, Due
from sftpd.exchange.places import Places, file_at, is_at
from sftpd.exchange.records import Parts, Transfer, Values
from sftpd.exchange.transfer import Outcome
from sftpd.exchange.waits import Reason
from sftpd.files.beneath import Root
from sftpd.files.fingerprint import fingerprint, identity
from sftpd.files.writers import is_unreadable
from sftpd.hooks.verdict import Verdict
from sftpd.ledger.outbox import Event
from sftpd.ledger.writer import Unit
from sftpd.link.model import Outbound
from sftpd.names import TransferId, new_id

_SOON = 0.5
"""Seconds that gates are given for a small file that others wait with."""
_SLOW = 60.0
"""Seconds for which gates that took longer are given one file at a time."""
_LONG = 0.1
"""Seconds after which no other file is looked at before those that were are entered."""

_log = structlog.get_logger()


class UnreadableError(SftpdError):
    """A settled file cannot be opened or read; whoever waits for it knows, and it is in the log."""

    code = "UNREADABLE"


_Screened = tuple[Transfer, Verdict]


@dataclass(frozen=True, slots=True)
class Claimed:
    """What came of some offers; one that is in neither was not looked at."""

    entered: dict[Parts, Due | None] = field(default_factory=dict)
    """None: there is nothing to send. The file is gone, is on its way already, or was held back."""
    failed: dict[Parts, Exception] = field(default_factory=dict)

    def __contains__(self, parts: Parts) -> bool:
        return parts in self.entered or parts in self.failed


class Claims:
    """Enters the files of one outbound route; for several threads, each with offers of its own."""

    def __init__(
        self, route: Outbound, places: Places, source: Root, delivery: Delivery, away: Away, tools: Tools
    ) -> None:
        """`source` is the watched folder."""
        self._route = route
        self._source = source
        stays = delivery.folder is None or route.return_of is not None
        self._drafts = None if stays else places["screening"]
        self._delivery = delivery
        self._away = away
        self._ledger = tools.ledger
        self._screening = tools.screening
        self._clock = tools.clock
        self._waits = tools.waits
        self._slow_until = 0.0

    def go_together(self) -> bool:
        """Whether files may wait for each other: only where gates answer in no time."""
        return self._clock.monotonic() >= self._slow_until and self._screening.is_quick("outbound")

    def claim(self, offers: Sequence[Parts]) -> Claimed:
        """Screen settled files and enter them in the ledger: the first, and more where that takes no time."""
        claimed = Claimed()
        screened: list[_Screened] = []
        route, until = self._route, self._clock.monotonic() + _LONG
        room: int | None = None
        known = records.on_their_way(self._ledger, route.link, route.name, offers)
        for parts in offers:
            if parts is not offers[0] and self._clock.monotonic() > until:
                break
            try:
                transfer = self._describe(parts, known, room)
                self._waits.end(parts, Reason.UNREADABLE)
                if transfer is None:
                    claimed.entered[parts] = None
                else:
                    screened.append((transfer, self._screen(transfer, alone=len(offers) == 1)))
                    room = (TOGETHER_SIZE if room is None else room) - transfer.size
            except _NotNowError:
                break
            except UnreadableError as error:
                claimed.failed[parts] = error
                if self._waits.see(parts, Reason.UNREADABLE, self._clock.monotonic()):
                    path = records.text(parts)
                    _log.warning(
                        "file_not_readable", link=route.link, route=route.name, path=path, why=error.what
                    )
            except Exception as error:
                claimed.failed[parts] = error
        if screened:
            self._enter(screened, claimed)
        return claimed

    def rank(self, parts: Parts) -> int:
        """Before which others of its route a file goes."""
        name = os.fsdecode(parts[-1])
        return FIRST if any(fnmatchcase(name, glob) for glob in self._route.turns.first) else USUAL

    def turn(self, unit: Unit, parts: Parts) -> Values:
        """What the ledger has of the turn of a file that is to be sent from now on."""
        return {"rank": self.rank(parts), "not_before": self._new_turn(unit)}

    def _new_turn(self, unit: Unit) -> datetime:
        route = self._route
        return turn_records.new_turn(unit, route.link, route.name, strict=route.turns.strict)

    def _describe(self, parts: Parts, known: set[tuple[bytes, str]], room: int | None) -> Transfer | None:
        """What a file would be as a transfer; None: there is nothing to send.

        Raises _NotNowError for one of more than `room` bytes, and UnreadableError.
        """
        try:
            with _reading():
                fd = self._source.open(parts, os.O_RDONLY | os.O_NOFOLLOW)
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
            _log.info("not_taken", route=self._route.name, error=error.strerror)
            return None
        try:
            before = identity(fd)
            if (records.join(parts), str(before)) in known:
                return None  # as all that wait after a restart: not even read
            if room is not None and before.size > room:
                raise _NotNowError
            # What is brought is hashed on its way; what is offered could still be written to by another name.
            draft = (new_id(self._clock.now()).encode(),)
            if self._drafts is not None and set_apart(self._source, parts, fd, self._drafts, draft):
                return self._describe(parts, known, room)
            with _reading():
                content = fingerprint(fd)
            if identity(fd) != before:
                return None  # still being written: the watcher will see it settle again
        finally:
            os.close(fd)
        transfer_id = TransferId(new_id(self._clock.now()))
        target = self._delivery.target(parts)
        return Transfer(
            id=transfer_id,
            link=self._route.link,
            direction="outbound",
            route=self._route.name,
            peer=self._route.remote or "",
            path=parts,
            source=str(before),
            size=content.size,
            sha256=content.sha256.hex(),
            rank=self.rank(parts),
            temporary=self._delivery.temporary(transfer_id, target),
            delivered_as=None if target == parts else target,
        )

    def _screen(self, transfer: Transfer, *, alone: bool) -> Verdict:
        """The verdict of the gates. Raises _NotNowError where they keep others waiting; it is had alone."""
        file = Path(file_at(self._source, transfer.path))
        if alone or transfer.size > TOGETHER_SIZE:
            return self._screening.screen(transfer, file, self._route.policy)
        verdict = self._screening.screen_soon(transfer, file, self._route.policy, _SOON)
        if verdict is None:
            self._slow_until = self._clock.monotonic() + _SLOW
            raise _NotNowError
        return verdict

    def _enter(self, screened: Sequence[_Screened], claimed: Claimed) -> None:
        """Enter files in one transaction; where that fails, each in its own."""
        try:
            entered = self._ledger.write(lambda unit: self._entered(unit, screened))
        except Exception as error:
            if len(screened) == 1:
                claimed.failed[screened[0][0].path] = error
                return
            for one in screened:
                self._enter([one], claimed)
            return
        for transfer, verdict in screened:
            claimed.entered[transfer.path] = None
            at = entered.get(transfer.id)
            if at is not None and verdict.accepted:
                path = records.join(transfer.path)
                claimed.entered[transfer.path] = Due(transfer.rank, at, transfer.id, path, transfer.size)
            elif at is not None:
                try:
                    self._away.put_aside(transfer, "quarantine")
                except Exception as error:
                    claimed.failed[transfer.path] = error

    def _entered(self, unit: Unit, screened: Sequence[_Screened]) -> dict[TransferId, datetime]:
        """Enter those that are not on their way already; returns when their turn came."""
        route = self._route
        paths = [transfer.path for transfer, _ in screened]
        known = records.on_their_way(unit.conn, route.link, route.name, paths)
        accepted: list[_Screened] = []
        blocked: list[_Screened] = []
        for transfer, verdict in screened:
            if (records.join(transfer.path), transfer.source) in known:
                continue
            # Another thread may have ended the transfer that it had.
            if not is_at(self._source, transfer.path, transfer.source):
                continue
            (accepted if verdict.accepted else blocked).append((transfer, verdict))
        # They have their turns in the order of their offers.
        begin = self._new_turn(unit)
        turns = {transfer.id: begin + timedelta(microseconds=n) for n, (transfer, _) in enumerate(accepted)}
        rows = [(transfer, {"not_before": turns[transfer.id]}) for transfer, _ in accepted]
        records.insert_all(unit, rows, Outcome.ACCEPTED)
        for transfer, verdict in blocked:
            turns[transfer.id] = unit.now
            values = {"folder": "quarantine", "reason": verdict.reason, "rank": HERE, "not_before": unit.now}
            records.insert(unit, transfer, Outcome.BLOCKED, **values)
            public = transfer.public | {"verdict": verdict.kind.value}
            private = transfer.private | {"reason": verdict.reason}
            unit.record(Event("transfer.blocked", transfer.link, public, private))
        return turns


@contextmanager
def _reading() -> Iterator[None]:
    """Raise UnreadableError for what says that a file cannot be read."""
    try:
        yield
    except OSError as error:
        if is_unreadable(error):
            raise UnreadableError(error.strerror or str(error)) from error
        raise


class _NotNowError(Exception):
    """A file is not looked at with those before it."""
