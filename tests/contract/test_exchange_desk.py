"""An operator's orders about one transfer: retry, resend, cancel, wherever they are cut off."""

import threading

import pytest
from exchange_scene import Scene, claim_one, contents, crash_at_every_step
from waiting import until

from sftpd.errors import NotFoundError, NotPlacedError, RefusedError, RemoteRefusedError
from sftpd.exchange.desk import Order, TransferDesk

ORDER = Order("Ina", "they asked for it")
CONTENT = b"a;b\n"
NO = RemoteRefusedError("it answers PERMISSION_DENIED")


@pytest.fixture
def scene(tmp_path):
    with Scene(tmp_path, attempts=2) as scene:
        yield scene


def desk(scene, held=None):
    return TransferDesk(scene.ledger, scene.clock, lambda link, folder, path, conn: held)


def send(scene, name="report.csv", content=CONTENT, route="remote"):
    scene.queue.offer(scene.senders[route], scene.drop(name, content))
    scene.run_queue()
    return scene.transfers()[-1]


def failed(scene, name="report.csv"):
    scene.remote.faults["upload"] = [NO] * 2
    return send(scene, name)


def held_back(scene, name="report.csv"):
    scene.hook("pre-send", "exit 20")
    transfer = send(scene, name)
    scene.hook("pre-send", "exit 0")
    return transfer


def obey(scene, order):
    """Give an order while the queue is at work, and have it carried out."""
    result = order()
    scene.bell.ring()
    scene.run_queue()
    return result


def at_remote(scene):
    return contents(scene.remote.folder / "out")


def opened(scene, type):
    return [leaf for leaf in scene.leaves() if leaf["type"] == type]


def test_a_failed_file_goes_again_from_failed(scene):
    transfer = failed(scene)
    assert contents(scene.folders.failed).keys() == {"report.csv", "report.csv.reason.txt"}
    obey(scene, lambda: desk(scene).retry(transfer.id, ORDER))
    assert at_remote(scene) == {"report.csv": CONTENT}
    assert contents(scene.folders.failed) == {}
    (after,) = scene.transfers()
    assert (after.id, str(after.state), after.folder, after.attempts) == (transfer.id, "done", "sent", 0)
    assert scene.received() == [("sent", "report.csv")]
    assert scene.events() == {"transfer.failed": 1, "transfer.retried": 1, "transfer.delivered": 1}


def test_a_file_that_is_called_as_a_reason_is_not_written_over(scene):
    first = failed(scene, "report.csv.reason.txt")
    failed(scene)
    assert contents(scene.folders.failed)["report.csv.reason.txt.file"] == CONTENT
    obey(scene, lambda: desk(scene).retry(first.id, ORDER))
    assert at_remote(scene) == {"report.csv.reason.txt": CONTENT}
    assert contents(scene.folders.failed).keys() == {"report.csv", "report.csv.reason.txt"}


def test_a_retried_file_is_screened_again(scene):
    transfer = failed(scene)
    scene.hook("pre-send", "echo not any more; exit 20")
    obey(scene, lambda: desk(scene).retry(transfer.id, ORDER))
    assert at_remote(scene) == {}
    assert contents(scene.folders.quarantine) == {"report.csv": CONTENT}
    assert scene.states() == ["quarantined"]


def test_a_file_that_a_gate_held_back_goes_again_once_the_gates_accept_it(scene):
    transfer = held_back(scene)
    scene.hook("pre-send", "echo still not; exit 20")
    obey(scene, lambda: desk(scene).retry(transfer.id, ORDER))
    assert scene.transfers()[0].reason == "still not"
    assert (scene.states(), scene.received()) == (["quarantined"], [("quarantine", "report.csv")])
    scene.hook("pre-send", "exit 0")
    obey(scene, lambda: desk(scene).retry(transfer.id, ORDER))
    assert (at_remote(scene), contents(scene.folders.quarantine)) == ({"report.csv": CONTENT}, {})
    assert (scene.states(), scene.received()) == (["done"], [("sent", "report.csv")])
    assert scene.events() == {"transfer.blocked": 2, "transfer.retried": 2, "transfer.delivered": 1}


def test_a_retried_file_waits_for_its_name_to_be_free(scene):
    transfer = failed(scene)
    in_the_way = scene.outbound / "report.csv"
    in_the_way.write_bytes(b"a newer one, not settled yet")
    obey_without_end(scene, lambda: desk(scene).retry(transfer.id, ORDER))
    until(lambda: scene.queue.held() == 1)
    assert in_the_way.read_bytes() == b"a newer one, not settled yet"
    assert scene.states() == ["returning"]
    assert scene.received() == []  # retention governs it no longer


