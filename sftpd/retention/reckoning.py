"""Decisions on very many files at once: those that agree in all that counts are decided once (pure).

Most rules count civil days from the receipt, so that a million files come to a few thousand decisions. What
one file alone is about, such as a hold on it, is decided for that file.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from itertools import compress, islice
from json.encoder import encode_basestring
from zoneinfo import ZoneInfo

from sftpd.periods import Period
from sftpd.retention.many import Pattern, Row, names_of
from sftpd.retention.precedence import Entry
from sftpd.retention.rule import (
    BusinessDate,
    Kept,
    LastAccess,
    Limit,
    Rule,
    Term,
)
from sftpd.retention.schedule import Course, Decision, Schedule, is_step

_QUARTER = 15 * 60 * 1_000_000
"""Microseconds that mostly lie on one civil day: days begin, and clocks change, at a quarter of an hour."""
_LAST = timedelta(microseconds=_QUARTER - 1)
_CHUNK = 4096
_ESCAPED = bytes([*range(1, 0x20), *b'"\\'])
"""What JSON does not have as it is, but for NUL, which is in no path."""


class Ids:
    """Ids of files in their order, packed: of a million strings the objects alone would take 50 MB."""

    def __init__(self) -> None:
        self._packed: list[str] = []
        self._rest: list[str] = []
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, identifier: str) -> None:
        """Put an id at the end."""
        self.extend((identifier,))

    def extend(self, identifiers: Iterable[str]) -> None:
        """Put ids at the end, in their order."""
        known = len(self._rest)
        self._rest += identifiers
        self._count += len(self._rest) - known
        if len(self._rest) >= _CHUNK:
            self._packed.append("\n".join(self._rest))
            self._rest = []

    def batches(self, size: int) -> Iterator[list[str]]:
        """The ids, at most `size` at a time."""
        for ids in (*self._packed, "\n".join(self._rest)):
            names = ids.split("\n") if ids else []
            for start in range(0, len(names), size):
                yield names[start : start + size]


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to become of the files of one link, or of all, and the hash of what a run carries out.

    The hash says what would be done to which files under which rules, not when it was asked: the same
    disposals planned a day later have the same hash, and any other set has another.
    """

    hash: str
    schedule: Schedule
    tally: Mapping[tuple[str, str, Course], int]
    """How many files of a link and folder are to be kept, disposed of and so on."""
    steps: Ids = field(default_factory=Ids)
    """The files that a run does something about: it disposes of them or gives them back."""
    places: frozenset[tuple[str, str]] = frozenset()
    """The links and folders in which these lie."""
    reviews: Ids = field(default_factory=Ids)
    """The files that somebody must decide on."""
    rules: Mapping[tuple[str, str, int], int] = field(default_factory=dict)
    """How many files a run does something about under each rule: of which link, its name and version."""

    @property
    def links(self) -> Sequence[str]:
        """The links of all its files."""
        return sorted({link for link, _, _ in self.tally})

    def by_link(self, *actions: Course) -> dict[str, int]:
        """How many files of each link have one of these actions, or how many it has in all."""
        counted: Counter[str] = Counter()
        for (link, _, action), files in self.tally.items():
            if not actions or action in actions:
                counted[link] += files
        return dict(counted)

    def steps_under(self, link: str) -> dict[tuple[str, int], int]:
        """How many files of a link a run does something about, by the name and version of their rule."""
        return {(rule, version): files for (of, rule, version), files in self.rules.items() if of == link}

    def by_action(self) -> dict[Course, int]:
        """How many files have each action that any has."""
        counted: Counter[Course] = Counter()
        for (_, _, action), files in self.tally.items():
            counted[action] += files
        return dict(counted)


def reckon(
    rows: Iterable[Row],
    schedule: Schedule,
    special: Mapping[str, Kept],
    instant: Callable[[int], datetime],
) -> Plan:
    """Decide on every file of `rows`, in their order, which the hash follows.

    `special` has the files, by id, of which more is to be known than a row says; `instant` makes a datetime
    of a row's microseconds.
    """
    reckoner = _Reckoner(schedule, special, instant)
    rest = iter(rows)
    while some := list(islice(rest, _CHUNK)):
        reckoner.take(some)
    return reckoner.plan()


class _Ruling:
    """What is decided of files that agree in all that counts."""

    __slots__ = ("action", "head", "is_step", "link", "middle", "place", "rule", "tail", "where")

    def __init__(self, decision: Decision, file: Kept) -> None:
        self.action: Course = decision.action
        self.is_step = is_step(decision.action, file.folder)
        self.link = file.link
        self.place = file.link, file.folder
        self.where = file.link, file.where_it_lies.folder
        self.rule = ("", 0) if decision.rule is None else (decision.rule.id, decision.rule.version)
        self.head = self.middle = self.tail = ""
        """What stands around the id and the path of a file in what is hashed: canonical JSON (RFC 8785)."""
        if self.is_step:
            rule, due = decision.rule, decision.due
            assert rule is not None
            assert due is not None
            self.head = f'{{"action":"{decision.action}","due":"{due.isoformat()}","file":"'
            self.middle = f'","path":{encode_basestring(file.folder)[:-1]}/'
            self.tail = f'","rule":{encode_basestring(rule.id)},"version":{rule.version}}}'


