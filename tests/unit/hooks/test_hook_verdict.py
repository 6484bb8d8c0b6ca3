import pytest
from hypothesis import given
from hypothesis import strategies as st

from sftpd.errors import HookError
from sftpd.hooks.verdict import ACCEPTED, REASON_LIMIT, Kind, Verdict, combine, from_exit, printable_reason


@pytest.mark.parametrize(("status", "kind"), [(0, Kind.ACCEPT), (10, Kind.QUARANTINE), (20, Kind.REJECT)])
def test_three_statuses_have_a_meaning(status, kind):
    assert from_exit(status, b"why\nmore").kind is kind


@given(st.integers(-255, 255).filter(lambda status: status not in (0, 10, 20)))
def test_any_other_status_is_no_verdict(status):
    with pytest.raises(HookError):
        from_exit(status, b"accept")


def test_the_reason_is_the_first_line():
    assert from_exit(20, b"  too big \nsecond") == Verdict(Kind.REJECT, "too big")


def test_a_refusal_without_a_reason_has_a_plain_one():
    assert from_exit(20, b"\n").reason == "refused by policy"


@given(st.binary(max_size=3000))
def test_reasons_are_short_single_and_printable(output):
    reason = printable_reason(output)
    assert len(reason) <= REASON_LIMIT
    assert all(character.isprintable() for character in reason)


@given(st.lists(st.sampled_from([ACCEPTED, Verdict(Kind.QUARANTINE, "a"), Verdict(Kind.REJECT, "b")])))
def test_the_first_that_does_not_accept_decides(verdicts):
    refusals = [verdict for verdict in verdicts if not verdict.accepted]
    assert combine(verdicts) == (refusals[0] if refusals else ACCEPTED)


def test_verdicts_after_the_deciding_one_are_not_asked_for():
    verdicts = iter([ACCEPTED, Verdict(Kind.REJECT, "no"), ACCEPTED])
    combine(verdicts)
    assert list(verdicts) == [ACCEPTED]