def test_what_the_remote_would_not_place_can_be_cancelled(scene):
    sender = scene.senders["remote"]
    due = claim_one(sender, scene.drop("report.csv", CONTENT))
    scene.remote.faults["publish"] = [NotPlacedError("it refuses")]
    failure = sender.advance(due.id)[due.id]
    assert scene.states() == ["placing"]
    sender.postpone(due.id, failure)
    assert scene.states() == ["waiting"]
    desk(scene).cancel(due.id, ORDER)
    scene.queue.serve(sender)
    scene.run_queue()
    assert at_remote(scene) == {}
    assert scene.states() == ["failed"]


def obey_without_end(scene, order):
    order()
    scene.bell.ring()


@pytest.mark.parametrize("order", ["retry", "resend", "cancel"])
def test_an_order_that_does_not_fit_is_refused_and_changes_nothing(scene, order):
    done = send(scene, "done.csv")
    before = scene.events()
    if order == "resend":
        done = failed(scene)
        before = scene.events()
    with pytest.raises(RefusedError, match="cannot " + order):
        give(scene, order, done.id)
    with pytest.raises(NotFoundError):
        give(scene, order, "nonesuch")
    assert scene.events() == before


def give(scene, order, transfer_id):
    if order == "resend":
        return desk(scene).resend(transfer_id, scene.places, ORDER)
    return getattr(desk(scene), order)(transfer_id, ORDER)


@pytest.mark.parametrize("put_aside", [failed, held_back])
def test_a_file_that_is_held_stays_where_it_was_put_aside(scene, put_aside):
    transfer = put_aside(scene)
    with pytest.raises(RefusedError, match="held: court"):
        desk(scene, held="court").retry(transfer.id, ORDER)
    assert "report.csv" in contents(scene.folders.failed) | contents(scene.folders.quarantine)


def test_a_delivered_file_goes_again_as_another_transfer(scene):
    first = send(scene)
    (scene.remote.folder / "out/report.csv").unlink()
    fresh = obey(scene, lambda: desk(scene).resend(first.id, scene.places, ORDER))
    assert fresh != first.id
    assert at_remote(scene) == {"report.csv": CONTENT}
    assert contents(scene.folders.sent) == {"report.csv": CONTENT, "report.1.csv": CONTENT}
    assert contents(scene.folders.screening) == {}
    assert scene.states() == ["done", "done"]
    assert scene.events() == {"transfer.delivered": 2, "transfer.resent": 1}
    (leaf,) = opened(scene, "transfer.resent")
    assert (leaf["data"]["transfer"], leaf["data"]["resent"]) == (fresh, first.id)


def test_a_file_that_was_changed_in_sent_is_not_sent_again(scene):
    first = send(scene)
    (scene.folders.sent / "report.csv").write_bytes(b"changed")
    with pytest.raises(RefusedError, match="changed since"):
        desk(scene).resend(first.id, scene.places, ORDER)
    (scene.folders.sent / "report.csv").unlink()
    with pytest.raises(NotFoundError, match="cannot be read"):
        desk(scene).resend(first.id, scene.places, ORDER)
    assert contents(scene.folders.screening) == {}
    assert scene.events() == {"transfer.delivered": 1}


def test_a_waiting_transfer_is_ended_although_the_remote_is_paused(scene):
    scene.halts.pause(scene.guard.subject, by="Ina", reason="test")
    due = claim_one(scene.senders["remote"], scene.drop("report.csv", CONTENT))
    scene.queue.serve(scene.senders["remote"])
    scene.queue.start()
    obey(scene, lambda: desk(scene).cancel(due.id, ORDER))
    assert contents(scene.outbound) == {}
    kept = contents(scene.folders.failed)
    assert kept["report.csv"] == CONTENT
    assert kept["report.csv.reason.txt"] == b"cancelled by Ina: they asked for it\n"
    assert scene.states() == ["failed"]
    assert scene.remote.calls == {}
    assert scene.events() == {"remote.paused": 1, "transfer.cancelled": 1}


def test_to_cancel_a_transfer_connects_to_no_remote_while_the_link_is_closed(scene):
    due = claim_one(scene.senders["remote"], scene.drop("report.csv", CONTENT))
    scene.queue.serve(scene.senders["remote"])
    scene.is_open = False
    obey(scene, lambda: desk(scene).cancel(due.id, ORDER))
    assert scene.states() == ["failed"]
    assert contents(scene.folders.failed).keys() == {"report.csv", "report.csv.reason.txt"}
    assert scene.remote.calls["borrow"] == 0


