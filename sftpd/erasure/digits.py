"""What identifies somebody by digits: citizen service numbers, Dutch telephone numbers, postcodes and dates.

Digits are read as **chains**: runs of them with up to three characters between two that may part a number.
A number begins with a run, or behind what may stand before it there, and ends with one.
"""

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache

from sftpd.erasure.addresses import POSTCODE_LETTERS
from sftpd.erasure.dates import BEFORE_MONTH, MONTH_STARTS, ORDINALS, compact, in_runs, named

_TAIL = rf"(?=[\sa-z.,\-/])(?:{BEFORE_MONTH}(?:{'|'.join(MONTH_STARTS)})|{POSTCODE_LETTERS}(?![a-z]))"
"""What makes a date or a postcode of the digits before it."""
_PARTS = r"[\s.,:'()\-/\u2010\u2013]"
"""What may stand within a BSN, a postcode or a date; a colon does so in its time."""


def _chain(parts: str) -> re.Pattern[str]:
    """What finds chains of which the runs are parted by these characters."""
    return re.compile(
        rf"[0-9](?<![0-9].)[0-9]*+(?:(?:{parts}{{1,3}}+[0-9]++)++(?:{_TAIL})?|{_TAIL}|(?<=[0-9]{{8}}))",
        re.DOTALL,
    )


_CHAIN, _NARROW = _chain(r"\W"), _chain(_PARTS)
_TO_LAST_DIGIT = re.compile(".*[0-9]", re.DOTALL)
_POSTCODE = re.compile(rf"([1-9][0-9]{{3}})({POSTCODE_LETTERS})\Z")
_RUN = re.compile(r"[0-9]+")
_BSN_DIGITS = 9
_PLAIN_POSTCODES = re.compile(r"(?m)^(([1-9][0-9]{3}) {0,2}([a-z]{2}))$")
_YEARS_FIRST = re.compile("(?m)^[0-9]{4}-[0-9]{2}-[0-9]{2}$")
_DAYS_FIRST = re.compile("(?m)^(([0-9]{1,2})[-/]([0-9]{1,2})[-/]([0-9]{4}))$")
"""Lines of one postcode or date, whose digits are too few and too far apart for another number."""
_TIMESTAMP = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:[.,](?:[0-9]{3}){1,3})?)?"
)
"""Has one date, at its beginning."""
_FEWEST_DIGITS, _MOST_DIGITS = 8, 14
_DATE_AND_TIME = 14
"""Digits of a date with its time, to the second; to the minute two fewer."""
_SHORTEST = len("1-5-80")
"""Characters of a chain of several runs."""
_USUAL = 40
"""Characters of a chain, such as a date and a time, that is met again and again."""

_DUTCH = "+31"
_NATIONAL_DIGITS = 9
"""Digits of a Dutch telephone number without zero and country; the first of them is none."""
_BEFORE_NATIONAL = frozenset(("", "0", "31", "310", "0031", "00310"))
"""What may stand before these: a zero, or the country's code and a zero or none."""


def _sums(*weights: int) -> dict[str, int]:
    """What three digits weigh, for each three."""
    each = (f"{number:03}" for number in range(1000))
    return {
        digits: sum(int(digit) * weight for digit, weight in zip(digits, weights, strict=True))
        for digits in each
    }


_FIRST, _MIDDLE, _LAST = _sums(9, 8, 7), _sums(6, 5, 4), _sums(3, 2, -1)


def is_national(phone: str) -> bool:
    """Whether a telephone number is one that is looked for among digits."""
    return phone.startswith(_DUTCH) and len(phone) == len(_DUTCH) + _NATIONAL_DIGITS and phone[3] != "0"


def enter_solid(entries: set[str], numbers: Iterable[str]) -> None:
    """Enter what texts of ASCII digits alone may be: `kind‖0x00‖value`."""
    sized: Sequence[list[str]] = [[] for _ in range(_MOST_DIGITS + 2)]
    for digits in numbers:
        sized[min(len(digits), _MOST_DIGITS + 1)].append(digits)
    for digits in sized[_FEWEST_DIGITS]:
        if _is_bsn("0" + digits):
            entries.add(f"bsn\00{digits}")
        entries.update(f"date\0{date}" for date in compact(digits))
    for digits in (*sized[_DATE_AND_TIME], *sized[_DATE_AND_TIME - 2]):
        entries.update(f"date\0{date}" for date in compact(digits[:8]))
    # All of a size in one expression, which a table of numbers gains by.
    entries.update([f"bsn\0{digits}" for digits in sized[_BSN_DIGITS] if _is_bsn(digits)])
    entries.update([f"phone\0{_DUTCH}{digits}" for digits in sized[_NATIONAL_DIGITS] if digits[0] != "0"])
    for size in range(_NATIONAL_DIGITS + 1, _MOST_DIGITS + 1):
        before = size - _NATIONAL_DIGITS
        entries.update(
            [
                f"phone\0{_DUTCH}{digits[before:]}"
                for digits in sized[size]
                if digits[:before] in _BEFORE_NATIONAL and digits[before] != "0"
            ]
        )


