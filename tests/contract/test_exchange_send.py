import errno
import os

import pytest
from exchange_doubles import LocalRemote
from exchange_scene import Scene, claim_one, contents
from waiting import until

from sftpd.errors import NotPlacedError, RefusedError, RemoteError, RemoteRefusedError
from sftpd.exchange.remote import only
from sftpd.files import durable


@pytest.fixture
def scene(tmp_path):
    with Scene(tmp_path) as scene:
        yield scene


def offer(scene, route, name="report.csv", content=b"a;b\n"):
    scene.queue.offer(scene.senders[route], scene.drop(name, content))
    scene.run_queue()


def at_remote(scene):
    return contents(scene.remote.folder / "out")


def test_a_dropped_file_moves_to_download(scene):
    offer(scene, "download", "a/report.csv", b"whole")
    assert contents(scene.folders.download) == {"a/report.csv": b"whole"}
    assert contents(scene.outbound) == {}
    assert scene.states() == ["done"]
    assert scene.events() == {"transfer.delivered": 1}


def test_a_file_with_other_names_is_offered_as_a_copy_that_nobody_writes_to_by_those(scene, tmp_path):
    other = tmp_path / "elsewhere.csv"
    parts = scene.drop("a/report.csv", b"whole")
    os.utime(scene.outbound / "a/report.csv", (1_700_000_000, 1_700_000_000))
    os.link(scene.outbound / "a/report.csv", other)
    scene.queue.offer(scene.senders["download"], parts)
    scene.run_queue()
    other.write_bytes(b"other")
    offered = scene.folders.download / "a/report.csv"
    assert offered.read_bytes() == b"whole"
    assert offered.stat().st_nlink == 1
    assert offered.stat().st_mtime == 1_700_000_000
    assert contents(scene.outbound) == contents(scene.folders.screening) == {}
    assert scene.states() == ["done"]


def test_a_file_that_is_rewritten_once_it_is_screened_is_not_offered_though_its_time_is_set_back(scene):
    parts = scene.drop("report.csv", b"early")
    path, sender = scene.outbound / "report.csv", scene.senders["download"]
    before = path.stat()
    (due,) = sender.claim([parts]).entered.values()
    with path.open("r+b") as file:
        file.write(b"later")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert sender.advance(due.id) == {}
    assert contents(scene.folders.download) == contents(scene.outbound) == {}
    failed = contents(scene.folders.failed)
    assert failed["report.csv"] == b"later"
    assert b"drop it anew" in failed["report.csv.reason.txt"]
    assert scene.events() == {"transfer.failed": 1}


def test_what_touches_a_screened_file_and_not_its_bytes_does_not_matter(scene):
    parts = scene.drop("report.csv")
    (due,) = scene.senders["download"].claim([parts]).entered.values()
    (scene.outbound / "report.csv").chmod(0o600)
    scene.senders["download"].advance(due.id)
    assert contents(scene.folders.download).keys() == {"report.csv"}


def test_one_file_that_is_linked_in_again_and_again_is_offered_each_time(scene, tmp_path):
    """The kernel does nothing when a name of a file is renamed to another name of that file."""
    (tmp_path / "elsewhere.csv").write_bytes(b"whole")
    for number in range(2):
        os.link(tmp_path / "elsewhere.csv", scene.outbound / "report.csv")
        scene.queue.offer(scene.senders["download"], (b"report.csv",))
        scene.run_queue()
        assert contents(scene.outbound) == {}
        assert scene.states() == ["done"] * (number + 1)
    assert contents(scene.folders.download) == {"report.csv": b"whole"}


def test_a_dropped_file_is_brought_to_the_remote_and_archived(scene):
    content = os.urandom(10_000)
    offer(scene, "remote", "a/report.csv", content)
    assert at_remote(scene) == {"a/report.csv": content}
    assert contents(scene.folders.sent) == {"a/report.csv": content}
    assert contents(scene.outbound) == {}
    assert [(str(t.state), t.folder, t.placed_as) for t in scene.transfers()] == [
        ("done", "sent", (b"a", b"report.csv"))
    ]
    assert scene.events() == {"transfer.delivered": 1}
    assert scene.leaves()[0]["data"]["proof"] == "sha256"


