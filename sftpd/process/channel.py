"""One end of a channel: typed messages and descriptors over a SOCK_SEQPACKET socketpair."""

import contextlib
import errno
import itertools
import select
import socket
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from copy import copy
from typing import NamedTuple, Self, TypeVar

from sftpd.errors import MessageError, ProcessError
from sftpd.process.deadline import Deadline
from sftpd.process.descriptors import ROOM, close_all, packed, unpacked
from sftpd.process.messages import (
    DESCRIPTOR_LIMIT,
    MESSAGE_LIMIT,
    Accepts,
    Decoder,
    Envelope,
    Failure,
    Message,
    Notice,
    Reply,
    Request,
    encode,
)

M = TypeVar("M", bound=Message)

_SEND_PATIENCE = 5.0
_INBOX_LIMIT = 1024
_AT_ONCE = int(socket.MSG_DONTWAIT)
_SENDING = int(socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
_READING = int(socket.MSG_CMSG_CLOEXEC)
_GONE = (errno.ECONNRESET, errno.EPIPE, errno.ENOTCONN, errno.EBADF)


class ChannelClosedError(ProcessError):
    """The other end is gone."""

    code = "CHANNEL_CLOSED"


class NoticeLostError(MessageError):
    """A notice came without all of its descriptors and is dropped; the channel goes on."""


class CallFailedError(ProcessError):
    """The other end answered a call with a failure; `failure_code` is the code it gave."""

    code = "CALL_FAILED"

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message or failure.code)
        self.failure_code = failure.code
        self.message = failure.message


class Delivery(NamedTuple):
    """What came: an envelope, and descriptors that now belong to the receiver."""

    envelope: Envelope
    fds: tuple[int, ...]


class Answer(NamedTuple):
    """A body and descriptors, as a call brings them home or a handler sends them out."""

    body: Message
    fds: tuple[int, ...] = ()


def channel_pair() -> tuple[socket.socket, socket.socket]:
    """Two connected sockets fit for a Channel each."""
    pair = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    for end in pair:
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2 * MESSAGE_LIMIT)
    return pair


