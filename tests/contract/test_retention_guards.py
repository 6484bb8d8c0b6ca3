"""The guards on a real ledger and real files: what freezes a run, who is told, and how it thaws."""

import ast
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from datetime import timedelta
from functools import partial

import pytest
import retention_scene
import sqlalchemy as sa
from namespaces import run_apart
from retention_scene import At, Scene

from sftpd.clock import SystemClock
from sftpd.errors import RefusedError
from sftpd.ledger import tables
from sftpd.retention import freezes, holds
from sftpd.retention.desk import Confirmation
from sftpd.retention.guards import RESTORED, VOLUME, Bounds, Reason
from sftpd.retention.holds import HoldRequest
from sftpd.retention.scope import OfLink
from sftpd.retention.sweep import BATCH

YEARS = timedelta(days=30 * 365)
HOLDER = """
import mmap, os, sys
fd = os.open(sys.argv[1], int(sys.argv[2]))
if sys.argv[3] == "mapped":
    held = mmap.mmap(fd, 0, prot=mmap.PROT_READ)
    os.close(fd)
print("open", flush=True)
sys.stdin.read()
"""
MOUNTS = """
import subprocess, sys
from pathlib import Path
sys.path.insert(0, "contract")
from retention_scene import Scene
from sftpd.errors import RefusedError
from sftpd.ledger import tables

def mount(*words):
    subprocess.run(["mount", *map(str, words)], check=True)

def attempt():
    try:
        print(scene.run())
    except RefusedError as error:
        print(error.reason)

scene = Scene(Path(sys.argv[1]))
inbound = scene.inbound
mount("-t", "tmpfs", "none", inbound)
scene.receive(b"a.csv", b"deep/b.csv", b"deep/c.csv")
scene.roots.mark([("demo", "inbound")])
subprocess.run(["umount", "--lazy", inbound], check=True)
(inbound / "stray").touch()
attempt()
mount("-t", "tmpfs", "none", inbound)
(inbound / "stray").touch()
attempt()
other = scene.folder / "other"
other.mkdir()
(other / "stray").touch()
mount("--bind", other, inbound)
attempt()
with scene.ledger.read() as conn:
    print(sorted({row.state for row in conn.execute(tables.kept_file.select())}))
"""
OVER = """
import subprocess, sys
from pathlib import Path
sys.path.insert(0, "contract")
from retention_scene import Scene

scene = Scene(Path(sys.argv[1]))
scene.receive(b"a.csv", b"deep/b.csv")
empty = scene.folder / "empty"
empty.mkdir()
subprocess.run(["mount", "--bind", empty, scene.inbound / "deep"], check=True)
print(scene.run())
subprocess.run(["umount", scene.inbound / "deep"], check=True)
print(scene.run())
"""


@pytest.fixture
def scene(tmp_path):
    scene = Scene(tmp_path)
    yield scene
    scene.ledger.close()


@pytest.fixture
def strict(tmp_path):
    """Of a link's files no more than five are unremarkable."""
    scene = Scene(tmp_path, bounds=Bounds(unremarkable=5))
    yield scene
    scene.ledger.close()


def events(scene):
    """The events of freezing and thawing: type, link and reasons."""
    with scene.ledger.read() as conn:
        leaves = [json.loads(leaf) for leaf in conn.scalars(sa.select(tables.outbox.c.leaf))]
    return [
        (leaf["type"].removeprefix("retention."), *leaf["data"]["reasons"])
        for leaf in leaves
        if leaf["type"] in ("retention.frozen", "retention.unfrozen")
    ]


def frozen(scene):
    return [(str(freeze.scope), freeze.reason.code) for freeze in scene.desk.frozen()]


def refused(work, *arguments):
    with pytest.raises(RefusedError) as error:
        work(*arguments)
    assert error.value.remedy
    return error.value.reason


def numbered(count, start=0):
    return [b"%05d" % number for number in range(start, start + count)]


# The time.


def test_a_clock_that_jumps_thirty_years_disposes_of_nothing_and_says_so_once(scene):
    scene.receive(b"a.csv", b"b.keep")
    assert scene.desk.against(scene.desk.plan()) == []
    scene.clock.set_by = YEARS
    for attempt in (scene.run, scene.desk.run_due, scene.desk.recover, scene.run):
        assert refused(attempt) == "CLOCK_PARTED"
    assert scene.left() == {b"a.csv", b"b.keep"}
    assert frozen(scene) == [("all links", "CLOCK_PARTED")]
    assert events(scene) == [("frozen", "CLOCK_PARTED")]
    (told,) = scene.desk.against(scene.desk.plan())
    assert told.reason.text == "the clock went ahead by 10950 days"


