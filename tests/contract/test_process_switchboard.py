import contextlib
import os
import select
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from process_entries import Number, Slow, Text
from structlog.testing import capture_logs
from waiting import holds

from sftpd.errors import NotFoundError, RefusedError
from sftpd.process.channel import Answer, CallFailedError, Channel, channel_pair
from sftpd.process.child import Child
from sftpd.process.messages import MESSAGE_LIMIT, Done, Message, Reply, Request
from sftpd.process.pool import Children
from sftpd.process.switchboard import Switchboard

TESTS = Path(__file__).parent


@pytest.fixture(scope="module")
def children():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(TESTS), prepend=os.pathsep)
        with Children.start(["process_entries"]) as started:
            yield started


@pytest.fixture
def switchboard():
    with Switchboard(workers=4) as board:
        yield board


@pytest.fixture
def peer():
    """A child handle without a process, and the channel that its process would have."""
    ours, theirs = channel_pair()
    with Channel(theirs, Text | Number | Slow) as channel:
        yield Child(1, "test", Channel(ours, Text | Number | Slow), None), channel


def test_requests_are_answered_and_notices_heard(children, switchboard):
    notices = []

    def handle(child, body, fds):
        if body.number == sum(range(10)) * 2:
            notices.append(body)
        return Number(body.number * 2)

    with children.spawn("process_entries:ask", kind="test", sandbox=None, accepts=Number) as child:
        switchboard.attach(child, handle)
        assert child.wait(10).well
        assert holds(lambda: notices)


def test_children_are_called_while_they_are_attended(children, switchboard):
    with children.spawn("process_entries:echo", kind="test", sandbox=None, accepts=Number) as child:
        switchboard.attach(child, lambda *_: Done())
        with ThreadPoolExecutor(8) as pool:
            replies = pool.map(lambda n: child.channel.call(Number(n), Number, timeout=30), range(500))
            assert [reply.number for reply in replies] == list(range(500))


def test_a_child_that_breaks_the_protocol_is_killed_and_logged(children, switchboard):
    with (
        capture_logs() as logs,
        children.spawn("process_entries:speak_nonsense", kind="test", sandbox=None) as child,
    ):
        switchboard.attach(child, lambda *_: Done())
        assert child.wait(10).signal == signal.SIGKILL
    assert [line["event"] for line in logs] == ["child_broke_protocol"]


def test_a_channel_closed_on_our_side_frees_its_place_for_the_next(children, switchboard):
    for _ in range(20):
        with children.spawn("process_entries:echo", kind="test", sandbox=None, accepts=Text) as child:
            switchboard.attach(child, lambda *_: Done())
            assert child.channel.call(Text("x"), Text, timeout=10) == Text("x")
        assert holds(lambda gone=child: gone.channel.fileno() == -1)


def test_messages_of_one_child_are_handled_in_order_one_at_a_time(peer, switchboard):
    child, channel = peer
    handled, at_once = [], []

    def handle(_, body, fds):
        at_once.append(body)
        handled.append(body.number)
        at_once.remove(body)
        assert not at_once
        return Done()

    switchboard.attach(child, handle)
    for number in range(500):
        channel.notify(Number(number))
    assert holds(lambda: len(handled) == 500)
    assert handled == list(range(500))


def test_a_slow_handler_holds_up_no_other_child(peer, switchboard):
    child, channel = peer
    ours, theirs = channel_pair()
    go_on = threading.Event()
    with Channel(theirs, Text) as quick, ThreadPoolExecutor(1) as pool:
        switchboard.attach(child, lambda _, body, fds: go_on.wait(10) and body)
        switchboard.attach(Child(2, "test", Channel(ours, Text), None), lambda _, body, fds: body)
        slow = pool.submit(channel.call, Text("slow"), Text, timeout=10)
        for _ in range(100):
            assert quick.call(Text("quick"), Text, timeout=10) == Text("quick")
        assert not slow.done()
        go_on.set()
        assert slow.result(10) == Text("slow")


def test_as_many_handlers_may_be_slow_as_there_are_workers(switchboard):
    together = threading.Barrier(4, timeout=10)
    with contextlib.ExitStack() as open_channels:
        channels = []
        for number in range(4):
            ours, theirs = channel_pair()
            channels.append(open_channels.enter_context(Channel(theirs, Text)))
            child = Child(number, "test", Channel(ours, Text), None)
            switchboard.attach(child, lambda _, body, fds: together.wait() >= 0 and body)
        with ThreadPoolExecutor(4) as pool:
            calls = [pool.submit(channel.call, Text("x"), Text, timeout=20) for channel in channels]
            assert [call.result(20) for call in calls] == [Text("x")] * 4


