import contextlib
import dataclasses
import errno
import os
import threading
from datetime import UTC, datetime, timedelta
from unittest.mock import Mock

import pytest
import sqlalchemy as sa
from exchange_doubles import Crash
from exchange_scene import DIGESTS, PATIENCE, Scene, contents
from waiting import until

from sftpd.erasure import traces
from sftpd.errors import NotOpenError, RefusedError, RemoteAwayError, RemoteError, RemoteRefusedError
from sftpd.exchange import records
from sftpd.exchange.collect import Pulled
from sftpd.exchange.due import TOGETHER
from sftpd.exchange.receive import Receiver
from sftpd.ledger import tables
from sftpd.link.model import Inbound


class FakeClock:
    def __init__(self):
        self.seconds = 1000.0

    def monotonic(self):
        return self.seconds

    def now(self):
        return datetime.now(UTC)


@pytest.fixture(params=["leave", "delete", "move"])
def then(request):
    return request.param


@pytest.fixture
def scene(tmp_path, then):
    with Scene(tmp_path, then=then) as scene:
        yield scene


def offered(scene, name, content=b"a;b\n", mtime=1_700_000_000):
    path = scene.remote.folder / "in" / name
    path.write_bytes(content)
    os.utime(path, (mtime, mtime))
    return path


def at_remote(scene, folder="in"):
    path = scene.remote.folder / folder
    return contents(path) if path.exists() else {}


def test_a_file_is_fetched_once(scene, then):
    content = os.urandom(10_000)
    offered(scene, "report.bin", content)
    assert scene.collector.collect().fetched == 1
    assert scene.collector.collect().fetched == 0
    assert contents(scene.folders.inbound) == {"report.bin": content}
    assert scene.events() == {"transfer.received": 1}
    assert at_remote(scene) == ({"report.bin": content} if then == "leave" else {})
    assert at_remote(scene, "done") == ({"report.bin": content} if then == "move" else {})


def test_a_file_that_comes_after_one_was_dismissed_is_another_though_all_about_it_is_the_same(scene, then):
    """As from a remote that tells no times."""
    for content in [b"first", b"other"]:
        offered(scene, "report.csv", content)
        scene.collector.collect()
        scene.flush()
    assert contents(scene.folders.inbound) == {"report.csv": b"first" if then == "leave" else b"other"}


def test_a_file_older_than_the_last_one_is_fetched_too(scene):
    offered(scene, "new", mtime=1_700_000_000)
    scene.collector.collect()
    offered(scene, "old", mtime=1_000_000_000)
    assert scene.collector.collect().fetched == 1


def test_a_file_of_the_same_name_and_size_but_a_new_time_is_another(scene):
    offered(scene, "report.csv", b"monday!")
    scene.collector.collect()
    offered(scene, "report.csv", b"tuesday", mtime=1_700_086_400)
    assert scene.collector.collect().fetched == 1
    assert contents(scene.folders.inbound) == {"report.csv": b"tuesday"}


@pytest.mark.parametrize("name", ["a.bak", "a.csv.part", "b.filepart", "c.tmp", "d~", ".hidden"])
def test_only_what_the_globs_want_and_what_looks_finished(scene, name):
    offered(scene, name)
    offered(scene, "meant.csv")
    assert scene.collector.collect().fetched == 1
    assert name in at_remote(scene)


def test_a_file_that_is_still_being_written_is_left_until_it_stands_still(scene, then):
    clock = FakeClock()
    collector = scene.collects(then, clock=clock, settle=timedelta(seconds=5))
    path = offered(scene, "report.csv", b"half")
    assert collector.collect() == Pulled(0, 0, waiting=1, left=0, unlisted=0, again=timedelta(seconds=5))
    clock.seconds += 3
    offered(scene, "report.csv", b"half and more")
    assert collector.collect().again == timedelta(seconds=5)
    clock.seconds += 4
    assert collector.collect().again == timedelta(seconds=1)
    assert path.exists()
    clock.seconds += 1
    assert collector.collect().fetched == 1
    assert contents(scene.folders.inbound) == {"report.csv": b"half and more"}