def test_a_transfer_that_is_cancelled_while_it_is_sent_is_not_delivered(scene):
    def cancel():
        desk(scene).cancel(scene.transfers()[0].id, ORDER)
        scene.bell.ring()

    scene.remote.during_upload = cancel
    send(scene)
    assert at_remote(scene) == {}
    assert contents(scene.folders.failed)["report.csv"] == CONTENT
    assert scene.states() == ["failed"]
    assert scene.events() == {"transfer.cancelled": 1}


def test_one_that_is_cancelled_while_its_try_fails_ends_all_the_same(scene):
    def cancel():
        desk(scene).cancel(scene.transfers()[0].id, ORDER)
        raise NO

    scene.remote.during_upload = cancel
    send(scene)
    assert at_remote(scene) == {}
    assert scene.states() == ["failed"]
    assert scene.events() == {"transfer.cancelled": 1}


def without_route(scene, order=ORDER):
    """What an operator has who cancels a transfer while its route is not configured."""
    due = claim_one(scene.senders["remote"], scene.drop("report.csv", CONTENT))
    desk(scene).cancel(due.id, order, is_served=lambda _: False)
    return due.id


def test_without_its_route_a_transfer_is_cancelled_where_its_file_lies(scene):
    without_route(scene)
    (transfer,) = scene.transfers()
    assert (transfer.state, transfer.reason) == ("cancelled", "cancelled by Ina: they asked for it")
    assert transfer.not_before is None
    assert contents(scene.outbound) == {"report.csv": CONTENT}
    assert scene.received() == []
    (told,) = opened(scene, "transfer.cancelled")
    assert told["data"]["left"] is True
    with pytest.raises(RefusedError, match="outbound and cancelled cannot cancel"):
        desk(scene).cancel(transfer.id, ORDER, is_served=lambda _: False)


def test_what_was_cancelled_without_its_route_is_put_aside_and_not_sent_once_that_is_back(scene):
    without_route(scene)
    sender = scene.senders["remote"]
    scene.recovery.resume_sending(scene.queue, {"remote": sender})
    scene.queue.offer(sender, (b"report.csv",))
    scene.run_queue()
    assert (scene.states(), at_remote(scene), contents(scene.outbound)) == (["failed"], {}, {})
    kept = contents(scene.folders.failed)
    assert kept["report.csv.reason.txt"] == b"cancelled by Ina: they asked for it\n"
    assert scene.received() == [("failed", "report.csv")]
    assert scene.events() == {"transfer.cancelled": 1}


def test_a_newer_file_at_the_place_of_a_cancelled_one_is_sent(scene):
    without_route(scene)
    (scene.outbound / "report.csv").unlink()
    sender = scene.senders["remote"]
    scene.recovery.resume_sending(scene.queue, {"remote": sender})
    scene.queue.offer(sender, scene.drop("report.csv", b"newer"))
    scene.run_queue()
    assert at_remote(scene) == {"report.csv": b"newer"}
    assert sorted(scene.states()) == ["done", "failed"]
    assert contents(scene.folders.failed) == {}


def test_what_was_cancelled_before_its_route_went_can_be_ended_without_it(scene):
    due = claim_one(scene.senders["remote"], scene.drop("report.csv", CONTENT))
    desk(scene).cancel(due.id, ORDER)
    assert scene.states() == ["failing"]
    with pytest.raises(RefusedError, match="outbound and failing cannot cancel"):
        desk(scene).cancel(due.id, ORDER)
    desk(scene).cancel(due.id, Order("Ola", "for good"), is_served=lambda _: False)
    assert scene.states() == ["cancelled"]
    assert scene.transfers()[0].reason == "cancelled by Ola: for good"


def test_one_that_may_be_at_its_place_is_not_cancelled_without_its_route_either(scene):
    sender = scene.senders["remote"]
    due = claim_one(sender, scene.drop("report.csv", CONTENT))
    scene.remote.faults["publish"] = [NotPlacedError("it refuses")]
    sender.advance(due.id)
    with pytest.raises(RefusedError, match="outbound and placing cannot cancel"):
        desk(scene).cancel(due.id, ORDER, is_served=lambda _: False)


def test_a_transfer_that_is_left_while_it_is_still_sent_is_not_delivered(scene):
    def cancel():
        desk(scene).cancel(scene.transfers()[0].id, ORDER, is_served=lambda _: False)

    scene.remote.during_upload = cancel
    send(scene)
    assert at_remote(scene).keys() <= {name for name in at_remote(scene) if name.startswith(".")}
    assert contents(scene.outbound) == {"report.csv": CONTENT}
    assert scene.states() == ["cancelled"]