def test_who_lost_the_lead_goes_on_with_its_next_message(peer, switchboard):
    child, channel = peer
    handled = []

    def handle(_, body, fds):
        time.sleep(0.02)
        handled.append(body.number)
        return Done()

    switchboard.attach(child, handle)
    for number in range(20):
        channel.notify(Number(number))
    assert holds(lambda: len(handled) == 20)
    assert handled == list(range(20))


def test_one_child_does_not_keep_the_workers_from_another(children, switchboard):
    go_on = threading.Event()
    ours, theirs = channel_pair()
    with Channel(theirs, Text) as flooding:
        switchboard.attach(Child(2, "test", Channel(ours, Text), None), lambda *_: go_on.wait(10) and Done())
        for _ in range(60):
            flooding.notify(Text("x"))
        with children.spawn("process_entries:ask", kind="test", sandbox=None, accepts=Number) as child:
            switchboard.attach(child, lambda _, body, fds: body)
            assert child.wait(10).well
        go_on.set()


def test_a_child_that_sends_too_much_is_not_read_until_it_is_caught_up_with(peer, switchboard):
    child, channel = peer
    go_on, handled = threading.Event(), []

    def handle(_, body, fds):
        assert go_on.wait(30)
        handled.append(body.number)
        return Done()

    switchboard.attach(child, handle)
    with ThreadPoolExecutor(1) as pool:
        flood = pool.submit(lambda: [channel.notify(Number(number)) for number in range(5000)])
        holds(lambda: False, patience=0.2)
        assert not flood.done(), "five thousand messages fit neither the socket nor the queue"
        go_on.set()
        flood.result(30)
    assert holds(lambda: len(handled) == 5000)


def test_a_child_that_floods_with_replies_keeps_nobody_from_another(peer, children, switchboard):
    child, channel = peer
    switchboard.attach(child, lambda *_: Done())
    over = threading.Event()

    def flood():
        while not over.is_set():
            channel.send(Reply(1, Done()))

    with ThreadPoolExecutor(1) as pool:
        flooding = pool.submit(flood)
        with children.spawn("process_entries:ask", kind="test", sandbox=None, accepts=Number) as other:
            switchboard.attach(other, lambda _, body, fds: body)
            assert other.wait(20).well
        over.set()
        flooding.result(10)


def test_an_error_tells_the_child_its_code_and_nothing_else(peer, switchboard):
    child, channel = peer

    def refuse(_, body, fds):
        raise NotFoundError("no row", where="/internal/path")

    switchboard.attach(child, refuse)
    with pytest.raises(CallFailedError) as failed:
        channel.call(Text("x"), Done, timeout=10)
    assert (failed.value.failure_code, failed.value.message) == ("NOT_FOUND", "")


def test_the_caller_decides_what_an_error_may_tell(peer):
    child, channel = peer

    def refuse(_, body, fds):
        raise RefusedError("the file type is not allowed", reason="TYPE")

    with Switchboard(workers=1, failure_text=lambda fault: (fault.reason, fault.what)) as switchboard:
        switchboard.attach(child, refuse)
        with pytest.raises(CallFailedError) as failed:
            channel.call(Text("x"), Done, timeout=10)
    assert (failed.value.failure_code, failed.value.message) == ("TYPE", "the file type is not allowed")


def test_a_fault_of_ours_is_a_bare_error_to_the_child_and_logged(peer, switchboard):
    child, channel = peer

    def fail(_, body, fds):
        raise KeyError("secret")

    switchboard.attach(child, fail)
    with capture_logs() as logs, pytest.raises(CallFailedError) as failed:
        channel.call(Text("x"), Done, timeout=10)
    assert (failed.value.failure_code, failed.value.message) == ("ERROR", "")
    assert [line["event"] for line in logs] == ["message_handler_failed"]


def test_a_reply_that_is_too_long_fails_the_call_and_not_the_child(peer, switchboard):
    child, channel = peer
    switchboard.attach(child, lambda *_: Text("x" * MESSAGE_LIMIT))
    with pytest.raises(CallFailedError):
        channel.call(Text("x"), Text, timeout=10)


def test_descriptors_go_both_ways_and_are_closed_behind(peer, switchboard):
    child, channel = peer
    reader, writer = os.pipe()

    def handle(_, body, fds):
        os.write(fds[0], b"got it")
        return Answer(body, (os.open("/dev/null", os.O_RDONLY),))

    switchboard.attach(child, handle)
    _, (null,) = channel.call_for_fds(Text("x"), Text, [writer], 10)
    os.close(writer)
    os.close(null)
    assert os.read(reader, 100) == b"got it"
    assert os.read(reader, 100) == b""
    os.close(reader)


