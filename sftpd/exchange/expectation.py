"""Files that must come by a time of day: deadlines, and what is to be told of each. Pure.

A deadline is met by the first file that came since the one before it. Missed, it is met late by the first
file that comes until the next one is warned of; that file then counts for no other.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import count
from typing import Literal

from sftpd.civil import instant
from sftpd.link.model import Expectation

_DAY = timedelta(days=1)


class Standing(StrEnum):
    """How a deadline stands: the last that was told of it."""

    AWAITED = "awaited"
    AT_RISK = "at_risk"
    MISSED = "missed"
    MET = "met"


@dataclass(frozen=True, slots=True)
class Stand:
    """Where an expectation stands: at one deadline, which files that came after `since` count for."""

    deadline: datetime
    since: datetime
    standing: Standing


@dataclass(frozen=True, slots=True)
class Telling:
    """Something to be told of a deadline; `came` is when the file did that met it."""

    about: Literal["at_risk", "missed", "met"]
    deadline: datetime
    came: datetime | None = None

    @property
    def late(self) -> bool:
        """Whether it was met after it had passed."""
        return self.came is not None and self.came > self.deadline


def following(expected: Expectation, after: datetime) -> datetime:
    """The first deadline later than an instant, in UTC."""
    return next(deadline for deadline in _deadlines(expected, after, 1) if deadline > after)


def preceding(expected: Expectation, before: datetime) -> datetime:
    """The last deadline that is not later than an instant, in UTC."""
    return next(deadline for deadline in _deadlines(expected, before, -1) if deadline <= before)


def begin(expected: Expectation, now: datetime) -> Stand:
    """Where an expectation stands of which nothing is known: before its next deadline."""
    return Stand(following(expected, now), preceding(expected, now), Standing.AWAITED)


def is_due(expected: Expectation, stand: Stand) -> bool:
    """Whether the deadline at which it stands is one of its deadlines, as they are now."""
    return following(expected, stand.deadline - timedelta(microseconds=1)) == stand.deadline


def is_ahead(expected: Expectation, stand: Stand, now: datetime) -> bool:
    """Whether it stands at a later deadline than the next but one, to which only a wrong clock can lead."""
    return stand.deadline > following(expected, following(expected, now))


def next_look(expected: Expectation, after: datetime) -> datetime:
    """The next instant at which something may have to be told though no file came."""
    return min(following(expected, after), following(expected, after + expected.warn) - expected.warn)


def advance(
    expected: Expectation, stand: Stand, came: Sequence[datetime], now: datetime
) -> tuple[Stand, list[Telling]]:
    """Where it stands at `now`, and what is to be told on the way there.

    `came`: when files came that it expects, in order; those up to `stand.since` do not count.
    """
    tellings: list[Telling] = []
    while (after := _step(expected, stand, came, now, tellings)) is not None:
        stand = after
    return stand, tellings


def _step(
    expected: Expectation, stand: Stand, came: Sequence[datetime], now: datetime, tellings: list[Telling]
) -> Stand | None:
    deadline = stand.deadline
    first = next((moment for moment in came if moment > stand.since), None)
    match stand.standing:
        case Standing.MET:
            if now < deadline:
                return None
            return Stand(following(expected, deadline), max(stand.since, deadline), Standing.AWAITED)
        case Standing.MISSED:
            successor = following(expected, deadline)
            given_up = successor - expected.warn
            if first is not None and first <= given_up:
                tellings.append(Telling("met", deadline, first))
                return replace(stand, since=first, standing=Standing.MET)
            return None if now < given_up else Stand(successor, stand.since, Standing.AWAITED)
    if first is not None and first <= deadline:
        tellings.append(Telling("met", deadline, first))
        return replace(stand, standing=Standing.MET)
    if now >= deadline:
        tellings.append(Telling("missed", deadline))
        return replace(stand, standing=Standing.MISSED)
    if stand.standing is Standing.AWAITED and expected.warn and now >= deadline - expected.warn:
        tellings.append(Telling("at_risk", deadline))
        return replace(stand, standing=Standing.AT_RISK)
    return None


def _deadlines(expected: Expectation, near: datetime, direction: Literal[1, -1]) -> Iterator[datetime]:
    """Deadlines in order, or backwards, from about an instant on."""
    first = near.astimezone(expected.zone).date() - direction * 2 * _DAY
    for days in count():
        day = first + direction * days * _DAY
        if day.weekday() in expected.weekdays and day not in expected.holidays:
            yield instant(day, expected.by, expected.zone)
