"""What one rule wants of one file: since when, until when it is kept, and when it should be gone (pure)."""

from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, time
from types import MappingProxyType
from typing import Literal, NamedTuple
from zoneinfo import ZoneInfo

from sftpd.civil import instant
from sftpd.periods import Period, YearEnd
from sftpd.retention.rule import (
    BusinessDate,
    Kept,
    LastAccess,
    LinkClosed,
    Received,
    Rule,
    Term,
    Trigger,
)

NEVER = datetime.max.replace(tzinfo=UTC)
"""The end of a period that has not begun."""
AT_ONCE = datetime.min.replace(tzinfo=UTC)
"""The end of a retention that a rule does not ask for."""

Bound = Literal["period", "min_keep", "max_keep"]
_PERIOD: Bound = "period"
_MIN_KEEP: Bound = "min_keep"
_MAX_KEEP: Bound = "max_keep"

Closings = Mapping[str, datetime]
"""When each closed link was closed."""


class Start(NamedTuple):
    """What a period begins with, in words, and when; None: that has not happened."""

    fact: str
    at: datetime | None


class Claim(NamedTuple):
    """What a rule wants of a file: to keep it until `retain`, and to see it gone at `delete`."""

    rule: Rule
    start: Start
    retain: datetime
    delete: datetime
    set_by: Bound
    """What of the rule set its end."""


class Ends:
    """When a period after an instant has passed; remembers civil days, on which many files begin."""

    def __init__(self, period: Period, zone: ZoneInfo, year_end: YearEnd | None = None) -> None:
        self._period = period
        self._zone = zone
        self._year_end = year_end
        self._by_day = year_end is not None or (period.has_date_parts and not period.has_time_parts)
        self._known: dict[date, datetime] = {}

    def after(self, start: datetime) -> datetime:
        """The end, in UTC, of the period that begins at `start` or with the financial year's end after it."""
        if not self._by_day:
            return self._period.due(start, self._zone)
        day = start.astimezone(self._zone).date()
        end = self._known.get(day)
        if end is None:
            closing = day if self._year_end is None else self._year_end.closing(day)
            end = self._period.due(first_of(closing, self._zone), self._zone)
            self._known[day] = end
        return end


class Claimant:
    """Makes the claims of one rule."""

    def __init__(self, rule: Rule) -> None:
        term = rule.term
        self.rule = rule
        self._term = Ends(term.period, rule.zone, term.year_end) if isinstance(term, Term) else None
        self._trigger = term.trigger if isinstance(term, Term) else Received()
        self._start = _STARTS[type(self._trigger)]
        self._at_least = None if term.at_least is None else Ends(term.at_least, rule.zone)
        self._at_most = None if term.at_most is None else Ends(term.at_most, rule.zone)

    def claim(self, file: Kept, closings: Closings) -> Claim:
        """What the rule wants of a file that it covers."""
        start = self._start(self._trigger, self.rule, file, closings)
        received = file.received_at
        floor = AT_ONCE if self._at_least is None else self._at_least.after(received)
        end, set_by = NEVER, _PERIOD
        if self._term is not None and start.at is not None:
            end = self._term.after(start.at)
        if self._at_most is not None:
            ceiling = self._at_most.after(received)
            if ceiling < end:
                end, set_by = ceiling, _MAX_KEEP
        if floor > end:
            end, set_by = floor, _MIN_KEEP
        return Claim(self.rule, start, floor if self._term is None else end, end, set_by)


def first_of(day: date, zone: ZoneInfo) -> datetime:
    """The first instant of a civil day."""
    return instant(day, time(), zone)


def _received(_trigger: Trigger, _rule: Rule, file: Kept, _closings: Closings) -> Start:
    return Start("received", file.received_at)


def _last_access(_trigger: Trigger, _rule: Rule, file: Kept, _closings: Closings) -> Start:
    if file.accessed_at is None:
        return Start("never read, received", file.received_at)
    return Start("last read", max(file.accessed_at, file.received_at))


def _business_date(trigger: Trigger, rule: Rule, file: Kept, _closings: Closings) -> Start:
    assert isinstance(trigger, BusinessDate)
    day = trigger.pattern.find(file.name)
    if day is None:
        return Start(f"no date {trigger.pattern} in its name, received", file.received_at)
    return Start("dated by its name", first_of(day, rule.zone))


def _link_closed(_trigger: Trigger, _rule: Rule, file: Kept, closings: Closings) -> Start:
    closed = closings.get(file.link)
    return Start("link not closed" if closed is None else "link closed", closed)


_STARTS: Mapping[type[Trigger], Callable[[Trigger, Rule, Kept, Closings], Start]] = MappingProxyType(
    {
        Received: _received,
        LastAccess: _last_access,
        BusinessDate: _business_date,
        LinkClosed: _link_closed,
    }
)
"""Where the period of each trigger begins."""
