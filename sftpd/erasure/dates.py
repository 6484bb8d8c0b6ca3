"""Dates as people write them: in digits, day or year first, or with a Dutch or English name of the month.

A date is known as `1980-05-17`. Where both could be meant the day stands before the month.
"""

import re
from calendar import monthrange
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache

_MONTHS = (
    "jan(?:uari|uary)?",
    "feb(?:ruari|ruary|r)?",
    "maart|mrt|mar(?:ch)?",
    "apr(?:il)?",
    "mei|may",
    "jun[ie]?",
    "jul[iy]?",
    "aug(?:ustus|ust)?",
    "sep(?:tember|t)?",
    "okt(?:ober)?|oct(?:ober)?",
    "nov(?:ember)?",
    "dec(?:ember)?",
)
_MONTH_OF = {
    name[:3]: number
    for number, names in enumerate(_MONTHS, 1)
    for name in re.sub(r"\(.*?\)", "", names).split("|")
}
MONTH_STARTS = tuple(_MONTH_OF)
"""What the name of a month begins with."""
ORDINALS = ("st", "nd", "rd", "th")
"""What may stand behind a day."""
_BEFORE_YEAR, _AFTER_YEAR = 40, 20
"""Characters that a date has before and behind its year, at most."""
_CENTURIES = frozenset(("18", "19", "20"))
_DAYS = frozenset(
    f"{month:02}{day:02}" for month in range(1, 13) for day in range(1, monthrange(2000, month)[1] + 1)
)
"""Months and days as `0517`."""

_BAR = "[-/.\u2010\u2013]"
_GAP = rf"\s?{_BAR}\s?"
_WIDE = rf"(?:{_GAP}|\s)"
_NEAR = r"[\s.,\-/]{0,3}"
_NTH = rf"(?:{'|'.join(ORDINALS)}|e|de|ste)?"
BEFORE_MONTH = rf"{_NTH}{_NEAR}(?:of )?"
"""What may stand between a day and the name of a month."""
_AFTER_MONTH = r"\.?[\s.,\-/']{0,3}"
_AFTER_DAY = r"[\s,]{1,3}"
_ALONE = r"(?<![^\W_])"
_ENDS = r"(?![^\W_])"
_ENDS_BARRED = rf"(?:(?=t[0-9])|(?=z(?![^\W_]))|(?![^\W_]))(?!{_BAR}[0-9])"
"""Behind a date in digits its time may stand, or that of its zone (ISO 8601)."""

_BARS = frozenset("-/.\u2010\u2013")
_SHORT_BARS = _BARS | {f"{bar}'" for bar in _BARS}
_BARS_OR_NONE = _BARS | {""}
"""What parts three numbers of a date, but for white space around it."""
_ANY_MONTH = "|".join(_MONTHS)
_NAMED = re.compile(rf"([0-9]{{1,2}}){BEFORE_MONTH}({_ANY_MONTH})(?={_AFTER_MONTH}([0-9]{{2,4}}))")
_MONTH_FIRST = re.compile(rf"({_ANY_MONTH}){_NEAR}(?=([0-9]{{1,2}}){_NTH}{_AFTER_DAY}([0-9]{{4}}))")
_ANY = re.compile(
    rf"(?<![0-9])(?:[0-9]{{4}}{_GAP}[0-9]{{1,2}}{_GAP}[0-9]{{1,2}}|[0-9]{{1,2}}{_WIDE}[0-9]{{1,2}}{_WIDE}'?[0-9]{{2,4}}"
    rf"|[0-9]{{8}}|[0-9]{{1,2}}{BEFORE_MONTH}(?:{_ANY_MONTH}){_AFTER_MONTH}[0-9]{{2,4}})(?![0-9])"
    rf"|(?:{_ANY_MONTH}){_NEAR}[0-9]{{1,2}}{_NTH}{_AFTER_DAY}[0-9]{{4}}"
)


@lru_cache(4096)
def date_of(year: str, month: str | int, day: str) -> str | None:
    """The date of a year in two or four digits, a month and a day; None where there is none such."""
    if len(year) == 4 and year[:2] not in _CENTURIES:
        return None
    fits = len(year) in (2, 4) and f"{int(month):02}{int(day):02}" in _DAYS
    return f"{year}-{int(month):02}-{int(day):02}" if fits else None


def has_one(text: str) -> bool:
    """Whether a folded text has no more than one date, whichever it is."""
    found = _ANY.finditer(text)
    next(found, None)
    return next(found, None) is None


