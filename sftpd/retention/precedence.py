"""Which of the rules that cover a file govern it, and which end wins where they differ: the tables (pure).

docs/retention.md shows both tables to who keeps the records; a test holds it to them.
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import date, datetime
from typing import NamedTuple

from sftpd.retention.claim import Claim, Claimant
from sftpd.retention.rule import STAGING, Action, FileClass, Kept, Rule, compiled, fits

_WILDCARDS = str.maketrans("", "", "*?[]")

PRECEDENCE: Sequence[tuple[str, str]] = (
    ("scope", "Only rules that cover the file count: link, folder, account, class and pattern."),
    ("version", "Of a rule's versions the one counts that was in force on the day of receipt."),
    ("specificity", "Only the most specific of these rules count."),
    ("longest retain", "The file is kept until the last of their retentions has ended."),
    ("shortest delete", "It should be gone when the first of their periods has ended."),
    ("retain beats delete", "It is due at the later of the two."),
    ("action", "Of the rules that set this moment, review goes before return, and return before deletion."),
    (
        "review",
        "Where it says review, what somebody decided of the file under this version of the rule counts.",
    ),
    ("hold", "A legal hold that covers the file beats all."),
)
"""The steps of a decision in their order: the name and what it says."""


class Trait(NamedTuple):
    """Something by which one rule is more specific than another: `of` gives more for the more specific."""

    name: str
    meaning: str
    of: Callable[[Rule], int]


SPECIFICITY: Sequence[Trait] = (
    Trait("class", "a rule for a class of files before one without", lambda r: r.file_class is not None),
    Trait("account", "a rule for an account before one for all", lambda r: r.account is not None),
    Trait("folder", "a rule for a folder before one for all", lambda r: r.folder is not None),
    Trait("pattern", "a longer pattern, wildcards not counted", lambda r: len(r.glob.translate(_WILDCARDS))),
)
"""What makes a rule more specific, the weightiest first."""

SCOPE: Sequence[tuple[str, Callable[[Rule, Kept], bool]]] = (
    ("folder", lambda rule, file: rule.folder in (None, file.folder)),
    ("account", lambda rule, file: rule.account in (None, file.peer)),
    ("class", lambda rule, file: rule.file_class is None or _in_class(rule.file_class, file)),
    ("pattern", lambda rule, file: fits(rule.glob, file)),
)
"""What a rule of the file's link must agree with to cover it."""

ORDER: Sequence[Action] = ("dispose", "return", "review")
"""The actions; a later one goes before an earlier one."""


class Outcome(NamedTuple):
    """What the claims on a file come to: kept until `retain`, gone at `delete`, hence `due` by `claim`."""

    retain: datetime
    delete: datetime
    due: datetime
    claim: Claim


def rank(rule: Rule) -> tuple[int, ...]:
    """How specific a rule is."""
    return tuple(int(trait.of(rule)) for trait in SPECIFICITY)


def settle(claims: Sequence[Claim]) -> Outcome:
    """What one or more claims on a file come to."""
    if len(claims) == 1:
        return Outcome(claims[0].retain, claims[0].delete, claims[0].delete, claims[0])
    retain = max(claim.retain for claim in claims)
    delete = min(claim.delete for claim in claims)
    due = max(retain, delete)
    decisive = [claim for claim in claims if due in (claim.retain, claim.delete)]
    return Outcome(retain, delete, due, max(decisive, key=_weight))


class Entry:
    """A rule made ready to be matched with many files."""

    def __init__(self, rule: Rule, siblings: Iterable[Rule]) -> None:
        self.rule = rule
        self.rank = rank(rule)
        self.claimant = Claimant(rule)
        self.until = _succeeded(rule, siblings)
        """The day from which on the next version is in force."""
        self._dated = rule.effective is not None or self.until is not None
        self._pattern = None if rule.glob == "*" else compiled(rule.glob)
        self._by_path = "/" in rule.glob
        self._account = rule.account
        self._class = rule.file_class

    def covers(self, file: Kept) -> bool:
        """Whether the rule, whatever its version, covers a file of its link and of a folder that it is for.

        That is `SCOPE` without the folder; it is asked several times a file, of a million files.
        """
        if self._pattern is not None:
            subject = file.path_to_match if self._by_path else file.name
            if self._pattern.match(subject) is None:
                return False
        if self._account is not None and self._account != file.peer:
            return False
        return self._class is None or _in_class(self._class, file)

    def in_force(self, file: Kept) -> bool:
        """Whether this version was in force on the day of receipt."""
        if not self._dated:
            return True
        day = file.received_at.astimezone(self.rule.zone).date()
        return (self.rule.effective or date.min) <= day < (self.until or date.max)


class Book:
    """The rules of all links, by link and folder, the most specific first."""

    def __init__(self, rules: Iterable[Rule]) -> None:
        self._links: dict[str, list[Rule]] = {}
        self.by_peer = False
        """Whether some rule is on the peer of a file, so that `governing` must be given files with theirs."""
        for rule in rules:
            self._links.setdefault(rule.link, []).append(rule)
            # The path of an unfinished upload tells its account.
            self.by_peer |= rule.account is not None and rule.folder != STAGING
        self._shelves: dict[tuple[str, str], Sequence[Entry]] = {}
        self._entries: dict[str, Sequence[Entry]] = {}

    def of(self, link: str) -> Sequence[Entry]:
        """The rules of a link, the most specific first."""
        if link not in self._entries:
            rules = self._links.get(link, [])
            made = [Entry(rule, rules) for rule in rules]
            self._entries[link] = sorted(made, key=_place)
        return self._entries[link]

    def governing(self, file: Kept) -> Sequence[Entry]:
        """The most specific of the rules that cover a file and were in force when it came."""
        found: list[Entry] = []
        for entry in self.shelf(file.link, file.folder):
            if found and entry.rank != found[0].rank:
                break
            if entry.covers(file) and entry.in_force(file):
                found.append(entry)
        return found

    def shelf(self, link: str, folder: str) -> Sequence[Entry]:
        """The rules that are for a folder of a link, the most specific first."""
        shelf = self._shelves.get((link, folder))
        if shelf is None:
            shelf = tuple(entry for entry in self.of(link) if entry.rule.folder in (None, folder))
            self._shelves[link, folder] = shelf
        return shelf


def _place(entry: Entry) -> tuple[tuple[int, ...], str, int]:
    return tuple(-value for value in entry.rank), entry.rule.id, entry.rule.version


def _weight(claim: Claim) -> tuple[int, str, int]:
    return ORDER.index(claim.rule.action), claim.rule.id, claim.rule.version


def _succeeded(rule: Rule, siblings: Iterable[Rule]) -> date | None:
    """The first day on which a later version of the rule is in force."""
    began = rule.effective or date.min
    days = (other.effective for other in siblings if other.id == rule.id and other.effective is not None)
    return min((day for day in days if day > began), default=None)


def _in_class(file_class: FileClass, file: Kept) -> bool:
    return any(fits(glob, file) for glob in file_class.globs)
