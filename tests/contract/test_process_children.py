import gc
import os
import signal
import subprocess
import sys
import weakref
from pathlib import Path

import leaks
import pytest
from process_entries import Number, Text
from waiting import holds

from sftpd.errors import ProcessError
from sftpd.process.control import FAILED_STATUS
from sftpd.process.pool import Children

TESTS = Path(__file__).parent


@pytest.fixture(autouse=True)
def _entries_importable(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(TESTS), prepend=os.pathsep)


@pytest.fixture
def children():
    with Children.start(["process_entries"]) as started:
        yield started


def spawn(children, entry, **options):
    return children.spawn(
        f"process_entries:{entry}",
        **{"kind": "test", "sandbox": None, "accepts": Text | Number, **options},
    )


def test_a_child_speaks_over_its_channel_and_ends_well(children):
    with spawn(children, "echo") as child:
        assert child.channel.call(Text("hello"), Text, timeout=10) == Text("hello")
        child.channel.close()
        assert child.wait(10).well


def test_descriptors_reach_a_running_child(children):
    with spawn(children, "echo") as child, Path(__file__).open() as file:
        _, (copy,) = child.channel.call_for_fds(Text("take"), Text, [file.fileno()], 10)
        assert os.path.samestat(os.fstat(copy), os.fstat(file.fileno()))
        os.close(copy)


def test_a_child_inherits_its_channel_its_descriptors_and_nothing_else(children):
    bystander = spawn(children, "wait_for_ever")
    with bystander, spawn(children, "list_inheritance", kind="session", fds=[0, 0]) as child:
        streams, channel, given, listing = 3, 1, 2, 1
        envelope = child.channel.receive(10).envelope
        assert envelope.body.text == f"{streams + channel + given + listing} sftpd-session"


def test_the_environment_of_the_monitor_stays_with_it(children, monkeypatch):
    monkeypatch.setenv("CANARY", "secret")
    with Children.start(["process_entries"]) as others, spawn(others, "wait_for_ever") as child:
        child.channel.receive(10)
        assert b"CANARY" not in Path(f"/proc/{child.pid}/environ").read_bytes()


def test_an_uncaught_exception_is_reported_with_its_cause(children):
    with spawn(children, "crash", args=b"this") as child:
        ended = child.wait(10)
        assert ended.status == FAILED_STATUS
        assert ended.cause == "ValueError: cannot go on with this"


def test_an_exit_status_is_reported(children):
    with spawn(children, "leave", args=b"7") as child:
        assert child.wait(10).status == 7


def test_an_entry_that_does_not_exist_is_reported(children):
    with spawn(children, "no_such_entry") as child:
        assert "no_such_entry" in child.wait(10).cause


def test_kill_9_from_outside_is_reported(children):
    with spawn(children, "wait_for_ever") as child:
        child.channel.receive(10)
        os.kill(child.pid, signal.SIGKILL)
        assert child.wait(10).signal == signal.SIGKILL


def test_the_end_of_a_child_is_told_once_and_signals_then_go_nowhere(children):
    told = []
    with spawn(children, "wait_for_ever", on_end=told.append) as child:
        child.terminate()
        assert child.wait(10).signal == signal.SIGTERM
        assert told == [child]
        child.kill()
        child.terminate()
    assert told == [child]
    assert children.running() == ()


def test_a_child_that_has_ended_goes_when_nobody_has_it(children):
    """Though what is told of its end knows it."""
    told = []
    gc.disable()
    try:
        child = spawn(children, "leave", args=b"0", on_end=told.append)
        assert child.wait(10).well
        child.channel.close()
        gone = weakref.ref(child)
        assert told == [child]
        del child, told
        assert holds(lambda: gone() is None)
    finally:
        gc.enable()


def test_what_a_child_leaves_in_its_group_ends_with_it(children):
    with spawn(children, "leave_orphan") as child:
        orphan = child.channel.receive(10).envelope.body.number
        assert child.wait(10).well
        assert holds(lambda: not Path(f"/proc/{orphan}").exists())


def test_a_signal_sent_in_the_first_moment_is_not_lost(children):
    crowd = [spawn(children, "wait_for_ever") for _ in range(30)]
    for child in crowd:
        child.terminate()
    assert {child.wait(10).signal for child in crowd} == {signal.SIGTERM}
    for child in crowd:
        child.channel.close()


def test_many_children_at_once(children):
    crowd = [spawn(children, "echo") for _ in range(50)]
    for number, child in enumerate(crowd):
        assert child.channel.call(Number(number), Number, timeout=30) == Number(number)
    for child in crowd:
        child.channel.close()
    assert all(child.wait(30).well for child in crowd)


def test_stop_ends_children_that_ignore_sigterm():
    children = Children.start(["process_entries"])
    child = spawn(children, "ignore_sigterm")
    child.channel.receive(10)
    children.stop(0.1)
    assert child.ended.signal == signal.SIGKILL
    child.channel.close()
    with pytest.raises(ProcessError):
        spawn(children, "echo")


def test_a_killed_zygote_is_restarted_and_its_children_are_reported(children):
    zygote = zygote_of(os.getpid())
    with spawn(children, "wait_for_ever") as child:
        child.channel.receive(10)
        os.kill(zygote, signal.SIGKILL)
        assert "zygote" in child.wait(10).cause
        assert holds(lambda: not Path(f"/proc/{child.pid}").exists())
    with spawn(children, "echo") as child:
        assert child.channel.call(Text("again"), Text, timeout=10) == Text("again")


def test_a_module_that_cannot_be_loaded_is_a_process_error():
    with pytest.raises(ProcessError, match="zygote"):
        Children.start(["no_such_module"])


@pytest.mark.parametrize("stopped", [False, True], ids=["running", "stopped"])
def test_after_kill_9_of_the_monitor_no_process_is_left(tmp_path, stopped):
    ready = tmp_path / "ready"
    monitor = subprocess.Popen(
        [sys.executable, "-c", f"import process_entries; process_entries.be_monitor({str(ready)!r})"]
    )
    try:
        assert holds(ready.exists)
        family = leaks.processes(monitor.pid)
        assert len(family) >= 5, "zygote, child, shell and two sleeps"
        if stopped:
            os.kill(zygote_of(monitor.pid), signal.SIGSTOP)
    finally:
        monitor.kill()
        monitor.wait()
    assert holds(lambda: not [pid for pid in family if alive(pid)])


def zygote_of(monitor):
    """The zygote of a monitor. What it forks has its command line too, but another parent."""
    command_lines = {pid: Path(f"/proc/{pid}/cmdline").read_bytes() for pid in leaks.children(monitor)}
    (zygote,) = (pid for pid, line in command_lines.items() if b"sftpd.process.zygote" in line)
    return zygote


def alive(pid):
    """Whether a process runs; an orphan's zombie is its new parent's affair."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(") ")[2][0] != "Z"