def test_a_folder_in_the_way_sends_the_file_to_quarantine(scene):
    (scene.folders.download / "report.csv").mkdir()
    offer(scene, "download", "report.csv", b"whole")
    assert contents(scene.folders.quarantine) == {"report.csv": b"whole"}
    assert scene.states() == ["quarantined"]
    assert scene.events() == {"transfer.blocked": 1}


def test_a_thousand_offers_of_one_file_deliver_it_once(scene):
    scene.queue.start()
    parts = scene.drop("report.csv")
    for _ in range(1000):
        scene.queue.offer(scene.senders["remote"], parts)
    scene.run_queue()
    assert scene.events() == {"transfer.delivered": 1}
    assert scene.remote.calls["rename"] == 1


def test_a_blocked_file_is_not_sent(scene):
    scene.hook("pre-send", "echo secret; exit 20")
    offer(scene, "remote")
    assert at_remote(scene) == {}
    assert contents(scene.folders.quarantine) == {"report.csv": b"a;b\n"}
    assert scene.states() == ["quarantined"]
    assert scene.transfers()[0].reason == "secret"
    assert scene.events() == {"transfer.blocked": 1}


@pytest.mark.parametrize("step", ["borrow", "upload", "publish"])
def test_a_remote_that_fails_a_few_times_gets_the_file_once(scene, step):
    scene.remote.faults[step] = [RemoteError("try later")] * 4
    offer(scene, "remote")
    assert at_remote(scene) == {"report.csv": b"a;b\n"}
    assert scene.events() == {"transfer.delivered": 1}
    # That the remote cannot be reached is no failed try of the file.
    assert scene.transfers()[0].attempts == (0 if step == "borrow" else 4)


@pytest.mark.parametrize("step", ["upload", "publish"])
def test_an_answer_that_was_lost_does_not_deliver_twice(scene, step):
    scene.remote.lost_answers[step] = 1
    offer(scene, "remote")
    assert at_remote(scene) == {"report.csv": b"a;b\n"}
    assert scene.remote.calls["rename"] == 1
    assert scene.events() == {"transfer.delivered": 1}


def test_what_cannot_be_delivered_ends_in_failed_with_its_reason(tmp_path):
    with Scene(tmp_path, attempts=3) as scene:
        scene.remote.faults["upload"] = [RemoteRefusedError("quota exceeded")] * 3
        offer(scene, "remote")
        failed = contents(scene.folders.failed)
        assert failed["report.csv"] == b"a;b\n"
        assert b"quota exceeded" in failed["report.csv.reason.txt"]
        assert contents(scene.outbound) == {}
        assert scene.states() == ["failed"]
        assert scene.events() == {"transfer.failed": 1}


def test_after_the_upload_nothing_is_given_up(tmp_path):
    """The rename may have happened: only asking again can tell."""
    with Scene(tmp_path, attempts=2) as scene:
        scene.remote.faults["publish"] = [RemoteError("try later")] * 6
        offer(scene, "remote")
        assert at_remote(scene) == {"report.csv": b"a;b\n"}
        assert scene.events() == {"transfer.delivered": 1}


def test_what_the_remote_would_not_place_is_brought_anew(scene):
    scene.remote.faults["publish"] = [NotPlacedError("it refuses")] * 2
    offer(scene, "remote")
    assert at_remote(scene) == {"report.csv": b"a;b\n"}
    assert scene.remote.calls["upload"] == 3
    assert scene.events() == {"transfer.delivered": 1}


def test_what_the_remote_never_would_place_ends_in_failed_and_leaves_nothing_there(tmp_path):
    with Scene(tmp_path, attempts=3) as scene:
        scene.remote.faults["publish"] = [RemoteError("try later"), *[NotPlacedError("it refuses")] * 2]
        offer(scene, "remote")
        assert at_remote(scene) == {}
        assert b"it refuses" in contents(scene.folders.failed)["report.csv.reason.txt"]
        assert scene.transfers()[0].attempts == 2
        assert scene.events() == {"transfer.failed": 1}


