"""Legal holds, and which of them stand over a file (pure)."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from sftpd.link import aside
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
        return file.link == self.link and self.scope.covers(_as_it_lay(file))


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

    @property
    def by_peer(self) -> bool:
        """Whether some hold is on the peer of a file, so that `on` must be given files with theirs."""
        return any(hold.scope.by_peer for holds in self._on_many.values() for hold in holds)

    def may_cover(self, files: Collection[str], link: str) -> set[str]:
        """Those of some files of a link, by their ids, that any of them may cover."""
        if link in self._on_many:
            return set(files)
        return self._on_one.keys() & files if self._on_one else set()

    def on(self, file: Kept) -> Sequence[Hold]:
        """The standing holds that cover a file, oldest first."""
        named, many = self._on_one.get(file.id), self._on_many.get(file.link)
        crossed = None if file.transfer is None else self._on_one.get(file.transfer)
        if named is None and many is None and crossed is None:
            return ()
        lay = _as_it_lay(file)
        found = [hold for hold in named or () if hold.link == file.link]
        found += [hold for hold in crossed or () if hold.link == file.link and hold.scope.covers(lay)]
        found += [hold for hold in many or () if hold.scope.covers(lay)]
        found.sort(key=_id_of)
        return found


def _as_it_lay(file: Kept) -> Kept:
    """A file that was put aside as it lay before, where the holds on folders and names covered it."""
    if file.folder != aside.FOLDER or (origin := aside.origin(file.path)) is None:
        return file
    return replace(file, folder=origin[0], path=origin[1])


def _id_of(hold: Hold) -> str:
    return hold.id
