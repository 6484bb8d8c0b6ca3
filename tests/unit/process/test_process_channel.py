import array
import contextlib
import gc
import os
import socket
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor

import pytest

from sftpd.errors import MessageError
from sftpd.process.channel import CallFailedError, Channel, ChannelClosedError, channel_pair
from sftpd.process.messages import DESCRIPTOR_LIMIT, MESSAGE_LIMIT, Done, Failure, Message, Notice, encode


class Number(Message, frozen=True):
    number: int


class Blob(Message, frozen=True):
    data: bytes


@pytest.fixture
def ends():
    ours, theirs = channel_pair()
    with Channel(ours, Number | Blob) as one, Channel(theirs, Number | Blob) as other:
        yield one, other


@pytest.fixture
def raw():
    """A channel and the bare socket of its other end."""
    ours, theirs = channel_pair()
    with Channel(ours, Number) as channel, theirs:
        yield channel, theirs


def serve(channel, answer):
    """Answer requests by `answer(request)` in a thread until the channel closes."""

    def run():
        while True:
            try:
                request, _ = channel.receive()
            except ChannelClosedError:
                return
            answer(request)

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def test_the_largest_message_goes_through(ends):
    one, other = ends
    data = os.urandom(MESSAGE_LIMIT - 100)
    one.notify(Blob(data))
    assert other.receive(5).envelope == Notice(Blob(data))


def test_descriptors_travel_with_a_message_and_close_on_exec(ends):
    one, other = ends
    reader, writer = os.pipe()
    one.notify(Done(), [writer])
    os.close(writer)
    (copy,) = other.receive(5).fds
    assert not os.get_inheritable(copy)
    os.write(copy, b"through")
    os.close(copy)
    assert os.read(reader, 100) == b"through"
    os.close(reader)


def test_surplus_descriptors_break_the_channel_and_are_closed(raw):
    channel, theirs = raw
    with pytest.raises(MessageError):
        channel.notify(Done(), [0] * (DESCRIPTOR_LIMIT + 1))
    surplus = array.array("i", [0] * (DESCRIPTOR_LIMIT + 5))
    theirs.sendmsg([encode(Notice(Done()))], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, surplus)])
    with pytest.raises(MessageError):
        channel.receive(5)


def test_descriptors_of_a_malformed_message_are_closed(raw):
    channel, theirs = raw
    theirs.sendmsg([b"\xc1"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [0, 1]))])
    with pytest.raises(MessageError):
        channel.receive(5)


def test_an_over_long_packet_is_a_message_error(raw):
    channel, theirs = raw
    theirs.send(b"x" * (MESSAGE_LIMIT + 1))
    with pytest.raises(MessageError, match="over-long"):
        channel.receive(5)


def test_the_other_end_closing_is_told(ends):
    one, other = ends
    other.close()
    with pytest.raises(ChannelClosedError):
        one.receive(5)
    with pytest.raises(ChannelClosedError):
        one.notify(Done())


def test_messages_sent_before_closing_still_arrive(ends):
    one, other = ends
    other.notify(Number(1))
    other.close()
    assert one.receive(5).envelope == Notice(Number(1))
    with pytest.raises(ChannelClosedError):
        one.receive(5)


def test_nothing_coming_is_a_timeout_and_does_no_harm(ends):
    one, other = ends
    with pytest.raises(TimeoutError):
        one.receive(0.01)
    other.notify(Number(1))
    assert one.receive(5).envelope == Notice(Number(1))


def test_calls_from_many_threads_each_get_their_own_reply(ends):
    one, other = ends
    waiting = []

    def answer_in_pairs_turned_round(request):
        waiting.append(request)
        if len(waiting) == 2:
            while waiting:
                later = waiting.pop()
                other.reply(later, Number(later.body.number * 2))

    server = serve(other, answer_in_pairs_turned_round)
    with ThreadPoolExecutor(8) as pool:
        replies = list(pool.map(lambda n: one.call(Number(n), Number, timeout=30).number, range(1000)))
    assert replies == [2 * n for n in range(1000)]
    one.close()
    server.join()


def test_a_notice_that_comes_between_reaches_the_receiver(ends):
    one, other = ends

    def answer(request):
        other.notify(Number(-1))
        other.reply(request, Done())

    server = serve(other, answer)
    assert one.call(Number(1), Done, timeout=5) == Done()
    assert one.receive(5).envelope == Notice(Number(-1))
    one.close()
    server.join()


def test_who_answers_a_call_may_ask_back(ends):
    one, other = ends

    def answer(request):
        asked = other.call(Number(request.body.number + 1), Number, timeout=5)
        other.reply(request, Number(asked.number + 1))

    def served(delivery):
        one.reply(delivery.envelope, Number(delivery.envelope.body.number + 1))

    server = serve(other, answer)
    assert one.call(Number(1), Number, timeout=5, serve=served) == Number(4)
    one.close()
    server.join()