def test_a_last_try_that_tells_nothing_is_followed_by_others(tmp_path):
    with Scene(tmp_path, attempts=2) as scene:
        scene.remote.faults["publish"] = [NotPlacedError("it refuses"), *[RemoteError("try later")] * 3]
        offer(scene, "remote")
        assert at_remote(scene) == {"report.csv": b"a;b\n"}
        assert scene.events() == {"transfer.delivered": 1}


@pytest.mark.parametrize("begun", [False, True])
def test_a_file_that_waits_has_its_temporary_name_in_the_new_folder_unless_it_is_begun(tmp_path, begun):
    with Scene(tmp_path, directory="/wrong") as scene:
        scene.remote.faults["upload"] = [RemoteRefusedError("no such folder")]
        sender = scene.senders["remote"]
        due = claim_one(sender, scene.drop("report.csv"))
        sender.postpone(due.id, sender.advance(due.id)[due.id])
        (transfer,) = scene.transfers()
        assert transfer.reason == "peer:/wrong/: no such folder"
        if begun:
            (scene.remote.folder / "wrong").mkdir()
            (scene.remote.folder / os.fsdecode(transfer.temporary[1:])).write_bytes(b"a;")
    with Scene(tmp_path) as scene:
        scene.queue.serve(scene.senders["remote"])
        scene.run_queue()
        assert at_remote(scene) == {"report.csv": b"a;b\n"}
        (transfer,) = scene.transfers()
        assert transfer.temporary.startswith(b"/wrong/" if begun else b"/out/")
        assert (scene.remote.folder / "wrong").exists() is begun


def test_a_source_that_changes_while_it_is_sent_is_not_delivered_but_its_later_version_is(scene):
    def change():
        scene.remote.during_upload = lambda: None
        scene.queue.offer(scene.senders["remote"], scene.drop("report.csv", b"later version"))

    scene.remote.during_upload = change
    offer(scene, "remote", content=b"early")
    assert at_remote(scene) == {"report.csv": b"later version"}
    assert scene.states() == ["vanished", "done"]
    assert scene.events() == {"transfer.delivered": 1}


def test_a_source_that_goes_while_the_remote_is_away_leaves_nothing_there(scene):
    def take_away():
        (scene.outbound / "report.csv").unlink()

    scene.remote.during_upload = take_away
    scene.remote.lost_answers["upload"] = 1
    offer(scene, "remote")
    assert at_remote(scene) == {}
    assert scene.states() == ["vanished"]


@pytest.mark.parametrize("becomes", [None, b"later version"])
def test_a_source_that_goes_before_it_is_placed_is_not_told_of_as_delivered(scene, monkeypatch, becomes):
    """The disk is full at the first try; only after a crash may a file that is not there be at its place."""
    due = claim_one(scene.senders["download"], scene.drop("report.csv"))
    with monkeypatch.context() as patched:
        patched.setattr(durable, "rename", _full)
        assert due.id in scene.senders["download"].advance(due.id)
    (scene.outbound / "report.csv").unlink()
    if becomes is not None:
        scene.drop("report.csv", becomes)
    assert scene.senders["download"].advance(due.id) == {}
    assert scene.states() == ["vanished"]
    assert scene.transfers()[0].folder is None
    assert scene.events() == {}
    assert scene.received() == []
    assert contents(scene.folders.download) == {}


def _full(*_, **__):
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_file_that_is_removed_there_before_its_rename_was_not_delivered(scene):
    """As by a scanner at the remote; nobody has asked for the rename, so that it cannot have happened."""
    publish = scene.remote.publish

    def scanned(files, **order):
        scene.remote.publish = publish
        scene.remote._at(files[0].temporary).unlink()
        return publish(files, **order)

    scene.remote.publish = scanned
    scene.queue.offer(scene.senders["remote"], scene.drop("report.csv", b"a"))
    scene.run_queue()
    assert contents(scene.folder / "remote/out") == {"report.csv": b"a"}
    assert scene.states() == ["done"]