class _Reckoner:
    """Decides on files, many at a time: what takes a call for each of a million takes a second."""

    def __init__(
        self, schedule: Schedule, special: Mapping[str, Kept], instant: Callable[[int], datetime]
    ) -> None:
        self._schedule = schedule
        self._special = special
        self._instant = instant
        self._shelves: dict[tuple[str, str], _Shelf] = {}
        self._tally: Counter[tuple[str, str, Course]] = Counter()
        self._rules: Counter[tuple[str, str, int]] = Counter()
        self._steps, self._reviews, self._places = Ids(), Ids(), set[tuple[str, str]]()
        self._digest = hashlib.sha256()

    def take(self, rows: Sequence[Row]) -> None:
        """Decide on these files, which come after those before."""
        rulings = self._rulings(rows)
        counted = Counter(rulings)
        for ruling, files in counted.items():
            self._tally[*ruling.place, ruling.action] += files
            if ruling.is_step:
                self._places.add(ruling.where)
                self._rules[ruling.link, *ruling.rule] += files
        if any(ruling.is_step for ruling in counted):
            self._choose(rows, rulings, partly=not all(ruling.is_step for ruling in counted))
        if any(ruling.action == "review" for ruling in counted):
            asked = zip(rows, rulings, strict=True)
            self._reviews.extend([row[0] for row, ruling in asked if ruling.action == "review"])

    def plan(self) -> Plan:
        """What all of them come to."""
        return Plan(
            self._digest.hexdigest(),
            self._schedule,
            self._tally,
            self._steps,
            frozenset(self._places),
            self._reviews,
            self._rules,
        )

    def _choose(self, rows: Sequence[Row], rulings: Sequence[_Ruling], *, partly: bool) -> None:
        """Have a run do something about these files, or about part of them: it goes into the hash."""
        if partly:
            acting = [ruling.is_step for ruling in rulings]
            rows, rulings = list(compress(rows, acting)), list(compress(rulings, acting))
        ids = [row[0] for row in rows]
        paths = [row[3] for row in rows]
        if self._special:
            known = map(self._special.get, ids)
            paths = [path if file is None else file.path for path, file in zip(paths, known, strict=True)]
        lines = [
            f"{ruling.head}{identifier}{ruling.middle}{text}{ruling.tail}"
            for ruling, identifier, text in zip(rulings, ids, _texts(paths), strict=True)
        ]
        self._digest.update("".join(lines).encode())
        self._steps.extend(ids)

    def _rulings(self, rows: Sequence[Row]) -> list[_Ruling]:
        """The ruling of each file."""
        if len({row[1] for row in rows}) == len({row[2] for row in rows}) == 1:
            return self._of_place(rows)
        places: dict[tuple[str, str], list[int]] = {}
        for at, row in enumerate(rows):
            places.setdefault(row[1:3], []).append(at)
        found: dict[int, _Ruling] = {}
        for those in places.values():
            found.update(zip(those, self._of_place([rows[at] for at in those]), strict=True))
        return [found[at] for at in range(len(rows))]

    def _of_place(self, rows: Sequence[Row]) -> list[_Ruling]:
        """The rulings of files in one folder of a link."""
        _, link, folder, *_ = rows[0]
        shelf = self._shelves.get((link, folder))
        if shelf is None:
            shelf = _Shelf(self._schedule.book.shelf(link, folder), self._instant)
            self._shelves[link, folder] = shelf
        keys, rulings = shelf.keys(rows), shelf.rulings
        new = [key for key in set(keys) if key not in rulings]
        for key in new:
            rulings[key] = self._common(shelf, self._kept(rows[keys.index(key)]))
        common = [rulings[key] for key in keys]
        ids = [row[0] for row in rows]
        differing = self._schedule.may_differ(rows, link, folder)
        special = self._special.keys() & ids if self._special else set()
        found = [ruling for ruling in common if ruling is not None]
        if not differing and not special and len(found) == len(common):
            return found
        return [
            self._alone(row)
            if ruling is None or row[0] in special or (row[0] in differing and ruling.action != "keep")
            else ruling
            for row, ruling in zip(rows, common, strict=True)
        ]

    def _common(self, shelf: "_Shelf", file: Kept) -> _Ruling | None:
        """What is decided of all files that have the key of this one; None: of each by itself.

        By rules that count hours those of one quarter of an hour are due one after the other: where the first
        is kept, all are.
        """
        first = shelf.first(file)
        if first is None:
            return None
        decision = self._schedule.unheld(first)
        return _Ruling(decision, first) if first is file or decision.action == "keep" else None

    def _alone(self, row: Row) -> _Ruling:
        """The ruling of a file that is decided on by itself."""
        file = self._special.get(row[0]) or self._kept(row)
        return _Ruling(self._schedule.decide(file), file)

    def _kept(self, row: Row) -> Kept:
        """The file of a row, as it is decided on."""
        identifier, link, folder, path, received, accessed, peer = row
        last = None if accessed is None else self._instant(accessed)
        return Kept(identifier, link, folder, path, "", self._instant(received), last, peer)


