"""What is to become of each kept file, and why (pure)."""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Any, Literal

from sftpd.retention.claim import NEVER, Bound, Claim, Closings
from sftpd.retention.hold import Hold, HoldBook
from sftpd.retention.precedence import Book, settle
from sftpd.retention.rule import RETURNABLE, Action, Kept, Returned, Review, Rule, Term

_canonical = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode
_NOTHING_CLOSED: Closings = MappingProxyType({})
_NOTHING_REVIEWED: Mapping[str, Review] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Decision:
    """What is to become of a file, and what decides it: the governing rule's claim, and a hold."""

    action: Literal["keep"] | Action
    due: datetime | None
    """None: no rule covers the file, or what its period begins with has not happened."""
    claim: Claim | None = None
    hold: Hold | None = None
    review: Review | None = None
    """What was decided of the file, if its rule asks for that."""
    returned: Returned | None = None
    """How the file was given back, if that decides."""

    @property
    def rule(self) -> Rule | None:
        """The rule that governs."""
        return None if self.claim is None else self.claim.rule

    @property
    def reason(self) -> str:
        """The facts that led there, in one line."""
        if self.claim is None:
            facts = ["no rule"]
        else:
            facts = [f"{self.claim.rule}: {began(self.claim)}{_end(self.claim, self.due)}"]
        if self.hold is not None:
            facts.append(f"hold {self.hold.id}: {self.hold.reason}")
        elif self.review is not None:
            facts.append(f"due; {self.review}")
        elif self.returned is not None:
            facts.append(f"due; {offered(self.returned)}")
        elif self.claim is not None:
            facts.append("not yet due" if self.action == "keep" else "due")
        return "; ".join(facts)


@dataclass(frozen=True, slots=True)
class Item:
    """A file with the decision on it."""

    file: Kept
    decision: Decision

    def as_json(self) -> dict[str, Any]:
        """The item as `sftpd retention plan --json` prints it."""
        due = self.decision.due
        return {
            "link": self.file.link,
            "path": self.file.place,
            "action": self.decision.action,
            "reason": self.decision.reason,
            "due": None if due is None else due.isoformat(),
        }


@dataclass(frozen=True, slots=True)
class Plan:
    """The decisions on a set of files, in a stable order, and the hash of those that a run carries out.

    The hash says what would be done to which files under which rules, not when it was asked: the same
    disposals planned a day later have the same hash, and any other set has another.
    """

    items: tuple[Item, ...]
    hash: str

    @property
    def disposals(self) -> tuple[Item, ...]:
        """The items to dispose of."""
        return tuple(item for item in self.items if item.decision.action == "dispose")

    @property
    def steps(self) -> tuple[Item, ...]:
        """The items that a run does something about: it disposes of them or gives them back."""
        return _steps(self.items)

    @property
    def reviews(self) -> tuple[Item, ...]:
        """The items that somebody must decide on."""
        return tuple(item for item in self.items if item.decision.action == "review")

    def as_json(self) -> dict[str, Any]:
        """The plan as `sftpd retention plan --json` prints it."""
        return {"plan": self.hash, "items": [item.as_json() for item in self.items]}


