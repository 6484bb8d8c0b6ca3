from dataclasses import replace
from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest

from sftpd.errors import RefusedError
from sftpd.link.gate import Facts, reasons_against, require_open
from sftpd.link.lifecycle import LinkState
from sftpd.link.model import Terms

TERMS = Terms("conditions", "2", "00" * 32, date(2026, 7, 1))


def facts(state=LinkState.ACTIVE, terms=TERMS, accepted=True, today=date(2026, 7, 1)):
    return Facts(state, terms, accepted, today)


def codes(given):
    return [reason.code for reason in reasons_against(given)]


def test_an_active_link_whose_terms_are_accepted_may_be_used():
    assert codes(facts()) == []
    assert codes(facts(terms=None, accepted=False)) == []


@pytest.mark.parametrize("state", sorted(set(LinkState) - {LinkState.ACTIVE}))
def test_in_no_other_state_it_may(state):
    assert codes(facts(state)) == ["LINK_NOT_ACTIVE"]


def test_received_files_go_back_while_the_link_is_being_closed():
    may = {state for state in LinkState if not codes(replace(facts(state), going_back=True))}
    assert may == {LinkState.ACTIVE, LinkState.CLOSING}


def test_what_goes_back_at_the_end_needs_no_terms_that_the_link_was_closed_to_escape():
    back = replace(facts(LinkState.CLOSING, accepted=False), going_back=True)
    assert codes(back) == []
    assert codes(replace(back, state=LinkState.ACTIVE)) == ["TERMS_NOT_ACCEPTED"]
    assert codes(replace(back, going_back=False)) == ["LINK_NOT_ACTIVE", "TERMS_NOT_ACCEPTED"]


def test_terms_bind_from_their_day_on():
    assert codes(facts(accepted=False, today=date(2026, 6, 30))) == []
    assert codes(facts(accepted=False, today=date(2026, 7, 1))) == ["TERMS_NOT_ACCEPTED"]


@pytest.mark.parametrize(
    ("instant", "open_"),
    [
        (datetime(2026, 6, 30, 21, 59, 59, tzinfo=UTC), True),
        (datetime(2026, 6, 30, 22, 0, 0, tzinfo=UTC), False),
    ],
)
def test_the_day_begins_in_the_link_s_zone(instant, open_):
    today = instant.astimezone(ZoneInfo("Europe/Amsterdam")).date()
    assert (codes(facts(accepted=False, today=today)) == []) is open_


def test_every_reason_is_told_and_the_first_is_the_code():
    given = facts(LinkState.SUSPENDED, accepted=False)
    assert codes(given) == ["LINK_NOT_ACTIVE", "TERMS_NOT_ACCEPTED"]
    with pytest.raises(
        RefusedError, match=r"suspended; conditions 2 is in force since 2026-07-01"
    ) as refusal:
        require_open("demo", given)
    assert refusal.value.reason == "LINK_NOT_ACTIVE"
    assert "demo" in refusal.value.remedy


def test_an_open_gate_says_nothing():
    require_open("demo", facts())