def test_closing_lets_go_of_what_still_waits(peer):
    child, channel = peer
    go_on = threading.Event()
    switchboard = Switchboard(workers=1)
    switchboard.attach(child, lambda *_: go_on.wait(10) and Done())
    for number in range(5):
        channel.send(Request(number, Number(number)), [0])
    holds(lambda: False, patience=0.1)
    closing = threading.Thread(target=switchboard.close)
    closing.start()
    go_on.set()
    closing.join(10)
    assert child.channel.fileno() == -1


def test_what_is_known_to_be_slow_keeps_nobody_waiting_for_a_moment(peer, switchboard):
    child, channel = peer
    ours, theirs = channel_pair()
    leaders = []

    def handle(_, body, fds):
        leaders.append(switchboard._leader == threading.get_ident())
        return body

    with Channel(theirs, Text) as quick:
        switchboard.attach(child, handle, slow=(Slow,))
        switchboard.attach(Child(2, "test", Channel(ours, Text), None), handle)
        channel.call(Slow("x"), Slow, timeout=10)
        quick.call(Text("x"), Text, timeout=10)
    assert leaders == [False, True]


def test_much_that_is_known_to_be_slow_leaves_workers_for_the_rest(peer, switchboard):
    child, quick = peer
    begun, go_on = [], threading.Event()

    def handle(_, body, fds):
        begun.append(body)
        return go_on.wait(10) and body

    with contextlib.ExitStack() as undo:
        pool = undo.enter_context(ThreadPoolExecutor(8))
        undo.callback(go_on.set)
        calls = []
        for number in range(8):
            ours, theirs = channel_pair()
            channel = undo.enter_context(Channel(theirs, Slow))
            switchboard.attach(Child(number, "test", Channel(ours, Slow), None), handle, slow=(Slow,))
            calls.append(pool.submit(channel.call, Slow(str(number)), Slow, timeout=20))
        assert holds(lambda: len(begun) == 2)
        switchboard.attach(child, lambda _, body, fds: body)
        for _ in range(10):
            assert quick.call(Text("quick"), Text, timeout=5) == Text("quick")
        assert len(begun) == 2
        go_on.set()
        assert [call.result(20) for call in calls] == [Slow(str(number)) for number in range(8)]


class Crowd:
    """A worker that is kept by one child while three others ask; `answer` is what these are given."""

    def __init__(self, answer, undo):
        self.together = []
        self._begun, self._go_on = threading.Event(), threading.Event()
        self._pool = undo.enter_context(ThreadPoolExecutor(4))
        self._ours = []

        def keep(_, body, fds):
            self._begun.set()
            return self._go_on.wait(10) and Text("alone")

        def at_once(asked):
            self.together.append([one.message.number for one in asked])
            return [answer(one.message.number) for one in asked]

        board = undo.enter_context(Switchboard(workers=1))
        self._channels = []
        for number in range(4):
            ours, theirs = channel_pair()
            self._ours.append(ours)
            self._channels.append(undo.enter_context(Channel(theirs, Text | Number)))
            child = Child(number, "test", Channel(ours, Text | Number), None)
            board.attach(child, keep, together=lambda m: at_once if isinstance(m, Number) else None)

    def ask(self):
        """The futures of what the three are answered."""
        first = self._pool.submit(self._channels[0].call, Text("first"), Text, timeout=10)
        assert self._begun.wait(10)
        asked = [
            self._pool.submit(channel.call, Number(number), Message, timeout=10)
            for number, channel in enumerate(self._channels[1:])
        ]
        assert holds(lambda: len(select.select(self._ours[1:], [], [], 0)[0]) == 3)
        self._go_on.set()
        assert first.result(10) == Text("alone")
        return asked


def test_requests_that_wait_at_the_same_time_are_handled_together():
    with contextlib.ExitStack() as undo:
        crowd = Crowd(lambda number: Number(number * 2), undo)
        assert [one.result(10) for one in crowd.ask()] == [Number(0), Number(2), Number(4)]
        assert [sorted(numbers) for numbers in crowd.together] == [[0, 1, 2]]


def test_what_is_refused_or_takes_long_costs_the_others_nothing():
    go_on = threading.Event()
    answers = [NotFoundError("nothing here"), Text("at once"), lambda: go_on.wait(10) and Text("late")]
    with contextlib.ExitStack() as undo:
        crowd = Crowd(answers.__getitem__, undo)
        refused, quick, late = crowd.ask()
        assert quick.result(10) == Text("at once")
        assert refused.exception(10).failure_code == NotFoundError.code
        assert not late.done()
        go_on.set()
        assert late.result(10) == Text("late")


def test_what_fails_altogether_is_told_to_each():
    def fail(number):
        raise RuntimeError

    with capture_logs(), contextlib.ExitStack() as undo:
        refusals = [one.exception(10) for one in Crowd(fail, undo).ask()]
    assert [type(refusal) for refusal in refusals] == [CallFailedError] * 3