@pytest.mark.parametrize("rounds", [40])
def test_of_a_cancel_and_a_delivery_at_once_exactly_one_happens(tmp_path, rounds):
    with Scene(tmp_path, workers=4) as scene:
        scene.queue.start()
        cancelled = 0
        for number in range(rounds):
            scene.queue.offer(scene.senders["remote"], scene.drop(f"{number}.csv", b"%d" % number))
            until(lambda number=number: len(scene.transfers()) > number)
            transfer = scene.transfers()[-1]
            answers = []
            threads = [
                threading.Thread(target=try_to_cancel, args=(scene, transfer.id, answers)) for _ in "ab"
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert sum(answers) <= 1
            cancelled += sum(answers)
        scene.bell.ring()
        scene.run_queue()
        arrived, kept = at_remote(scene), contents(scene.folders.failed)
        assert len(arrived) == rounds - cancelled
        assert len([name for name in kept if name.endswith(".csv")]) == cancelled
        assert not arrived.keys() & kept.keys()
        assert scene.events()["transfer.delivered"] == len(arrived)
        assert scene.events()["transfer.cancelled"] == cancelled


def try_to_cancel(scene, transfer_id, answers):
    try:
        desk(scene).cancel(transfer_id, ORDER)
    except RefusedError:
        answers.append(False)
    else:
        answers.append(True)


@pytest.mark.parametrize(("put_aside", "state"), [(failed, "failed"), (held_back, "quarantined")])
def test_a_retry_is_neither_lost_nor_doubled_wherever_it_is_cut_off(tmp_path, monkeypatch, put_aside, state):
    def act(scene):
        fuse, scene.fuse.at = scene.fuse.at, None
        transfer = put_aside(scene)
        scene.queue.stop()
        scene.fuse.at = None if fuse is None else scene.fuse.steps + fuse
        desk(scene).retry(transfer.id, ORDER)
        advance(scene, transfer.id)

    def check(folder, crashed):
        with Scene(folder, attempts=2) as scene:
            scene.recover("remote")
            if scene.events()["transfer.retried"]:
                assert at_remote(scene) == {"report.csv": CONTENT}
                assert scene.states() == ["done"]
                assert contents(scene.folders.failed) == contents(scene.folders.quarantine) == {}
                assert scene.events()["transfer.delivered"] == 1
            else:
                assert crashed
                assert scene.states() == [state]
                aside = contents(scene.folders.failed) | contents(scene.folders.quarantine)
                assert aside["report.csv"] == CONTENT

    assert crash_at_every_step(tmp_path, monkeypatch, act, check, attempts=2) >= 12


def test_a_resend_is_neither_lost_nor_doubled_wherever_it_is_cut_off(tmp_path, monkeypatch):
    def act(scene):
        fuse, scene.fuse.at = scene.fuse.at, None
        first = send(scene)
        scene.queue.stop()
        scene.fuse.at = None if fuse is None else scene.fuse.steps + fuse
        advance(scene, desk(scene).resend(first.id, scene.places, ORDER))

    def check(folder, crashed):
        with Scene(folder, attempts=2) as scene:
            scene.recover("remote")
            times = 1 + scene.events()["transfer.resent"]
            assert crashed or times == 2
            assert at_remote(scene) == {"report.csv": CONTENT}
            assert scene.states() == ["done"] * times
            assert scene.events()["transfer.delivered"] == times
            assert len(contents(scene.folders.sent)) == times
            assert contents(scene.folders.screening) == contents(scene.outbound) == {}

    assert crash_at_every_step(tmp_path, monkeypatch, act, check, attempts=2) >= 12


def test_a_cancel_is_neither_lost_nor_doubled_wherever_it_is_cut_off(tmp_path, monkeypatch):
    def act(scene):
        due = claim_one(scene.senders["remote"], scene.drop("report.csv", CONTENT))
        desk(scene).cancel(due.id, ORDER)
        scene.senders["remote"].advance(due.id)

    def check(folder, crashed):
        with Scene(folder, attempts=2) as scene:
            scene.recover("remote")
            if scene.events()["transfer.cancelled"]:
                assert scene.states() == ["failed"]
                assert contents(scene.folders.failed)["report.csv"] == CONTENT
                assert at_remote(scene) == {}
            else:
                assert crashed
                assert at_remote(scene) == {"report.csv": CONTENT}

    assert crash_at_every_step(tmp_path, monkeypatch, act, check, attempts=2) >= 8


def advance(scene, transfer_id):
    """What the queue does with it: it comes back, and is sent."""
    scene.senders["remote"].advance(transfer_id)
    scene.senders["remote"].advance(transfer_id)