class _Shelf:
    """The rules for one folder of a link, and what of a file they depend on."""

    def __init__(self, entries: Sequence[Entry], instant: Callable[[int], datetime]) -> None:
        rules = [entry.rule for entry in entries]
        self.rulings: dict[object, _Ruling | None] = {}
        """What is decided of files by their keys; None: each is decided on by itself."""
        self._zones = list({rule.zone for rule in rules} or {ZoneInfo("UTC")})
        self._days = [_Days(zone, instant) for zone in self._zones]
        periods = [period for rule in rules for period in _periods(rule)]
        self._counts_time = any(period.has_time_parts or not period.has_date_parts for period in periods)
        self._unordered = any(period.has_time_parts and period.has_date_parts for period in periods)
        """Whether what came first may be due last, as where a clock is set back on the last day."""
        globs = list(dict.fromkeys(glob for rule in rules for glob in _globs(rule)))
        self._patterns = [Pattern(glob) for glob in globs]
        self._by_peer = any(rule.account is not None for rule in rules)
        triggers = [rule.term.trigger for rule in rules if isinstance(rule.term, Term)]
        self._by_access = any(isinstance(trigger, LastAccess) for trigger in triggers)
        self._dates = [trigger.pattern for trigger in triggers if isinstance(trigger, BusinessDate)]

    def first(self, file: Kept) -> Kept | None:
        """The first that a file with the key of this one could be, if that is due first; else None.

        It is this one where all of them are decided on alike.
        """
        if not self._counts_time:
            return file
        if self._unordered:
            return None
        moments = [file.received_at, *([] if file.accessed_at is None else [file.accessed_at])]
        begun = [at.replace(minute=at.minute // 15 * 15, second=0, microsecond=0) for at in moments]
        if not all(_is_of_one_day(quarter, zone) for quarter in begun for zone in self._zones):
            return None
        return replace(file, received_at=begun[0], accessed_at=begun[1] if len(begun) > 1 else None)

    def keys(self, rows: Sequence[Row]) -> Sequence[Hashable]:
        """What of each file decides, or where rules count hours from when on, to a quarter of an hour."""
        columns = self._times([row[4] for row in rows])
        if self._patterns or self._dates:
            paths = [row[3] for row in rows]
            joined = b"\0".join(paths)
            names = names_of(paths, joined)
            columns += [pattern.all_of(paths, names, joined) for pattern in self._patterns]
            columns += [list(map(pattern.find, names)) for pattern in self._dates]
        if self._by_peer:
            columns.append([row[6] for row in rows])
        if self._by_access:
            read = [row[5] for row in rows]
            known = iter(zip(*self._times([at for at in read if at is not None]), strict=True))
            columns.append([None if at is None else next(known) for at in read])
        return columns[0] if len(columns) == 1 else list(zip(*columns, strict=True))

    def _times(self, moments: Sequence[int]) -> list[Sequence[Hashable]]:
        """What counts of each moment, by zones."""
        if self._counts_time:
            return [[at // _QUARTER for at in moments]]
        return [days.all_of(moments) for days in self._days]


class _Days:
    """The civil day of instants, looked up by their quarter of an hour."""

    def __init__(self, zone: ZoneInfo, instant: Callable[[int], datetime]) -> None:
        self._zone = zone
        self._instant = instant
        self._known: dict[int, date | None] = {}
        """None where a quarter of an hour has to do with several days."""

    def all_of(self, moments: Sequence[int]) -> list[date]:
        """The civil days of moments in microseconds since 1970."""
        known = self._known
        quarters = [at // _QUARTER for at in moments]
        for quarter in [quarter for quarter in set(quarters) if quarter not in known]:
            first, last = self._day(quarter * _QUARTER), self._day((quarter + 1) * _QUARTER - 1)
            known[quarter] = first if first == last else None
        return [known[quarter] or self._day(at) for quarter, at in zip(quarters, moments, strict=True)]

    def _day(self, at: int) -> date:
        return self._instant(at).astimezone(self._zone).date()


def _is_of_one_day(quarter: datetime, zone: ZoneInfo) -> bool:
    """Whether the quarter of an hour that begins then lies on one civil day."""
    return quarter.astimezone(zone).date() == (quarter + _LAST).astimezone(zone).date()


def _texts(paths: Sequence[bytes]) -> list[str]:
    """Paths as JSON has them between its quotation marks."""
    joined = b"\0".join(paths)
    if len(joined.translate(None, _ESCAPED)) == len(joined):
        with suppress(UnicodeDecodeError):
            return joined.decode().split("\0")
    return [encode_basestring(path.decode("utf-8", "backslashreplace"))[1:-1] for path in paths]


def _periods(rule: Rule) -> Iterator[Period]:
    term = rule.term
    periods = (term.at_least, term.at_most, None if isinstance(term, Limit) else term.period)
    return (period for period in periods if period is not None)


def _globs(rule: Rule) -> Iterator[str]:
    if rule.glob != "*":
        yield rule.glob
    if rule.file_class is not None:
        yield from rule.file_class.globs
