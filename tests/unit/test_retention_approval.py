"""A standing approval: what of a scheduled run it covers."""

from datetime import UTC, datetime, timedelta

import pytest

from sftpd.retention.approval import Approval, reasons_against_run

NOW = datetime(2026, 6, 1, tzinfo=UTC)
RULES = frozenset({("daily", 1), ("daily", 2), ("yearly", 1)})


def approval(files=None, until=None):
    return Approval("1", "demo", RULES, files, until, "authority 7", "Ina", NOW)


@pytest.mark.parametrize(
    ("given", "steps", "code"),
    [
        (None, {("daily", 1): 1}, "APPROVAL_MISSING"),
        (approval(), {}, None),
        (approval(), {("daily", 2): 10**6, ("yearly", 1): 1}, None),
        (approval(), {("daily", 3): 1}, "APPROVAL_EXCEEDED"),
        (approval(), {("daily", 1): 1, ("monthly", 1): 1}, "APPROVAL_EXCEEDED"),
        (approval(files=5), {("daily", 1): 3, ("yearly", 1): 2}, None),
        (approval(files=5), {("daily", 1): 3, ("yearly", 1): 3}, "APPROVAL_EXCEEDED"),
        (approval(until=NOW + timedelta(seconds=1)), {("daily", 1): 1}, None),
        (approval(until=NOW), {("daily", 1): 1}, "APPROVAL_ENDED"),
    ],
)
def test_a_run_goes_as_far_as_it_is_approved(given, steps, code):
    assert [reason.code for reason in reasons_against_run(given, steps, NOW)] == ([code] if code else [])


def test_all_that_goes_beyond_is_told_with_what_to_do():
    (reason,) = reasons_against_run(approval(files=1), {("daily", 3): 1, ("other", 1): 4}, NOW)
    assert reason.text == (
        "version 3 of the rule daily is not approved; version 1 of the rule other is not approved; "
        "5 files are due, and a run of 1 is approved"
    )
    assert "sftpd retention approval give" in reason.remedy
