import itertools
import json
import threading

import pytest
from exchange_scene import open_ledger
from waiting import until

from sftpd.audit.checkpoint import SigningKey
from sftpd.clock import SystemClock
from sftpd.errors import AuditError, LedgerError
from sftpd.ledger import outbox
from sftpd.ledger.outbox import Event
from sftpd.service import sequencer as module
from sftpd.service.sequencer import Sequencer

KEY = SigningKey.generate("test")


@pytest.fixture
def ledger(tmp_path):
    ledger = open_ledger(tmp_path / "ledger.db", SystemClock())
    yield ledger
    ledger.close()


@pytest.fixture
def make(tmp_path, ledger):
    made = []

    def make():
        made.append(Sequencer(tmp_path / "audit", instance="test", key=KEY, ledger=ledger))
        made[-1].open(["demo", "other", "system"])
        return made[-1]

    yield make
    for sequencer in made:
        sequencer.stop()
        sequencer.close()


def record(ledger, number, link="demo", **private):
    event = Event("test.noted", link, {"number": number}, private)
    return ledger.write(lambda unit: unit.record(event))


def leaves(sequencer, name="demo"):
    log = sequencer._logs[name]
    return [json.loads(leaf) for leaf in log.leaves(0, log.size)]


def ids(sequencer, name="demo"):
    return [leaf["id"] for leaf in leaves(sequencer, name)]


def waiting(ledger):
    with ledger.read() as conn:
        return [event.event_id for event in outbox.pending(conn, 10_000)]


def test_events_reach_their_logs_in_the_order_of_their_commits(ledger, make):
    numbers = itertools.count()
    committed = []
    lock = threading.Lock()
    sequencer = make()
    sequencer.start()

    def write():
        for _ in range(50):
            with lock:
                number = next(numbers)
                event = Event("test.noted", "demo", {"n": number})
                done = ledger.submit(lambda unit, event=event: unit.record(event))
                committed.append(done)
            done.result()

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    until(lambda: not waiting(ledger))
    assert ids(sequencer) == [done.result() for done in committed]
    assert [leaf["data"]["n"] for leaf in leaves(sequencer)] == list(range(200))


def test_each_event_stands_in_the_log_of_its_link(ledger, make):
    links = {"demo": "demo", "other": "other", "system": None}
    told = {name: record(ledger, 1, link) for name, link in links.items()}
    sequencer = make()
    sequencer.drain()
    assert {name: ids(sequencer, name) for name in told} == {name: [event] for name, event in told.items()}
    assert sequencer.sizes() == {"demo": 1, "other": 1, "system": 1}
    assert waiting(ledger) == []


@pytest.mark.parametrize("restarted", [False, True])
def test_what_a_crash_left_in_log_and_outbox_is_not_appended_again(ledger, make, monkeypatch, restarted):
    told = [record(ledger, number) for number in range(5)]
    sequencer = make()
    with monkeypatch.context() as patched:
        patched.setattr(module, "_remove", _fail)
        with pytest.raises(LedgerError):
            sequencer.drain()
    assert waiting(ledger) == told
    if restarted:
        sequencer.close()
        sequencer = make()
    told.append(record(ledger, 5))
    sequencer.drain()
    assert ids(sequencer) == told
    assert waiting(ledger) == []


def test_a_log_that_cannot_be_written_keeps_its_events_and_holds_up_no_other(ledger, make, tmp_path):
    sequencer = make()
    obstacle = tmp_path / "audit" / "demo" / "scratch"
    obstacle.mkdir()
    kept = [record(ledger, number) for number in range(3)]
    told = record(ledger, 0, "other"), record(ledger, 0, None)
    with pytest.raises(AuditError):
        sequencer.drain()
    assert waiting(ledger) == kept
    assert (ids(sequencer, "other"), ids(sequencer, "system")) == ([told[0]], [told[1]])
    obstacle.rmdir()
    kept.append(record(ledger, 3))
    sequencer.drain()
    assert ids(sequencer) == kept
    assert waiting(ledger) == []


def test_events_of_a_log_that_fails_do_not_crowd_out_the_others(ledger, make, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_BATCH", 4)
    sequencer = make()
    (tmp_path / "audit" / "demo" / "scratch").mkdir()
    for number in range(10):
        record(ledger, number)
    told = record(ledger, 0, "other")
    with pytest.raises(AuditError):
        sequencer.drain()
    assert ids(sequencer, "other") == [told]
    (tmp_path / "audit" / "demo" / "scratch").rmdir()


def test_the_thread_tries_again_by_itself(ledger, make, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_RETRY", 0.01)
    sequencer = make()
    obstacle = tmp_path / "audit" / "demo" / "scratch"
    obstacle.mkdir()
    sequencer.start()
    told = record(ledger, 1)
    other = record(ledger, 1, "other")
    until(lambda: waiting(ledger) == [told])
    obstacle.rmdir()
    until(lambda: not waiting(ledger))
    assert ids(sequencer) == [told]
    assert ids(sequencer, "other") == [other]


def test_stopping_takes_what_is_left(ledger, make, tmp_path):
    sequencer = make()
    sequencer.start()
    told = [record(ledger, number) for number in range(20)]
    sequencer.stop()
    assert waiting(ledger) == []
    assert ids(sequencer) == told


def test_no_leaf_holds_a_private_value_and_each_can_be_opened(ledger, make):
    event = record(ledger, 1, path="geheim.csv", account="alice")
    sequencer = make()
    sequencer.drain()
    assert "geheim" not in str(leaves(sequencer))
    assert "alice" not in str(leaves(sequencer))
    with ledger.read() as conn:
        opened = outbox.openings(conn, event)
    assert {name: value for name, (_, value) in opened.items()} == {"path": "geheim.csv", "account": "alice"}
    assert set(leaves(sequencer)[0]["data"]["commitments"]) == {"path", "account"}


def _fail(events, unit):
    raise LedgerError("the disk is full")
