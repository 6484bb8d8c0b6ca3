"""Small files that go together: each as if it were alone, and what befalls one costs that one."""

import dataclasses
import os

import pytest
import sqlalchemy as sa
from exchange_doubles import ShellCommands
from exchange_scene import PATIENCE, Scene, contents, crash_at_every_step
from waiting import until

from sftpd.errors import NotPlacedError, RemoteAwayError, RemoteError, RemoteRefusedError
from sftpd.exchange import claim as claim_module
from sftpd.exchange.circuit import Phase
from sftpd.exchange.desk import Order, TransferDesk
from sftpd.exchange.due import TOGETHER
from sftpd.exchange.screening import Screening
from sftpd.exchange.send import Sender
from sftpd.hooks.runner import HookRunner

ROUTES = pytest.mark.parametrize("route", ["remote", "download"])


@pytest.fixture
def scene(tmp_path):
    with Scene(tmp_path, attempts=2) as scene:
        yield scene


@pytest.fixture(autouse=True)
def _all_are_claimed(monkeypatch):
    """However busy the machine is: else claiming stops to let what is claimed go on."""
    monkeypatch.setattr(claim_module, "_LONG", PATIENCE)


def names(count):
    return [f"{number:03}.csv" for number in range(count)]


def drop(scene, count):
    return [scene.drop(name, name.encode()) for name in names(count)]


def claim(scene, count, route="remote"):
    """Have so many files claimed at once; returns their transfers."""
    claimed = scene.senders[route].claim(drop(scene, count))
    assert claimed.failed == {}
    return [due.id for due in claimed.entered.values()]


def go(scene, count, route="remote"):
    """Claim files and have the queue do the rest."""
    ids = claim(scene, count, route)
    scene.queue.serve(scene.senders[route])
    scene.run_queue()
    return ids


def attempts(scene):
    return [transfer.attempts for transfer in sorted(scene.transfers(), key=lambda each: each.path)]


def place(folder, route):
    return folder / ("link/.sftpd/download" if route == "download" else "remote/out")


def whole(*gone, count):
    return {name: name.encode() for name in names(count) if name not in gone}


@ROUTES
def test_many_are_delivered_with_few_steps(scene, route):
    commits = []
    write, defer = scene.ledger.write, scene.ledger.defer
    scene.ledger.write = lambda work: commits.append(work) or write(work)
    scene.ledger.defer = lambda work: commits.append(work) or defer(work)
    scene.senders[route].advance(*claim(scene, TOGETHER, route))
    assert len(commits) == 4  # claimed, verified, placed, put away
    assert contents(place(scene.folder, route)) == whole(count=TOGETHER)
    assert scene.states() == ["done"] * TOGETHER
    assert scene.events() == {"transfer.delivered": TOGETHER}
    assert contents(scene.outbound) == {}
    if route == "remote":
        assert scene.remote.together == {"upload": [TOGETHER], "publish": [TOGETHER]}
        assert contents(scene.folders.sent) == whole(count=TOGETHER)


def test_one_that_is_refused_costs_no_other(scene):
    scene.remote.refused[b"003.csv"] = RemoteRefusedError("no such thing here")
    go(scene, 10)
    assert contents(place(scene.folder, "remote")) == whole("003.csv", count=10)
    assert sorted(contents(scene.folders.failed)) == ["003.csv", "003.csv.reason.txt"]
    assert attempts(scene) == [*[0] * 3, 1, *[0] * 6]


def test_what_is_known_of_one_is_not_lost_with_what_another_is_asked(tmp_path):
    with Scene(tmp_path, conflict="fail") as scene:
        scene.remote.faults["publish"] = [NotPlacedError("it refuses")]
        scene.remote.faults["holds"] = [RemoteError("connection lost")]
        publish = scene.remote.publish

        def take_a_name(*args, **options):
            (place(tmp_path, "remote") / "001.csv").write_bytes(b"theirs")
            return publish(*args, **options)

        scene.remote.publish = take_a_name
        ids = claim(scene, 2)
        failed = scene.senders["remote"].advance(*ids)
        assert isinstance(failed[ids[0]], NotPlacedError)
        assert scene.remote.together["publish"] == [2]


def test_they_keep_the_order_of_their_offers(scene):
    go(scene, TOGETHER)
    assert scene.remote.placed == names(TOGETHER)


@pytest.mark.parametrize("step", ["upload", "publish"])
def test_where_the_answer_for_all_is_lost_each_is_asked_about_alone(scene, step):
    scene.remote.lost_answers[step] = 1
    go(scene, 10)
    assert scene.remote.together[step] == [10, *[1] * 10]
    assert scene.remote.calls["rename"] == 10
    assert contents(place(scene.folder, "remote")) == whole(count=10)
    assert {transfer.attempts for transfer in scene.transfers()} == {0}
    assert scene.events() == {"transfer.delivered": 10}


