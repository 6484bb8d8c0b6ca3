import dataclasses
import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from exchange_scene import Scene, contents
from waiting import holds, until

from sftpd.clock import SystemClock
from sftpd.errors import ContainmentError, RefusedError
from sftpd.exchange import arrival
from sftpd.exchange.arrival import Arrival
from sftpd.exchange.partner import Upload, complete_together
from sftpd.exchange.receive import Receiver
from sftpd.exchange.screening import Screening
from sftpd.names import VirtualPath


@pytest.fixture
def scene(tmp_path):
    with Scene(tmp_path) as scene:
        yield scene


def test_an_accepted_file_is_published_byte_for_byte(scene):
    content = os.urandom(100_000)
    assert scene.upload("upload/a/b/report.bin", content) == "published"
    assert contents(scene.folders.inbound) == {"a/b/report.bin": content}
    assert not contents(scene.folders.staging)
    assert scene.states() == ["done"]
    assert scene.received() == [("inbound", "a/b/report.bin")]
    assert scene.events() == {"transfer.received": 1}


def test_it_is_out_of_sight_until_the_gate_has_spoken_and_whole_then(scene, tmp_path):
    scene.hook("pre-receive", f"echo >{tmp_path}/asked; while [ ! -e {tmp_path}/go ]; do sleep 0.01; done")
    scene.stage("upload/report.csv", b"whole")
    upload = threading.Thread(target=scene.complete, args=("upload/report.csv",))
    upload.start()
    until((tmp_path / "asked").exists)
    assert not contents(scene.folders.inbound)
    (tmp_path / "go").touch()
    upload.join()
    assert contents(scene.folders.inbound) == {"report.csv": b"whole"}


def test_the_hook_reads_the_content_and_is_told_the_hash(scene, tmp_path):
    scene.hook("pre-receive", f'cat >{tmp_path}/message; grep -q "a;b" {scene.folders.screening}/*')
    assert scene.upload("upload/report.csv", b"a;b\n") == "published"
    digest = hashlib.sha256(b"a;b\n").hexdigest()
    assert scene.transfers()[0].sha256 == digest
    assert json.loads((tmp_path / "message").read_text())["sha256"] == digest


def test_a_rejected_file_is_refused_with_the_reason_and_kept_in_quarantine(scene):
    scene.hook("pre-receive", "echo 'no macros here'; exit 20")
    with pytest.raises(RefusedError, match="no macros here") as refusal:
        scene.upload("upload/report.xlsm", b"x")
    assert refusal.value.reason == "REJECTED"
    assert contents(scene.folders.inbound) == {}
    assert contents(scene.folders.quarantine) == {"report.xlsm": b"x"}
    assert scene.events() == {"transfer.blocked": 1}
    assert scene.states() == ["quarantined"]
    assert scene.received() == [("quarantine", "report.xlsm")]


def test_quarantine_is_an_answer_and_no_refusal(scene):
    scene.hook("pre-receive", "exit 10")
    assert scene.upload("upload/report.csv") == "quarantined"
    assert scene.upload("upload/report.csv") == "quarantined"
    assert contents(scene.folders.inbound) == {}
    assert contents(scene.folders.quarantine).keys() == {"report.csv", "report.1.csv"}
    assert scene.events() == {"transfer.blocked": 2}


@pytest.mark.parametrize("body", ["exit 3", "kill -9 $$", "exec /no/such/program"])
def test_a_gate_that_fails_lets_nothing_through(scene, body):
    scene.hook("pre-receive", body)
    assert scene.upload("upload/report.csv") == "quarantined"
    assert contents(scene.folders.inbound) == {}


