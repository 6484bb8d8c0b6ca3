"""When the watcher hands a file over, and in which order; real files, real reports of the kernel."""

import os
import threading
from contextlib import ExitStack
from datetime import timedelta

import pytest
import structlog
from namespaces import bound_by_modes
from waiting import until
from watch_scene import Taken, watching

from sftpd.clock import SystemClock
from sftpd.exchange.overdue import RouteWaits
from sftpd.exchange.waits import Reason
from sftpd.watch import watcher as watcher_module
from sftpd.watch.folder import Pace, WatchedFolder
from sftpd.watch.selection import Selection
from sftpd.watch.settling import EmptyFiles, Policy
from sftpd.watch.tree import Order
from sftpd.watch.watcher import Watcher

LONG = 3600.0


class SettableClock(SystemClock):
    """The machine's clocks, and civil time can be set."""

    def __init__(self):
        self.ahead = timedelta()

    def now(self):
        return super().now() + self.ahead


@pytest.fixture
def root(tmp_path):
    path = tmp_path / "outbound"
    path.mkdir()
    return path


@pytest.fixture
def taken():
    return Taken()


@pytest.fixture
def watch(root, taken):
    with ExitStack() as watchers:
        yield lambda **options: watchers.enter_context(watching(root, taken, **options))


def test_a_file_waits_for_its_done_file_which_is_never_handed_over(watch, root, taken):
    (root / "d").mkdir()
    for name in ("a.csv", "b.csv", "b.csv.ok", "d/c.csv", "lonely.ok"):
        (root / name).write_bytes(b"1")
    watch(selection=Selection(done_file=".ok"))
    until(lambda: taken.holds((b"b.csv",)))
    (root / "d" / "c.csv.ok").touch()
    until(lambda: taken.holds((b"b.csv",), (b"d", b"c.csv")))
    (root / "a.csv.tmp").touch()
    (root / "a.csv.tmp").rename(root / "a.csv.ok")
    until(lambda: taken.holds((b"b.csv",), (b"d", b"c.csv"), (b"a.csv",)))


def test_a_done_file_that_goes_again_speaks_for_nothing(watch, root, taken):
    watch(selection=Selection(done_file=".ok"), policy=Policy(stable_for=0.3))
    for name in ("a.csv", "a.csv.ok", "b.csv", "b.csv.ok"):
        (root / name).write_bytes(b"1")
    (root / "a.csv.ok").unlink()
    until(lambda: taken.holds((b"b.csv",)))


def test_a_file_that_is_open_for_writing_waits_until_it_is_closed(watch, root, taken, monkeypatch):
    monkeypatch.setattr(watcher_module, "_WRITTEN", 0.05)
    watch()
    with (root / "open.csv").open("wb", buffering=0) as writer:
        writer.write(b"begun")
        with (root / "read.csv").open("w+b") as other:
            other.write(b"1")
        with (root / "read.csv").open("rb"):
            for name in ("1", "2", "3"):
                (root / name).write_bytes(b"1")
                until(lambda name=name: (name.encode(),) in taken.paths)
        assert (b"read.csv",) in taken.paths
        assert (b"open.csv",) not in taken.paths
    until(lambda: (b"open.csv",) in taken.paths)
    assert len(taken.paths) == 5


def test_or_does_not_where_it_need_not(watch, root, taken):
    watch(waits_for_writers=False)
    with (root / "open.csv").open("wb", buffering=0) as writer:
        writer.write(b"begun")
        until(lambda: taken.holds((b"open.csv",)))


def test_a_file_is_not_taken_before_its_minimum_age(watch, root, taken):
    (root / "old.csv").write_bytes(b"1")
    os.utime(root / "old.csv", (0, 0))
    watcher = watch(policy=Policy(stable_for=0.0, minimum_age=LONG))
    until(lambda: (b"old.csv",) in watcher._settling)
    assert taken.paths == []


@pytest.mark.parametrize("policy", [Policy(stable_for=LONG), Policy(stable_for=0.0, minimum_age=LONG)])
def test_the_file_system_tells_how_long_a_file_has_lain_there(watch, root, taken, policy):
    """An hour later the files that lay there are ready at once, for nobody can set the time of change."""
    (root / "a").write_bytes(b"1")
    clock = SettableClock()
    clock.ahead = timedelta(seconds=LONG + 1)
    watch(policy=policy, clock=clock)
    until(lambda: taken.holds((b"a",)))


