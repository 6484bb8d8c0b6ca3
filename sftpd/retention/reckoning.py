"""Decisions on very many files at once: those that agree in all that counts are decided once (pure).

Most rules count civil days from the receipt, so that a million files come to a few thousand decisions. What
one file alone is about, such as a hold on it, is decided for that file.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from json.encoder import encode_basestring
from typing import TypeAlias
from zoneinfo import ZoneInfo

from sftpd.retention.precedence import Entry
from sftpd.retention.rule import (
    BusinessDate,
    Kept,
    LastAccess,
    Limit,
    Rule,
    Term,
    compiled,
    place,
)
from sftpd.retention.schedule import Course, Decision, Schedule, is_step

Row: TypeAlias = tuple[str, str, str, bytes, int, int | None, str]
"""Of a file in our care: id, link, folder, path, receipt and last access (µs since 1970), and its peer."""

_BUCKET = 15 * 60 * 1_000_000
"""Microseconds that mostly lie on one civil day: days begin, and clocks change, at a quarter of an hour."""
_CHUNK = 4096


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
        self._rest.append(identifier)
        self._count += 1
        if len(self._rest) == _CHUNK:
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
    reckoner = _Reckoner(schedule, instant)
    tally: Counter[tuple[str, str, Course]] = Counter()
    rules: Counter[tuple[str, str, int]] = Counter()
    chosen, reviews, places = _Chosen(), Ids(), set[tuple[str, str]]()
    for row in rows:
        file = special.get(row[0])
        ruling = reckoner.ruling(row) if file is None else None
        if ruling is not None and (ruling.action == "keep" or not schedule.may_differ(row[0], row[1])):
            ruling.files += 1
            if ruling.action == "keep":
                continue
            where = row[2:4]
        else:
            file = file or reckoner.kept(row)
            ruling = _Ruling(schedule.decide(file), file.link, file.folder)
            tally[ruling.counted_as] += 1
            where = file.folder, file.path
            if ruling.is_step:
                places.add((file.link, file.where_it_lies.folder))
                rules[ruling.link, *ruling.rule] += 1
        if ruling.is_step:
            chosen.add(row[0], ruling.line(row[0], *where))
        elif ruling.action == "review":
            reviews.add(row[0])
    for ruling in reckoner.rulings():
        tally[ruling.counted_as] += ruling.files
        if ruling.is_step and ruling.files:
            places.add((ruling.link, ruling.folder))
            rules[ruling.link, *ruling.rule] += ruling.files
    return Plan(chosen.hash(), schedule, +tally, chosen.ids, frozenset(places), reviews, rules)


class _Chosen:
    """What a run does something about: the ids, and the hash of all that is done."""

    def __init__(self) -> None:
        self.ids = Ids()
        self._digest = hashlib.sha256()
        self._lines: list[str] = []

    def add(self, identifier: str, line: str) -> None:
        self.ids.add(identifier)
        self._lines.append(line)
        if len(self._lines) == _CHUNK:
            self._take()

    def hash(self) -> str:
        self._take()
        return self._digest.hexdigest()

    def _take(self) -> None:
        self._digest.update("".join(self._lines).encode())
        self._lines.clear()


class _Ruling:
    """What is decided of files that agree in all that counts, and how many they are."""

    __slots__ = ("_head", "_tail", "action", "files", "folder", "is_step", "link", "rule")

    def __init__(self, decision: Decision, link: str, folder: str) -> None:
        self.action: Course = decision.action
        self.link = link
        self.folder = folder
        self.files = 0
        self.is_step = is_step(self.action, folder)
        self.rule = ("", 0) if decision.rule is None else (decision.rule.id, decision.rule.version)
        self._head, self._tail = _frame(decision) if self.is_step else ("", "")

    @property
    def counted_as(self) -> tuple[str, str, Course]:
        return self.link, self.folder, self.action

    def line(self, identifier: str, folder: str, path: bytes) -> str:
        """What is hashed of a file: canonical JSON (RFC 8785)."""
        return f'{self._head}{identifier}","path":{encode_basestring(place(folder, path))}{self._tail}'


def _frame(decision: Decision) -> tuple[str, str]:
    """What stands before the id of a file, and after its path, in what is hashed of it."""
    rule, due = decision.rule, decision.due
    assert rule is not None
    assert due is not None
    head = f'{{"action":"{decision.action}","due":"{due.isoformat()}","file":"'
    return head, f',"rule":{encode_basestring(rule.id)},"version":{rule.version}}}'


class _Reckoner:
    """Finds the ruling of each file by what decides it."""

    def __init__(self, schedule: Schedule, instant: Callable[[int], datetime]) -> None:
        self._schedule = schedule
        self._instant = instant
        self._shelves: dict[tuple[str, str], _Shelf] = {}

    def ruling(self, row: Row) -> _Ruling | None:
        """The ruling of a file with which no hold, review or return has to do; None: it must be decided."""
        _, link, folder, path, received, accessed, peer = row
        shelf = self._shelves.get((link, folder))
        if shelf is None:
            shelf = _Shelf(self._schedule.book.shelf(link, folder), self._instant)
            self._shelves[link, folder] = shelf
        key = shelf.key(path, received, accessed, peer)
        if key is None:
            return None
        ruling = shelf.rulings.get(key)
        if ruling is None:
            ruling = _Ruling(self._schedule.unheld(self.kept(row)), link, folder)
            shelf.rulings[key] = ruling
        return ruling

    def rulings(self) -> Iterator[_Ruling]:
        """Every ruling there was."""
        for shelf in self._shelves.values():
            yield from shelf.rulings.values()

    def kept(self, row: Row) -> Kept:
        """The file of a row, as it is decided on by itself."""
        identifier, link, folder, path, received, accessed, peer = row
        last = None if accessed is None else self._instant(accessed)
        return Kept(identifier, link, folder, path, "", self._instant(received), last, peer)


class _Shelf:
    """The rules for one folder of a link, and what of a file they depend on."""

    def __init__(self, entries: Sequence[Entry], instant: Callable[[int], datetime]) -> None:
        rules = [entry.rule for entry in entries]
        zones = {rule.zone for rule in rules}
        self.rulings: dict[object, _Ruling] = {}
        self._days = _Days(next(iter(zones), ZoneInfo("UTC")), instant)
        self._exact = len(zones) > 1 or any(map(_counts_time, rules))
        self._globs = list(dict.fromkeys(glob for rule in rules for glob in _globs(rule)))
        self._patterns = [(compiled(glob).match, "/" in glob) for glob in self._globs]
        self._by_peer = any(rule.account is not None for rule in rules)
        triggers = [rule.term.trigger for rule in rules if isinstance(rule.term, Term)]
        self._by_access = any(isinstance(trigger, LastAccess) for trigger in triggers)
        self._dates = [trigger.pattern for trigger in triggers if isinstance(trigger, BusinessDate)]
        self._plain = not (self._patterns or self._by_peer or self._by_access or self._dates)

    def key(self, path: bytes, received: int, accessed: int | None, peer: str) -> object | None:
        """What of a file decides; None where it is more than can be told apart so."""
        if self._exact:
            return None
        day = self._days.of(received)
        if self._plain:
            return day
        name = path.rsplit(b"/", 1)[-1]
        last = self._days.of(accessed) if self._by_access and accessed is not None else None
        return (
            day,
            tuple([match(path if by_path else name) is not None for match, by_path in self._patterns]),
            peer if self._by_peer else "",
            last,
            tuple([pattern.find(name) for pattern in self._dates]),
        )


class _Days:
    """The civil day of instants, looked up by their quarter of an hour."""

    def __init__(self, zone: ZoneInfo, instant: Callable[[int], datetime]) -> None:
        self._zone = zone
        self._instant = instant
        self._known: dict[int, date | None] = {}

    def of(self, at: int) -> date:
        """The civil day of a moment in microseconds since 1970."""
        bucket = at // _BUCKET
        day = self._known.get(bucket, self)
        if day is self:
            first, last = self._day(bucket * _BUCKET), self._day((bucket + 1) * _BUCKET - 1)
            day = self._known[bucket] = first if first == last else None
        return self._day(at) if day is None else day  # type: ignore[return-value]  # it is not self any more

    def _day(self, at: int) -> date:
        return self._instant(at).astimezone(self._zone).date()


def _counts_time(rule: Rule) -> bool:
    """Whether a period of a rule has hours or less, so that its end is no matter of days."""
    term = rule.term
    periods = [term.at_least, term.at_most]
    if not isinstance(term, Limit):
        periods.append(term.period)
    return any(
        period is not None and (period.has_time_parts or not period.has_date_parts) for period in periods
    )


def _globs(rule: Rule) -> Iterator[str]:
    if rule.glob != "*":
        yield rule.glob
    if rule.file_class is not None:
        yield from rule.file_class.globs