@pytest.mark.parametrize(
    ("status", "folder", "event", "state"),
    [(0, "inbound", "received", "done"), (20, "quarantine", "blocked", "quarantined")],
)
def test_a_slow_gate_is_not_waited_for(tmp_path, status, folder, event, state):
    with Scene(tmp_path, acknowledge_within=0.01) as scene:
        scene.hook("pre-receive", f"while [ ! -e {tmp_path}/go ]; do sleep 0.01; done; exit {status}")
        assert scene.upload("upload/report.csv", b"x") == "screening"
        assert scene.states() == ["screening"]
        assert contents(scene.folders.inbound) == {}
        (tmp_path / "go").touch()
        until(lambda: scene.states() == [state])
        assert scene.received() == [(folder, "report.csv")]
        assert contents(scene.folders.by_name()[folder]) == {"report.csv": b"x"}
        assert scene.events() == {f"transfer.{event}": 1}


@pytest.mark.parametrize("kind", ["memory", "disk"])
def test_a_file_that_is_open_for_writing_is_refused_and_staged_again(kind, tmp_path, tmp_path_factory):
    with Scene(tmp_path if kind == "memory" else tmp_path_factory.mktemp("disk")) as scene:
        _refuse_while_open(scene)


def _refuse_while_open(scene):
    staged = scene.stage("upload/report.csv", b"half")
    with staged.open("ab"):
        with pytest.raises(RefusedError) as refusal:
            scene.complete("upload/report.csv")
        assert refusal.value.reason == "STILL_OPEN"
        assert staged.read_bytes() == b"half"
    assert contents(scene.folders.inbound) == {}
    assert scene.events() == {}
    assert scene.complete("upload/report.csv") == "published"


def test_one_that_opens_it_for_writing_while_it_is_looked_at_does_not_end_us(tmp_path):
    """The kernel tells the holder of a lease by a signal that it is broken."""
    program = """if True:
        import fcntl, os, sys
        from pathlib import Path
        from types import SimpleNamespace
        from sftpd.exchange import arrival
        real = fcntl.fcntl
        def slow(fd, command, argument):
            real(fd, command, argument)
            if command == fcntl.F_SETLEASE and argument == fcntl.F_RDLCK:
                if os.fork() == 0:
                    try:
                        os.open(sys.argv[1], os.O_WRONLY | os.O_NONBLOCK)
                    finally:
                        os._exit(0)
                os.wait()
        arrival.fcntl.fcntl = slow
        fd = os.open(sys.argv[1], os.O_RDONLY)
        arrival._settled(fd, SimpleNamespace(size=0, inode=None))
    """
    file = tmp_path / "file"
    file.touch()
    ended = subprocess.run([sys.executable, "-c", program, str(file)], stderr=subprocess.PIPE)
    assert ended.returncode != -signal.SIGIO
    assert ended.returncode == 0, ended.stderr


def test_a_file_with_a_second_name_is_refused(scene):
    staged = scene.stage("upload/report.csv")
    os.link(staged, staged.with_name("other"))
    with pytest.raises(RefusedError) as refusal:
        scene.complete("upload/report.csv")
    assert refusal.value.reason == "NOT_A_PLAIN_FILE"
    assert staged.exists()
    assert contents(scene.folders.inbound) == {}


def test_a_file_of_another_size_than_was_written_is_refused(scene):
    staged = scene.stage("upload/report.csv", b"1234")
    with pytest.raises(RefusedError) as refusal:
        scene.partner.complete(scene.new_id(), _path("/upload/report.csv"), 3, None)
    assert refusal.value.reason == "SIZE_DIFFERS"
    assert staged.exists()


def test_another_file_than_was_hashed_is_refused(scene):
    """Another session may rename a part of its own to the name meanwhile."""
    staged = scene.stage("upload/report.csv", b"ours")
    inode = staged.stat().st_ino
    other = scene.stage("upload/other.csv", b"them")
    other.rename(staged)
    with pytest.raises(RefusedError) as refusal:
        scene.partner.complete(scene.new_id(), _path("/upload/report.csv"), 4, None, inode)
    assert refusal.value.reason == "REPLACED"
    assert staged.read_bytes() == b"them"
    assert scene.events() == {}


