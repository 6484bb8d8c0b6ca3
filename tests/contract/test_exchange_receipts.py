"""Each file that crosses has one receipt that ssh-keygen verifies, whatever becomes of the writer."""

import contextlib
import errno
import hashlib
import json
import os
import shutil
import threading
from datetime import timedelta

import pytest
from deaths import die_after
from exchange_scene import claim_one
from receipt_scene import KEY, ReceiptScene, receipts_in, verifies
from waiting import until

from sftpd.audit.checkpoint import SigningKey
from sftpd.audit.merkle import leaf_hash
from sftpd.clock import SystemClock
from sftpd.errors import AuditError, RefusedError
from sftpd.exchange import receipts as module
from sftpd.exchange.receipts import enrol
from sftpd.files import durable
from sftpd.files.beneath import Root
from sftpd.ledger import tables
from sftpd.ledger.outbox import Event
from sftpd.names import VirtualPath
from sftpd.service import receipts as thread
from sftpd.service.receipts import ReceiptWriter

CONTENT = b"a;b\n"

CHANGES = [
    (os, ["fsync", "mkdir", "rename", "unlink"]),
    (durable, ["sync_file_system"]),
    (module, ["_move"]),
]
"""The calls besides writes that change the disk."""


@pytest.fixture
def scene(tmp_path):
    with ReceiptScene(tmp_path) as scene:
        yield scene


def send(scene, route, name):
    transfer = claim_one(scene.senders[route], scene.drop(name, CONTENT)).id
    scene.senders[route].advance(transfer)


def test_each_way_that_a_file_crosses_has_its_receipt(scene):
    (scene.remote.folder / "in/fetched.csv").write_bytes(CONTENT)
    scene.upload("upload/a/report.csv", CONTENT)
    scene.upload("requests/ask.json", CONTENT)
    scene.collector.collect()
    send(scene, "download", "offered.csv")
    send(scene, "remote", "brought.csv")
    scene.write()

    found = scene.found()
    assert {at: (told["route"], told["peer"], told["direction"]) for at, told in found.items()} == {
        ("received", "a/report.csv"): ("upload", "alice", "inbound"),
        ("received", "ask.json"): ("requests", "alice", "inbound"),
        ("received", "fetched.csv"): ("fetch", "peer", "inbound"),
        ("delivered", "offered.csv"): ("download", "", "outbound"),
        ("delivered", "brought.csv"): ("remote", "peer", "outbound"),
    }
    transfers = {b"/".join(transfer.path).decode(): transfer for transfer in scene.transfers()}
    for (_, name), told in found.items():
        assert told["transfer"] == transfers[name].id
        assert (told["size"], told["sha256"]) == (len(CONTENT), hashlib.sha256(CONTENT).hexdigest())
        assert told["instance"] == "office"


def test_a_receipt_says_where_in_the_log_its_event_stands(scene):
    for name in ("one.csv", "two.csv"):
        scene.upload(f"upload/{name}")
    scene.write()
    for told in scene.found().values():
        at = told["audit"]
        leaf = next(scene.log.leaves(at["index"], at["index"] + 1, scene.receipts.leaves()))
        assert (at["log"], at["leaf"]) == ("office/demo", leaf_hash(leaf).hex())
        assert json.loads(leaf)["data"]["transfer"] == told["transfer"]


def test_what_is_held_back_is_received_with_its_verdict_and_what_does_not_leave_has_none(scene):
    scene.hook("pre-send", "exit 10")
    scene.hook("pre-receive", "exit 10")
    assert scene.upload("upload/odd.csv") == "quarantined"
    scene.hook("pre-receive", "exit 20")
    with pytest.raises(RefusedError):
        scene.upload("upload/bad.csv")
    assert claim_one(scene.senders["remote"], scene.drop("secret.csv")) is None
    scene.write()
    assert {at: told["verdict"] for at, told in scene.found().items()} == {
        ("blocked", "odd.csv"): "quarantine",
        ("blocked", "bad.csv"): "reject",
    }


@pytest.mark.parametrize(
    ("body", "kind", "verdict"),
    [
        ("exit 0", "received", "accept"),
        ("exit 10", "blocked", "quarantine"),
        ("exit 20", "blocked", "reject"),
    ],
)
def test_a_file_acknowledged_before_its_verdict_has_both_in_its_receipt(tmp_path, body, kind, verdict):
    with ReceiptScene(tmp_path, acknowledge_within=0.01) as scene:
        scene.hook("pre-receive", f"while [ ! -e {tmp_path}/go ]; do sleep 0.01; done; {body}")
        assert scene.upload("upload/slow.csv") == "screening"
        scene.write()
        assert receipts_in_any(scene) == []
        (tmp_path / "go").touch()
        until(lambda: scene.states()[0] in ("done", "quarantined"))
        scene.write()
        ((at, told),) = scene.found().items()
    assert at == (kind, "slow.csv")
    assert (told["verdict"], told["acknowledged"]) == (verdict, "before_verdict")