def test_one_that_breaks_every_connection_costs_no_other_a_try(scene):
    upload = scene.remote.upload

    def breaking(files, share=None, taken=None):
        if any(file.size == len(b"poison") for file in files):
            raise RemoteError("connection lost")
        return upload(files, share, taken)

    scene.remote.upload = breaking
    parts = drop(scene, 8)
    parts.append(scene.drop("z.csv", b"poison"))
    scene.senders["remote"].claim(parts)
    scene.queue.serve(scene.senders["remote"])
    scene.run_queue()
    assert contents(place(scene.folder, "remote")) == whole(count=8)
    assert attempts(scene) == [*[0] * 8, 1]
    assert scene.states().count("done") == 8


@pytest.mark.parametrize("breaks", [False, True], ids=["each fails", "the connection breaks"])
def test_those_that_can_never_arrive_are_given_up_though_the_remote_counts_as_down(scene, breaks):
    def upload(files, share=None, taken=None):
        faults = [RemoteError(f"no folder for {os.pread(file.fd, 99, 0).decode()}") for file in files]
        if breaks:
            raise faults[0]
        return faults

    scene.remote.upload = upload
    ids = claim(scene, 6)
    for _ in range(6):  # the remote comes to count as down, and is tried again with all of them together
        until(lambda: scene.guard.ready_at() <= scene.clock.monotonic())
        failed = scene.senders["remote"].advance(*ids)
    assert scene.guard.standing().state is Phase.DOWN
    assert not any(isinstance(error, RemoteAwayError) for error in failed.values())
    if not breaks:
        told = [f"peer:/out/: no folder for {name}" for name in names(6)]
        assert [str(failed[each]) for each in ids] == told
    scene.queue.serve(scene.senders["remote"])
    scene.run_queue()
    assert scene.states() == ["failed"] * 6


def test_one_that_is_cancelled_or_changed_meanwhile_goes_its_own_way(scene):
    ids = claim(scene, 6)
    desk = TransferDesk(scene.ledger, scene.clock, lambda link, folder, path: None)

    def meanwhile():
        scene.remote.during_upload = lambda: None
        desk.cancel(ids[1], Order("Ina", "a mistake"))
        scene.drop("002.csv", b"another by now")

    scene.remote.during_upload = meanwhile
    assert scene.senders["remote"].advance(*ids) == {}
    assert contents(place(scene.folder, "remote")) == whole("001.csv", "002.csv", count=6)
    states = [str(transfer.state) for transfer in sorted(scene.transfers(), key=lambda each: each.path)]
    assert states == ["done", "failed", "vanished", "done", "done", "done"]
    assert contents(scene.folders.failed)["001.csv"] == b"001.csv"
    assert contents(scene.outbound) == {"002.csv": b"another by now"}


@ROUTES
def test_what_was_put_away_before_is_left_as_it_is(scene, route):
    ids = claim(scene, 3, route)
    before = scene.transfers()
    assert scene.senders[route].advance(*ids) == {}
    kept = scene.received_ids()
    if route == "download":
        scene.senders[route]._away.close_offered(before, "download")
    else:
        assert scene.senders[route]._away.put_away(before) == {}
    assert scene.states() == ["done"] * 3
    assert scene.received_ids() == kept


@pytest.mark.parametrize("state", ["sending", "placing", "placed"])
def test_one_that_the_ledger_does_not_take_costs_no_other(scene, state):
    change = "INSERT" if state == "sending" else "UPDATE"
    with scene.ledger._engine.begin() as conn:
        conn.execute(
            sa.text(
                f"CREATE TRIGGER fault BEFORE {change} ON transfer WHEN NEW.path = CAST('002.csv' AS BLOB)"
                f" AND NEW.state = '{state}' BEGIN SELECT RAISE(ABORT, 'no'); END"
            )
        )
    claimed = scene.senders["remote"].claim(drop(scene, 5))
    failed = scene.senders["remote"].advance(*(due.id for due in claimed.entered.values()))
    assert len(claimed.failed) + len(failed) == 1
    assert scene.states().count("done") == 4
    assert scene.events() == {"transfer.delivered": 4}


@ROUTES
def test_each_arrives_once_wherever_they_are_cut_off(tmp_path, monkeypatch, route):
    def act(scene):
        scene.senders[route].advance(*claim(scene, 3, route))

    def check(folder, crashed):
        with Scene(folder) as scene:
            scene.recover(route)
            assert contents(place(folder, route)) == whole(count=3)
            assert contents(scene.outbound) == {}
            assert scene.states() == ["done"] * 3
            assert scene.events() == {"transfer.delivered": 3}

    assert crash_at_every_step(tmp_path, monkeypatch, act, check) >= 10


def test_a_slow_gate_keeps_only_its_own_file_waiting(tmp_path):
    with Scene(tmp_path) as scene:
        scene.hook("pre-send", 'case "$(cat)" in *003.csv*) sleep 1 ;; esac')
        quick = ShellCommands()
        quick.stays = lambda program: True
        screening = Screening(HookRunner(scene.hooks, quick, PATIENCE, scene.clock))
        original = scene.senders["remote"]
        sender = Sender(
            original.route,
            scene.places,
            scene.source,
            original._delivery,
            dataclasses.replace(scene.tools, screening=screening),
        )
        assert sender.claims_together()
        rest, entered = drop(scene, 5), []
        while rest and sender.claims_together():
            claimed = sender.claim(rest)
            assert claimed.failed == {}
            entered += [path[-1].decode() for path in claimed.entered]
            rest = [parts for parts in rest if parts not in claimed]
        assert entered == names(3)
        assert not sender.claims_together()
        assert sender.claim(rest[:1]).entered.keys() == {(b"003.csv",)}