class Schedule:
    """Decides on files under a set of rules and holds, at one moment."""

    def __init__(
        self,
        rules: Iterable[Rule],
        holds: Iterable[Hold],
        now: datetime,
        closings: Closings = _NOTHING_CLOSED,
        reviews: Mapping[str, Review] = _NOTHING_REVIEWED,
    ) -> None:
        """`reviews`: what was decided of files, by their ids."""
        self.book = Book(rules)
        self.now = now
        self.closings = closings
        self._holds = HoldBook(holds, now)
        self._reviews = reviews

    @property
    def by_peer(self) -> bool:
        """Whether some rule or hold is on the peer of a file, so that files must come with theirs."""
        return self._holds.by_peer or self.book.by_peer

    def holds_on(self, file: Kept) -> Sequence[Hold]:
        """The standing holds that cover a file, oldest first."""
        found = self._holds.on(file)
        if file.returned is not None:
            both = {hold.id: hold for hold in (*found, *self._holds.on(file.where_it_lies))}
            found = [both[name] for name in sorted(both)]
        return found

    def claims(self, file: Kept) -> list[Claim]:
        """What the rules that govern a file want of it."""
        return [entry.claimant.claim(file, self.closings) for entry in self.book.governing(file)]

    def decide(self, file: Kept) -> Decision:
        """The decision on one file, by `precedence.PRECEDENCE`."""
        held = self.holds_on(file)
        hold = held[0] if held else None
        claims = self.claims(file)
        if not claims:
            return Decision("keep", None, None, hold)
        due, claim = settle(claims)[2:]
        if due == NEVER:
            return Decision("keep", None, claim, hold)
        if hold is not None or self.now < due:
            return Decision("keep", due, claim, hold)
        if claim.rule.action == "review" and (review := self.review_of(file, claim.rule)) is not None:
            return Decision("dispose" if review.answer == "approved" else "keep", due, claim, review=review)
        if claim.rule.action == "return" and (returned := file.returned) is not None:
            end = claim.rule.returned_for.due(returned.offered_at, claim.rule.zone)
            waits = returned.fetched_at is None and self.now < end
            return Decision("keep" if waits else "dispose", due, claim, returned=returned)
        return Decision(claim.rule.action, due, claim)

    def review_of(self, file: Kept, rule: Rule) -> Review | None:
        """What was decided of the file under this version of the rule, as long as it counts."""
        review = self._reviews.get(file.id)
        return review if review is not None and review.is_of(rule) and review.stands(self.now) else None


def plan(files: Iterable[Kept], schedule: Schedule) -> Plan:
    """The decisions on all `files`."""
    ordered = sorted(files, key=lambda file: (file.link, file.folder, file.path, file.id))
    items = tuple(Item(file, schedule.decide(file)) for file in ordered)
    return Plan(items, _hash(_steps(items)))


def offered(returned: Returned) -> str:
    """Since when a file is offered to the partner, and whether it was fetched."""
    fetched = "not fetched" if returned.fetched_at is None else f"fetched {short(returned.fetched_at)}"
    place = returned.path.decode("utf-8", "backslashreplace")
    return f"given back as /{returned.folder}/{place} {short(returned.offered_at)}, {fetched}"


def began(claim: Claim) -> str:
    """What the claim's period begins with, and when."""
    return claim.start.fact if claim.start.at is None else f"{claim.start.fact} {short(claim.start.at)}"


def short(instant: datetime) -> str:
    """An instant as reasons show it."""
    return instant.isoformat(timespec="seconds")


def _end(claim: Claim, due: datetime | None) -> str:
    if due is None:
        return ""
    return f", {_LENGTHS[claim.set_by](claim.rule)} ends {short(due)}"


def _period(rule: Rule) -> str:
    assert isinstance(rule.term, Term)
    year_end = rule.term.year_end
    return (
        str(rule.term.period) if year_end is None else f"{rule.term.period} from the year's end, {year_end},"
    )


_LENGTHS: Mapping[Bound, Callable[[Rule], str]] = MappingProxyType(
    {
        "period": _period,
        "min_keep": lambda rule: f"min_keep {rule.term.at_least}",
        "max_keep": lambda rule: f"max_keep {rule.term.at_most}",
    }
)
"""What set the end of a claim, in words."""


def _steps(items: Iterable[Item]) -> tuple[Item, ...]:
    return tuple(
        item
        for item in items
        if item.decision.action == "dispose"
        or (item.decision.action == "return" and item.file.folder in RETURNABLE)
    )


def _hash(items: Iterable[Item]) -> str:
    digest = hashlib.sha256()
    for item in items:
        # Of texts and whole numbers under sorted keys this is RFC 8785, at a tenth of the time.
        digest.update(_canonical(_hashed(item)).encode())
    return digest.hexdigest()


def _hashed(item: Item) -> dict[str, Any]:
    rule, due = item.decision.rule, item.decision.due
    assert rule is not None
    assert due is not None
    return {
        "file": item.file.id,
        "path": item.file.place,
        "action": item.decision.action,
        "due": due.isoformat(),
        "rule": rule.id,
        "version": rule.version,
    }