def test_a_file_that_could_not_be_published_has_a_second_receipt_that_says_so(scene):
    (scene.folders.inbound / "report.csv").mkdir()
    with pytest.raises(RefusedError):
        scene.upload("upload/report.csv")
    scene.write()
    assert {at: told["verdict"] for at, told in scene.found().items()} == {
        ("received", "report.csv"): "accept",
        ("blocked", "report.csv"): "reject",
    }


def test_what_a_partner_changes_does_not_verify(scene, tmp_path):
    scene.upload("upload/report.csv", CONTENT)
    scene.write()
    (path,) = receipts_in(scene.folders.receipts)
    signers, genuine = scene.folders.receipts / "allowed_signers", path.read_bytes()
    signature = path.with_name(f"{path.name}.sig")
    assert verifies(path, signers, "office")
    for old, new in (
        (b"report.csv", b"report.cvs"),
        (b'"size":4', b'"size":5'),
        (b'"sha256":"', b'"sha256":"0'),
    ):
        assert old in genuine
        path.write_bytes(genuine.replace(old, new))
        assert not verifies(path, signers, "office")
    path.write_bytes(genuine)
    assert not verifies(path, signers, "office", namespace="file")
    assert not verifies(path, signers, "other")
    other = tmp_path / "other"
    other.write_text(module.sshsig.allowed_signer(SigningKey.generate("office").verifier, "receipt@sftpd"))
    assert not verifies(path, other, "office")
    lines = signature.read_text().splitlines()
    lines[3] = lines[3][:10] + ("A" if lines[3][10] != "A" else "B") + lines[3][11:]
    signature.write_text("\n".join([*lines, ""]))
    assert not verifies(path, signers, "office")


def test_hundreds_at_once_and_one_by_one_are_the_same(scene, monkeypatch):
    monkeypatch.setattr(module, "_BATCH", 100)
    for number in range(300):
        scene.upload(f"upload/{number}.csv")
        if number % 7 == 0:
            scene.ledger.write(lambda unit: unit.record(Event("link.noted", "demo", {"n": 1})))
    scene.write()
    told = [json.loads(path.read_bytes()) for path in receipts_in(scene.folders.receipts)]
    assert sorted(each["name"] for each in told) == sorted(f"{number}.csv" for number in range(300))
    before = tree(scene)
    scene.write()
    assert tree(scene) == before


def test_names_of_any_bytes(scene):
    for name in (b"na\xefve\xff.csv", "ünïcode".encode(), b"x" * 200, b"new\nline", b'quote"\\'):
        staged = os.fsencode(scene.staged("upload")) + b"/" + name
        os.makedirs(os.path.dirname(staged), exist_ok=True)
        with open(staged, "wb") as file:
            file.write(CONTENT)
        path = VirtualPath.parse(b"/upload/" + name)
        scene.partner.complete(scene.new_id(), path, len(CONTENT), None)
    scene.write()
    assert {name for _, name in scene.found()} == {
        "na\\xefve\\xff.csv", "ünïcode", "x" * 200, "new\nline", 'quote"\\',
    }  # fmt: skip


def test_of_what_was_erased_nothing_is_written(scene):
    scene.upload("upload/gone.csv")
    scene.upload("upload/stays.csv")
    scene.sequencer.drain()
    opening = tables.opening
    of_gone = opening.c.value == json.dumps("gone.csv")
    scene.ledger.write(lambda unit: unit.conn.execute(opening.delete().where(of_gone)))
    scene.write()
    assert list(scene.found()) == [("received", "stays.csv")]


def test_those_of_some_transfers_are_removed_with_their_signatures_and_no_others(scene):
    for name in ("one.csv", "two.csv", "three.csv"):
        scene.upload(f"upload/{name}")
    scene.write()
    ids = {told["name"]: told["transfer"] for told in scene.found().values()}
    with Root.at(scene.folders.receipts) as folder:
        module.remove(folder, scene.ledger, [ids["one.csv"], ids["three.csv"], "unknown"])
        module.remove(folder, scene.ledger, [ids["one.csv"]])
    assert list(scene.found()) == [("received", "two.csv")]
    scene.write()
    assert list(scene.found()) == [("received", "two.csv")]


