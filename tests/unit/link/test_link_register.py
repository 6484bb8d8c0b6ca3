import threading
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from exchange_scene import open_ledger
from folders import quick_folder

from sftpd.clock import SystemClock
from sftpd.errors import NotFoundError, RefusedError
from sftpd.ledger import outbox
from sftpd.link import register as register_module
from sftpd.link.folders import Folders
from sftpd.link.lifecycle import LinkState, LinkStep
from sftpd.link.model import Link, Terms
from sftpd.link.register import LinkRegister

TERMS = Terms("conditions", "1", "00" * 32, date(2026, 7, 1))
ZONE = ZoneInfo("Europe/Amsterdam")


class At(SystemClock):
    time = datetime(2026, 7, 1, tzinfo=UTC)

    def now(self):
        return self.time


def link(name, terms):
    folders = Folders(Path("/nowhere"))
    return Link(name, "ACME", ZONE, folders, folders.root, terms, (), (), (), (), {})


@pytest.fixture
def ledger():
    with quick_folder() as folder:
        ledger = open_ledger(folder / "ledger.db", At())
        yield ledger
        ledger.close()


@pytest.fixture
def register(ledger):
    register = LinkRegister([link("bare", None), link("bound", TERMS)], ledger, At())
    register.enrol()
    return register


def events(ledger):
    with ledger.read() as conn:
        return len(outbox.pending(conn, 100))


def test_a_link_with_terms_waits_for_their_acceptance(register):
    assert register.standing("bare").state is LinkState.ACTIVE
    assert register.standing("bound").state is LinkState.REGISTERED
    register.require_open("bare")
    with pytest.raises(RefusedError):
        register.require_open("bound")


def test_acceptance_activates_it(register):
    register.accept("bound", by="ann")
    register.require_open("bound")


def test_accepting_again_changes_and_records_nothing(register, ledger):
    register.accept("bound", by="ann")
    before = events(ledger)
    register.accept("bound", by="ben")
    assert events(ledger) == before


def test_enrolling_again_changes_and_records_nothing(register, ledger):
    before = events(ledger)
    register.move("bare", LinkStep.SUSPEND, by="ann", reason="a leak")
    register.enrol()
    standing = register.standing("bare")
    assert (standing.state, standing.reason, standing.since) == (LinkState.SUSPENDED, "a leak", At.time)
    assert events(ledger) == before + 1


def test_new_terms_block_from_their_day_until_accepted(ledger, register):
    register.accept("bound", by="ann")
    newer = replace(TERMS, version="2", sha256="11" * 32, effective=date(2026, 7, 2))
    clock = At()
    changed = LinkRegister([link("bound", newer)], ledger, clock)
    clock.time = datetime(2026, 7, 1, 21, 59, 59, tzinfo=UTC)
    changed.require_open("bound")
    clock.time = datetime(2026, 7, 1, 22, tzinfo=UTC)
    with pytest.raises(RefusedError) as refusal:
        changed.require_open("bound")
    assert refusal.value.reason == "TERMS_NOT_ACCEPTED"
    changed.accept("bound", by="ann")
    changed.require_open("bound")


def test_what_closes_a_link_counts_at_once(register):
    register.accept("bound", by="ann")
    register.require_open("bound")
    register.move("bound", LinkStep.SUSPEND, by="ann")
    with pytest.raises(RefusedError, match="suspended"):
        register.require_open("bound")
    register.move("bound", LinkStep.RESUME, by="ann")
    register.require_open("bound")
    register.adopt([link("bound", replace(TERMS, version="2", sha256="11" * 32))])
    with pytest.raises(RefusedError, match="not accepted"):
        register.require_open("bound")


def test_what_was_read_before_a_change_is_not_remembered_after_it(register, ledger, monkeypatch):
    reading, changed = threading.Event(), threading.Event()
    read = register_module._standing

    def slowly(conn, name):
        found = read(conn, name)
        reading.set()
        assert changed.wait(10)
        return found

    monkeypatch.setattr(register_module, "_standing", slowly)
    asking = threading.Thread(target=register.require_open, args=("bare",))
    asking.start()
    reading.wait()
    monkeypatch.undo()
    ledger.on_commit(changed.set)
    register.move("bare", LinkStep.SUSPEND, by="ann")
    asking.join()
    with pytest.raises(RefusedError, match="suspended"):
        register.require_open("bare")


def test_an_impossible_step_is_refused_and_recorded_nowhere(register, ledger):
    before = events(ledger)
    with pytest.raises(RefusedError):
        register.move("bare", LinkStep.RESUME, by="ann")
    assert events(ledger) == before
    assert register.standing("bare").state is LinkState.ACTIVE


def test_a_link_that_is_not_configured_is_not_found(register):
    with pytest.raises(NotFoundError, match="one of bare, bound"):
        register.get("other")
    with pytest.raises(NotFoundError):
        register.move("other", LinkStep.SUSPEND, by="ann")


def test_terms_that_are_not_there_cannot_be_accepted(register):
    with pytest.raises(RefusedError):
        register.accept("bare", by="ann")
