"""The guards: facts in, reasons against out."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from sftpd.retention.guards import (
    CODES,
    PARTED,
    SILENCE,
    TIMES,
    Bounds,
    Reading,
    Reason,
    Times,
    Volume,
    largest,
    reasons_against_time,
    reasons_against_volume,
)

START = datetime(2026, 1, 1, tzinfo=UTC)
RIGHT = Reading("one", START, timedelta(hours=1))
BOUNDS = Bounds(unremarkable=10, percent=50)

spans = st.timedeltas(min_value=timedelta(days=-20000), max_value=timedelta(days=20000))
passing = st.timedeltas(min_value=timedelta(), max_value=timedelta(days=20000))
moments = spans.map(lambda span: START + span)
readings = st.builds(Reading, st.sampled_from(["one", "two"]), moments, passing)
times = st.builds(
    Times, readings, st.none() | readings, st.none() | moments, st.none() | moments, st.none() | moments
)
counts = st.integers(0, 1000)
volumes = st.builds(
    lambda due, rest, earlier: Volume(due, due + rest, earlier),
    counts,
    counts,
    st.lists(st.integers(1, 1000), max_size=10),
)


def codes(reasons):
    return {reason.code for reason in reasons}


def usual(volume):
    ordered = sorted(volume.earlier)
    return ordered[len(ordered) // 2] if ordered else 0


def later(boot="one", *, wall=timedelta(), uptime=timedelta()):
    return Reading(boot, START + wall, RIGHT.uptime + uptime)


@given(wall=spans, uptime=passing)
def test_clocks_of_one_boot_part_by_more_than_five_minutes_or_the_time_is_right(wall, uptime):
    known = Times(later(wall=wall, uptime=uptime), RIGHT, START, START)
    against = codes(reasons_against_time(known))
    assert ("CLOCK_PARTED" in against) == (abs(wall - uptime) > PARTED)
    assert bool(against) == ("CLOCK_PARTED" in against)


@given(asleep=passing)
def test_a_machine_may_sleep_for_as_long_as_it_likes(asleep):
    assert reasons_against_time(Times(later(wall=asleep, uptime=asleep), RIGHT, START, START)) == ()


@given(off=passing, seen=passing)
def test_after_a_boot_the_time_may_not_be_further_than_a_machine_is_off(off, seen):
    known = Times(later("two", wall=seen + off), RIGHT, START + seen, START)
    assert codes(reasons_against_time(known)) == ({"CLOCK_AHEAD"} if off > SILENCE else set())


@given(back=passing)
def test_after_a_boot_the_time_may_not_lie_before_what_has_happened(back):
    expected = {"CLOCK_BEHIND"} if back > PARTED else set()
    by_event = Times(later("two"), None, None, START + back)
    by_look = Times(later("two"), RIGHT, START + back, START)
    assert codes(reasons_against_time(by_event)) == codes(reasons_against_time(by_look)) == expected


def test_what_is_known_to_be_dated_wrongly_does_not_count():
    future = START + timedelta(days=11000)
    known = Times(later("two"), RIGHT, START, future)
    assert codes(reasons_against_time(known)) == {"CLOCK_BEHIND"}
    assert reasons_against_time(replace(known, pardoned=future)) == ()


@given(times)
def test_a_time_that_was_confirmed_has_nothing_against_it(known):
    confirmed = replace(known, right=known.now, seen=known.now.wall, pardoned=known.newest)
    assert reasons_against_time(confirmed) == ()


@given(times, volumes)
def test_each_reason_is_listed_once_and_says_what_to_do(known, volume):
    for reasons in (reasons_against_time(known), reasons_against_volume(volume, BOUNDS)):
        assert len(codes(reasons)) == len(reasons)
        assert codes(reasons) <= CODES
        assert all(reason.text and reason.remedy for reason in reasons)


@pytest.mark.parametrize("code", sorted(CODES))
def test_every_code_has_a_remedy(code):
    assert Reason(code, "").remedy


@given(volumes)
def test_a_run_takes_no_more_than_three_times_the_usual(volume):
    against = codes(reasons_against_volume(volume, BOUNDS))
    limit = max(BOUNDS.unremarkable, TIMES * usual(volume))
    assert ("VOLUME_UNUSUAL" in against) == (volume.due > limit)


@given(volumes)
def test_a_run_takes_no_more_than_its_share_unless_that_is_usual(volume):
    against = codes(reasons_against_volume(volume, BOUNDS))
    part = volume.kept / 2
    remarkable = volume.due > max(BOUNDS.unremarkable, part)
    assert ("SHARE_UNUSUAL" in against) == (remarkable and usual(volume) <= part)


@given(volumes, counts)
def test_more_files_never_have_less_against_them(volume, more):
    larger = replace(volume, due=volume.due + more, kept=volume.kept + more)
    assert codes(reasons_against_volume(volume, BOUNDS)) <= codes(reasons_against_volume(larger, BOUNDS))


@given(volumes)
def test_few_files_have_nothing_against_them(volume):
    few = replace(volume, due=min(volume.due, BOUNDS.unremarkable))
    assert reasons_against_volume(few, BOUNDS) == ()


@given(volumes)
def test_what_was_confirmed_may_go_and_what_is_usual_besides(volume):
    assume(volume.due)
    more = largest(volume.earlier, BOUNDS)
    seen = replace(volume, confirmed=volume.due)
    assert reasons_against_volume(seen, BOUNDS) == ()
    with_more = replace(seen, due=volume.due + more, kept=volume.kept + more)
    assert reasons_against_volume(with_more, BOUNDS) == ()
    assert reasons_against_volume(replace(with_more, due=with_more.due + 1), BOUNDS)


@pytest.mark.parametrize("day", range(1, 30))
def test_a_link_that_loses_nearly_all_each_day_is_not_remarked(day):
    assert reasons_against_volume(Volume(1000, 1010, [1000] * day), BOUNDS) == ()


def test_one_great_run_does_not_make_the_next_usual():
    assert codes(reasons_against_volume(Volume(5000, 100_000, [*[50] * 8, 5000]), BOUNDS)) == {
        "VOLUME_UNUSUAL"
    }