@pytest.mark.parametrize("step", [timedelta(hours=1), timedelta(days=10)])
def test_those_of_a_time_over_which_the_clock_was_set_back_verify_and_are_found(tmp_path, step):
    clock = SetClock()
    with ReceiptScene(tmp_path, clock=clock) as scene:
        late = claim_one(scene.senders["remote"], scene.drop("over.csv", CONTENT)).id
        scene.upload("upload/before.csv")
        scene.write()
        clock.step = -step
        scene.upload("upload/after.csv")
        scene.senders["remote"].advance(late)
        scene.write()
        found = scene.found()
        assert sorted(name for _, name in found) == ["after.csv", "before.csv", "over.csv"]
        assert sorted(told["audit"]["index"] for told in found.values()) == [0, 1, 2]
        with Root.at(scene.folders.receipts) as folder:
            for told in found.values():
                module.remove(folder, scene.ledger, [told["transfer"]])
        assert scene.found() == {}


class SetClock(SystemClock):
    """The machine's clock, set by a step."""

    step = timedelta()

    def now(self):
        return super().now() + self.step


def test_one_that_is_due_while_its_file_is_erased_is_not_written(scene):
    scene.upload("upload/gone.csv")
    scene.flush()
    scene.sequencer.drain()
    with scene.receipting:
        writing = threading.Thread(target=scene.receipts.advance)
        writing.start()
        # It has come as far as it can: the drafts are prepared, and the lock is not to be had.
        until((scene.folders.receipts / "allowed_signers").exists)
        scene.ledger.write(lambda unit: unit.conn.execute(tables.opening.delete()))
    writing.join()
    assert scene.found() == {}


def test_what_the_disk_refused_is_written_later(scene, monkeypatch):
    scene.upload("upload/report.csv")
    scene.flush()
    scene.sequencer.drain()
    write, written = os.write, []

    def full(fd, data):
        written.append(fd)
        if len(written) > 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(fd, data)

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", full)
        with pytest.raises(OSError, match="No space"):
            scene.receipts.advance()
    assert receipts_in_any(scene) == []
    scene.write()
    assert list(scene.found()) == [("received", "report.csv")]
    assert not list(scene.folders.drafts.iterdir())


def test_none_are_written_of_the_time_without_receipts(scene):
    scene.upload("upload/before.csv")
    scene.write()
    enrol(scene.ledger, {})
    scene.upload("upload/meanwhile.csv")
    scene.write()
    scene.enrol()
    scene.upload("upload/after.csv")
    scene.write()
    assert {name for _, name in scene.found()} == {"before.csv", "after.csv"}


def test_to_enrol_again_forgets_nothing_that_is_due(tmp_path):
    with ReceiptScene(tmp_path) as scene:
        scene.upload("upload/due.csv")
        scene.flush()
        scene.sequencer.drain()
    with ReceiptScene(tmp_path) as scene:
        scene.write()
        assert list(scene.found()) == [("received", "due.csv")]


def test_a_log_that_is_shorter_than_its_receipts_is_told_of(scene):
    scene.upload("upload/report.csv")
    scene.write()
    scene.ledger.write(lambda unit: unit.conn.execute(tables.receipt_cursor.update().values(next=99)))
    with pytest.raises(AuditError, match=r"receipts were made of 99"):
        scene.receipts.advance()


def test_what_an_earlier_key_has_signed_still_verifies(tmp_path):
    with ReceiptScene(tmp_path) as scene:
        scene.upload("upload/old.csv")
        scene.write()
    with ReceiptScene(tmp_path, key=SigningKey.generate("office")) as scene:
        scene.upload("upload/new.csv")
        scene.write()
        assert {name for _, name in scene.found()} == {"old.csv", "new.csv"}
        lines = (scene.folders.receipts / "allowed_signers").read_text().splitlines()
        assert len(lines) == 2
    with ReceiptScene(tmp_path) as scene:
        scene.write()
        assert (scene.folders.receipts / "allowed_signers").read_text().splitlines() == lines


def test_content_is_durable_before_its_name_and_the_folders_before_the_cursor(scene, monkeypatch):
    steps = []
    fsync, rename = os.fsync, os.rename
    monkeypatch.setattr(os, "fsync", lambda fd: (steps.append("sync"), fsync(fd))[1])
    monkeypatch.setattr(os, "rename", lambda *a, **k: (steps.append("rename"), rename(*a, **k))[1])
    monkeypatch.setattr(durable, "sync_file_system", lambda fd: steps.append("sync all"))
    monkeypatch.setattr(module, "_move", lambda *a: (steps.append("cursor"), None)[1])
    scene.upload("upload/one.csv")
    scene.flush()
    scene.sequencer.drain()
    scene.receipts._prepare()
    steps.clear()
    scene.receipts.advance()
    # Receipt and signature, both renames, then the folder of receipts, the day and the thousand.
    assert steps == ["sync", "sync", "rename", "rename", "sync", "sync", "sync", "cursor"]
    for number in range(20):
        scene.upload(f"upload/{number}.csv")
    scene.flush()
    scene.sequencer.drain()
    monkeypatch.setattr(module, "_move", lambda *a: None)
    scene.ledger.write(lambda unit: unit.conn.execute(tables.receipt_cursor.update().values(next=1)))
    steps.clear()
    scene.receipts.advance()
    assert steps == ["sync all", *["rename"] * 40, "sync", "sync", "sync"]


