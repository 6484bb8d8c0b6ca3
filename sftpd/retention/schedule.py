"""What is to become of each kept file, and why (pure)."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from types import MappingProxyType
from typing import Any, Literal, TypeAlias

from sftpd.retention.claim import NEVER, Bound, Claim, Closings
from sftpd.retention.hold import Hold, HoldBook
from sftpd.retention.many import Row
from sftpd.retention.precedence import Book, settle
from sftpd.retention.rule import RETURNABLE, Action, Kept, Returned, Review, Rule, Term, place

_NOTHING_CLOSED: Closings = MappingProxyType({})
_NOTHING_REVIEWED: Mapping[str, Review] = MappingProxyType({})


Course: TypeAlias = Literal["keep"] | Action
"""What is to become of a file."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What is to become of a file, and what decides it: the governing rule's claim, and a hold."""

    action: Course
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
        return self._holds.on(file)

    def claims(self, file: Kept) -> list[Claim]:
        """What the rules that govern a file want of it."""
        return [entry.claimant.claim(file, self.closings) for entry in self.book.governing(file)]

    def decide(self, file: Kept) -> Decision:
        """The decision on one file, by `precedence.PRECEDENCE`."""
        if held := self.holds_on(file):
            ruled = self.unheld(file)
            return Decision("keep", ruled.due, ruled.claim, held[0])
        return self.but_for_holds(file)

    def but_for_holds(self, file: Kept) -> Decision:
        """The decision on one file if none were held."""
        ruled = self.unheld(file)
        if ruled.action == "review" and (review := self.review_of(file, ruled.claim)) is not None:
            action: Course = "dispose" if review.answer == "approved" else "keep"
            return replace(ruled, action=action, review=review)
        if ruled.action == "return" and (returned := file.returned) is not None:
            assert ruled.rule is not None
            return replace(ruled, action=self._next(returned, ruled.rule), returned=returned)
        return ruled

    def _next(self, returned: Returned, rule: Rule) -> Course:
        """What is to become of a due file that was given back."""
        if returned.fetched_at is not None:
            return "dispose"
        if returned.transfer is not None:
            return "return" if returned.came_to_nothing else "keep"
        return "keep" if self.now < rule.returned_for.due(returned.offered_at, rule.zone) else "dispose"

    def unheld(self, file: Kept) -> Decision:
        """The decision by the rules alone, whatever holds cover the file and people decided of it."""
        claims = self.claims(file)
        if not claims:
            return Decision("keep", None)
        due, claim = settle(claims)[2:]
        if due == NEVER:
            return Decision("keep", None, claim)
        return Decision("keep" if self.now < due else claim.rule.action, due, claim)

    def may_differ(self, rows: Sequence[Row], link: str, folder: str) -> set[str]:
        """The ids, of some files in one folder, that a hold may cover or of which something was decided."""
        reviewed = self._reviews.keys() & {row[0] for row in rows} if self._reviews else set()
        return reviewed | self._holds.may_cover(rows, link, folder)

    def review_of(self, file: Kept, claim: Claim | None) -> Review | None:
        """What was decided of the file under the version of the rule that claims it, as long as it counts."""
        review = self._reviews.get(file.id)
        if review is None or claim is None or not review.is_of(claim.rule) or not review.stands(self.now):
            return None
        return review


def is_step(action: Course, folder: str) -> bool:
    """Whether a run does something about a file of a folder that has this decision."""
    return action == "dispose" or (action == "return" and folder in RETURNABLE)


def offered(returned: Returned) -> str:
    """Since when a file is offered to the partner or sent, and whether the partner has it."""
    if returned.transfer is not None:
        came = returned.state if returned.fetched_at is None else f"delivered {short(returned.fetched_at)}"
        return f"going back by transfer {returned.transfer} {short(returned.offered_at)}, {came}"
    fetched = "not fetched" if returned.fetched_at is None else f"fetched {short(returned.fetched_at)}"
    where = place(returned.folder, returned.path)
    return f"given back as /{where} {short(returned.offered_at)}, {fetched}"


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