def test_and_is_not_believed_once_the_clock_was_set(watch, root, taken):
    clock = SettableClock()
    watcher = watch(policy=Policy(stable_for=LONG), clock=clock)
    until(lambda: watcher._stamps._steps._ahead is not None)
    clock.ahead = timedelta(seconds=LONG + 1)
    watcher.again((b"nothing",))  # has the watcher look up
    until(lambda: watcher._stamps._steady_since > 0)
    (root / "a").write_bytes(b"1")
    until(lambda: (b"a",) in watcher._settling)
    assert taken.paths == []


def test_nor_where_the_folder_is_polled(watch, root, taken):
    (root / "a").write_bytes(b"1")
    clock = SettableClock()
    clock.ahead = timedelta(seconds=LONG + 1)
    watcher = watch(policy=Policy(stable_for=LONG), clock=clock, polled=True)
    until(lambda: (b"a",) in watcher._settling)
    assert taken.paths == []


def test_files_that_are_ready_together_come_in_order(watch, root, taken):
    names = [b"c", b"a", b"\xff", b"d/a", b"b"]
    (root / "d").mkdir()
    for number, name in enumerate(names):
        path = os.path.join(os.fsencode(root), name)
        with open(path, "wb") as file:
            file.write(name)
        os.utime(path, ns=(0, number * 10**9))
    paths = [tuple(name.split(b"/")) for name in names]
    taken.room = 0
    watcher = watch(policy=Policy(stable_for=0.0))
    until(lambda: len(watcher._ready) == len(names))
    taken.room = len(names)
    until(lambda: len(taken.paths) == len(names))
    assert taken.paths == sorted(paths)
    taken.paths.clear()
    watcher.stop()
    taken.room = 0
    watcher = watch(policy=Policy(stable_for=0.0), order=Order.TIME)
    until(lambda: len(watcher._ready) == len(names))
    taken.room = len(names)
    until(lambda: len(taken.paths) == len(names))
    assert taken.paths == paths


def test_what_there_is_no_room_for_is_handed_over_later_and_each_once(watch, root, taken, monkeypatch):
    monkeypatch.setattr(watcher_module, "_ROOM", 0.01)
    monkeypatch.setattr(watcher_module, "_MOST_READY", 50)
    monkeypatch.setattr(watcher_module, "_SLICE", 20)
    monkeypatch.setattr(watcher_module, "_MOST_HINTS", 30)
    names = [b"%04d" % number for number in range(500)]
    for name in names[:400]:
        (root / os.fsdecode(name)).write_bytes(name)
    taken.room = 7
    watcher = watch(pace=Pace(rescan=0.2))
    until(lambda: len(taken.paths) == 7)
    for name in names[400:]:
        (root / os.fsdecode(name)).write_bytes(name)
    most = 0
    for wave in range(50):
        taken.room = 10
        until(lambda wave=wave: len(taken.paths) >= min(7 + 10 * (wave + 1), 500))
        most = max(most, len(watcher._ready), len(watcher._hints))
    assert most < 50 + 20
    assert taken.holds(*((name,) for name in names))


def test_a_file_that_changes_while_there_is_no_room_is_not_handed_over_until_it_rests(watch, root, taken):
    (root / "a").write_bytes(b"1")
    taken.room = 0
    watcher = watch(policy=Policy(stable_for=0.3))
    until(lambda: watcher._ready)
    (root / "a").write_bytes(b"22")
    taken.room = 9
    until(lambda: not watcher._ready)
    assert taken.paths == []
    until(lambda: taken.holds((b"a",)))


def test_more_files_than_can_wait_at_once_come_in_their_turn(watch, root, taken):
    names = [b"%04d" % number for number in range(60)]
    for name in names:
        (root / os.fsdecode(name)).write_bytes(name)
    watch(policy=Policy(stable_for=1.0, most_waiting=5))
    until(lambda: len(taken.paths) >= len(names))
    assert taken.holds(*((name,) for name in names))