def test_a_clock_that_is_right_again_thaws(scene):
    scene.receive(b"a.csv", b"b.keep")
    assert scene.desk.frozen() == []
    scene.desk.recover()
    for wrong in (YEARS, -YEARS):
        scene.clock.set_by = wrong
        assert refused(scene.run) == "CLOCK_PARTED"
    scene.clock.set_by = timedelta()
    assert scene.run() == {"a.csv": "disposed"}
    assert scene.left() == {b"b.keep"}
    assert events(scene)[-1] == ("unfrozen", "CLOCK_BEHIND", "CLOCK_PARTED")


@pytest.mark.parametrize("start", ["the same boot", "another boot"])
def test_a_restart_thaws_nothing(scene, start):
    scene.receive(b"a.csv", b"b.keep")
    scene.desk.recover()
    scene.clock.set_by = YEARS
    assert refused(scene.run) == "CLOCK_PARTED"
    scene.clock.boot = scene.clock.boot if start == "the same boot" else "second"
    again = scene.again(scene.clock)
    assert len(frozen(again)) == 1
    assert refused(again.run) == ("CLOCK_PARTED" if start == "the same boot" else "CLOCK_AHEAD")
    assert again.left() == {b"a.csv", b"b.keep"}
    again.ledger.close()


def test_a_jump_that_nobody_saw_before_a_restart_is_seen_after_it(scene):
    scene.receive(b"a.csv")
    scene.desk.recover()
    again = scene.again(scene.clock)
    scene.clock.set_by = YEARS
    assert refused(again.run) == "CLOCK_PARTED"
    again.ledger.close()


def test_a_machine_that_slept_is_not_taken_for_a_clock_that_jumped(scene):
    scene.receive(b"a.csv")
    scene.desk.recover()
    scene.clock.time += timedelta(days=300)
    assert scene.run() == {"a.csv": "disposed"}
    assert events(scene) == []


def test_the_time_a_machine_sleeps_is_part_of_its_uptime():
    """A time namespace moves CLOCK_BOOTTIME alone, as a sleep does (time_namespaces(7))."""
    apart = ["unshare", "--user", "--map-root-user", "--time", "--fork", "--boottime", "86400"]
    ask = "from sftpd.clock import SystemClock as C; print(C().uptime().lasted.total_seconds())"
    done = subprocess.run(
        [*apart, sys.executable, "-c", ask], capture_output=True, text=True, timeout=60, check=False
    )
    if done.returncode:
        pytest.skip(f"time namespaces are not permitted here: {done.stderr}")
    assert 86400 <= float(done.stdout) - SystemClock().uptime().lasted.total_seconds() + 60 < 86520


@pytest.mark.parametrize(("off", "reason"), [(3, None), (31, "CLOCK_AHEAD")])
def test_a_machine_that_was_off_for_a_month_waits_for_somebody(scene, off, reason):
    scene.receive(b"a.csv")
    scene.desk.recover()
    again = scene.again(At(scene.clock.time + timedelta(days=off), "second"))
    if reason is not None:
        assert refused(again.run) == reason
        assert refused(again.desk.unfreeze, "demo", "jan", "it was off") == "NOT_FROZEN"
        again.desk.unfreeze(None, "jan", "it was off")
        assert events(again) == [("frozen", reason), ("unfrozen", reason)]
    assert again.run() == {"a.csv": "disposed"}
    assert refused(again.desk.unfreeze, None, "jan", "it was off") == "NOT_FROZEN"
    again.ledger.close()


def test_a_confirmation_that_fails_confirms_nothing(scene, tmp_path):
    scene.receive(b"a.csv")
    scene.roots.mark([("demo", "inbound")])
    scene.inbound.rename(tmp_path / "away")
    scene.inbound.mkdir()
    assert refused(scene.run) == "FOLDER_REPLACED"
    scene.inbound.rmdir()
    scene.clock.set_by = timedelta(hours=1)
    assert refused(scene.desk.unfreeze, None, "jan", "all is well") == "FOLDER_MISSING"
    assert refused(scene.run) == "CLOCK_PARTED"
    assert frozen(scene) == [("all links", "CLOCK_PARTED"), ("demo/inbound", "FOLDER_REPLACED")]