def test_a_file_that_is_rewritten_within_a_second_is_fetched_as_it_is_in_the_end(leaving):
    """Listings tell times in seconds: of two versions within one both may look the same."""
    clock = FakeClock()
    usual = next(field.default for field in dataclasses.fields(Inbound) if field.name == "settle")
    collector = leaving.collects("leave", clock=clock, settle=usual)
    came = []
    for seconds, content in [
        (1000.0, b"first."), (1000.9, b"second"), (1002.0, None), (1002.1, b"third."), (1004.2, None)
    ]:  # fmt: skip
        clock.seconds = seconds
        if content is not None:
            offered(leaving, "report.csv", content, mtime=int(seconds))
        if collector.collect().fetched:
            came.append((seconds, *contents(leaving.folders.inbound).values()))
    assert came == [(1002.0, b"second"), (1004.2, b"third.")]


def test_a_folder_that_is_empty_for_a_while_has_nothing_fetched_again(leaving):
    """As where the partner's volume was not mounted."""
    for name in ("a", "b"):
        offered(leaving, name)
    assert leaving.collector.collect().fetched == 2
    folder = leaving.remote.folder / "in"
    folder.rename(leaving.remote.folder / "away")
    folder.mkdir()
    assert leaving.collector.collect().fetched == 0
    folder.rmdir()
    (leaving.remote.folder / "away").rename(folder)
    assert leaving.collector.collect().fetched == 0
    assert contents(leaving.folders.inbound).keys() == {"a", "b"}


def test_a_newer_file_that_comes_while_others_are_fetched_is_not_dismissed_unseen(scene, then):
    offered(scene, "a", b"first")
    offered(scene, "b")

    def replace(name):
        if name == b"b":
            offered(scene, "a", b"second", mtime=1_700_000_100)

    scene.remote.before_download = replace
    scene.collector.collect()
    assert at_remote(scene)["a"] == b"second"
    scene.collector.collect()
    assert contents(scene.folders.inbound)["a"] == b"second"


def test_a_file_that_changes_while_it_is_fetched_is_left_until_a_later_look_and_no_fault_of_the_remote(scene):
    def rewrite(name):
        scene.remote.during_download = lambda name: None
        offered(scene, "a", b"second", mtime=1_700_000_100)

    offered(scene, "a", b"first.")
    offered(scene, "b")
    scene.remote.during_download = rewrite
    pulled = scene.collector.collect()
    assert (pulled.fetched, pulled.failed) == (1, 1)
    assert contents(scene.folders.inbound).keys() == {"b"}
    assert at_remote(scene)["a"] == b"second"
    assert contents(scene.folders.screening) == {}
    assert scene.collector.collect().fetched == 1
    assert contents(scene.folders.inbound)["a"] == b"second"


def test_a_file_that_the_remote_does_not_give_keeps_no_other_waiting(scene):
    offered(scene, "a")
    offered(scene, "b")
    scene.remote.faults["download"] = [RemoteRefusedError("permission denied")]
    pulled = scene.collector.collect()
    assert (pulled.fetched, pulled.failed) == (1, 1)
    assert contents(scene.folders.inbound).keys() == {"b"}
    assert not list(scene.folders.screening.iterdir())
    assert scene.collector.collect().fetched == 1


def test_files_that_the_remote_does_not_give_however_many_keep_no_other_waiting(leaving):
    for number in range(5 * TOGETHER):
        offered(leaving, f"{number:03}")
    leaving.remote.faults["download"] = [
        RemoteRefusedError("permission denied"),
        *[None] * (TOGETHER - 1),
    ] * 5
    pulled = leaving.collects("leave", concurrency=1, batch=5 * TOGETHER).collect()
    assert (pulled.fetched, pulled.failed) == (5 * TOGETHER - 5, 5)
    assert leaving.remote.calls["borrow"] == 2, "for the look, and for all the files"


def test_a_file_at_which_the_connection_breaks_keeps_no_other_waiting(scene):
    offered(scene, "a")
    offered(scene, "b")
    scene.remote.faults["download"] = [RemoteError("connection lost")]
    with pytest.raises(RemoteError):
        scene.collector.collect()
    assert contents(scene.folders.inbound).keys() == {"b"}
    assert scene.collector.collect().fetched == 1


