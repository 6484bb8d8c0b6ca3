"""How requests come in, how long there is to answer them, who decides, and who is reminded when."""

import json
from datetime import UTC, datetime, timedelta

import ledgers
import pytest
import sqlalchemy as sa
from erasure_scene import JAN, Links

from sftpd.audit.checkpoint import SigningKey
from sftpd.audit.event import seal
from sftpd.clock import SystemClock
from sftpd.erasure import records, reminders
from sftpd.erasure.desk import ErasureDesk
from sftpd.erasure.erasures import Digests, Erasures
from sftpd.erasure.request import State, Trigger
from sftpd.errors import RefusedError
from sftpd.ledger import tables
from sftpd.ledger.ledger import Ledger

MONDAY = datetime(2026, 6, 1, 10, tzinfo=UTC)
DUE = datetime(2026, 7, 1, 21, 59, 59, tzinfo=UTC)
"""A month after it, in Amsterdam."""


class At(SystemClock):
    """A clock that stands still until it is set."""

    def __init__(self, time):
        self.to(time)

    def to(self, time):
        self.time = time

    def now(self):
        return self.time


class Desk:
    """A desk with no files and a clock that the test sets; no search is made."""

    def __init__(self, root):
        self.clock = At(MONDAY)
        self.ledger = Ledger.open(ledgers.url(root / "ledger.db"), clock=self.clock, seal=sealed)
        self.links = Links(root, self.ledger)
        past = root / "erasures" / "ledger.jsonl"
        self.erasures = Erasures(self.ledger, past, "test", Digests(b"\3" * 32), self.clock)
        self.erasures.require_current()
        self.desk = ErasureDesk(self.ledger, None, self.erasures, self.links, SigningKey.generate("test"))
        self.intake = self.desk.intake

    def open(self, *identifiers, by="opener"):
        made = self.intake.made("demo", identifiers or [f"email={JAN}"], self.clock.now(), by)
        return self.intake.open(made)

    def step(self, request, *triggers):
        for trigger in triggers:
            self.ledger.write(lambda unit, trigger=trigger: records.advance(unit, request.id, trigger))

    def shown(self, request):
        return self.desk.show(request.id)

    def remind(self, *before):
        reminders.tell(self.ledger, lambda link: before)

    def events(self, *types):
        with self.ledger.read() as conn:
            leaves = [json.loads(leaf) for leaf in conn.scalars(sa.select(tables.outbox.c.leaf))]
        return [leaf["data"] for leaf in leaves if leaf["type"] in types]


def sealed(**event):
    return seal(**event, source="sftpd://test")


@pytest.fixture
def here(tmp_path):
    made = Desk(tmp_path)
    yield made
    made.erasures.close()
    made.ledger.close()


def test_the_term_stands_still_while_the_identity_is_asked_for(here):
    request = here.open()
    assert request.due_at == DUE
    here.clock.to(MONDAY + timedelta(days=3))
    here.intake.ask_identity(request.id, "officer")
    assert here.shown(request).state is State.IDENTITY_PENDING
    for refused in (here.desk.find, here.desk.run):
        with pytest.raises(RefusedError):
            refused(request.id)
    here.clock.to(MONDAY + timedelta(days=8, hours=2))
    here.intake.confirm_identity(request.id, "officer")
    shown = here.shown(request)
    assert (shown.state, shown.asked_at) == (State.RECEIVED, None)
    assert shown.paused == timedelta(days=5, hours=2)
    assert shown.due_at == DUE + timedelta(days=5)
    here.intake.ask_identity(request.id, "officer")
    here.clock.to(MONDAY + timedelta(days=10))
    here.intake.confirm_identity(request.id, "officer")
    assert here.shown(request).due_at == DUE + timedelta(days=7)
    assert len(here.events("erasure.identity_asked", "erasure.identity_confirmed")) == 4


def test_a_term_is_extended_once_and_only_before_it_ends(here):
    request, late = here.open(), here.open("email=piet@example.nl")
    here.clock.to(DUE)
    here.intake.extend(request.id, "officer", "there are many files")
    shown = here.shown(request)
    assert (shown.state, shown.extended_at) == (State.RECEIVED, DUE)
    assert shown.due_at == datetime(2026, 9, 1, 21, 59, 59, tzinfo=UTC)
    (told,) = here.events("erasure.extended")
    assert told["due"].startswith("2026-09-01T23:59:59")
    assert "many files" not in str(told)
    assert refusal(here.intake.extend, request.id, "officer", "again") == "ERASURE_EXTENDED"
    here.clock.to(DUE + timedelta(seconds=2))
    assert refusal(here.intake.extend, late.id, "officer", "too late") == "ERASURE_TERM"


