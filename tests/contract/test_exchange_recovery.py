import os

import pytest
from exchange_doubles import Crash
from exchange_scene import Scene, claim_one, contents, crash_at_every_step, take_all

from sftpd.exchange.receive import Receiver

CONTENT = b"a;b\n"


def test_an_upload_is_neither_lost_nor_doubled_wherever_it_is_cut_off(tmp_path, monkeypatch):
    told = []

    def act(scene):
        told.clear()
        told.append(scene.upload("upload/a/report.csv", CONTENT))

    def check(folder, crashed):
        consumed = []
        take_all(folder / "link" / "inbound", consumed)
        with Scene(folder) as scene:
            scene.recovery.run(scene.queue, {})
            take_all(scene.folders.inbound, consumed)
            assert len(consumed) <= 1
            assert scene.states() == ["done"] * len(consumed)
            assert scene.events() == ({"transfer.received": 1} if consumed else {})
            assert not list(scene.folders.screening.iterdir())
            if told:
                assert consumed == [("a/report.csv", CONTENT)]
            elif not consumed:
                assert scene.upload("upload/a/report.csv", CONTENT) == "published"

    assert crash_at_every_step(tmp_path, monkeypatch, act, check) >= 8


def test_an_upload_under_slow_screening_is_settled_after_a_crash(tmp_path, monkeypatch):
    def act(scene):
        scene.hook("pre-receive", "sleep 0.05")
        assert scene.upload("upload/report.csv", CONTENT) == "screening"

    def check(folder, crashed):
        consumed = []
        take_all(folder / "link" / "inbound", consumed)
        with Scene(folder) as scene:
            scene.recovery.run(scene.queue, {})
            take_all(scene.folders.inbound, consumed)
            assert len(consumed) <= 1
            assert scene.states() == ["done"] * len(consumed)
            assert crashed or consumed == [("report.csv", CONTENT)]

    assert crash_at_every_step(tmp_path, monkeypatch, act, check, acknowledge_within=0.001) >= 8


def test_a_blocked_upload_ends_in_quarantine_once(tmp_path, monkeypatch):
    def act(scene):
        scene.hook("pre-receive", "exit 10")
        assert scene.upload("upload/report.csv", CONTENT) == "quarantined"

    def check(folder, crashed):
        with Scene(folder) as scene:
            scene.recovery.run(scene.queue, {})
            kept = contents(scene.folders.quarantine)
            assert scene.received() == [("quarantine", name) for name in kept]
            assert scene.states() == ["quarantined"] * len(kept)
            assert scene.events() == ({"transfer.blocked": 1} if kept else {})
            assert contents(scene.folders.inbound) == {}
            assert crashed or kept == {"report.csv": CONTENT}

    assert crash_at_every_step(tmp_path, monkeypatch, act, check) >= 8


@pytest.mark.parametrize("route", ["download", "remote"])
def test_a_dropped_file_is_delivered_once_wherever_it_is_cut_off(tmp_path, monkeypatch, route):
    def act(scene):
        due = claim_one(scene.senders[route], scene.drop("a/report.csv", CONTENT))
        scene.senders[route].advance(due.id)

    def check(folder, crashed):
        place = folder / ("link/.sftpd/download" if route == "download" else "remote/out")
        fetched = []
        with Scene(folder) as scene:
            if (place / "a/report.csv").exists():
                take_all(place, fetched)
            scene.recover(route)
            take_all(place, fetched)
            assert fetched == [("a/report.csv", CONTENT)]
            assert contents(scene.outbound) == {}
            assert scene.states() == ["done"]
            assert scene.events() == {"transfer.delivered": 1}
            if route == "remote":
                assert contents(scene.folders.sent) == {"a/report.csv": CONTENT}

    assert crash_at_every_step(tmp_path, monkeypatch, act, check) >= 7


@pytest.mark.parametrize("after", ["archive", "remove"])
@pytest.mark.parametrize("route", ["download", "remote"])
def test_a_done_file_neither_outlives_its_file_nor_is_missing_for_it(tmp_path, monkeypatch, route, after):
    """Wherever it is cut off, and though the next file of that name is dropped before the restart."""
    options = {"done_file": ".ok", "after": after}

    def act(scene):
        parts = scene.drop("a/report.csv", CONTENT)
        scene.drop("a/report.csv.ok")
        scene.senders[route].advance(claim_one(scene.senders[route], parts).id)

    def check(folder, crashed):
        outbound = folder / "outbound"
        place = folder / ("link/.sftpd/download" if route == "download" else "remote/out")
        left = set(contents(outbound))
        assert left != {"a/report.csv.ok"}
        is_next = not left
        with Scene(folder, **options) as scene:
            if is_next:
                for name in ("a/report.csv", "a/report.csv.ok"):
                    scene.drop(name, b"the next")
            scene.recovery.run(scene.queue, {route: scene.senders[route]})
            scene.run_queue()
            if is_next:
                assert set(contents(outbound)) == {"a/report.csv", "a/report.csv.ok"}
            elif "a/report.csv.ok" in contents(outbound):
                scene.queue.offer(scene.senders[route], (b"a", b"report.csv"))
                scene.run_queue()
            if not is_next:
                assert contents(outbound) == {}
            assert contents(place) == {"a/report.csv": CONTENT}
            assert scene.states() == ["done"]
            assert scene.events() == {"transfer.delivered": 1}

    assert crash_at_every_step(tmp_path, monkeypatch, act, check, **options) >= 9