def test_a_remote_that_is_gone_is_not_asked_for_each_file(scene):
    for number in range(20):
        offered(scene, f"{number}")
    scene.remote.lost_answers["download"] = 20
    with pytest.raises(RemoteError):
        scene.collector.collect()
    assert scene.remote.together["download"] == [TOGETHER, 1, 1]


def test_a_broken_download_leaves_nothing_and_is_tried_again(scene):
    offered(scene, "a")
    scene.remote.lost_answers["download"] = 1
    with pytest.raises(RemoteError):
        scene.collector.collect()
    assert not list(scene.folders.screening.iterdir())
    assert scene.collector.collect().fetched == 1


def test_a_rejected_file_is_quarantined_once(scene):
    scene.hook("pre-receive", "echo no; exit 20")
    offered(scene, "a")
    scene.collector.collect()
    scene.collector.collect()
    assert contents(scene.folders.inbound) == {}
    assert contents(scene.folders.quarantine).keys() == {"a"}
    assert scene.events() == {"transfer.blocked": 1}


def test_a_fetched_file_replaces_none_that_is_held_and_is_quarantined_once(scene):
    scene.upload("upload/a", b"held")
    scene.held.add(b"a")
    offered(scene, "a")
    scene.collector.collect()
    scene.collector.collect()
    assert contents(scene.folders.inbound) == {"a": b"held"}
    assert contents(scene.folders.quarantine).keys() == {"a"}
    assert scene.events()["transfer.blocked"] == 1


def test_what_could_not_be_dismissed_is_dismissed_later_and_not_fetched_again(scene, then):
    step = {"leave": "size", "delete": "remove", "move": "place"}[then]
    offered(scene, "a")
    scene.remote.faults[step] = [RemoteError("connection lost")]
    if then != "leave":
        with pytest.raises(RemoteError):
            scene.collector.collect()
    scene.collector.collect()
    assert scene.events() == {"transfer.received": 1}
    assert at_remote(scene).keys() == ({"a"} if then == "leave" else set())


def test_an_erased_file_that_could_not_be_dismissed_is_dismissed_later_and_not_fetched_again(scene, then):
    step = {"leave": "size", "delete": "remove", "move": "place"}[then]
    offered(scene, "jan@example.nl")
    scene.remote.faults[step] = [RemoteError("connection lost")]
    with contextlib.nullcontext() if then == "leave" else pytest.raises(RemoteError):
        scene.collector.collect()
    place = ("inbound", (b"jan@example.nl",))
    scene.ledger.write(lambda unit: traces.erased(unit, "demo", place, DIGESTS))
    (scene.folders.inbound / "jan@example.nl").unlink()
    for _ in range(2):
        assert scene.collector.collect().fetched == 0
    assert at_remote(scene).keys() == ({"jan@example.nl"} if then == "leave" else set())
    offered(scene, "jan@example.nl", mtime=1_700_000_001)
    assert scene.collector.collect().fetched == 1


def pulling(scene, then="leave", **route):
    """A collector of a route with these options, and the names it fetched, in order."""
    collector, taken = scene.collects(then, **route), []
    scene.remote.before_download = lambda name: taken.append(name.decode())
    return collector, taken


@pytest.fixture
def leaving(tmp_path):
    with Scene(tmp_path) as scene:
        yield scene


@pytest.mark.parametrize(("order", "expected"), [("oldest", "dbca"), ("name", "abcd")])
def test_the_oldest_come_first_or_the_first_by_name_and_the_rest_next_time(leaving, order, expected):
    for name, mtime in (("b", 3), ("a", 9), ("c", 3), ("d", 1)):
        offered(leaving, name, mtime=mtime)
    collector, taken = pulling(leaving, order=order, batch=3)
    assert collector.collect().left == 1
    assert taken == [*expected[:3]]
    assert collector.collect().left == 0
    assert taken == [*expected]


def test_files_beyond_the_limit_of_a_look_are_taken_next_time_also_where_all_are_left(leaving):
    for number in range(7):
        offered(leaving, f"{number}")
    collector, taken = pulling(leaving, order="name", list_limit=3)
    assert [collector.collect().unlisted for _ in range(4)] == [4, 1, 0, 4]
    assert taken == ["0", "1", "2", "3", "4", "5", "6"]
    offered(leaving, "1", b"another")
    for _ in range(3):
        collector.collect()
    assert taken[7:] == ["1"]


