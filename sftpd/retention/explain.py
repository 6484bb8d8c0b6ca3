"""The decision on one file as a chain of reasons, from the rules to the outcome (pure)."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from sftpd.periods import Period
from sftpd.retention.claim import AT_ONCE, NEVER, Claim, first_of
from sftpd.retention.precedence import SCOPE, SPECIFICITY, Entry, settle
from sftpd.retention.rule import Kept, Limit, Rule, Term
from sftpd.retention.schedule import Item, Schedule, began, offered, short


@dataclass(frozen=True, slots=True)
class Step:
    """One reason: the step of the decision, and what it came to."""

    step: str
    says: str

    def as_json(self) -> dict[str, str]:
        """The reason as `sftpd retention explain --json` prints it."""
        return {"step": self.step, "says": self.says}


@dataclass(frozen=True, slots=True)
class Explanation:
    """The decision on a file, and the chain of reasons that led to it."""

    item: Item
    chain: tuple[Step, ...]

    def as_json(self) -> dict[str, Any]:
        """What `sftpd retention explain --json` prints."""
        return self.item.as_json() | {"chain": [step.as_json() for step in self.chain]}


def explain(file: Kept, schedule: Schedule) -> Explanation:
    """The decision that `schedule` makes on a file, with every step."""
    item = Item(file, schedule.decide(file))
    return Explanation(item, tuple(_chain(item, schedule)))


def _chain(item: Item, schedule: Schedule) -> Iterator[Step]:
    file = item.file
    entries = schedule.book.of(file.link)
    governing = schedule.book.governing(file)
    yield Step("file", f"{file.place} was received {short(file.received_at)}{_by(file)}")
    yield from _sieve(file, entries, governing)
    claims = [entry.claimant.claim(file, schedule.closings) for entry in governing]
    for claim in claims:
        yield from _claimed(claim, file)
    if claims:
        yield from _settled(claims)
    if claims:
        yield from _reviewed(file, settle(claims).claim, schedule)
    yield from _held(file, schedule)
    yield Step("decision", _decided(item, schedule.now))


def _by(file: Kept) -> str:
    return f", by {file.peer}" if file.peer else ""


def _sieve(file: Kept, entries: Iterable[Entry], governing: Iterable[Entry]) -> Iterator[Step]:
    """Which rules of the link cover the file, and which of them were set aside, and why."""
    kept = list(governing)
    none = True
    for entry in entries:
        none = False
        missed = [name for name, agrees in SCOPE if not agrees(entry.rule, file)]
        if missed:
            yield Step("scope", f"{entry.rule} does not cover it: {_scope(entry.rule, missed)}")
        elif not entry.in_force(file):
            yield Step("version", f"{entry.rule} set aside: {_not_in_force(entry, file)}")
        elif entry in kept:
            yield Step("scope", f"{entry.rule} covers it: {_scope(entry.rule)}{_since(entry)}")
        else:
            trait = _more_specific(kept[0].rule, entry.rule)
            yield Step("specificity", f"{entry.rule} set aside: {kept[0].rule} is more specific by {trait}")
    if none:
        yield Step("scope", "the link has no rule")


def _scope(rule: Rule, parts: Iterable[str] = ("folder", "account", "class", "pattern")) -> str:
    told = {
        "folder": rule.folder,
        "account": rule.account,
        "class": None if rule.file_class is None else _class(rule),
        "pattern": rule.glob,
    }
    return ", ".join(f"{part} {told[part]}" for part in parts if told[part] is not None)


def _class(rule: Rule) -> str:
    assert rule.file_class is not None
    return f"{rule.file_class.name} ({' '.join(rule.file_class.globs)})"


def _since(entry: Entry) -> str:
    return "" if entry.rule.effective is None else f"; in force from {entry.rule.effective}"


def _not_in_force(entry: Entry, file: Kept) -> str:
    day = file.received_at.astimezone(entry.rule.zone).date()
    if entry.rule.effective is not None and day < entry.rule.effective:
        return f"received on {day}, it is in force from {entry.rule.effective}"
    return f"received on {day}, a later version is in force from {entry.until}"


def _more_specific(one: Rule, other: Rule) -> str:
    return next(trait.name for trait in SPECIFICITY if trait.of(one) != trait.of(other))


def _claimed(claim: Claim, file: Kept) -> Iterator[Step]:
    """The trigger, the arithmetic of the period and both bounds, of one rule."""
    rule, term = claim.rule, claim.rule.term
    if isinstance(term, Term):
        yield Step("trigger", f"{rule}: {began(claim)}{_local(claim.start.at, rule.zone)}")
        if claim.start.at is not None:
            yield Step("period", f"{rule}: {_arithmetic(term, claim.start.at, rule.zone)}")
    bounds = (("min_keep", term.at_least, "at least"), ("max_keep", term.at_most, "at most"))
    for name, period, words in bounds:
        if period is not None:
            told = _counted(period, file.received_at, rule.zone)
            yield Step(name, f"{rule}: kept {words} {period} from receipt: {told}")
    if isinstance(term, Limit):
        kept = "nothing" if claim.retain == AT_ONCE else f"it until {short(claim.retain)}"
        told = f"keeps {kept}, and ends {short(claim.delete)}"
    else:
        told = f"ends {_moment(claim.delete)}"
    yield Step("ends", f"{rule} {told}, by its {claim.set_by}; it rests on: {rule.mandate}")


def _arithmetic(term: Term, start: datetime, zone: ZoneInfo) -> str:
    if term.year_end is None:
        return f"{term.period} {_counted(term.period, start, zone)}"
    closing = term.year_end.closing(start.astimezone(zone).date())
    counted = _counted(term.period, first_of(closing, zone), zone)
    return f"{term.period} {counted}; it begins on {closing}, the end of the financial year"


def _counted(period: Period, start: datetime, zone: ZoneInfo) -> str:
    """A period's start day, end day and zone, or for elapsed time both instants."""
    end = short(period.due(start, zone))
    if period.has_date_parts and not period.has_time_parts:
        day = start.astimezone(zone).date()
        return f"from {day} to the end of {period.last_day(day)} in {zone}, which is {end}"
    told = "elapsed" if not period.has_date_parts else f"by the calendar of {zone}, then elapsed"
    return f"from {short(start)}, {told}, which is {end}"