class Channel:
    """One end, which any number of threads may use at once.

    There is no reading thread: of those that wait for something, one reads and hands the others what is
    theirs. Where a Switchboard attends the channel it does all the reading.
    """

    def __init__(self, sock: socket.socket, accepts: Accepts) -> None:
        """Take over `sock`; only bodies of the accepted kinds (and Done) are let in."""
        sock.setblocking(True)
        self._sock = sock
        self._decoder = Decoder.of(accepts)
        self._ids = itertools.count(1)
        self._changed = threading.Condition()
        self._reading = False
        self._attended = False
        self._answers: dict[int, Delivery | None] = {}
        self._inbox: deque[Delivery] = deque()
        self._fault: ProcessError | None = None
        """Never the one that is raised: its traceback leads back here, and would keep all that it passed."""

    def fileno(self) -> int:
        """The socket's descriptor, -1 when closed."""
        return self._sock.fileno()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close this end; those who wait on it get ChannelClosedError. Harmless when repeated.

        An attended channel is shut down only: its attendant sees the end and lets go of the descriptor.
        """
        self._fail(ChannelClosedError("channel was closed on this side"))
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)
        with self._changed:
            if self._attended:
                return
            self._changed.wait_for(lambda: not self._reading)
            self._sock.close()
            for delivery in (*self._inbox, *filter(None, self._answers.values())):
                close_all(delivery.fds)
            self._inbox.clear()
            self._answers.clear()

    def is_closed(self) -> bool:
        """Whether either end is closed, as far as it shows without reading."""
        if self._fault is not None:
            return True
        poll = select.poll()
        poll.register(self._sock, 0)
        return bool(poll.poll(0))

    def attend(self) -> None:
        """Leave all reading to the caller, who `pump`s from now on until he `leave`s."""
        with self._changed:
            self._changed.wait_for(lambda: not self._reading)
            self._attended = True

    def leave(self) -> None:
        """Close this end, as its attendant."""
        with self._changed:
            self._attended = False
        self.close()

    def send(self, envelope: Envelope, fds: Sequence[int] = ()) -> None:
        """Send one envelope, and copies of descriptors, which stay the sender's.

        Raises MessageError for one over the limits, ChannelClosedError when the other end is gone or does
        not read for five seconds.
        """
        packet = encode(envelope)
        if len(fds) > DESCRIPTOR_LIMIT:
            raise MessageError(f"{len(fds)} descriptors", expected=f"at most {DESCRIPTOR_LIMIT}")
        ancillary = packed(fds)
        deadline = Deadline(_SEND_PATIENCE)
        while True:
            try:
                self._sock.sendmsg([packet], ancillary, _SENDING)
            except BlockingIOError:
                if deadline.passed():
                    raise ChannelClosedError("the other end does not read") from None
                self._poll(select.POLLOUT, deadline)
            except OSError as fault:
                raise _closed(fault) from fault
            else:
                return

    def notify(self, body: Message, fds: Sequence[int] = ()) -> None:
        """Send a notice. Raises as `send`."""
        self.send(Notice(body), fds)

    def reply(self, request: Request[Message], body: Message, fds: Sequence[int] = ()) -> None:
        """Answer a request. Raises as `send`."""
        self.send(Reply(request.id, body), fds)

    def receive(self, timeout: float | None = None) -> Delivery:
        """The next request or notice from the other end.

        Raises TimeoutError after `timeout` seconds, ChannelClosedError at its end, MessageError for a
        message that breaks the rules; after either of the last two the channel is of no more use.
        """
        deadline = Deadline(timeout)
        with self._changed:
            while not self._inbox:
                self._wait(deadline)
            return self._inbox.popleft()

    def call(
        self,
        body: Message,
        expect: type[M],
        fds: Sequence[int] = (),
        timeout: float | None = None,
        serve: Callable[[Delivery], object] | None = None,
    ) -> M:
        """Send a request and return its reply, which must be of the expected kind and bring no descriptors.

        With `serve`, which is given what else comes meanwhile, the call ends with what that raises.
        Raises CallFailedError for a failure, MessageError for another reply, and as `receive`.
        """
        return _without_fds(self.call_for_fds(body, expect, fds, timeout, serve))

    def call_for_fds(
        self,
        body: Message,
        expect: type[M],
        fds: Sequence[int] = (),
        timeout: float | None = None,
        serve: Callable[[Delivery], object] | None = None,
    ) -> tuple[M, tuple[int, ...]]:
        """`call` for a reply that may bring descriptors, which then belong to the caller."""
        with self._asked(body, fds) as number:
            return _told(self._answer(number, Deadline(timeout), serve), expect)

    def call_in_steps(self, body: Message, expect: type[M], patience: float) -> Generator[None, None, M]:
        """`call`, but that it gives way each time that the reply has not come for `patience` seconds.

        The other end does what it was asked to: who closes this waits for that. Raises as `call`.
        """
        with self._asked(body) as number:
            while True:
                try:
                    answer = self._answer(number, Deadline(patience), None)
                except TimeoutError:
                    try:
                        yield
                    except GeneratorExit:
                        self._answer(number, Deadline(None), None)
                        raise
                else:
                    return _without_fds(_told(answer, expect))

    @contextlib.contextmanager
    def _asked(self, body: Message, fds: Sequence[int] = ()) -> Iterator[int]:
        """Send a request, and await its reply within this."""
        number = next(self._ids)
        with self._changed:
            self._answers[number] = None
        try:
            self.send(Request(number, body), fds)
            yield number
        finally:
            with self._changed:
                late = self._answers.pop(number, None)
            close_all(late.fds if late else ())

    def pump(self) -> Delivery | None:
        """Read one message if one lies ready: return a request or notice, hand a reply to its caller.

        For the attendant alone; it never waits, and reads no second one, so that no peer can keep it.
        Raises as `receive`.
        """
        try:
            delivery = self._read(_AT_ONCE)
        except BlockingIOError:
            return None
        except ProcessError as fault:
            self._fail(fault)
            raise
        if not isinstance(delivery.envelope, Reply | Failure):
            return delivery
        with self._changed:
            self._settle(delivery)
        return None

    def _answer(
        self, number: int, deadline: Deadline, serve: Callable[[Delivery], object] | None
    ) -> Delivery:
        while True:
            with self._changed:
                if (delivery := self._answers.get(number)) is not None:
                    del self._answers[number]
                    return delivery
                if serve is None or not self._inbox:
                    self._wait(deadline)
                    continue
                asked = self._inbox.popleft()
            serve(asked)

    def _wait(self, deadline: Deadline) -> None:
        """Let something happen: read one message if nobody does, else wait for him who does (lock held)."""
        if self._fault is not None:
            raise copy(self._fault)
        if deadline.passed():
            raise TimeoutError("no message came in time")
        if self._reading or self._attended:
            self._changed.wait(deadline.remaining())
            return
        self._reading = True
        self._changed.release()
        delivery: Delivery | None = None
        fault: ProcessError | None = None
        try:
            if deadline.remaining() is None:
                delivery = self._read(0)
            else:
                self._poll(select.POLLIN, deadline)
                delivery = self._read(_AT_ONCE)
        except BlockingIOError:
            pass
        except NoticeLostError:
            raise
        except ProcessError as broken:
            fault = copy(broken)
        finally:
            self._changed.acquire()
            self._reading = False
            self._fault = self._fault or fault
            if delivery is not None:
                self._settle(delivery)
            self._changed.notify_all()

    def _settle(self, delivery: Delivery) -> None:
        """Hand a message to its caller or to the inbox (lock held); a reply that none awaits is dropped."""
        envelope = delivery.envelope
        if not isinstance(envelope, Reply | Failure) and len(self._inbox) < _INBOX_LIMIT:
            self._inbox.append(delivery)
        elif not isinstance(envelope, Reply | Failure):
            close_all(delivery.fds)
            self._fault = MessageError("too many messages that nobody receives")
        elif envelope.id in self._answers and self._answers[envelope.id] is None:
            self._answers[envelope.id] = delivery
        else:
            close_all(delivery.fds)
        self._changed.notify_all()

    def _fail(self, fault: ProcessError) -> None:
        with self._changed:
            self._fault = self._fault or copy(fault)
            self._changed.notify_all()

    def _read(self, how: int) -> Delivery:
        """Read one message; with _AT_ONCE raises BlockingIOError where none lies ready."""
        try:
            packet, ancillary, flags, _ = self._sock.recvmsg(MESSAGE_LIMIT, ROOM, how | _READING)
        except BlockingIOError:
            raise
        except OSError as fault:
            raise _closed(fault) from fault
        fds = unpacked(ancillary)
        try:
            if flags & socket.MSG_TRUNC:
                raise MessageError("message is over-long", expected=f"at most {MESSAGE_LIMIT} bytes")
            if not packet:
                raise ChannelClosedError("the other end has closed the channel")
            envelope = self._decoder.decode(packet)
            if flags & socket.MSG_CTRUNC:
                kind = NoticeLostError if isinstance(envelope, Notice) else MessageError
                raise kind(
                    "descriptors did not fit", expected=f"at most {DESCRIPTOR_LIMIT}, and room for them"
                )
            return Delivery(envelope, fds)
        except ProcessError:
            close_all(fds)
            raise

    def _poll(self, event: int, deadline: Deadline) -> None:
        remaining = deadline.remaining()
        poll = select.poll()
        poll.register(self._sock, event)
        poll.poll(None if remaining is None else remaining * 1000)


def _told(answer: Delivery, expect: type[M]) -> tuple[M, tuple[int, ...]]:
    """What a reply of the expected kind brings. Raises CallFailedError or MessageError for any other."""
    envelope, fds = answer
    if isinstance(envelope, Reply) and isinstance(envelope.body, expect):
        return envelope.body, fds
    close_all(fds)
    if isinstance(envelope, Failure):
        raise CallFailedError(envelope)
    raise MessageError("reply is of the wrong kind", expected=expect.__name__)


def _without_fds(told: tuple[M, tuple[int, ...]]) -> M:
    body, fds = told
    close_all(fds)
    if fds:
        raise MessageError("reply brings descriptors that were not asked for")
    return body


def _closed(fault: OSError) -> ProcessError:
    if fault.errno in _GONE:
        return ChannelClosedError("the other end has closed the channel")
    return ProcessError(f"channel fails: {fault.strerror}")