def test_one_that_cannot_go_back_is_put_in_quarantine(scene, monkeypatch):
    staged = scene.stage("upload/report.csv", b"1234")
    real = arrival._settled

    def settled(fd, arrived):
        staged.write_bytes(b"next")
        return real(fd, arrived)

    monkeypatch.setattr(arrival, "_settled", settled)
    with pytest.raises(RefusedError) as refusal:
        scene.partner.complete(scene.new_id(), _path("/upload/report.csv"), 3, "00" * 32)
    assert refusal.value.reason == "SIZE_DIFFERS"
    assert staged.read_bytes() == b"next"
    assert not list(scene.folders.screening.iterdir())
    assert contents(scene.folders.quarantine) == {"report.csv": b"1234"}
    assert scene.states() == ["quarantined"]
    assert scene.transfers()[0].sha256 == hashlib.sha256(b"1234").hexdigest()
    assert scene.events() == {"transfer.blocked": 1}


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda path: path.mkdir(), IsADirectoryError),
        (os.mkfifo, OSError),
        (lambda path: path.symlink_to("/etc/passwd"), ContainmentError),
    ],
)
def test_what_is_no_file_goes_back_and_leaves_nothing_behind(scene, make, error):
    staged = scene.stage("upload/x")
    staged.unlink()
    make(staged)
    with pytest.raises(error):
        scene.complete("upload/x", size=0)
    assert os.path.lexists(staged)
    assert not list(scene.folders.screening.iterdir())


def test_overwriting_an_unconsumed_file_marks_the_old_one_replaced(scene):
    scene.upload("upload/report.csv", b"old")
    scene.upload("upload/report.csv", b"new")
    assert contents(scene.folders.inbound) == {"report.csv": b"new"}
    assert scene.received() == [("inbound", "report.csv")]
    assert scene.received(state="replaced") == [("inbound", "report.csv")]


def test_ledger_and_disk_agree_on_which_of_two_uploads_came_last(scene, monkeypatch):
    real, first, overtaken = Receiver._rename, threading.Lock(), threading.Event()

    def rename(self, transfers, folder):
        if first.acquire(blocking=False):
            overtaken.wait(0.2)  # what the second upload would do if it were let past
        blocked = real(self, transfers, folder)
        overtaken.set()
        return blocked

    monkeypatch.setattr(Receiver, "_rename", rename)
    scene.stage("upload/a", b"a")
    scene.stage("upload/b", b"b")
    arrivals = [_arrival(scene, (name,), (b"same",)) for name in (b"a", b"b")]
    threads = [threading.Thread(target=scene.receiver.complete, args=(arrival,)) for arrival in arrivals]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    left = (scene.folders.inbound / "same").stat()
    lying = [t.id for t in scene.transfers() if t.source.startswith(f"{left.st_ino}:")]
    assert scene.received_ids() == lying


@pytest.mark.parametrize("obstacle", ["directory", "parent", "link"])
def test_a_name_in_the_way_puts_the_file_in_quarantine(scene, obstacle):
    inbound = scene.folders.inbound
    if obstacle == "directory":
        (inbound / "a" / "b").mkdir(parents=True)
    elif obstacle == "parent":
        (inbound / "a").write_bytes(b"file")
    else:
        (inbound / "a").symlink_to("/tmp")
    with pytest.raises(RefusedError, match="in the way"):
        scene.upload("upload/a/b", b"x")
    assert contents(scene.folders.quarantine) == {"a/b": b"x"}
    assert scene.received() == [("quarantine", "a/b")]
    assert scene.states() == ["quarantined"]


def test_a_held_file_is_not_overwritten(scene):
    scene.upload("upload/report.csv", b"old")
    scene.held.add(b"report.csv")
    with pytest.raises(RefusedError) as refusal:
        scene.upload("upload/report.csv", b"new")
    assert refusal.value.reason == "HELD"
    assert contents(scene.folders.inbound) == {"report.csv": b"old"}