def offered(scene, count):
    """Files at the remote, to be pulled."""
    for name in names(count):
        (scene.remote.folder / "in" / name).write_bytes(name.encode())
        os.utime(scene.remote.folder / "in" / name, (1_700_000_000, 1_700_000_000))


@pytest.fixture
def pulling(tmp_path):
    with Scene(tmp_path, then="delete") as scene:
        yield scene


def left(scene):
    return contents(scene.remote.folder / "in")


def test_small_files_are_pulled_together(pulling):
    offered(pulling, 2 * TOGETHER + 3)
    commits = []
    write = pulling.ledger.write
    pulling.ledger.write = lambda work: commits.append(work) or write(work)
    assert pulling.collector.collect().fetched == 2 * TOGETHER + 3
    assert pulling.remote.together == {step: [TOGETHER, TOGETHER, 3] for step in ("download", "remove")}
    assert len(commits) == 3
    assert contents(pulling.folders.inbound) == whole(count=2 * TOGETHER + 3)
    assert pulling.events() == {"transfer.received": 2 * TOGETHER + 3}
    assert (left(pulling), [*pulling.folders.screening.iterdir()]) == ({}, [])


def test_few_files_are_spread_over_the_connections(pulling):
    offered(pulling, 10)
    assert pulling.collects("delete", concurrency=4).collect().fetched == 10
    assert sorted(pulling.remote.together["download"]) == [1, 3, 3, 3]


def test_one_that_cannot_be_pulled_costs_no_other(pulling):
    offered(pulling, 5)
    pulling.remote.faults["download"] = [RemoteRefusedError("permission denied")]
    pulled = pulling.collector.collect()
    assert (pulled.fetched, pulled.failed) == (4, 1)
    assert pulling.remote.together["download"] == [5]
    assert contents(pulling.folders.inbound) == whole("000.csv", count=5)
    assert left(pulling) == {"000.csv": b"000.csv"}
    assert list(pulling.folders.screening.iterdir()) == []


def test_where_a_connection_is_lost_each_is_pulled_alone(pulling):
    offered(pulling, 5)
    pulling.remote.lost_answers["download"] = 1
    assert pulling.collector.collect().fetched == 5
    assert pulling.remote.together["download"] == [5, 1, 1, 1, 1, 1]
    assert contents(pulling.folders.inbound) == whole(count=5)
    assert pulling.events() == {"transfer.received": 5}
    assert list(pulling.folders.screening.iterdir()) == []


def test_of_a_remote_that_gives_files_once_none_are_pulled_together(pulling):
    offered(pulling, 3)
    pulling.remote.lost_answers["download"] = 1
    with pytest.raises(RemoteError):
        pulling.collects("delete", read_once=True).collect()
    assert pulling.remote.together["download"] == [1, 1, 1]
    assert pulling.events() == {"transfer.fetch_failed": 1, "transfer.received": 2}


def test_of_those_that_are_pulled_each_has_its_own_verdict(pulling):
    offered(pulling, 5)
    pulling.hook("pre-receive", 'case "$(cat)" in *001.csv*) exit 10 ;; *002.csv*) exit 20 ;; esac')
    pulled = pulling.collector.collect()
    assert (pulled.fetched, pulled.failed) == (5, 0)
    assert contents(pulling.folders.inbound) == whole("001.csv", "002.csv", count=5)
    assert sorted(contents(pulling.folders.quarantine)) == ["001.csv", "002.csv"]
    assert left(pulling) == {}


def test_of_those_that_are_pulled_one_whose_name_is_in_the_way_keeps_no_other(pulling):
    offered(pulling, 5)
    (pulling.folders.inbound / "002.csv").mkdir()
    assert pulling.collector.collect().fetched == 5
    assert contents(pulling.folders.inbound) == whole("002.csv", count=5)
    assert contents(pulling.folders.quarantine) == {"002.csv": b"002.csv"}
    assert left(pulling) == {}


def test_what_is_pulled_together_comes_once_wherever_it_is_cut_off(tmp_path, monkeypatch):
    def act(scene):
        offered(scene, 3)
        scene.collector.collect()

    def check(folder, crashed):
        with Scene(folder, then="delete") as scene:
            scene.recovery.run(scene.queue, {})
            scene.collector.collect()
            assert contents(scene.folders.inbound) == whole(count=3)
            assert left(scene) == {}
            assert scene.states() == ["done"] * 3
            assert scene.events() == {"transfer.received": 3}
            assert list(scene.folders.screening.iterdir()) == []

    assert crash_at_every_step(tmp_path, monkeypatch, act, check, then="delete") >= 12