def test_a_blocked_drop_ends_in_quarantine_once(tmp_path, monkeypatch):
    def act(scene):
        scene.hook("pre-send", "exit 10")
        assert claim_one(scene.senders["remote"], scene.drop("report.csv", CONTENT)) is None

    def check(folder, crashed):
        with Scene(folder) as scene:
            scene.recover("remote")
            assert contents(scene.folders.quarantine) == {"report.csv": CONTENT}
            assert contents(scene.outbound) == {}
            assert scene.states() == ["quarantined"]
            assert scene.events() == {"transfer.blocked": 1}

    assert crash_at_every_step(tmp_path, monkeypatch, act, check) >= 4


@pytest.mark.parametrize("then", ["leave", "delete", "move"])
def test_a_file_that_is_fetched_comes_once_wherever_it_is_cut_off(tmp_path, monkeypatch, then):
    def act(scene):
        file = scene.remote.folder / "in" / "report.csv"
        file.write_bytes(CONTENT)
        os.utime(file, (1_700_000_000, 1_700_000_000))
        scene.collector.collect()

    def check(folder, crashed):
        consumed = []
        take_all(folder / "link" / "inbound", consumed)
        with Scene(folder, then=then) as scene:
            scene.recovery.run(scene.queue, {})
            scene.collector.collect()
            take_all(scene.folders.inbound, consumed)
            assert consumed == [("report.csv", CONTENT)]
            assert scene.states() == ["done"]
            assert scene.events() == {"transfer.received": 1}
            assert not list(scene.folders.screening.iterdir())
            assert contents(scene.remote.folder / "in") == (
                {"report.csv": CONTENT} if then == "leave" else {}
            )

    assert crash_at_every_step(tmp_path, monkeypatch, act, check, then=then) >= 8


def test_a_file_that_is_given_once_is_here_or_told_of_wherever_it_is_cut_off(tmp_path, monkeypatch):
    reads = []

    def act(scene):
        reads.clear()
        scene.remote.before_download = reads.append
        file = scene.remote.folder / "in" / "report.csv"
        file.write_bytes(CONTENT)
        os.utime(file, (1_700_000_000, 1_700_000_000))
        scene.collector.collect()

    def check(folder, crashed):
        consumed = []
        take_all(folder / "link" / "inbound", consumed)
        with Scene(folder, then="delete", pull={"read_once": True}) as scene:
            scene.remote.before_download = reads.append
            scene.recovery.run(scene.queue, {})
            for _ in range(2):
                scene.collector.collect()
            take_all(scene.folders.inbound, consumed)
            assert len(reads) <= 1
            told = {"transfer.received": 1} if consumed else {"transfer.fetch_failed": 1}
            assert scene.events() == told
            assert consumed == [("report.csv", CONTENT)] * len(consumed)
            assert crashed or consumed
            assert contents(scene.remote.folder / "in").keys() == (set() if consumed else {"report.csv"})

    assert (
        crash_at_every_step(tmp_path, monkeypatch, act, check, then="delete", pull={"read_once": True}) >= 10
    )


def test_a_name_that_came_in_the_way_meanwhile_does_not_keep_the_next_file_waiting(tmp_path, monkeypatch):
    with Scene(tmp_path) as scene, monkeypatch.context() as patched:
        patched.setattr(Receiver, "_rename", _never)
        for name in ("report.csv", "other.csv"):
            with pytest.raises(Crash):
                scene.upload(f"upload/{name}")
    (tmp_path / "link/inbound/report.csv").mkdir()
    with Scene(tmp_path) as scene:
        scene.recovery.run(scene.queue, {})
        assert contents(scene.folders.inbound).keys() == {"other.csv"}
        assert contents(scene.folders.quarantine).keys() == {"report.csv"}


@pytest.mark.parametrize("left_at", ["screening", "placing"])
def test_after_a_restart_a_file_does_not_replace_one_that_came_after_it(tmp_path, monkeypatch, left_at):
    with Scene(tmp_path, acknowledge_within=0.01) as scene:
        with monkeypatch.context() as patched:
            if left_at == "screening":
                scene.hook("pre-receive", "sleep 0.1")
                patched.setattr(Receiver, "_settle_late", lambda *_: None)
                scene.upload("upload/report.csv", b"old")
                (scene.hooks / "pre-receive.d" / "10-test").unlink()
            else:
                patched.setattr(Receiver, "_rename", _never)
                with pytest.raises(Crash):
                    scene.upload("upload/report.csv", b"old")
        assert scene.upload("upload/report.csv", b"newer") == "published"
        assert scene.states() == [left_at, "done"]
    with Scene(tmp_path) as scene:
        scene.recovery.run(scene.queue, {})
        assert scene.states() == ["quarantined", "done"]
        assert contents(scene.folders.inbound) == {"report.csv": b"newer"}
        assert contents(scene.folders.quarantine) == {"report.csv": b"old"}
        assert scene.received() == [("inbound", "report.csv"), ("quarantine", "report.csv")]


def test_what_no_transfer_tells_of_is_discarded_whatever_it_is(tmp_path):
    with Scene(tmp_path) as scene:
        (scene.folders.screening / "orphan").touch()
        (scene.folders.screening / "directory").mkdir()
        assert scene.recovery.run(scene.queue, {}) == 0
        assert not (scene.folders.screening / "orphan").exists()


def test_a_reload_leaves_inbound_transfers_to_their_sessions(tmp_path):
    with Scene(tmp_path, acknowledge_within=0.01) as scene:
        scene.hook("pre-receive", f"while [ ! -e {tmp_path}/go ]; do sleep 0.01; done")
        scene.upload("upload/report.csv")
        assert scene.recovery.resume_sending(scene.queue, scene.senders) == 0
        assert list(scene.folders.screening.iterdir())
        (tmp_path / "go").touch()


def _never(*_):
    raise Crash