def test_a_page_is_not_turned_while_files_of_it_wait(leaving):
    clock = FakeClock()
    for number in range(4):
        offered(leaving, f"{number}")
    collector, taken = pulling(leaving, order="name", list_limit=2, clock=clock, settle=timedelta(seconds=1))
    for _ in range(4):
        collector.collect()
        clock.seconds += 1
    assert taken == ["0", "1", "2", "3"]


def test_a_file_that_never_stands_still_keeps_no_page_from_being_turned(leaving):
    clock = FakeClock()
    for number in range(6):
        offered(leaving, f"{number}")
    options = {"order": "name", "list_limit": 2, "settle": timedelta(seconds=2)}
    collector, taken = pulling(leaving, clock=clock, **options)
    for number in range(20):
        offered(leaving, "1", b"x" * number)
        collector.collect()
        clock.seconds += 1
    assert taken == ["0", "2", "3", "4", "5"]


def test_files_that_are_refused_again_and_again_go_behind_those_that_a_run_has_no_room_for(leaving):
    for name in "abcde":
        offered(leaving, name)
    collector, taken = pulling(leaving, order="name", batch=2)
    refused = {b"/in/a", b"/in/b"}
    give = leaving.remote.download
    leaving.remote.download = lambda files, share=None: [
        RemoteRefusedError("permission denied") if file.path in refused else give([file], share)[0]
        for file in files
    ]
    assert [collector.collect().fetched for _ in range(3)] == [0, 2, 1]
    assert taken == ["c", "d", "e"]
    refused.clear()
    collector.collect()
    assert (taken[:3], sorted(taken[3:])) == (["c", "d", "e"], ["a", "b"])