def test_a_clock_behind_the_newest_event_waits_until_it_is_not(scene):
    scene.receive(b"a.csv")
    scene.desk.recover()
    again = scene.again(At(scene.clock.time - timedelta(days=1), "second"))
    assert refused(again.run) == "CLOCK_BEHIND"
    again.clock.time += timedelta(days=1)
    assert again.run() == {"a.csv": "disposed"}
    again.ledger.close()


def test_events_dated_by_a_wrong_clock_do_not_count_once_somebody_confirmed_the_time(scene):
    scene.receive(b"a.csv")
    scene.desk.recover()
    scene.clock.set_by = YEARS
    assert refused(scene.run) == "CLOCK_PARTED"
    again = scene.again(At(scene.clock.time, "second"))
    assert refused(again.run) == "CLOCK_BEHIND"
    again.desk.unfreeze(None, "jan", "looked at my watch")
    third = again.again(At(scene.clock.time, "third"))
    assert third.run() == {"a.csv": "disposed"}
    third.ledger.close()


def test_a_ledger_that_has_no_mark_yet_is_compared_with_its_newest_event(scene):
    scene.receive(b"a.csv")
    scene.clock.set_by = -YEARS
    with scene.ledger.read() as conn:
        assert conn.execute(tables.clock_mark.select()).all() == []
    scene.ledger.write(lambda unit: unit.record(retention_scene.an_event()))
    again = scene.again(At())
    assert refused(again.run) == "CLOCK_AHEAD"
    again.ledger.close()


def test_a_clock_that_jumps_in_the_middle_of_a_run_ends_it(scene):
    scene.receive(*numbered(BATCH + 100), b"b.keep")
    scene.desk.recover()
    planned = scene.desk.plan().hash
    remove = scene.desk._sweep._finish

    def finish(intents, *rest, **named):
        scene.clock.set_by = YEARS
        return remove(intents, *rest, **named)

    scene.desk._sweep._finish = finish
    assert refused(scene.desk.run, planned) == "CLOCK_PARTED"
    assert len(scene.left()) == 101
    assert Counter(row.result for row in scene.desk.report()) == {"disposed": BATCH}


# The volume.


def test_more_than_usual_is_refused_until_somebody_names_the_number(strict):
    strict.receive(*numbered(20), b"b.keep")
    run = partial(strict.desk.run, strict.desk.plan().hash)
    assert refused(run) == refused(run) == "VOLUME_UNUSUAL"
    assert refused(run, Confirmation(19, "jan")) == "VOLUME_NOT_CONFIRMED"
    assert len(strict.left()) == 21
    assert frozen(strict) == [("demo", "SHARE_UNUSUAL"), ("demo", "VOLUME_UNUSUAL")]
    assert len(run(Confirmation(20, "jan"))) == 20
    both = ("VOLUME_UNUSUAL", "SHARE_UNUSUAL")
    assert events(strict) == [("frozen", *both), ("unfrozen", *both)]
    assert strict.left() == {b"b.keep"}
    assert frozen(strict) == []


def test_the_usual_is_what_earlier_runs_took(strict):
    strict.receive(*numbered(200, 1000))
    kept = [b"%d.keep" % number for number in range(1000)]
    strict.receive(*kept)
    strict.desk.run(strict.desk.plan().hash, Confirmation(200, "jan"))
    strict.receive(*numbered(600, 2000))
    assert len(strict.run()) == 600
    strict.receive(*numbered(1801, 3000))
    assert refused(strict.run) == "VOLUME_UNUSUAL"


def test_the_schedule_leaves_out_the_link_that_takes_too_much_and_runs_the_others(strict):
    strict.receive(*numbered(20))
    strict.receive(b"x.csv", link="other", folder="others")
    strict.desk.run_due()
    strict.desk.run_due()
    assert len(strict.left()) == 20
    assert not (strict.folder / "others/x.csv").exists()
    assert frozen(strict) == [("demo", "SHARE_UNUSUAL"), ("demo", "VOLUME_UNUSUAL")]
    assert len(events(strict)) == 1
    strict.desk.unfreeze("demo", "jan", "a year's files at once")
    strict.desk.run_due()
    assert strict.left() == set()


