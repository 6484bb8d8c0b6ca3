"""Releasing a received file that a gate held back, wherever it is cut off."""

import pytest
from exchange_scene import Scene, contents, crash_at_every_step

from sftpd.errors import NotFoundError, RefusedError
from sftpd.exchange.archive import NO_ARCHIVE
from sftpd.exchange.desk import Order, TransferDesk

ORDER = Order("Ina", "it is no virus")


@pytest.fixture
def scene(tmp_path):
    with Scene(tmp_path) as scene:
        yield scene


def blocked(scene, name="upload/report.csv"):
    scene.hook("pre-receive", "echo odd; exit 10")
    assert scene.upload(name) == "quarantined"
    scene.hook("pre-receive", "exit 0")
    return scene.transfers()[-1]


def release(scene, transfer, held=None):
    desk = TransferDesk(scene.ledger, scene.clock, lambda link, folder, path, conn: held)
    desk.release(transfer.id, scene.places, NO_ARCHIVE, scene.receiver, ORDER)


@pytest.mark.parametrize(("name", "folder"), [("upload/a/b.csv", "inbound"), ("requests/b.csv", "requests")])
def test_a_received_file_that_was_held_back_is_released_where_it_would_have_gone(scene, name, folder):
    transfer = blocked(scene, name)
    release(scene, transfer)
    path = name.partition("/")[2]
    assert contents(getattr(scene.folders, folder)) == {path: b"a;b\n"}
    assert contents(scene.folders.quarantine) == {}
    (after,) = scene.transfers()
    assert (str(after.state), after.folder, after.placed_as) == ("done", folder, None)
    assert after.reason == f"released by {ORDER.by}: {ORDER.reason}"
    assert scene.received() == [(folder, path)]
    (leaf,) = [leaf for leaf in scene.leaves() if leaf["type"] == "transfer.received"]
    assert (leaf["data"]["folder"], leaf["data"]["released"]) == (folder, "by_operator")
    with pytest.raises(RefusedError, match="cannot release"):
        release(scene, transfer)
    assert scene.events() == {"transfer.blocked": 1, "transfer.received": 1}


def test_a_release_never_replaces_a_file_and_is_done_once_the_name_is_free(scene):
    transfer = blocked(scene)
    scene.upload("upload/report.csv", b"newer")
    with pytest.raises(RefusedError, match="may be newer; move that file first"):
        release(scene, transfer)
    assert contents(scene.folders.inbound) == {"report.csv": b"newer"}
    assert sorted(scene.received()) == [("inbound", "report.csv"), ("quarantine", "report.csv")]
    (scene.folders.inbound / "report.csv").rename(scene.folders.inbound / "other.csv")
    release(scene, transfer)
    assert contents(scene.folders.inbound) == {"report.csv": b"a;b\n", "other.csv": b"newer"}


def test_a_file_that_takes_the_name_meanwhile_sends_a_released_one_back(scene, monkeypatch):
    transfer = blocked(scene)
    again = scene.receiver.publish_again

    def late(transfer):
        (scene.folders.inbound / "report.csv").write_bytes(b"theirs")
        again(transfer)

    monkeypatch.setattr(scene.receiver, "publish_again", late)
    with pytest.raises(RefusedError, match="it is quarantined: a file or folder of that name is in the way"):
        release(scene, transfer)
    assert contents(scene.folders.inbound) == {"report.csv": b"theirs"}
    assert contents(scene.folders.quarantine) == {"report.csv": b"a;b\n"}
    assert scene.received() == [("quarantine", "report.csv")]


def test_what_is_held_or_changed_in_quarantine_is_not_released(scene):
    transfer = blocked(scene)
    with pytest.raises(RefusedError, match="held: court"):
        release(scene, transfer, held="court")
    (scene.folders.quarantine / "report.csv").write_bytes(b"edited")
    with pytest.raises(NotFoundError, match="not in quarantine/ as it was"):
        release(scene, transfer)
    assert (scene.states(), contents(scene.folders.inbound)) == (["quarantined"], {})


def test_a_release_is_neither_lost_nor_doubled_wherever_it_is_cut_off(tmp_path, monkeypatch):
    def act(scene):
        fuse, scene.fuse.at = scene.fuse.at, None
        transfer = blocked(scene)
        scene.flush()
        scene.fuse.at = None if fuse is None else scene.fuse.steps + fuse
        release(scene, transfer)

    def check(folder, crashed):
        with Scene(folder) as scene:
            scene.recover("remote")
            if scene.events()["transfer.received"]:
                assert contents(scene.folders.inbound) == {"report.csv": b"a;b\n"}
                assert (scene.states(), scene.received()) == (["done"], [("inbound", "report.csv")])
                assert contents(scene.folders.quarantine) == {}
            else:
                assert crashed
                assert contents(scene.folders.quarantine) == {"report.csv": b"a;b\n"}
                assert (scene.states(), scene.received()) == (["quarantined"], [("quarantine", "report.csv")])

    assert crash_at_every_step(tmp_path, monkeypatch, act, check) >= 3