def pattern_of(date: str) -> re.Pattern[str]:
    """What finds a date in a folded text, in each form."""
    year, month, day = date.split("-")
    said_day, said_month = (rf"0?{int(part)}" for part in (day, month))
    names = f"(?:{_MONTHS[int(month) - 1]})"
    barred = [
        f"{year}{_WIDE}{said_month}{_WIDE}{said_day}",
        f"{said_day}{_WIDE}{said_month}{_WIDE}{year}",
        f"{said_day}{_BAR}{said_month}{_BAR}'?{year[2:]}",
        *([f"{said_month}{_GAP}{said_day}{_GAP}{year}"] if int(day) > 12 else []),
    ]
    others = [
        rf"{year}{month}{day}(?:t?[0-9]{{4}}(?:[0-9]{{2}})?z?)?",
        f"{day}{month}{year}",
        f"{said_day}{BEFORE_MONTH}{names}{_AFTER_MONTH}(?:{year}|{year[2:]})",
        f"{names}{_NEAR}{said_day}{_NTH}{_AFTER_DAY}{year}",
    ]
    return re.compile(
        rf"{_ALONE}(?:(?<![0-9][-/.])(?:{'|'.join(barred)}){_ENDS_BARRED}|(?:{'|'.join(others)}){_ENDS})"
    )


def hint_of(date: str, pattern: re.Pattern[str]) -> Callable[[str], bool]:
    """What says, and fast, whether a folded text may have a date, which `pattern` finds: by its year."""
    year = date[:4]
    long = re.compile(year)
    short = re.compile(rf"{year[2:]}(?<![0-9]{year[2:]})(?![0-9])")

    def may(text: str) -> bool:
        return any(
            pattern.search(text, max(0, found.start() - _BEFORE_YEAR), found.end() + _AFTER_YEAR)
            for year in (long, short)
            for found in year.finditer(text)
        )

    return may


def keys_of(date: str) -> tuple[str, ...]:
    """What `in_runs`, `compact` and `named` tell of a text has one of these wherever the date is found."""
    year, _, day = date.split("-")
    return date, date[2:], f"{year} {day}"


def in_runs(runs: Sequence[str], gaps: Sequence[str]) -> list[str]:
    """The keys of dates in runs of digits, with `gaps` behind each."""
    found: list[str | None] = []
    for at, run in enumerate(runs):
        size = len(run)
        if size == 4 and run[:2] in _CENTURIES:
            found += _with_year(runs, gaps, at)
        elif size == 2 and at > 1 and gaps[at - 2] in _BARS and gaps[at - 1] in _SHORT_BARS:
            day, month = runs[at - 2 : at]
            found.append(date_of(run, month, day) if len(day) <= 2 >= len(month) else None)
        elif size in (8, 12, 14):
            found += compact(run[:8])
    return [key for key in found if key is not None]


def _with_year(runs: Sequence[str], gaps: Sequence[str], at: int) -> Iterator[str | None]:
    """The keys of dates in runs of which the one at a place is a year."""
    year, before, after = runs[at], runs[max(0, at - 2) : at], runs[at + 1 : at + 3]
    if len(after) == 2 and max(map(len, after)) <= 2 and _are_bars(gaps[at : at + 2]):
        yield date_of(year, *after)
    if not before or len(before[-1]) > 2:
        return
    if not gaps[at - 1].replace(",", "").strip():
        yield f"{year} {before[-1].zfill(2)}"
    if len(before) == 2 and len(before[0]) <= 2 and _are_bars(gaps[at - 2 : at]):
        yield date_of(year, before[1], before[0])
        yield date_of(year, *before)


def _are_bars(gaps: Sequence[str]) -> bool:
    first, second = gaps
    return first.strip() in _BARS_OR_NONE and second.strip() in _BARS_OR_NONE


def compact(digits: str) -> Iterator[str]:
    """The dates that eight digits may be."""
    if digits[4:] in _DAYS and digits[:2] in _CENTURIES:
        yield f"{digits[:4]}-{digits[4:6]}-{digits[6:]}"
    if digits[4:6] in _CENTURIES and digits[2:4] + digits[:2] in _DAYS:
        yield f"{digits[4:]}-{digits[2:4]}-{digits[:2]}"


def named(text: str) -> Iterator[str]:
    """The keys of dates in a folded text with the name of a month."""
    for day, month, year in _NAMED.findall(text):
        if date := date_of(year, _MONTH_OF[month[:3]], day):
            yield date
    for month, day, year in _MONTH_FIRST.findall(text):
        if date := date_of(year, _MONTH_OF[month[:3]], day):
            yield date


def taken_from(text: str) -> tuple[str, str] | None:
    """The one date with a year of four digits in a folded text, and the text without it; None for others."""
    found = list(_ANY.finditer(text))
    if len(found) != 1:
        return None
    said = found[0][0]
    runs, gaps = re.findall("[0-9]+", said), re.split("[0-9]+", said)[1:-1]
    dates = [key for key in (*named(said), *in_runs(runs, [*gaps, ""])) if re.fullmatch(r"[0-9]{4}-.*", key)]
    meant = next((date for date in dates if pattern_of(date).fullmatch(said)), None)
    return None if meant is None else (meant, f"{text[: found[0].start()]} {text[found[0].end() :]}")