def test_what_was_confirmed_holds_for_one_run(strict):
    strict.receive(*numbered(20))
    strict.desk.run_due()
    strict.desk.unfreeze(None, "jan", "looked at it")
    strict.desk.run_due()
    strict.receive(*numbered(70, 100))
    strict.desk.run_due()
    assert len(strict.left()) == 70


def test_a_volume_that_is_no_longer_due_thaws(strict):
    strict.receive(*numbered(20))
    strict.desk.run_due()
    for name in numbered(15):
        (strict.inbound / name.decode()).unlink()
    gone = tables.kept_file.update().where(tables.kept_file.c.path < b"00015").values(state="absent")
    strict.ledger.write(lambda unit: unit.conn.execute(gone))
    strict.desk.run_due()
    assert strict.left() == set()
    assert [kind for kind, *_ in events(strict)] == ["frozen", "unfrozen"]


@pytest.mark.parametrize("when_left", [490, 300])
def test_after_a_kill_in_a_confirmed_run_the_rest_may_go_and_no_more(tmp_path, when_left):
    scene = Scene(tmp_path, bounds=Bounds(unremarkable=5))
    scene.receive(*numbered(BATCH + 100), b"a.keep")
    scene.ledger.close()
    kill_at(tmp_path, when_left, "5")

    scene = Scene(tmp_path, bounds=Bounds(unremarkable=5))
    scene.desk.recover()
    assert len(scene.left()) > 1
    scene.desk.run_due()
    assert scene.left() == {b"a.keep"}
    assert all(row.result in ("disposed", "gone") for row in scene.desk.report())
    scene.ledger.close()


def test_after_a_kill_nothing_goes_on_while_the_clock_is_wrong(tmp_path):
    scene = Scene(tmp_path)
    scene.receive(*numbered(500), b"a.keep")
    scene.ledger.close()
    kill_at(tmp_path, 400, "1000")

    wrong = At()
    wrong.set_by = YEARS
    scene = Scene(tmp_path, wrong)
    left = scene.left()
    for attempt in (scene.desk.recover, scene.desk.run_due):
        assert refused(attempt) == "CLOCK_PARTED"
    assert scene.left() == left
    scene = scene.again(At())
    scene.desk.run_due()
    assert scene.left() == {b"a.keep"}
    scene.ledger.close()


def test_after_a_restore_nothing_goes_until_somebody_confirms_what_was_held_since(scene):
    scene.receive(b"a.csv")
    found = [Reason("RESTORED", "the ledger is of yesterday")]
    scene.ledger.write(lambda unit: freezes.settle(unit, freezes.Scope(), RESTORED, found))
    for attempt in (scene.desk.recover, scene.desk.run_due, scene.run):
        assert refused(attempt) == "RESTORED"
    assert [freeze.reason for freeze in scene.desk.against(scene.desk.plan())] == found
    scene.desk.unfreeze(None, "jan", "the holds of today are placed again")
    assert scene.run() == {"a.csv": "disposed"}


def test_a_freeze_for_a_volume_ends_when_nothing_is_due_any_more(tmp_path):
    scene = Scene(tmp_path, bounds=Bounds(unremarkable=1))
    scene.receive(b"a.csv", b"b.csv")
    scene.desk.run_due()
    assert {freeze.reason.code for freeze in scene.desk.frozen()} == VOLUME
    hold = holds.place(scene.ledger, HoldRequest("demo", OfLink(), "court case", "jan"))
    scene.desk.run_due()
    assert scene.desk.frozen() == []
    holds.release(scene.ledger, hold, "jan", lambda link: False)
    scene.desk.run_due()
    scene.desk.unfreeze(None, "jan", "these two may go")
    hold = holds.place(scene.ledger, HoldRequest("demo", OfLink(), "court case", "jan"))
    scene.desk.run_due()
    holds.release(scene.ledger, hold, "jan", lambda link: False)
    scene.desk.run_due()
    assert scene.left() == {b"a.csv", b"b.csv"}, "what was confirmed was for the next run"
    scene.ledger.close()


