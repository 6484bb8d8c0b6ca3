"""Files that wait too long: those of pulled routes, and what the ledger is told of those of any route."""

import os
from datetime import UTC, datetime, timedelta

import pytest
from exchange_scene import Scene

from sftpd.erasure import openings
from sftpd.erasure.identifiers import parse_identifier
from sftpd.errors import LedgerError, RemoteRefusedError
from sftpd.exchange.overdue import LinkWaits
from sftpd.exchange.waits import Reason

HOUR = 3600.0


class FakeClock:
    def __init__(self):
        self.seconds = 1000.0

    def monotonic(self):
        return self.seconds

    def now(self):
        return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=self.seconds)


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def scene(tmp_path):
    with Scene(tmp_path, then="leave") as scene:
        yield scene


@pytest.fixture
def waits(scene, clock):
    return LinkWaits("demo", scene.ledger, clock, {"in": HOUR}, None)


def overdue(waits):
    return [(one.route, one.reason.value, one.files, one.paths) for one in waits.overdue()]


def offered(scene, name, content, mtime=1_700_000_000):
    path = scene.remote.folder / "in" / name
    path.write_bytes(content)
    os.utime(path, (mtime, mtime))


def test_a_file_at_a_remote_that_never_stands_still_is_told_of_and_so_is_that_it_came(scene, clock, waits):
    collector = scene.collects("leave", clock=clock, settle=timedelta(seconds=5), waits=waits.routes["in"])
    for number in range(5):
        offered(scene, "log.csv", b"x" * number)
        collector.collect()
        waits.tell()
        clock.seconds += HOUR / 4
    assert scene.events() == {"waiting.overdue": 1}
    assert overdue(waits) == [("in", "changing", 1, ["log.csv"])]
    (one,) = waits.overdue()
    assert one.since == datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=1000)
    assert collector.collect().fetched == 1
    waits.tell()
    assert scene.events() == {"waiting.overdue": 1, "waiting.ended": 1, "transfer.received": 1}
    assert overdue(waits) == []


def test_a_file_that_the_remote_does_not_give_is_told_of(scene, clock, waits):
    collector = scene.collects("leave", clock=clock, settle=timedelta(0), waits=waits.routes["in"])
    offered(scene, "secret.csv", b"x")
    scene.remote.faults["download"] = [RemoteRefusedError("permission denied")] * 3
    for _ in range(3):
        collector.collect()
        clock.seconds += HOUR / 2
    assert overdue(waits) == [("in", "not_fetched", 1, ["secret.csv"])]
    assert collector.collect().fetched == 1
    assert overdue(waits) == []


def test_a_file_that_stays_unfinished_at_the_remote_is_told_of_until_it_has_its_name(scene, clock, waits):
    meant = {"settle": timedelta(0), "include": ("*.csv",), "exclude": ("x*",), "recursive": True}
    collector = scene.collects("leave", clock=clock, waits=waits.routes["in"], **meant)
    (scene.remote.folder / "in/d").mkdir()
    for name in ("d/a.csv.PART", "a.txt.part", "x.csv.tmp", ".b.csv.part", "~"):
        offered(scene, name, b"half")
    for number in range(3):
        collector.collect()
        assert overdue(waits) == [], "it is being written"
        clock.seconds += HOUR
        offered(scene, "d/a.csv.PART", b"half" * (number + 2))
    for _ in range(2):
        collector.collect()
        clock.seconds += HOUR
    waits.tell()
    assert overdue(waits) == [("in", "unfinished", 1, ["d/a.csv.PART"])]
    (scene.remote.folder / "in/d/a.csv.PART").rename(scene.remote.folder / "in/d/a.csv")
    assert collector.collect().fetched == 1
    waits.tell()
    assert scene.events() == {"waiting.overdue": 1, "waiting.ended": 1, "transfer.received": 1}


def test_what_was_moved_away_in_the_folder_that_is_looked_at_does_not_wait(scene, clock, waits):
    away = {"settle": timedelta(0), "recursive": True, "move_to": "/in/done"}
    collector = scene.collects("move", clock=clock, waits=waits.routes["in"], **away)
    (scene.remote.folder / "in/done").mkdir()
    offered(scene, "done/a.csv.part", b"half")
    for _ in range(2):
        collector.collect()
        clock.seconds += HOUR
    assert overdue(waits) == []


def test_one_that_goes_there_waits_no_more(scene, clock, waits):
    collector = scene.collects("leave", clock=clock, settle=timedelta(days=1), waits=waits.routes["in"])
    offered(scene, "a", b"x")
    for _ in range(2):
        collector.collect()
        clock.seconds += HOUR
    assert overdue(waits) == [("in", "changing", 1, ["a"])]
    (scene.remote.folder / "in/a").unlink()
    collector.collect()
    assert overdue(waits) == []


def test_what_replaces_it_at_a_reload_goes_on_and_tells_nothing_twice(scene, clock, waits):
    for _ in range(2):
        waits.routes["in"].see((b"a",), Reason.OPEN, clock.seconds)
        clock.seconds += HOUR
    waits.tell()
    after = LinkWaits("demo", scene.ledger, clock, {"in": HOUR, "new": HOUR}, waits)
    after.tell()
    assert scene.events() == {"waiting.overdue": 1}
    assert overdue(after) == overdue(waits) != []
    later = LinkWaits("demo", scene.ledger, clock, {"in": 2 * HOUR}, after)
    assert overdue(later) == []


def test_what_could_not_be_recorded_is_told_later(scene, clock, waits, monkeypatch):
    for _ in range(2):
        waits.routes["in"].see((b"a",), Reason.OPEN, clock.seconds)
        clock.seconds += HOUR

    def fails(work):
        raise LedgerError("disk full")

    with monkeypatch.context() as patch:
        patch.setattr(scene.ledger, "write", fails)
        with pytest.raises(LedgerError):
            waits.tell()
    waits.tell()
    assert scene.events() == {"waiting.overdue": 1}


def test_the_names_it_tells_are_found_for_a_deletion_request_and_no_others(scene, clock, waits):
    for _ in range(2):
        for name in (b"a.csv", b"letter to jan@example.nl.txt", b"\xff"):
            waits.routes["in"].see((b"d", name), Reason.OPEN, clock.seconds)
        clock.seconds += HOUR
    waits.tell()
    with scene.ledger.read() as conn:
        found = openings.of_names(conn, "demo", [parse_identifier("email=jan@example.nl")], (), ())
        other = openings.of_names(conn, "demo", [parse_identifier("email=piet@example.nl")], (), ())
    assert (len(found), other) == (1, [])
    scene.ledger.write(lambda unit: openings.forget(unit, found, openings.OF_NAMES))
    with scene.ledger.read() as conn:
        assert openings.of_names(conn, "demo", [parse_identifier("email=jan@example.nl")], (), ()) == []