def test_folders_are_gone_into_if_the_route_says_so(leaving):
    for name in ("top.csv", "deep/er/low.csv", "deep/draft.txt", ".git/config.csv", "deep/.x/y.csv"):
        (leaving.remote.folder / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        offered(leaving, name)
    flat, taken = pulling(leaving)
    flat.collect()
    assert taken == ["top.csv"]
    recursive, _ = pulling(leaving, recursive=True, include=("*.csv",), exclude=("other/*",))
    assert recursive.collect().fetched == 1
    assert contents(leaving.folders.inbound).keys() == {"top.csv", "deep/er/low.csv"}
    assert recursive.collect().fetched == 0


@pytest.mark.parametrize(("looked", "moved"), [("/in", "/in/done"), (".", "done"), ("in/", "./in/done/")])
def test_what_was_moved_into_the_folder_is_not_fetched_again(leaving, looked, moved):
    (leaving.remote.folder / "in/sub").mkdir()
    base = "" if looked == "." else "in/"
    (leaving.remote.folder / base / "x.csv").write_bytes(b"a")
    collector, _ = pulling(
        leaving,
        "move",
        remote_path=looked,
        move_to=moved,
        recursive=True,
        make_folders=True,
        include=("x.csv",),
    )
    assert collector.collect().fetched == 1
    assert collector.collect().fetched == 0
    assert (leaving.remote.folder / base / "done/x.csv").exists()


def test_several_files_are_fetched_at_once(leaving):
    meeting = threading.Barrier(4, timeout=20)
    leaving.remote.before_download = lambda name: meeting.wait()
    for number in range(8):
        offered(leaving, f"{number}")
    collector = leaving.collects("delete", concurrency=4)
    assert collector.collect().fetched == 8
    assert at_remote(leaving) == {}


def test_what_is_no_fault_of_the_remote_stops_all_of_them(leaving, monkeypatch):
    complete, crashed = Receiver.complete_all, threading.Event()

    def dies_once(receiver, arrivals):
        if any(arrival.path == (b"0",) for arrival in arrivals):
            crashed.set()
            raise Crash
        assert crashed.wait(20)
        return complete(receiver, arrivals)

    monkeypatch.setattr(Receiver, "complete_all", dies_once)
    for number in range(200):
        offered(leaving, f"{number}")
    with pytest.raises(Crash):
        leaving.collects("delete", concurrency=4).collect()
    assert leaving.remote.calls["download"] < 200
    assert len(at_remote(leaving)) == 200, "nothing is dismissed by who died"


def test_a_file_that_somebody_may_still_write_to_is_not_taken_and_leaves_nothing(leaving):
    kept = []
    offered(leaving, "a")

    def hold(name):
        (place,) = leaving.folders.screening.iterdir()
        kept.append(place.open("ab"))

    leaving.remote.before_download = hold
    assert leaving.collector.collect().failed == 1
    kept.pop().close()
    assert not list(leaving.folders.screening.iterdir())
    leaving.remote.before_download = lambda name: None
    assert leaving.collector.collect().fetched == 1


def test_a_file_whose_taking_in_cannot_be_recorded_leaves_nothing_and_is_fetched_again(leaving, monkeypatch):
    offered(leaving, "a")
    offered(leaving, "b")
    monkeypatch.setattr(records, "insert_all", Mock(side_effect=OSError(errno.ENOSPC, "no space left")))
    with pytest.raises(OSError, match="no space"):
        leaving.collector.collect()
    monkeypatch.undo()
    assert contents(leaving.folders.screening) == {}
    assert leaving.collector.collect().fetched == 2
    assert contents(leaving.folders.inbound).keys() == {"a", "b"}


class TestARemoteThatGivesAFileOnce:
    @pytest.fixture
    def once(self, leaving):
        return leaving.collects("delete", read_once=True)

    def test_it_is_read_once(self, leaving, once):
        offered(leaving, "a")
        assert once.collect().fetched == 1
        once.collect()
        assert leaving.remote.calls["download"] == 1
        with leaving.ledger.read() as conn:
            assert conn.execute(sa.select(tables.attempt)).all() == [], "the transfer tells it"
        assert leaving.events() == {"transfer.received": 1}
        assert at_remote(leaving) == {}

    def test_a_failed_read_is_told_of_and_not_tried_again(self, leaving, once):
        offered(leaving, "a")
        leaving.remote.lost_answers["download"] = 1
        with pytest.raises(RemoteError):
            once.collect()
        assert once.collect().fetched == 0
        assert leaving.remote.calls["download"] == 1
        assert leaving.events() == {"transfer.fetch_failed": 1}
        assert at_remote(leaving).keys() == {"a"}, "it must not be deleted: it never came here"

    def test_what_is_being_read_is_taken_in_though_its_link_is_closed_meanwhile(self, leaving):
        scene = leaving

        def close(name):
            scene.is_open = False
            scene.remotes.hang_up()

        offered(scene, "a")
        offered(scene, "b")
        scene.remote.before_download = close
        with pytest.raises(RefusedError):
            scene.collects(
                "delete", read_once=True, concurrency=1, require_open=lambda link: scene.require_open()
            ).collect()
        assert contents(scene.folders.inbound).keys() == {"a"}
        assert at_remote(scene).keys() == {"a", "b"}

    def test_a_newer_file_of_that_name_is_read(self, leaving, once):
        offered(leaving, "a")
        leaving.remote.faults["download"] = [RemoteRefusedError("no")]
        once.collect()
        offered(leaving, "a", b"newer", mtime=1_800_000_000)
        assert once.collect().fetched == 1

    def test_a_read_that_a_crash_cut_off_is_told_of_at_the_next_look(self, tmp_path, leaving, once):
        offered(leaving, "a")

        def die(name):
            leaving.fuse.blown = True

        leaving.remote.before_download = die
        with pytest.raises(Crash):
            once.collect()
        with Scene(tmp_path) as scene:
            scene.recovery.run(scene.queue, {})
            collector = scene.collects("delete", read_once=True)
            assert collector.collect().fetched == 0
            collector.collect()
            assert scene.remote.calls["download"] == 0
            assert scene.events() == {"transfer.fetch_failed": 1}
            assert contents(scene.folders.inbound) == {}


@pytest.mark.parametrize("then", ["leave", "delete"], indirect=True)
def test_a_link_that_is_closed_meanwhile_has_no_more_fetched_or_removed_over_it(scene, then):
    def closes():
        scene.is_open = False

    names = {f"{number:03}.csv" for number in range(TOGETHER + 5)}
    for name in names:
        offered(scene, name)
    collector = scene.collects(then, concurrency=1, require_open=lambda link: scene.require_open())
    scene.remote.before_download = lambda name: closes()
    with pytest.raises(RefusedError):
        collector.collect()
    assert contents(scene.folders.inbound) == contents(scene.folders.screening) == {}
    assert scene.transfers() == []
    assert at_remote(scene).keys() == names
    connections = scene.remote.calls["borrow"]
    with pytest.raises(RefusedError):
        collector.collect()
    assert scene.remote.calls["borrow"] == connections
    scene.is_open = True
    scene.remote.before_download = lambda name: None
    assert collector.collect().fetched == len(names)
    assert contents(scene.folders.inbound).keys() == names
    assert at_remote(scene).keys() == (names if then == "leave" else set())


def test_what_is_fetched_is_cut_off_and_no_fault_of_the_remote_once_its_link_is_closed(leaving):
    scene, hung = leaving, threading.Event()

    def stalls(name):
        scene.is_open = False
        scene.remotes.hang_up()
        assert hung.is_set()
        raise RemoteError("connection lost")

    offered(scene, "report.csv")
    collector = scene.collects("leave", require_open=lambda link: scene.require_open())
    scene.remote.before_download, scene.remote.hang_up = stalls, hung.set
    with pytest.raises(RefusedError):
        collector.collect()
    assert contents(scene.folders.inbound) == contents(scene.folders.screening) == {}
    assert scene.guard.standing().failures == 0
    scene.is_open, scene.remote.before_download = True, lambda name: None
    assert collector.collect().fetched == 1


@pytest.mark.parametrize("at", ["screening", "entering"])
def test_a_link_that_is_closed_while_a_file_is_screened_has_it_not_taken_in(tmp_path, at):
    with Scene(tmp_path, acknowledge_within=0.2 if at == "entering" else PATIENCE) as scene:
        scene.hook("pre-receive", f"touch {tmp_path}/asked; sleep {1 if at == 'entering' else 0.2}")
        offered(scene, "report.csv")

        def closes():
            until((tmp_path / "asked").exists)
            scene.is_open = False

        closing = threading.Thread(target=closes)
        closing.start()
        pulled = scene.collector.collect()
        closing.join()
        assert (pulled.fetched, pulled.failed) == (0, 1)
        assert contents(scene.folders.inbound) == contents(scene.folders.screening) == {}
        assert scene.transfers() == []
        (tmp_path / "hooks" / "pre-receive.d" / "10-test").unlink()
        scene.is_open = True
        assert scene.collector.collect().fetched == 1


def test_a_paused_remote_is_asked_for_nothing_behind_what_is_being_fetched(leaving):
    scene = leaving
    for number in range(TOGETHER + 5):
        offered(scene, f"{number:03}.csv")
    collector = scene.collects("delete", concurrency=1)

    def pause(name):
        with contextlib.suppress(RefusedError):
            scene.halts.pause(scene.guard.subject, by="ann", reason="maintenance")

    scene.remote.before_download = pause
    with pytest.raises(RemoteAwayError, match="maintenance"):
        collector.collect()
    assert len(contents(scene.folders.inbound)) == TOGETHER
    assert len(at_remote(scene)) == TOGETHER + 5
    assert scene.guard.standing().failures == 0
    scene.halts.lift(scene.guard.subject, by="ann", reason=None)
    scene.remote.before_download = lambda name: None
    assert collector.collect().fetched == 5
    assert at_remote(scene) == {}


def test_a_link_that_is_closed_once_all_is_fetched_has_nothing_removed_over_it(tmp_path):
    with Scene(tmp_path) as scene:

        def require_open(link):
            if contents(scene.folders.inbound):
                raise NotOpenError("not now", reason="LINK_NOT_ACTIVE")

        offered(scene, "report.csv")
        with pytest.raises(RefusedError):
            scene.collects("delete", require_open=require_open).collect()
        assert contents(scene.folders.inbound).keys() == at_remote(scene).keys() == {"report.csv"}