def test_a_hold_placed_while_a_file_is_screened_keeps_it_from_replacing_another(tmp_path):
    with Scene(tmp_path, acknowledge_within=0.01) as scene:
        scene.upload("upload/report.csv", b"old")
        scene.hook("pre-receive", f"while [ ! -e {tmp_path}/go ]; do sleep 0.01; done")
        assert scene.upload("upload/report.csv", b"new") == "screening"
        scene.held.add(b"report.csv")
        (tmp_path / "go").touch()
        until(lambda: scene.states() == ["done", "quarantined"])
        assert contents(scene.folders.inbound) == {"report.csv": b"old"}
        assert contents(scene.folders.quarantine) == {"report.csv": b"new"}
        assert scene.received() == [("inbound", "report.csv"), ("quarantine", "report.csv")]
        assert scene.events() == {"transfer.received": 1, "transfer.blocked": 1}


def test_a_file_that_is_screened_late_does_not_replace_one_that_came_after_it(tmp_path):
    with Scene(tmp_path, acknowledge_within=0.01) as scene:
        scene.hook("pre-receive", f"while [ ! -e {tmp_path}/go ]; do sleep 0.01; done")
        assert scene.upload("upload/report.csv", b"old") == "screening"
        (scene.hooks / "pre-receive.d" / "10-test").unlink()
        assert scene.upload("upload/report.csv", b"newer") == "published"
        (tmp_path / "go").touch()
        until(lambda: scene.states() == ["quarantined", "done"])
        assert contents(scene.folders.inbound) == {"report.csv": b"newer"}
        assert contents(scene.folders.quarantine) == {"report.csv": b"old"}
        assert scene.received() == [("inbound", "report.csv"), ("quarantine", "report.csv")]
        assert scene.events() == {"transfer.received": 1, "transfer.blocked": 1}
        assert "a newer file of that name" in scene.transfers()[0].reason


def test_which_of_two_files_came_later_is_told_though_the_clock_is_set_back(tmp_path):
    clock = SettableClock()
    with Scene(tmp_path, clock=clock, acknowledge_within=0.01) as scene:
        for go, late, newer in [("first", b"old", b"newer"), ("second", b"newest", None)]:
            scene.hook("pre-receive", f"while [ ! -e {tmp_path}/{go} ]; do sleep 0.01; done")
            assert scene.upload("upload/report.csv", late) == "screening"
            (scene.hooks / "pre-receive.d" / "10-test").unlink()
            clock.ahead -= timedelta(hours=1)
            if newer is not None:
                assert scene.upload("upload/report.csv", newer) == "published"
            (tmp_path / go).touch()
            until(lambda: {*scene.states()} <= {"done", "quarantined"})
            assert contents(scene.folders.inbound) == {"report.csv": newer or late}
        assert contents(scene.folders.quarantine) == {"report.csv": b"old"}


class SettableClock(SystemClock):
    """The machine's clock, but for the civil time."""

    ahead = timedelta()

    def now(self):
        return super().now() + self.ahead


def test_a_name_that_is_not_taken_may_be_uploaded_under_a_hold(scene):
    scene.held.add(b"report.csv")
    assert scene.upload("upload/report.csv", b"new") == "published"


def test_no_leaf_tells_the_name(scene):
    scene.upload("upload/geheim.csv")
    assert "geheim" not in str(scene.leaves())


def _path(text):
    return VirtualPath.parse(text.encode())


def _arrival(scene, parts, path):
    size = len(parts[0])
    staging = scene.partner._staging[b"upload"]
    return Arrival(scene.new_id(), "upload", "alice", "inbound", staging, parts, path, size, None, {})