def _local(at: datetime | None, zone: ZoneInfo) -> str:
    return "" if at is None else f", {short(at.astimezone(zone))} in {zone}"


def _moment(at: datetime) -> str:
    return "not before what it waits for has happened" if at == NEVER else short(at)


def _settled(claims: list[Claim]) -> Iterator[Step]:
    """The conflict of the rules that govern, step by step."""
    outcome = settle(claims)
    if len(claims) > 1:
        keeper = max(claims, key=lambda claim: claim.retain)
        ender = min(claims, key=lambda claim: claim.delete)
        retained = "by none" if outcome.retain == AT_ONCE else f"by {keeper.rule}, {_moment(outcome.retain)}"
        yield Step("longest retain", retained)
        yield Step("shortest delete", f"by {ender.rule}, {_moment(outcome.delete)}")
        yield Step("retain beats delete", f"the later of the two: {_moment(outcome.due)}")
    rule = outcome.claim.rule
    yield Step("action", f"{rule} sets the moment and says {rule.action}")


def _reviewed(file: Kept, claim: Claim, schedule: Schedule) -> Iterator[Step]:
    if claim.rule.action == "review":
        review = schedule.review_of(file, claim)
        yield Step("review", "nobody has decided on it under this version" if review is None else str(review))


def _held(file: Kept, schedule: Schedule) -> Iterator[Step]:
    holds = schedule.holds_on(file)
    for hold in holds:
        until = "until it is released" if hold.until is None else f"until {short(hold.until)}"
        yield Step(
            "hold", f"hold {hold.id}, placed by {hold.placed_by}, {until}, on {hold.scope}: {hold.reason}"
        )
    if not holds:
        yield Step("hold", "no hold covers it")


def _decided(item: Item, now: datetime) -> str:
    decision = item.decision
    if decision.hold is not None:
        why = f"hold {decision.hold.id} beats all"
    elif decision.claim is None:
        why = "no rule governs it"
    elif decision.returned is not None:
        why = offered(decision.returned)
    elif decision.review is not None:
        why = f"it was {decision.review}"
    elif decision.due is None:
        why = f"{decision.claim.start.fact}, so its period has not begun"
    else:
        is_or_was = "is" if now < decision.due else "was"
        why = f"it {is_or_was} due {short(decision.due)}, and now it is {short(now)}"
    return f"{decision.action}: {why}"
