"""Reads of partners: recorded together, whatever became of a commit before."""

import threading
from functools import partial

import pytest
import sqlalchemy as sa

from sftpd.audit.event import seal
from sftpd.clock import SystemClock
from sftpd.exchange.reads import Reads
from sftpd.ledger.ledger import Ledger
from sftpd.ledger.outbox import Event


@pytest.fixture
def ledger(tmp_path):
    url = f"sqlite:///{tmp_path}/ledger.db"
    ledger = Ledger.open(url, clock=SystemClock(), seal=partial(seal, source="sftpd://test"))
    yield ledger
    ledger.close()


def trouble(unit):
    unit.conn.execute(sa.text("select * from no_such_table"))


def note(reads, name):
    reads.note(Event("file.fetched", "demo", {"name": name}, {}), None, (b"a.csv",), whole=True)


@pytest.mark.parametrize("fails", ["before its turn came", "after its turn"])
def test_a_commit_that_fails_loses_no_read(ledger, fails):
    told = []
    ledger.on_event(told.append)
    reads = Reads("demo", ledger)
    begun, go = threading.Event(), threading.Event()
    halt = ledger.submit(lambda _unit: (begun.set(), go.wait()))
    begun.wait()
    if fails == "after its turn":
        note(reads, "one")
    failed = ledger.submit(trouble)
    if fails == "before its turn came":
        note(reads, "one")
    go.set()
    halt.result()
    assert failed.exception() is not None

    note(reads, "two")
    ledger.settle()
    assert [event.public["name"] for event in told] == ["one", "two"]


def test_what_cannot_be_recorded_is_not_tried_again(ledger):
    told = []
    ledger.on_event(told.append)
    reads = Reads("demo", ledger)
    note(reads, object())
    ledger.settle()
    note(reads, "two")
    ledger.settle()
    assert [event.public["name"] for event in told] == ["two"]