def together(scene, *names, **changed):
    """What uploads that are complete at the same time are answered."""
    uploads = [
        Upload(
            scene.partner,
            scene.new_id(),
            _path(f"/upload/{name}"),
            changed.get(name.partition(".")[0], scene.staged(f"upload/{name}").stat().st_size),
            hashlib.sha256(scene.staged(f"upload/{name}").read_bytes()).hexdigest(),
        )
        for name in names
    ]
    return complete_together(uploads)


def test_uploads_that_are_complete_together_are_taken_in_by_one_transaction(scene):
    names = [f"{number}.csv" for number in range(4)]
    for name in names:
        scene.stage(f"upload/{name}", name.encode())
    commits = []
    scene.ledger.on_commit(lambda: commits.append(True))
    assert together(scene, *names) == ["published"] * 4
    assert len(commits) == 1 + 4  # that each is at its place follows, and here with a commit of its own
    assert contents(scene.folders.inbound) == {name: name.encode() for name in names}
    assert scene.states() == ["done"] * 4
    assert sorted(scene.received()) == [("inbound", name) for name in names]
    assert scene.events() == {"transfer.received": 4}


def test_one_that_is_refused_goes_back_and_the_others_are_published(scene):
    scene.stage("upload/good.csv", b"good")
    staged = scene.stage("upload/bad.csv", b"bad")
    answer, refusal = together(scene, "good.csv", "bad.csv", bad=4)
    assert answer == "published"
    assert refusal.reason == "SIZE_DIFFERS"
    assert staged.read_bytes() == b"bad"
    assert contents(scene.folders.inbound) == {"good.csv": b"good"}


def test_of_two_with_one_name_the_later_replaces_the_earlier(scene):
    """Two accounts of a link may complete files of one name at the same time."""
    arrivals = []
    for name in ("first", "second"):
        scene.stage(f"upload/{name}", name.encode())
        arrival = scene.partner.arrival(scene.new_id(), _path(f"/upload/{name}"), len(name), None)
        arrivals.append(dataclasses.replace(arrival, path=(b"a.csv",)))
    assert scene.receiver.complete_quickly(arrivals) == ["published"] * 2
    assert contents(scene.folders.inbound) == {"a.csv": b"second"}
    assert scene.received() == [("inbound", "a.csv")]
    assert scene.received(state="replaced") == [("inbound", "a.csv")]


def test_a_slow_gate_keeps_none_waiting_that_comes_with_its_file(scene):
    """A gate that is a program of its own is not waited for: its file is left to be done by itself."""
    scene.hook("pre-receive", 'case "$(cat)" in *slow.csv*) exit 20;; esac')
    scene.stage("upload/slow.csv", b"x")
    (rest,) = together(scene, "slow.csv")
    assert scene.transfers() == []
    with pytest.raises(RefusedError):
        rest()
    assert scene.states() == ["quarantined"]


def test_what_is_rationed_is_left_to_be_done_by_itself(scene, monkeypatch):
    monkeypatch.setattr(type(scene.partner), "rationed", True)
    scene.stage("upload/a.csv", b"x")
    (rest,) = together(scene, "a.csv")
    assert scene.transfers() == []
    assert rest() == "published"
    assert contents(scene.folders.inbound) == {"a.csv": b"x"}


def test_only_so_many_files_wait_for_observers_and_all_are_told_of(scene, monkeypatch):
    held, told = threading.Event(), []
    monkeypatch.setattr(
        Screening, "tell", lambda _, transfer, file: (held.wait(20), told.append(transfer.id))
    )
    scene.hook("post-receive", "exit 0")
    with ThreadPoolExecutor(1) as sender:
        sending = sender.submit(lambda: [scene.upload(f"upload/{number}.csv") for number in range(20)])
        until(lambda: len(contents(scene.folders.inbound)) >= 5)
        assert not holds(sending.done, 0.5)
        held.set()
        sending.result(20)
    until(lambda: len(told) == 20)