def test_a_file_that_is_gone_is_nothing_to_send(scene):
    assert claim_one(scene.senders["remote"], (b"gone",)) is None
    assert scene.transfers() == []


def test_a_file_that_is_on_its_way_is_not_read_again(scene, monkeypatch):
    parts, sender = scene.drop("report.csv"), scene.senders["remote"]
    assert claim_one(sender, parts) is not None
    monkeypatch.delattr("sftpd.exchange.claim.fingerprint")
    assert claim_one(sender, parts) is None
    assert scene.states() == ["sending"]


def test_a_file_of_the_same_name_is_another_transfer(scene):
    offer(scene, "remote", content=b"monday")
    offer(scene, "remote", content=b"tuesday")
    assert at_remote(scene) == {"report.csv": b"tuesday"}
    assert contents(scene.folders.sent) == {"report.csv": b"monday", "report.1.csv": b"tuesday"}
    assert scene.events() == {"transfer.delivered": 2}


def test_while_the_gate_is_closed_nothing_is_claimed(scene, tmp_path):
    asked = []

    def closed(link):
        asked.append(link)
        raise RefusedError("not now", reason="LINK_NOT_ACTIVE")

    queue = scene.new_queue(require_open=closed)
    queue.offer(scene.senders["remote"], scene.drop("report.csv"))
    queue.start()
    until(lambda: asked)
    queue.stop()
    assert queue.depth() == 1
    assert scene.transfers() == []
    assert contents(scene.outbound) == {"report.csv": b"a;b\n"}


@pytest.mark.parametrize("route", ["download", "remote"])
def test_subfolders_can_be_flattened_and_no_file_takes_the_place_of_another(tmp_path, route):
    with Scene(tmp_path, layout="flatten") as scene:
        for name in ("x.csv", "a/x.csv", "a/b/x.csv", "a+b/x.csv"):
            offer(scene, route, name, name.encode())
        place = scene.folders.download if route == "download" else scene.remote.folder / "out"
        flat = {"x.csv": "x.csv", "a+x.csv": "a/x.csv", "a+b+x.csv": "a/b/x.csv", "a+.b+x.csv": "a+b/x.csv"}
        assert contents(place) == {name: path.encode() for name, path in flat.items()}
        offer(scene, route, "a/x.csv", b"later")
        assert contents(place)["a+x.csv"] == b"later"
        assert scene.states() == ["done"] * 5
        placed = [transfer.placed_as for transfer in scene.transfers()]
        expected = [None, (b"a+x.csv",), (b"a+b+x.csv",)] if route == "download" else [(b"x.csv",)]
        assert placed[: len(expected)] == expected


@pytest.mark.parametrize(("hook", "folder"), [("exit 10", "quarantine"), ("exit 0", "failed")])
def test_the_done_file_of_a_file_that_is_put_aside_goes_with_it(tmp_path, hook, folder):
    with Scene(tmp_path, done_file=".ok", attempts=1) as scene:
        scene.hook("pre-send", hook)
        scene.drop("report.csv.ok")
        scene.remote.faults["upload"] = [RemoteRefusedError("quota exceeded")]
        offer(scene, "remote")
        assert contents(scene.outbound) == {}
        assert "report.csv" in contents(getattr(scene.folders, folder))


def test_a_done_file_stays_with_a_file_that_was_changed_while_it_was_sent(tmp_path):
    with Scene(tmp_path, done_file=".ok") as scene:
        scene.drop("report.csv.ok")
        scene.remote.during_upload = lambda: scene.drop("report.csv", b"changed")
        offer(scene, "remote")
        assert set(contents(scene.outbound)) == {"report.csv", "report.csv.ok"}
        assert scene.states() == ["vanished"]


def test_the_double_behaves_as_the_port_says(tmp_path):
    remote = LocalRemote(tmp_path)
    assert remote.size(b"/x") is None
    with pytest.raises(RemoteError):
        only(remote.remove([b"/no/x"]))