def test_a_call_ends_with_what_serving_raises(ends):
    one, other = ends

    def answer(request):
        with contextlib.suppress(ChannelClosedError):
            other.call(Number(1), Number, timeout=5)

    def refuse(delivery):
        raise MessageError("not that")

    server = serve(other, answer)
    with pytest.raises(MessageError, match="not that"):
        one.call(Number(1), Number, timeout=5, serve=refuse)
    one.close()
    server.join()


def test_a_failure_is_raised_with_its_code(ends):
    one, other = ends
    server = serve(other, lambda request: other.send(Failure(request.id, "REFUSED", "no")))
    with pytest.raises(CallFailedError, match="no") as failed:
        one.call(Number(1), Done, timeout=5)
    assert failed.value.failure_code == "REFUSED"
    one.close()
    server.join()


def test_a_reply_of_another_kind_is_a_message_error(ends):
    one, other = ends
    server = serve(other, lambda request: other.reply(request, Number(1), [0]))
    with pytest.raises(MessageError):
        one.call(Number(1), Done, timeout=5)
    one.close()
    server.join()


def test_a_late_reply_is_dropped_with_its_descriptors(ends):
    one, other = ends
    with pytest.raises(TimeoutError):
        one.call(Number(1), Number, timeout=0.01)
    request, _ = other.receive(5)
    other.reply(request, Number(1), [0])
    other.notify(Number(2))
    assert one.receive(5).envelope == Notice(Number(2))


def test_messages_that_nobody_receives_are_not_piled_up_without_end(ends):
    one, other = ends

    def flood(request):
        with contextlib.suppress(ChannelClosedError):  # the test hangs up once it has seen enough
            for _ in range(1100):
                other.notify(Done())

    server = serve(other, flood)
    with pytest.raises(MessageError, match="too many"):
        one.call(Number(1), Done, timeout=10)
    one.close()
    server.join()


def test_closing_releases_those_who_wait(ends):
    one, _ = ends
    with ThreadPoolExecutor(3) as pool:
        waits = [pool.submit(one.receive) for _ in range(2)] + [pool.submit(one.call, Number(1), Done)]
        one.close()
        for wait in waits:
            assert isinstance(wait.exception(10), ChannelClosedError)


@pytest.mark.parametrize("read", [Channel.receive, Channel.pump], ids=["receive", "pump"])
def test_a_channel_that_failed_goes_when_nobody_has_it(read):
    """Not when the collector comes: a daemon has one for each session."""
    ours, theirs = channel_pair()
    channel = Channel(ours, Number)
    theirs.close()
    gc.disable()
    try:
        for _ in range(2):
            with contextlib.suppress(ChannelClosedError):
                read(channel)
        channel.close()
        gone = weakref.ref(channel)
        del channel
        assert gone() is None
    finally:
        gc.enable()


def ended(call):
    """What came of a call in steps."""
    while True:
        try:
            next(call)
        except StopIteration as done:
            return done.value


def test_a_call_in_steps_gives_way_until_the_reply_is_there(ends):
    one, other = ends
    call = one.call_in_steps(Number(1), Number, 0.001)
    next(call)
    request, _ = other.receive(5)
    next(call)
    other.reply(request, Number(2))
    assert ended(call) == Number(2)


def test_what_is_asked_beside_a_call_in_steps_gets_its_own_reply(ends):
    one, other = ends
    call = one.call_in_steps(Number(1), Number, 0.001)
    next(call)
    first, _ = other.receive(5)

    def answer(second):
        other.reply(first, Number(10))
        other.reply(second, Number(20))

    thread = serve(other, answer)
    assert one.call(Number(2), Number) == Number(20)
    assert ended(call) == Number(10)
    one.close()
    thread.join()


def test_who_drops_a_call_in_steps_waits_for_its_reply(ends):
    one, other = ends
    call = one.call_in_steps(Number(1), Number, 0.001)
    next(call)
    request, _ = other.receive(5)
    dropping = threading.Thread(target=call.close)
    dropping.start()
    dropping.join(0.05)
    assert dropping.is_alive()
    other.reply(request, Number(2))
    dropping.join()


def test_a_failure_and_an_end_reach_a_call_in_steps(ends):
    one, other = ends
    call, second = (one.call_in_steps(Number(number), Number, 0.001) for number in (1, 2))
    next(call), next(second)
    request, _ = other.receive(5)
    other.send(Failure(request.id, "NO", "not this"))
    with pytest.raises(CallFailedError, match="not this"):
        ended(call)
    other.close()
    with pytest.raises(ChannelClosedError):
        ended(second)
