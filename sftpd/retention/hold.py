"""Legal holds, and which of them stand over a file (pure)."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from sftpd.link import aside
from sftpd.retention.many import Row, coverable
from sftpd.retention.rule import Kept
from sftpd.retention.scope import Scope


@dataclass(frozen=True, slots=True)
class Hold:
    """An order to keep: nothing in its scope is disposed of, erased or replaced while it stands."""

    id: str
    link: str
    scope: Scope
    reason: str
    placed_by: str
    placed_at: datetime
    until: datetime | None = None
    """When it ends by itself; None: when it is released."""
    released_by: str | None = None
    released_at: datetime | None = None

    def stands(self, now: datetime) -> bool:
        """Whether it is neither released nor run out."""
        return self.released_at is None and (self.until is None or now < self.until)

    def covers(self, file: Kept) -> bool:
        """Whether the file is in its scope, whether or not it stands."""
        return file.link == self.link and any(map(self.scope.covers, _wherever_it_lay(file)))


class HoldBook:
    """The holds that stand at one moment, found by the file: those on one file cost the others nothing."""

    def __init__(self, holds: Iterable[Hold], now: datetime) -> None:
        self._on_one: dict[str, list[Hold]] = {}
        self._on_many: dict[str, list[Hold]] = {}
        for hold in sorted((hold for hold in holds if hold.stands(now)), key=_id_of):
            if (named := hold.scope.names) is not None:
                self._on_one.setdefault(named, []).append(hold)
            else:
                self._on_many.setdefault(hold.link, []).append(hold)

    def __bool__(self) -> bool:
        """Whether any hold stands."""
        return bool(self._on_one or self._on_many)

    @property
    def by_peer(self) -> bool:
        """Whether some hold is on the peer of a file, so that `on` must be given files with theirs."""
        return any(hold.scope.by_peer for holds in self._on_many.values() for hold in holds)

    def may_cover(self, rows: Sequence[Row], link: str, folder: str) -> set[str]:
        """Those of some files in one folder of a link, by their ids, that any of them may cover."""
        found = self._on_one.keys() & {row[0] for row in rows} if self._on_one else set()
        for hold in self._on_many.get(link, ()):
            found.update(row[0] for row in coverable(hold.scope, folder, rows))
        return found

    def on(self, file: Kept) -> Sequence[Hold]:
        """The standing holds that cover a file, oldest first."""
        named, many = self._on_one.get(file.id), self._on_many.get(file.link)
        crossed = None if file.transfer is None else self._on_one.get(file.transfer)
        if named is None and many is None and crossed is None:
            return ()
        found = [hold for hold in named or () if hold.link == file.link]
        found += [hold for hold in (*(crossed or ()), *(many or ())) if hold.covers(file)]
        found.sort(key=_id_of)
        return found


def _wherever_it_lay(file: Kept) -> Iterator[Kept]:
    """A file at each place where holds on folders and names cover it.

    One that was put aside counts as lying where it lay before, and one that was given back in both places.
    """
    if file.folder == aside.FOLDER and (origin := aside.origin(file.path)) is not None:
        yield replace(file, folder=origin[0], path=origin[1])
        return
    yield file
    if file.returned is not None:
        yield file.where_it_lies


def _id_of(hold: Hold) -> str:
    return hold.id