def test_a_run_first_ends_what_a_crash_left_behind(scene):
    scene.receive(b"a.csv", b"b.csv")
    planned = scene.desk.plan()
    scene.desk._sweep._intend("earlier", scene.steps()[:1])
    assert refused(scene.desk.run, planned.hash) == "PLAN_CHANGED"
    assert scene.run() == {"b.csv": "disposed"}
    assert [row.result for row in scene.desk.report()] == ["disposed"] * 2


def kill_at(folder, when_left, unremarkable):
    child = subprocess.Popen([sys.executable, retention_scene.__file__, str(folder), unremarkable])
    while len(os.listdir(folder / "inbound")) > when_left + 1 and child.poll() is None:
        pass
    assert child.poll() is None
    child.send_signal(signal.SIGKILL)
    child.wait()


# Folders.


def test_another_directory_in_the_place_of_a_folder_is_left_out_until_confirmed(scene, tmp_path):
    scene.receive(b"a.csv", b"b.csv")
    scene.roots.mark([("demo", "inbound")])
    scene.inbound.rename(tmp_path / "away")
    scene.inbound.mkdir()
    (scene.inbound / "stray").touch()
    assert refused(scene.run) == refused(scene.run) == "FOLDER_REPLACED"
    assert frozen(scene) == [("demo/inbound", "FOLDER_REPLACED")]
    (tmp_path / "away/a.csv").rename(scene.inbound / "a.csv")
    scene.desk.unfreeze("demo", "jan", "restored from the backup")
    assert scene.run() == {"a.csv": "disposed", "b.csv": "absent"}
    assert events(scene) == [("frozen", "FOLDER_REPLACED"), ("unfrozen", "FOLDER_REPLACED")]


def test_the_right_directory_that_is_back_thaws(scene, tmp_path):
    scene.receive(b"a.csv")
    scene.roots.mark([("demo", "inbound")])
    scene.inbound.rename(tmp_path / "away")
    assert refused(scene.run) == "FOLDER_MISSING"
    assert refused(scene.desk.unfreeze, None, "jan", "who cares") == "FOLDER_MISSING"
    (tmp_path / "away").rename(scene.inbound)
    assert scene.run() == {"a.csv": "disposed"}
    assert frozen(scene) == []


def test_a_folder_that_is_bad_stops_no_other(scene):
    scene.receive(b"a.csv")
    scene.receive(b"b.csv", link="other", folder="one")
    scene.receive(b"c.csv", link="other", folder="two")
    (scene.folder / "one").rename(scene.folder / "away")
    assert scene.run() == {"a.csv": "disposed", "c.csv": "disposed"}
    assert frozen(scene) == [("other/one", "FOLDER_MISSING")]


def test_a_directory_without_any_of_its_files_is_not_held_for_the_right_one(scene, tmp_path):
    scene.receive(b"a.csv")
    scene.inbound.rename(tmp_path / "away")
    scene.inbound.mkdir()
    scene.roots.mark([("demo", "inbound")])
    scene.inbound.rmdir()
    (tmp_path / "away").rename(scene.inbound)
    assert scene.run() == {"a.csv": "disposed"}


def test_what_is_unmounted_or_mounted_over_disposes_of_nothing(tmp_path):
    told = [line for line in run_apart(MOUNTS, tmp_path) if "[warning" not in line]
    assert told == [*["FOLDER_REPLACED"] * 3, "['present']"]


def test_a_mount_over_a_directory_in_a_folder_is_noticed(tmp_path):
    assert [ast.literal_eval(line) for line in run_apart(OVER, tmp_path)] == [
        {"a.csv": "disposed", "deep/b.csv": "covered"},
        {"deep/b.csv": "disposed"},
    ]


# Files.


@pytest.mark.parametrize(
    ("flags", "how"), [(os.O_RDONLY, "open"), (os.O_WRONLY, "open"), (os.O_RDONLY, "mapped")]
)
def test_a_file_that_another_process_has_open_waits_for_the_next_run(scene, flags, how):
    scene.receive(b"a.csv", b"b.csv")
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, scene.inbound / "a.csv", str(flags), how],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with holder:
        holder.stdout.readline()
        assert scene.run() == {"a.csv": "in_use", "b.csv": "disposed"}
        assert scene.run() == {"a.csv": "in_use"}
        assert scene.left() == {b"a.csv"}
    assert scene.run() == {"a.csv": "disposed"}
