"""What comes between a plan and the removal of its files: holds, newer files, other rules, and crashes."""

import threading
from dataclasses import replace
from datetime import timedelta

import pytest
import sqlalchemy as sa
from retention_scene import OLD, RULES, Scene

from sftpd.errors import RefusedError
from sftpd.ledger import tables
from sftpd.periods import Period
from sftpd.retention import held, holds, removal, sweep, unfinished
from sftpd.retention.desk import RetentionDesk
from sftpd.retention.holds import HoldRequest
from sftpd.retention.removal import Target
from sftpd.retention.rule import Term
from sftpd.retention.scope import OfAccount, OfFile, OfFolder, OfLink, OfQuery
from sftpd.retention.sweep import Reach, Sweep
from sftpd.retention.timekeeper import Timekeeper

KEPT_LONGER = [
    replace(rule, version=2, term=Term(Period.parse("P7Y"))) if rule.id == "short" else rule for rule in RULES
]


class Crash(BaseException):
    """Ends a run as a kill does."""


@pytest.fixture
def scene(tmp_path):
    scene = Scene(tmp_path)
    (tmp_path / "download").mkdir()
    yield scene
    scene.ledger.close()


def place(scene, scope):
    return holds.place(scene.ledger, HoldRequest("demo", scope, "court case", "jan"))


def staged(scene, content, path):
    part = scene.folder / "staging" / path
    part.parent.mkdir(parents=True, exist_ok=True)
    part.write_bytes(content)
    with scene.roots_of("staging") as area:
        unfinished.note(scene.ledger, "demo", area)
    return part


def rows(scene):
    file = tables.kept_file.c
    with scene.ledger.read() as conn:
        return conn.execute(sa.select(file.id, file.folder, file.path, file.state)).all()


def crash_in(scene, monkeypatch, where, what):
    def die(*_):
        raise Crash

    with monkeypatch.context() as patched:
        patched.setattr(where, what, die)
        with pytest.raises(Crash):
            scene.run()


def once_intended(monkeypatch, do):
    def intend(*arguments, real=Sweep._intend, **named):
        intents = real(*arguments, **named)
        do()
        return intents

    monkeypatch.setattr(Sweep, "_intend", intend)


@pytest.mark.parametrize("folder", ["inbound", "download"])
def test_a_hold_on_either_place_of_a_file_that_was_given_back_is_seen_to_the_last(scene, monkeypatch, folder):
    scene.receive(b"a.back")
    scene.run()
    scene.clock.time += timedelta(days=40)
    once_intended(monkeypatch, lambda: place(scene, OfFolder(folder)))
    assert set(scene.run().values()) == {"held"}
    assert (scene.folder / "download/returned/a.back").exists()
    with scene.ledger.read() as conn:
        assert held.on_path(conn, OLD, "demo", "download", b"returned/a.back").scope == OfFolder(folder)


@pytest.mark.parametrize("by", ["file", "account", "receipt"])
def test_an_unfinished_upload_goes_with_no_other_file_if_it_is_held_itself(scene, by):
    scene.receive(b"a.csv")
    part = staged(scene, b"a.csv", "bob/upload/x.tmp")
    (staging,) = (row for row in rows(scene) if row.folder == "staging")
    scopes = {
        "file": OfFile(staging.id, "staging/bob/upload/x.tmp"),
        "account": OfAccount("bob"),
        "receipt": OfQuery(since=OLD - timedelta(seconds=1)),
    }
    place(scene, scopes[by])
    assert scene.run() == {"a.csv": "disposed"}
    assert part.exists()


def test_an_unfinished_upload_is_the_same_file_when_more_of_it_has_come(scene):
    part = staged(scene, b"half", "alice/upload/x.tmp")
    place(scene, OfFile(rows(scene)[0].id, "staging/alice/upload/x.tmp"))
    staged(scene, b"half and more", "alice/upload/x.tmp")
    scene.clock.time += timedelta(days=1)
    scene.run()
    assert part.exists()


def test_once_a_hold_is_said_to_stand_nothing_goes_that_it_covers(scene, monkeypatch):
    scene.receive(b"a.csv", b"b.csv")
    said = []

    def order():
        place(scene, OfLink())
        scene.desk.catch_up()
        said.append(scene.left())

    orders = threading.Thread(target=order)
    first = iter([True])

    def remove(*arguments, real=Target.remove):
        if next(first, False):
            orders.start()
            orders.join(0.5)
        return real(*arguments)

    monkeypatch.setattr(Target, "remove", remove)
    scene.run()
    orders.join()
    assert said == [scene.left()]


def test_a_newer_file_is_published_before_or_after_the_removal_of_the_older_one(scene, monkeypatch):
    scene.receive(b"a.csv")

    def publish():
        with scene.roots.alone(scene.inbound, (b"a.csv",)):
            (scene.folder / "newer").write_bytes(b"newer")
            (scene.folder / "newer").rename(scene.inbound / "a.csv")

    partner = threading.Thread(target=publish)

    def look(*arguments, real=removal._is_in_use):
        found = real(*arguments)
        partner.start()
        partner.join(0.5)
        return found

    monkeypatch.setattr(removal, "_is_in_use", look)
    scene.run()
    partner.join()
    assert (scene.inbound / "a.csv").read_bytes() == b"newer"


def test_a_run_goes_no_further_under_rules_that_are_no_longer_in_force(scene, monkeypatch):
    scene.receive(*(b"%03d" % number for number in range(3 * sweep._UNSEEN)))
    reload = threading.Thread(target=scene.desk.adopt, args=(KEPT_LONGER, scene.bounds, Reach()))
    first = iter([True])

    def remove(*arguments, real=Target.remove):
        if next(first, False):
            reload.start()
            while scene.desk._rules == tuple(RULES):
                pass
        return real(*arguments)

    monkeypatch.setattr(Target, "remove", remove)
    with pytest.raises(RefusedError) as refusal:
        scene.run()
    reload.join()
    assert refusal.value.reason == "RULES_CHANGED"
    assert len(scene.left()) == 2 * sweep._UNSEEN
    results = [row.result for row in scene.desk.report()]
    assert (results.count("disposed"), results.count("not_due")) == (sweep._UNSEEN, 2 * sweep._UNSEEN)


def test_after_a_crash_what_the_rules_no_longer_want_gone_stays(scene, monkeypatch):
    scene.receive(b"a.csv")
    crash_in(scene, monkeypatch, Target, "remove")
    keeper = Timekeeper(scene.ledger, scene.clock)
    desk = RetentionDesk(scene.ledger, KEPT_LONGER, scene.roots, keeper, scene.clock)
    assert [result.value for result in desk.recover().values()] == ["not_due"]
    assert scene.left() == {b"a.csv"}


def test_what_a_crash_had_let_go_is_not_told_to_be_held(scene, monkeypatch):
    scene.receive(b"a.csv", b"b.back")
    crash_in(scene, monkeypatch, sweep, "conclude")
    place(scene, OfLink())
    assert sorted(result.value for result in scene.desk.recover().values()) == ["gone", "returned"]
    places = {(row.folder, row.path, row.state) for row in rows(scene)}
    assert places == {("inbound", b"a.csv", "disposed"), ("download", b"returned/b.back", "present")}