def test_a_term_that_stands_still_has_not_ended(here):
    request = here.open()
    here.clock.to(DUE - timedelta(days=1))
    here.intake.ask_identity(request.id, "officer")
    here.clock.to(DUE + timedelta(days=9))
    here.intake.extend(request.id, "officer", "reason")
    here.intake.confirm_identity(request.id, "officer")
    assert here.shown(request).due_at == datetime(2026, 9, 11, 21, 59, 59, tzinfo=UTC)


def test_the_same_identifiers_make_a_duplicate_while_the_first_request_is_open(here):
    first = here.open(f"email={JAN}", "name=Jan de Vries")
    again = here.open("name=jan  de vries", f"email={JAN.upper()}")
    assert (again.state, again.duplicate_of) == (State.DUPLICATE, first.id)
    assert here.shown(again).identifiers == ()
    assert here.open(f"email={JAN}").state is State.RECEIVED
    assert [told["of"] for told in here.events("erasure.duplicate")] == [first.id]
    here.desk.deny(first.id, "officer", "mistaken")
    assert here.open(f"email={JAN}", "name=Jan de Vries").state is State.RECEIVED
    assert refusal(here.desk.deny, again.id, "officer", "x") == "ERASURE_STATE"


def test_a_processor_waits_for_the_instruction_of_its_controller(here):
    here.links.controller = False
    request = here.open()
    here.step(request, Trigger.SEARCH, Trigger.FINDINGS)
    assert refusal(here.desk.approve, request.id, "officer") == "NO_INSTRUCTION"
    assert here.intake.forward(request.id, "officer").forwarded_at == MONDAY
    assert refusal(here.desk.approve, request.id, "officer") == "NO_INSTRUCTION"
    here.intake.instruct(request.id, "officer", "their letter of today")
    here.desk.approve(request.id, "officer")
    assert here.shown(request).state is State.APPROVED
    assert "letter" not in str(here.events("erasure.instructed"))


def test_a_controller_forwards_nothing(here):
    request = here.open()
    assert refusal(here.intake.forward, request.id, "officer") == "NOT_PROCESSOR"
    assert refusal(here.intake.instruct, request.id, "officer", "x") == "NOT_PROCESSOR"


def test_each_reminder_is_told_once_and_of_what_was_missed_the_latest_alone(here):
    request, week, day = here.open(), timedelta(days=7), timedelta(days=1)
    told = []
    for moment in (
        MONDAY,
        DUE - week - timedelta(seconds=1),
        DUE - week,
        DUE - day,
        DUE,
        DUE + timedelta(seconds=1),
        DUE + week,
    ):
        here.clock.to(moment)
        for _ in range(2):
            here.remind(week, day)
        told.append(len(here.events("erasure.due_soon", "erasure.overdue")))
    assert told == [0, 0, 1, 2, 2, 3, 3]
    assert [each["before"] for each in here.events("erasure.due_soon")] == ["P7D", "P1D"]
    assert [each["request"] for each in here.events("erasure.overdue")] == [request.id]
    here.clock.to(MONDAY)
    here.open("email=piet@example.nl")
    here.clock.to(DUE + week)
    here.remind(week, day)
    assert len(here.events("erasure.due_soon")) == 2
    assert len(here.events("erasure.overdue")) == 2


def test_a_term_that_is_extended_is_reminded_of_again_and_one_that_stands_still_is_not(here):
    request, week = here.open(), timedelta(days=7)
    here.clock.to(DUE)
    here.remind(week)
    here.intake.extend(request.id, "officer", "reason")
    here.remind(week)
    assert len(here.events("erasure.due_soon")) == 1
    here.clock.to(DUE + timedelta(days=60))
    here.intake.ask_identity(request.id, "officer")
    here.clock.to(DUE + timedelta(days=61))
    here.remind(week)
    assert len(here.events("erasure.due_soon")) == 1
    here.intake.confirm_identity(request.id, "officer")
    here.remind(week)
    assert len(here.events("erasure.due_soon")) == 2


def test_the_gauges_count_terms_by_link(here):
    week = timedelta(days=7)

    def standing():
        with here.ledger.read() as conn:
            found = reminders.terms(conn, lambda link: [week], here.clock.now())
        return found.unanswered["demo"], found.due_soon["demo"], found.overdue["demo"]

    here.open()
    other = here.open("email=piet@example.nl")
    assert standing() == (2, 0, 0)
    here.clock.to(DUE - week)
    assert standing() == (2, 2, 0)
    here.desk.deny(other.id, "officer", "mistaken")
    here.clock.to(DUE + week)
    assert standing() == (1, 0, 1)


def refusal(step, *words):
    with pytest.raises(RefusedError) as refused:
        step(*words)
    return refused.value.reason
