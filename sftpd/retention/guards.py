"""The guards: whether files may be disposed of now, and if not, every reason why not. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import median_high

PARTED = timedelta(minutes=5)
"""By how much the clocks may part, and events lie ahead of the time; compliance asks for no more."""
SILENCE = timedelta(days=7)
"""For how long a machine may have been off: what is further ahead may be a clock that was set wrong."""
TIMES = 3
"""How many times the usual volume is too much."""
RUNS = 10
"""The latest runs of a link, by which the usual volume is told."""

CLOCK = frozenset({"CLOCK_PARTED", "CLOCK_BEHIND", "CLOCK_AHEAD"})
VOLUME = frozenset({"VOLUME_UNUSUAL", "SHARE_UNUSUAL"})
FOLDER = frozenset({"FOLDER_MISSING", "FOLDER_REPLACED"})
APPROVAL = frozenset({"APPROVAL_MISSING", "APPROVAL_ENDED", "APPROVAL_EXCEEDED"})
"""What keeps a scheduled run from going on; somebody may run the plan all the same."""
RESTORED = frozenset({"RESTORED"})
CODES = CLOCK | VOLUME | FOLDER | APPROVAL | RESTORED

_UNFREEZE = "`sftpd retention unfreeze`"
_APPROVE = "see `sftpd retention plan`, then run it, or approve such runs by `sftpd retention approval give`"
_REMEDIES = {
    "CLOCK_PARTED": f"set the clock right, or confirm the time by {_UNFREEZE}",
    "CLOCK_BEHIND": f"set the clock right, or confirm the time by {_UNFREEZE}",
    "CLOCK_AHEAD": f"set the clock right, or confirm the time by {_UNFREEZE}",
    "VOLUME_UNUSUAL": f"see `sftpd retention plan`, then confirm it by --confirm-volume or {_UNFREEZE}",
    "SHARE_UNUSUAL": f"see `sftpd retention plan`, then confirm it by --confirm-volume or {_UNFREEZE}",
    "APPROVAL_MISSING": _APPROVE,
    "APPROVAL_ENDED": _APPROVE,
    "APPROVAL_EXCEEDED": _APPROVE,
    "RESTORED": "place again what was held since, withdraw what was withdrawn, then confirm that by "
    f"{_UNFREEZE}",
    "FOLDER_MISSING": "restore or mount it",
    "FOLDER_REPLACED": f"mount what was there, or confirm this folder by {_UNFREEZE}",
}


@dataclass(frozen=True, slots=True)
class Reason:
    """Why nothing may be disposed of: a stable code, and what to do about it."""

    code: str
    text: str

    @property
    def remedy(self) -> str:
        """What to do about it."""
        return _REMEDIES[self.code]


@dataclass(frozen=True, slots=True)
class Reading:
    """What the clocks showed at one moment: the time, and for how long this boot has lasted."""

    boot: str
    wall: datetime
    uptime: timedelta


@dataclass(frozen=True, slots=True)
class Times:
    """What is known of the time."""

    now: Reading
    right: Reading | None
    """The first reading of a boot that was held for right."""
    seen: datetime | None
    """The last time that was held for right, on any boot."""
    newest: datetime | None
    """When the newest event happened, by the clock of then."""
    pardoned: datetime | None = None
    """Events up to this time are known to be dated by a wrong clock."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """What needs no confirmation, for a link and run."""

    unremarkable: int = 100
    """So many files at least."""
    percent: int = 50
    """Of all files in our care, unless the usual run takes more."""
    standing_approval: bool = False
    """Whether a scheduled run needs a standing approval."""


@dataclass(frozen=True, slots=True)
class Volume:
    """What a run would take from one link."""

    due: int
    kept: int
    """All its files in our care, the due ones too."""
    earlier: Sequence[int] = ()
    """How many files each of the latest runs took; those that took none are not counted."""
    confirmed: int = 0
    """How many files somebody has confirmed."""


def reasons_against_time(times: Times) -> tuple[Reason, ...]:
    """Every reason for which the time may not be relied on.

    Within a boot the clocks prove each other. On another one there is nothing but what was seen before: the
    time may not lie before the newest event, nor further after the last time seen than a machine is off.
    """
    now, right = times.now, times.right
    reasons = []
    if right is not None and right.boot == now.boot:
        parted = (now.wall - right.wall) - (now.uptime - right.uptime)
        if abs(parted) <= PARTED:
            return ()
        way = "ahead" if parted > timedelta() else "back"
        reasons.append(Reason("CLOCK_PARTED", f"the clock went {way} by {_short(abs(parted))}"))
    elif times.seen is not None and now.wall - times.seen > SILENCE:
        text = (
            f"it was {_at(times.seen)} when last seen and is {_at(now.wall)}, more than {SILENCE.days} days"
        )
        reasons.append(Reason("CLOCK_AHEAD", text))
    for what, moment in (("newest event is of", _unpardoned(times)), ("time last seen is", times.seen)):
        if moment is not None and moment - now.wall > PARTED:
            reasons.append(Reason("CLOCK_BEHIND", f"it is {_at(now.wall)}, and the {what} {_at(moment)}"))
            break
    return tuple(reasons)


def reasons_against_volume(volume: Volume, bounds: Bounds) -> tuple[Reason, ...]:
    """Every reason for which a run takes too much from a link."""
    limit = largest(volume.earlier, bounds)
    if volume.due <= bounds.unremarkable or (volume.confirmed and volume.due <= volume.confirmed + limit):
        return ()
    reasons = []
    usual = _usual(volume.earlier)
    if volume.due > limit:
        known = f"the usual run takes {usual}" if usual else "no run has taken any yet"
        reasons.append(
            Reason("VOLUME_UNUSUAL", f"{volume.due} files are due, and {known}: at most {limit} may go")
        )
    part = bounds.percent * volume.kept / 100
    if usual <= part < volume.due:
        text = f"{volume.due} of {volume.kept} files are due, more than {bounds.percent} %"
        reasons.append(Reason("SHARE_UNUSUAL", text))
    return tuple(reasons)


def largest(earlier: Sequence[int], bounds: Bounds) -> int:
    """The most files that a run may take from a link after these runs."""
    return max(bounds.unremarkable, TIMES * _usual(earlier))


def _usual(earlier: Sequence[int]) -> int:
    """The middle one of the runs, which a single great run does not move."""
    return median_high(earlier) if earlier else 0


def _unpardoned(times: Times) -> datetime | None:
    newest, pardoned = times.newest, times.pardoned
    return None if newest is None or (pardoned is not None and newest <= pardoned) else newest


def _at(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds")


def _short(span: timedelta) -> str:
    return f"{span.days} days" if span.days else f"{span.seconds // 60} minutes"