def test_a_file_that_was_away_when_it_was_to_be_taken_has_its_turn_again(watch, root, taken, tmp_path):
    (root / "d").mkdir()
    for name in ("a", "d/b"):
        (root / name).write_bytes(b"1")
    watch()
    until(lambda: taken.holds((b"a",), (b"d", b"b")))
    for name in ("a", "d"):
        (root / name).rename(tmp_path / name)
        (tmp_path / name).rename(root / name)
    # A look between the two halves of a move may make it three times, which harms nobody.
    until(lambda: all(taken.paths.count(path) > 1 for path in ((b"a",), (b"d", b"b"))))


def test_so_has_one_that_was_back_before_anybody_looked(root, taken):
    (root / "a").write_bytes(b"1")
    path = os.fsencode(root / "a")
    with watching(root, taken, polled=True, pace=Pace(poll=LONG)) as watcher:
        until(lambda: taken.holds((b"a",)))
        watcher._hint(path, False)
        until(lambda: not watcher._hints)
        watcher._hint(path, True)
        until(lambda: taken.holds((b"a",), (b"a",)))


def test_a_full_scan_stands_in_for_more_hints_than_are_kept(root, taken, monkeypatch):
    monkeypatch.setattr(watcher_module, "_MOST_HINTS", 10)
    with watching(root, taken, polled=True, pace=Pace(poll=LONG)) as watcher:
        until(lambda: watcher._rounds._ended > 0)
        names = [b"%03d" % number for number in range(100)]
        for name in names:
            (root / os.fsdecode(name)).write_bytes(name)
        with watcher._changed:
            for name in names:
                watcher._hint(os.fsencode(root) + b"/" + name, True)
            assert len(watcher._hints) == 11
        until(lambda: taken.holds(*((name,) for name in names)))


def test_without_recursion_the_files_of_the_folder_alone_are_taken(watch, root, taken):
    (root / "d").mkdir()
    (root / "d" / "x").write_bytes(b"1")
    watcher = watch(selection=Selection(recursive=False))
    (root / "a").write_bytes(b"1")
    until(lambda: taken.holds((b"a",)))
    (root / "e").mkdir()
    (root / "e" / "y").write_bytes(b"1")
    (root / "b").write_bytes(b"1")
    until(lambda: taken.holds((b"a",), (b"b",)))
    assert len(watcher._observation._watches) == 1


