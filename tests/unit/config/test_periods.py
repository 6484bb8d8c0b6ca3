from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sftpd import periods as periods_module
from sftpd.periods import Period, PeriodError, YearEnd, end_of

AMSTERDAM = ZoneInfo("Europe/Amsterdam")

periods = st.builds(
    Period,
    years=st.integers(0, 99),
    months=st.integers(0, 500),
    weeks=st.integers(0, 500),
    days=st.integers(0, 9999),
    hours=st.integers(0, 9999),
    minutes=st.integers(0, 99999),
    seconds=st.integers(0, 10**12).map(lambda micros: micros / 10**6),
)
short_periods = st.builds(
    Period,
    years=st.integers(0, 2),
    months=st.integers(0, 3),
    weeks=st.integers(0, 1),
    days=st.integers(0, 35),
    hours=st.sampled_from([0, 0, 1, 24, 50]),
)
moments = st.datetimes(datetime(1990, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 (bounds)


@given(periods)
def test_a_period_reads_back_from_its_text(period: Period) -> None:
    assert Period.parse(str(period)) == period


@pytest.mark.parametrize(
    ("text", "period"),
    [
        ("P7Y", Period(years=7)),
        ("P30D", Period(days=30)),
        ("P1Y2M3W4D", Period(years=1, months=2, weeks=3, days=4)),
        ("PT5S", Period(seconds=5)),
        ("PT0.25S", Period(seconds=0.25)),
        ("P1DT2H3M", Period(days=1, hours=2, minutes=3)),
        ("PT0S", Period()),
    ],
)
def test_iso_8601_durations_are_read(text: str, period: Period) -> None:
    assert Period.parse(text) == period


@pytest.mark.parametrize(
    "text",
    [
        "",
        "P",
        "PT",
        "P1",
        "7Y",
        "P7y",
        "P-1D",
        "P1.5D",
        "P1DT",
        "PT1D",
        "P1H",
        "P1M1Y",
        " P1D",
        "P1D\n",
        "P٣D",
        "P9999Y",
    ],
)
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(PeriodError):
        Period.parse(text)


def test_only_periods_of_fixed_length_have_seconds() -> None:
    assert Period.parse("P1W1DT1H1M1.5S").total_seconds() == 8 * 86400 + 3661.5
    with pytest.raises(PeriodError, match="no fixed length"):
        Period.parse("P1M").total_seconds()


@pytest.mark.parametrize(
    ("text", "start", "due"),
    [
        ("PT5S", "2026-03-01T10:00:00+00:00", "2026-03-01T10:00:05+00:00"),
        ("P1D", "2026-01-15T10:00:00+00:00", "2026-01-16T23:00:00+00:00"),
        ("P1D", "2026-01-15T23:30:00+00:00", "2026-01-17T23:00:00+00:00"),
        ("P1M", "2026-01-31T10:00:00+00:00", "2026-02-28T23:00:00+00:00"),
        ("P1M", "2024-01-31T10:00:00+00:00", "2024-02-29T23:00:00+00:00"),
        ("P1Y", "2024-02-29T10:00:00+00:00", "2025-02-28T23:00:00+00:00"),
        ("P7Y", "2026-12-31T10:00:00+00:00", "2033-12-31T23:00:00+00:00"),
        ("P1D", "2026-03-27T10:00:00+00:00", "2026-03-28T23:00:00+00:00"),
        ("P1D", "2026-03-28T10:00:00+00:00", "2026-03-29T22:00:00+00:00"),
        ("P1D", "2026-10-24T10:00:00+00:00", "2026-10-25T23:00:00+00:00"),
        ("PT24H", "2026-10-24T10:00:00+00:00", "2026-10-25T10:00:00+00:00"),
        ("P1DT1H", "2026-10-24T10:00:00+00:00", "2026-10-25T12:00:00+00:00"),
        ("P1DT1S", "2026-03-28T01:30:00+00:00", "2026-03-29T01:30:01+00:00"),
    ],
)
def test_due_follows_the_civil_calendar_of_the_zone(text: str, start: str, due: str) -> None:
    assert Period.parse(text).due(datetime.fromisoformat(start), AMSTERDAM) == datetime.fromisoformat(due)


@given(moments, st.integers(1, 5000))
def test_days_end_at_a_local_midnight_after_that_many_whole_days(start: datetime, days: int) -> None:
    due = Period(days=days).due(start, AMSTERDAM)
    local = due.astimezone(AMSTERDAM)
    assert due.utcoffset() == timedelta(0)
    assert (local.hour, local.minute, local.second) == (0, 0, 0)
    assert (local.date() - start.astimezone(AMSTERDAM).date()).days == days + 1


@given(moments, periods)
def test_due_is_never_before_the_start(start: datetime, period: Period) -> None:
    assert period.due(start, AMSTERDAM) >= start


@pytest.mark.parametrize(
    ("one", "other", "outlasts"),
    [
        ("P1Y", "P1Y", False),
        ("P2Y", "P1Y", True),
        ("P1M", "P31D", False),
        ("P1M", "P30D", True),
        ("P30D", "P1M", True),
        ("P28D", "P1M", False),
        ("P1Y", "P365D", True),
        ("P1Y", "P366D", False),
        ("PT24H", "P1D", False),
        ("PT25H", "P1D", True),
        ("P1D", "PT24H", True),
    ],
)
def test_whether_a_period_may_outlast_another_is_known_without_a_file(one, other, outlasts):
    assert (Period.parse(one).may_outlast(Period.parse(other)) is not None) == outlasts


@given(short_periods, short_periods, st.dates(date(2000, 1, 1), date(2003, 12, 31)))
def test_no_day_is_passed_over_from_which_a_period_outlasts_another(
    one: Period, other: Period, day: date
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(periods_module, "_FOUR_YEARS", [day])
        assert (one.may_outlast(other) is not None) == one._outlasts(other, day)


@pytest.mark.parametrize(
    ("end", "day", "closing"),
    [
        ("12-31", date(2026, 1, 1), date(2026, 12, 31)),
        ("12-31", date(2026, 12, 31), date(2026, 12, 31)),
        ("06-30", date(2026, 7, 1), date(2027, 6, 30)),
        ("02-29", date(2026, 2, 28), date(2026, 2, 28)),
        ("02-29", date(2024, 2, 28), date(2024, 2, 29)),
        ("02-29", date(2024, 3, 1), date(2025, 2, 28)),
    ],
)
def test_a_financial_year_closes_on_its_last_day(end, day, closing):
    assert YearEnd.parse(end).closing(day) == closing
    assert str(YearEnd.parse(end)) == end


@pytest.mark.parametrize("text", ["", "31-12", "02-30", "1-1", "12-31 ", "2026-12-31"])
def test_what_is_no_day_of_a_year_is_refused(text):
    with pytest.raises(PeriodError):
        YearEnd.parse(text)


def test_a_day_ends_where_the_next_begins_even_without_a_midnight():
    # In this night clocks in Sao Paulo went from 23:59:59 to 01:00.
    assert end_of(date(2018, 11, 3), ZoneInfo("America/Sao_Paulo")) == datetime(2018, 11, 4, 3, tzinfo=UTC)