def write_and_die(folder, steps, key=KEY):
    """Write receipts in a child that dies after `steps`; says whether it did."""
    child = os.fork()
    if child == 0:
        code = 1
        with contextlib.suppress(BaseException):
            scene = ReceiptScene(folder, key=key)
            die_after(steps, *CHANGES)
            while scene.receipts.advance():
                pass
            code = 0
        os._exit(code)
    status = os.waitpid(child, 0)[1]
    assert os.WIFSIGNALED(status) or os.waitstatus_to_exitcode(status) == 0
    return os.WIFSIGNALED(status)


@pytest.fixture
def due(tmp_path):
    """A folder in which receipts of so many files are due, and the names of these files."""

    def make(count):
        folder = tmp_path / "due"
        folder.mkdir()
        with ReceiptScene(folder) as scene:
            for number in range(count):
                scene.upload(f"upload/{number}.csv")
            scene.flush()
            scene.sequencer.drain()
        return folder, {f"{number}.csv" for number in range(count)}

    return make


@pytest.mark.parametrize(("count", "at_least"), [(2, 22), (9, 46)])
def test_kill_9_at_every_step_leaves_no_part_and_costs_no_receipt(due, tmp_path, count, at_least):
    """Two files are made durable one by one, the eighteen of nine receipts together."""
    folder, names = due(count)
    published, steps, killed = {}, 0, True
    while killed:
        copy = shutil.copytree(folder, tmp_path / "copy")
        killed = write_and_die(copy, steps)
        seen = snapshot(copy)
        for file, content in seen.items():
            assert published.setdefault(file, content) == content
            assert file.endswith(".sig") or f"{file}.sig" in seen
        with ReceiptScene(copy) as scene:
            scene.write()
            assert {name for _, name in scene.found()} == names
            assert not list(scene.folders.drafts.iterdir())
            assert seen.items() <= snapshot(copy).items()
        shutil.rmtree(copy)
        steps += 1
    assert steps >= at_least


def test_kill_9_twice_and_a_changed_key_between(due, tmp_path):
    folder, names = due(2)
    killed, steps = True, 0
    while killed:
        copy = shutil.copytree(folder, tmp_path / "copy")
        killed = write_and_die(copy, steps)
        seen = snapshot(copy)
        other = SigningKey.generate("office")
        write_and_die(copy, 12, key=other)
        with ReceiptScene(copy, key=other) as scene:
            scene.write()
            assert {name for _, name in scene.found()} == names
            now = snapshot(copy)
            # A signature that lay there alone may be another; a receipt that was there has the one it had.
            whole = {file for file in seen if file.endswith(".json")}
            assert {file: now[file] for file in whole} == {file: seen[file] for file in whole}
            assert all(now[f"{file}.sig"] == seen[f"{file}.sig"] for file in whole)
        shutil.rmtree(copy)
        steps += 1


def snapshot(folder):
    """What the partner can see but for who may sign, which grows."""
    root = folder / "link/.sftpd/receipts"
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file() and path.name != "allowed_signers"
    }


@contextlib.contextmanager
def running(scene, monkeypatch, *links):
    monkeypatch.setattr(thread, "_LINGER", 0.01)
    writer = ReceiptWriter(links, scene.ledger, scene.sequencer)
    scene.sequencer.start()
    writer.start()
    try:
        yield
    finally:
        writer.stop()
        scene.sequencer.stop()


def test_the_thread_writes_each_time_the_log_has_grown(scene, monkeypatch):
    with running(scene, monkeypatch, scene.receipts):
        for count in (1, 2, 3):
            scene.upload(f"upload/{count}.csv")
            until(lambda count=count: len(receipts_in_any(scene)) == count)


def test_a_link_in_trouble_is_tried_again_and_holds_up_no_other(scene, monkeypatch):
    class Stuck:
        link = "stuck"
        tries = 0

        def leaves(self):
            return 0

        def advance(self):
            self.tries += 1
            raise OSError("no room")

    monkeypatch.setattr(thread, "_RETRY", 0.01)
    stuck = Stuck()
    with running(scene, monkeypatch, stuck, scene.receipts):
        scene.upload("upload/report.csv")
        until(lambda: receipts_in_any(scene))
        tried = stuck.tries
        until(lambda: stuck.tries > tried + 1)


def receipts_in_any(scene):
    return list(scene.folders.receipts.rglob("*.json"))


def tree(scene):
    return {path: path.stat().st_mtime_ns for path in scene.folders.receipts.rglob("*")}