def test_a_patterns_slash_is_for_paths(watch, root, taken):
    for name in ("a.csv", "drafts/b.csv", "final/c.csv", "final/d.txt"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_bytes(b"1")
    watch(selection=Selection(include=("*.csv", "final/*"), exclude=("drafts/*",)))
    until(lambda: taken.holds((b"a.csv",), (b"final", b"c.csv"), (b"final", b"d.txt")))


def test_hints_are_followed_while_a_large_folder_is_read(watch, root, taken):
    """The scan never ends here; a file that comes meanwhile is taken all the same."""
    watcher = watch()
    until(lambda: watcher._rounds._ended > 0)
    watcher._tree.files = lambda: iter(lambda: None, 1)
    watcher._rounds.want()
    until(lambda: watcher._scan is not None)
    (root / "a").write_bytes(b"1")
    until(lambda: taken.holds((b"a",)))


def test_a_thousand_entries_are_read_in_a_turn_and_no_more(root, taken):
    folder = WatchedFolder("out", root)
    watcher = Watcher(folder, taken, clock=SystemClock())
    read = []
    watcher._tree.files = lambda: iter(lambda: read.append(1), 1)
    for turn in range(1, 4):
        watcher._scan_on()
        assert len(read) == turn


def test_a_stop_ends_a_scan_of_any_length(watch, root, taken):
    watcher = watch()
    watcher._tree.files = lambda: iter(lambda: None, 1)
    watcher._rounds.want()
    until(lambda: watcher._scan is not None)
    watcher.stop()
    assert not any(thread.name.startswith("sftpd-watch") for thread in threading.enumerate())


def test_it_is_known_of_every_file_that_waits_and_why_until_it_is_taken(watch, root, taken, monkeypatch):
    monkeypatch.setattr(watcher_module, "_WRITTEN", 0.05)
    waits = RouteWaits(0.0)

    def known():
        return {path: wait.reason for path, wait in waits._waits._waits.items()}

    for name in (
        "bare",
        "empty",
        "empty.ok",
        "open",
        "open.ok",
        "growing",
        "growing.ok",
        "alone.ok",
        "in/\udcff",
    ):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_bytes(b"" if name == "empty" else b"1")
    os.mkfifo(root / "fifo")
    writer = (root / "open").open("ab")
    grower = (root / "growing").open("ab", buffering=0)
    watch(
        waits=waits,
        pace=Pace(rescan=0.05),
        selection=Selection(done_file=".ok"),
        policy=Policy(stable_for=0.3, empty=EmptyFiles.HOLD),
    )
    expected = {
        (b"bare",): Reason.NO_DONE_FILE,
        (b"in", b"\xff"): Reason.NO_DONE_FILE,
        (b"alone.ok",): Reason.NO_FILE,
        (b"empty",): Reason.EMPTY,
        (b"fifo",): Reason.NOT_A_FILE,
        (b"open",): Reason.OPEN,
        (b"growing",): Reason.CHANGING,
    }
    until(lambda: grower.write(b"1") and known() == expected)
    grower.close()
    writer.close()
    (root / "bare.ok").touch()
    (root / "empty").write_bytes(b"1")
    (root / "alone.ok").unlink()
    (root / "fifo").unlink()
    (root / "in").rename(root.parent / "out of here")
    until(lambda: taken.holds((b"bare",), (b"empty",), (b"open",), (b"growing",)))
    until(lambda: known() == {})


def test_a_file_that_is_replaced_for_ever_while_it_settles_waits_since_the_first_of_them(watch, root, taken):
    waits = RouteWaits(0.0)
    watch(waits=waits, policy=Policy(stable_for=LONG))
    seen = set()

    def replaced():
        (root / "a.tmp").write_bytes(b"1")
        seen.add((root / "a.tmp").stat().st_ino)
        (root / "a.tmp").rename(root / "a")
        wait = waits._waits._waits.get((b"a",))
        return wait is not None and wait.seen > wait.since

    until(lambda: replaced() and len(seen) > 3)
    until(lambda: list(waits._waits._waits) == [(b"a",)])
    assert taken.paths == []


def test_a_file_that_waits_for_its_age_alone_is_not_known_to_change(watch, root, taken):
    waits = RouteWaits(0.0)
    watcher = watch(waits=waits, policy=Policy(stable_for=0.0, minimum_age=LONG))
    (root / "young").write_bytes(b"1")
    until(lambda: (b"young",) in watcher._settling)
    assert waits._waits._waits == {}


def test_a_file_that_may_not_be_read_waits_is_logged_once_and_is_handed_over_once_it_may(root, taken):
    waits = RouteWaits(0.0)
    for name, mode in (("secret.csv", 0), ("z.csv", 0o644)):
        (root / name).write_bytes(b"1")
        (root / name).chmod(mode)
    options = {"waits": waits, "pace": Pace(rescan=0.05)}
    with structlog.testing.capture_logs() as logged, bound_by_modes(), watching(root, taken, **options):
        until(lambda: taken.holds((b"z.csv",)))
        (wait,) = waits._waits._waits.values()
        since, last = wait.since, wait.seen
        until(lambda: wait.seen > last + 0.2)
        assert (wait.reason, wait.since) == (Reason.UNREADABLE, since)
        assert waits._waits._waits == {(b"secret.csv",): wait}
        (root / "secret.csv").chmod(0o644)
        until(lambda: taken.holds((b"z.csv",), (b"secret.csv",)))
        until(lambda: waits._waits._waits == {})
    told = [one for one in logged if one["log_level"] in ("warning", "error")]
    assert [(one["event"], one["path"], one["why"]) for one in told] == [
        ("file_not_readable", "/secret.csv", "Permission denied")
    ]


def test_many_files_that_may_not_be_read_take_little_memory_and_keep_none_that_may(root, taken):
    waits = RouteWaits(0.0)
    waits._waits._most = 30
    for number in range(300):
        (root / f"{number:03}").touch(mode=0)
    policy = Policy(stable_for=0.02, most_waiting=20)
    pace = Pace(poll=0.02)
    most = 0
    options = {"policy": policy, "pace": pace, "polled": True, "waits": waits}
    with (
        structlog.testing.capture_logs() as logged,
        bound_by_modes(),
        watching(root, taken, **options) as watcher,
    ):
        until(lambda: len(watcher._settling._left) == 300)
        for number in range(10):
            (root / f"z{number}").write_bytes(b"1")
            until(lambda number=number: (b"z%d" % number,) in taken.paths)
            most = max(most, len(watcher._settling))
        for path in root.iterdir():
            path.chmod(0o644)
        until(lambda: len(taken.paths) >= 310)
        until(lambda: len(watcher._settling._left) == len(waits._waits) == 0)
    assert most <= 20
    assert [one["event"] for one in logged].count("file_not_readable") == 30
    assert len(set(taken.paths)) == len(taken.paths) == 310


def test_a_file_that_stays_unfinished_waits_since_it_changed_last_until_it_has_its_name(watch, root, taken):
    waits = RouteWaits(0.0)
    part = root / "a.csv.part"
    part.write_bytes(b"1")
    for name in (".hidden.part", "x.part"):
        (root / name).write_bytes(b"1")
    watch(waits=waits, pace=Pace(poll=0.05), polled=True, selection=Selection(exclude=("x*",)))
    until(lambda: (b"a.csv.part",) in waits._waits._waits)
    first = waits._waits._waits[(b"a.csv.part",)]
    until(lambda: first.seen > first.since)
    part.write_bytes(b"22")
    until(lambda: waits._waits._waits[(b"a.csv.part",)].since > first.seen)
    assert {path: wait.reason for path, wait in waits._waits._waits.items()} == {
        (b"a.csv.part",): Reason.UNFINISHED
    }
    part.rename(root / "a.csv")
    until(lambda: taken.holds((b"a.csv",)))
    until(lambda: waits._waits._waits == {})


def test_reports_of_an_unfinished_file_are_followed_too(watch, root, taken):
    waits = RouteWaits(0.0)
    watching = watch(waits=waits)
    until(lambda: watching._rounds._ended > 0)
    (root / "a.part").write_bytes(b"1")
    until(lambda: (b"a.part",) in waits._waits._waits)
    (root / "a.part").unlink()
    until(lambda: waits._waits._waits == {})


def test_very_many_unfinished_files_keep_no_file_waiting_and_are_known_within_bounds(watch, root, taken):
    waits = RouteWaits(0.0)
    waits._waits._most = 20
    for number in range(3000):
        (root / f"{number:04}.part").touch()
    watcher = watch(waits=waits, pace=Pace(poll=0.02), polled=True, policy=Policy(0.02, most_waiting=5))
    (root / "z").write_bytes(b"1")
    until(lambda: taken.holds((b"z",)))
    until(lambda: len(waits._waits) == 20)
    assert (len(watcher._settling), len(watcher._ready)) == (0, 0)
    assert len(watcher._settling._done) == 1


def test_a_folder_that_may_not_be_read_waits_and_is_logged_once(root, taken):
    waits = RouteWaits(0.0)
    for name in ("closed/in.csv", "z.csv"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_bytes(b"1")
    (root / "closed").chmod(0)
    options = {"waits": waits, "pace": Pace(rescan=0.05, poll=0.05)}
    with structlog.testing.capture_logs() as logged, bound_by_modes(), watching(root, taken, **options):
        until(lambda: taken.holds((b"z.csv",)))
        until(lambda: (b"closed",) in waits._waits._waits)
        wait = waits._waits._waits[(b"closed",)]
        last = wait.seen
        until(lambda: wait.seen > last + 0.2)
        assert wait.reason is Reason.UNREADABLE
        (root / "closed").chmod(0o755)
        until(lambda: taken.holds((b"z.csv",), (b"closed", b"in.csv")))
        until(lambda: waits._waits._waits == {})
    told = [one for one in logged if one["event"] == "folder_not_readable"]
    assert [(one["path"], one["why"]) for one in told] == [("/closed", "Permission denied")]


def test_no_time_of_a_file_makes_it_wait_or_hides_another(watch, root, taken):
    for name, year in (("past", 1960), ("future", 2100), ("farther", 3237)):
        (root / name).write_bytes(b"1")
        os.utime(root / name, ((year - 1970) * 31556952,) * 2)
    (root / "now").write_bytes(b"1")
    watch(order=Order.TIME)
    until(lambda: taken.holds((b"past",), (b"now",), (b"future",), (b"farther",)))
