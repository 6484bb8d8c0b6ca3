"""Dates in the names of files, whatever those names are."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sftpd.namedates import DatePattern, DatePatternError


@pytest.mark.parametrize(
    ("pattern", "name", "day"),
    [
        ("%Y-%m-%d", b"report-2026-03-01.csv", date(2026, 3, 1)),
        ("%Y%m%d", b"20260301", date(2026, 3, 1)),
        ("%d.%m.%Y", b"31.12.2026", date(2026, 12, 31)),
        ("inv-%Y%m%d.pdf", b"x-inv-20240229.pdf", date(2024, 2, 29)),
        ("%%%Y.%m.%d", b"%2026.01.02", date(2026, 1, 2)),
        ("(%Y+%m*%d)", b"(2026+01*02)", date(2026, 1, 2)),
        ("caf\N{LATIN SMALL LETTER E WITH ACUTE}%Y-%m-%d", b"caf\xc3\xa92026-01-02", date(2026, 1, 2)),
        ("%Y-%m-%d", b"2026-02-30 or 2026-03-02", date(2026, 3, 2)),
        ("%Y-%m-%d", b"2026-01-01-2027-01-01", date(2026, 1, 1)),
        ("%Y-%m-%d", b"9999-01-012000-01-02", None),
        ("%Y%m%d", b"120260301", None),
        ("%Y%m%d", b"202603011", None),
        ("%Y-%m-%d", b"2023-02-29", None),
        ("%Y-%m-%d", b"1899-12-31", None),
        ("%Y-%m-%d", b"3000-01-01", None),
        ("%Y-%m-%d", b"0000-00-00", None),
        ("%Y-%m-%d", b"", None),
        ("%Y-%m-%d", "\N{ARABIC-INDIC DIGIT TWO}026-01-01".encode(), None),
    ],
)
def test_the_first_valid_date_that_stands_alone_is_found(pattern, name, day):
    assert DatePattern.parse(pattern).find(name) == day


@pytest.mark.parametrize(
    "text", ["", "%Y", "%Y-%m", "%Y%m%d%d", "%y-%m-%d", "%Y-%m-%d%", "%Y/%m/%d", "%F", "%Y-%m-%d" + "x" * 100]
)
def test_other_patterns_are_refused(text):
    with pytest.raises(DatePatternError):
        DatePattern.parse(text)


@given(
    st.dates(date(1900, 1, 1), date(2999, 12, 31)), st.sampled_from(["%Y-%m-%d", "a%d%m%Yb", "%m (%Y) %d"])
)
def test_a_date_is_found_as_it_was_written(day, pattern):
    name = f"x{day.strftime(pattern)}x".encode()
    assert DatePattern.parse(pattern).find(name) == day


@given(st.binary(max_size=255))
def test_no_name_breaks_it(name):
    assert DatePattern.parse("%Y%m%d").find(name) is None or any(48 <= byte < 58 for byte in name)


def test_a_name_made_to_be_slow_is_not():
    assert DatePattern.parse("1%Y-%m-%d").find(b"1" * 100_000) is None