def enter_chains(entries: set[str], text: str) -> None:
    """Enter what digits in a folded text may be."""
    chains = set(_CHAIN.findall(text))
    if solid := [chain for chain in chains if chain.isdecimal()]:
        enter_solid(entries, solid)
        chains.difference_update(solid)
    if not chains:
        return
    _enter_plain(entries, chains)
    narrow = set(_NARROW.findall("\0".join(chains)))
    for chain in chains - narrow:
        if len(chain) > _NATIONAL_DIGITS:
            _enter_phones(entries, _RUN.findall(chain))
    _enter_narrow(entries, narrow)
    if any(chain[-3:] in MONTH_STARTS or chain[-2:] in ORDINALS for chain in chains):
        entries.update(f"date\0{date}" for date in named(text))


def _enter_narrow(entries: set[str], chains: set[str]) -> None:
    """Enter what chains are in which anything may be parted so."""
    _enter_plain(entries, chains)
    for chain in chains:
        if len(chain) >= _SHORTEST:
            entries.update(_usual(chain) if len(chain) <= _USUAL else _told(chain))


def _enter_plain(entries: set[str], chains: set[str]) -> None:
    """Enter what a date or postcode alone is, and take these chains out: they are nothing else."""
    together = "\n".join(chains)
    homes = _PLAIN_POSTCODES.findall(together)
    entries.update([f"postcode\0{digits}{letters}" for _, digits, letters in homes])
    years_first = _YEARS_FIRST.findall(together)
    entries.update([f"date\0{date}" for date in years_first])
    days_first = _DAYS_FIRST.findall(together)
    entries.update(
        [
            f"date\0{year}-{month:0>2}-{day:0>2}" if int(month) <= 12 else f"date\0{year}-{day:0>2}-{month}"
            for _, day, month, year in days_first
        ]
    )
    chains.difference_update(years_first, [each[0] for each in homes], [each[0] for each in days_first])


def _is_bsn(digits: str) -> bool:
    return (_FIRST[digits[:3]] + _MIDDLE[digits[3:6]] + _LAST[digits[6:]]) % 11 == 0


def _told(chain: str) -> frozenset[str]:
    """What a chain may be, or what stands behind one makes of it."""
    entries: set[str] = set()
    if not chain[-1].isdecimal():
        if postcode := _POSTCODE.search(chain):
            entries.add(f"postcode\0{postcode[1]}{postcode[2].strip()}")
        last_digit = _TO_LAST_DIGIT.match(chain)
        chain = last_digit[0] if last_digit else ""
    if chain.isdecimal():
        enter_solid(entries, [chain])
    else:
        _enter_parted(entries, chain)
    return frozenset(entries)


_usual = lru_cache(4096)(_told)


def _enter_parted(entries: set[str], chain: str) -> None:
    """Enter what a chain of several runs may be."""
    runs, gaps = _RUN.findall(chain), [*_RUN.split(chain)[1:-1], ""]
    _enter_phones(entries, runs)
    _enter_bsns(entries, runs, gaps)
    dates = [chain[:10]] if _TIMESTAMP.fullmatch(chain) else in_runs(runs, gaps)
    entries.update([f"date\0{date}" for date in dates])


def _enter_phones(entries: set[str], runs: Sequence[str]) -> None:
    """Enter the telephone numbers that runs next to each other may be, whatever parts them."""
    for first in range(len(runs)):
        digits = ""
        for run in runs[first:]:
            digits += run
            size = len(digits)
            if size > _NATIONAL_DIGITS and (digits[0] not in "03" or size > _MOST_DIGITS):
                break  # what stands before a telephone number begins with one of these
            if (
                size >= _NATIONAL_DIGITS
                and digits[-_NATIONAL_DIGITS] != "0"
                and digits[:-_NATIONAL_DIGITS] in _BEFORE_NATIONAL
            ):
                entries.add(f"phone\0{_DUTCH}{digits[-_NATIONAL_DIGITS:]}")


def _enter_bsns(entries: set[str], runs: Sequence[str], gaps: Sequence[str]) -> None:
    """Enter the BSNs of runs with `gaps` behind each: single spaces, dots and hyphens part one.

    It does not begin behind a dot.
    """
    for first in range(len(runs)):
        if first and gaps[first - 1] == ".":
            continue
        digits = ""
        for run, gap in zip(runs[first:], gaps[first:], strict=True):
            digits += run
            if len(digits) > _BSN_DIGITS:
                break
            if len(digits) >= _FEWEST_DIGITS and _is_bsn(digits.zfill(_BSN_DIGITS)):
                entries.add(f"bsn\0{digits.zfill(_BSN_DIGITS)}")
            if gap not in (".", "-") and not (len(gap) == 1 and gap.isspace()):
                break
