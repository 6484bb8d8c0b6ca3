"""One SFTP subsystem on one channel: requests are carried out as they arrive and answered at once.

Nothing is started that could not be answered: while the client's window is too short, the socket full or a
key exchange under way, what arrives waits here, and that is at most one window.
"""

import struct
from collections import deque
from collections.abc import Callable
from time import monotonic
from typing import NamedTuple, Protocol

import paramiko
from paramiko.common import MSG_CHANNEL_DATA, MSG_CHANNEL_EXTENDED_DATA, MSG_CHANNEL_WINDOW_ADJUST

from sftpd.errors import ProcessError
from sftpd.sftp.engine import Engine
from sftpd.sftp.wire import ProtocolError
from sftpd.ssh.data_layout import HEAD, Layout
from sftpd.ssh.file_data import HEAD_SIZE, FileData
from sftpd.ssh.handler import Handler
from sftpd.ssh.long_answer import LongAnswer
from sftpd.ssh.outgoing import ROOM
from sftpd.ssh.pace import ChannelPace
from sftpd.ssh.packetizer import Receiver

WINDOW = 8 * 1024 * 1024
"""Bytes that a client may send ahead on a channel."""

MAX_DATA = 255 * 1024
"""The most bytes of channel data in one packet, either way."""

_LAYOUTS = 16
_GRANTED_AT = WINDOW // 4
_JOINED = 32 * 1024
"""Bytes of data that wait as one piece."""
_ADJUST = struct.Struct(">BII")
_EXTENDED_HEAD = struct.Struct(">BIII")
_STDERR = 1
_SMALLEST_PACKET = 4096
"""Packets of less are filled from memory: there would be too many to read a file straight into them."""


class Wire(Protocol):
    """What a channel needs of the Packetizer, at either end."""

    @property
    def exchanging(self) -> bool:
        """Whether a key exchange keeps all other messages back."""
        ...

    @property
    def plain(self) -> memoryview:
        """Where a payload is written for `seal`."""
        ...

    def congested(self) -> bool:
        """Whether so much waits for the socket that no more should be made."""
        ...

    def seal(self, at: int, length: int) -> None:
        """Send the payload that stands ROOM bytes behind `at` in `plain`."""
        ...

    def wait(self, receiver: Receiver) -> None:
        """Have `go_on` called."""
        ...

    def rest(self, receiver: Receiver) -> None:
        """Have it called no more."""
        ...


class SessionWire(Wire, Protocol):
    """What a session's channel needs besides."""

    def later(self, job: Callable[[], None]) -> None:
        """Do something once what was sealed has left, before the client is waited for."""
        ...


class Paces(NamedTuple):
    """How fast the channel may go on in each direction; None: as fast as it can."""

    upload: ChannelPace | None = None
    download: ChannelPace | None = None


_ANY_PACE = Paces()


class Peer(NamedTuple):
    """The client's end of the channel, as it was opened."""

    number: int
    window: int
    max_data: int


class SftpChannel:
    """A Receiver of the Packetizer.

    `on_end` is called once: when the client is done or has closed the channel, or does not speak SFTP.
    """

    def __init__(
        self,
        wire: SessionWire,
        peer: Peer,
        handler: Handler,
        on_end: Callable[[ProtocolError | None], None],
        paces: Paces = _ANY_PACE,
    ) -> None:
        self.handler = handler
        self.active_at = monotonic()
        """When the client last moved something, in monotonic seconds."""
        self._wire = wire
        self._recipient = peer.number
        self._window = self._widest = peer.window
        self._max_data = min(peer.max_data, MAX_DATA)
        self._on_end = on_end
        self._paces = paces
        self._paced = paces != _ANY_PACE
        self._engine = Engine()
        self._parked: deque[bytearray] = deque()
        self._unsent = b""
        self._owed: FileData | None = None
        self._long: LongAnswer | None = None
        self._in_window = WINDOW
        self._consumed = 0
        self._ending = False
        self._deserted = False
        """Whether the client has closed the channel, and only what outlasts that is gone on with."""
        self._ended = False
        self._layouts: dict[int, Layout] = {}

    @property
    def busy(self) -> bool:
        """Whether the client has asked for what it was not told yet."""
        return bool(self._parked or self._unsent or self._owed or self._long)

    @property
    def outlasts(self) -> bool:
        """Whether the client has closed the channel, and what it asked for last is still being done."""
        return self._deserted and not self._ended

    def data(self, data: memoryview) -> None:
        """As Receiver says.

        Raises SSHException for more than the window allows, EOFError when the monitor is gone.
        """
        if self._deserted:
            return
        self.active_at = monotonic()
        self._in_window -= len(data)
        if self._in_window < 0:
            raise paramiko.SSHException("client sends more than its window allows")
        if self._parked or self._held_up():
            self._park(data)
            self._wire.wait(self)
        else:
            self._take(data)

    def _park(self, data: memoryview) -> None:
        """Keep data until its turn: small pieces as one, for each takes some 60 bytes besides."""
        if self._parked and len(self._parked[-1]) + len(data) <= _JOINED:
            self._parked[-1] += data
        elif data:
            self._parked.append(bytearray(data))

    def aside(self, count: int) -> None:
        """As Receiver says: not from a client. Raises SSHException."""
        del count
        raise paramiko.SSHException("extended data is for clients")

    def adjust(self, count: int) -> None:
        """As Receiver says."""
        self.active_at = monotonic()
        self._window += count
        self._widest = max(self._widest, self._window)
        self.go_on()

    def end_of_data(self) -> None:
        """As Receiver says."""
        self._ending = True
        self._wire.wait(self)
        self.go_on()

    def closed(self) -> None:
        """As Receiver says; what is being done and `outlasts` that goes on."""
        self._parked.clear()
        self._unsent, self._owed = b"", None
        if self._long is not None and self._long.outlasts and not self._ended:
            self._deserted = True
            self._wire.wait(self)
        else:
            self._finish()

    def end(self, may_go_on: Callable[[], bool]) -> None:
        """The connection is over: do what outlasts that, for as long as it may go on."""
        self.closed()
        while self.outlasts and may_go_on():
            self.go_on()
        self._finish()

    def due(self) -> float | None:
        """As Receiver says."""
        now, moment = monotonic(), self._paced_until()
        if moment > now:
            return moment
        return now if self._long is not None and not self._is_stuck() else None

    def go_on(self) -> None:
        """As Receiver says. Raises EOFError when the monitor is gone."""
        if self._long is not None and not self._is_stuck():
            self._take_step(self._long)
        while not self._held_up():
            if not self._parked:
                self._wire.rest(self)
                if self._ending:
                    self._finish()
                return
            self.active_at = monotonic()
            self._take(memoryview(self._parked.popleft()))

    def remark(self, text: str) -> None:
        """Say something that clients show to their user as it is; not said where the window is short."""
        said = text.encode()
        if self._wire.exchanging or len(said) > min(self._window, self._max_data):
            return
        self._window -= len(said)
        plain, at = self._wire.plain, ROOM
        _EXTENDED_HEAD.pack_into(plain, at, MSG_CHANNEL_EXTENDED_DATA, self._recipient, _STDERR, len(said))
        plain[at + _EXTENDED_HEAD.size : at + _EXTENDED_HEAD.size + len(said)] = said
        self._wire.seal(0, _EXTENDED_HEAD.size + len(said))

    def _held_up(self) -> bool:
        """Whether what comes next has to wait; sends first what waits itself, as far as that goes."""
        if self._is_stuck() or self._long is not None:
            return True
        if self._paced and self._paced_until() > monotonic():
            return True
        if self._unsent:
            unsent, self._unsent = self._unsent, b""
            self._send(unsent)
        if self._owed is not None and not self._unsent:
            owed, self._owed = self._owed, None
            self._send_file(owed)
        if self._consumed >= _GRANTED_AT:
            self._grant()
        return bool(self._unsent) or self._owed is not None

    def _is_stuck(self) -> bool:
        """Whether nothing can be sent at all."""
        return self._ended or (not self._deserted and (self._wire.exchanging or self._wire.congested()))

    def _take_step(self, answer: LongAnswer) -> None:
        """Go on with an answer that takes long, and send it once it is there."""
        self.active_at = monotonic()
        try:
            reply = answer.go_on()
        except ProcessError as error:
            raise _monitor_gone(error) from error
        if reply is None:
            return
        self._long = None
        if self._deserted:
            self._finish()
        else:
            self._send(reply)
            self._remark()

    def _paced_until(self) -> float:
        """When the account's rate lets it move more."""
        return max([pace.due for pace in self._paces if pace is not None], default=0.0)

    def _take(self, data: memoryview) -> None:
        """Answer what is in `data`, as far as there is room for the answers; the rest is parked."""
        try:
            self._answer(data)
        except ProtocolError as error:
            self._finish(error)
        except ProcessError as error:
            raise _monitor_gone(error) from error
        self.active_at = monotonic()

    def _answer(self, data: memoryview) -> None:
        answer, next_event, pace = self.handler.answer, self._engine.next_event, self._paces.upload
        consumed = left = len(data)
        rest = data
        while rest:
            event, rest = next_event(rest)
            if pace is not None:
                before, left = left, len(rest)
                pace.spend(before - left, monotonic())
            if event is None:
                continue
            reply = answer(event)
            if isinstance(reply, FileData):
                self._send_file(reply)
            elif isinstance(reply, LongAnswer):
                self._long = reply
                self._wire.wait(self)
            elif reply:
                self._send(reply)
            if self.handler.remarks:
                self._remark()
            if rest and self._held_up():
                consumed -= len(rest)
                self._parked.appendleft(bytearray(rest))
                self._wire.wait(self)
                break
        self._consumed += consumed
        if self._consumed >= _GRANTED_AT:
            self._grant()
        if self.handler.ahead is not None:
            self._wire.later(self.handler.look_ahead)

    def _remark(self) -> None:
        for remark in self.handler.take_remarks():
            self.remark(f"sftpd: {remark}\r\n")

    def _grant(self) -> None:
        """Let the client send as much again as was consumed, once that is worth a message."""
        if self._wire.exchanging:
            return
        _ADJUST.pack_into(self._wire.plain, ROOM, MSG_CHANNEL_WINDOW_ADJUST, self._recipient, self._consumed)
        self._wire.seal(0, _ADJUST.size)
        self._in_window += self._consumed
        self._consumed = 0

    def _send(self, reply: bytes) -> None:
        """Send a reply, or as much of it as the window takes; what is left waits in `_unsent`."""
        plain, at = self._wire.plain, ROOM + HEAD.size
        if (size := len(reply)) <= min(self._max_data, self._window) and self._paces.download is None:
            HEAD.pack_into(plain, ROOM, MSG_CHANNEL_DATA, self._recipient, size)
            plain[at : at + size] = reply
            self._window -= size
            self._wire.seal(0, HEAD.size + size)
            return
        rest = memoryview(reply)
        while rest and (count := min(len(rest), self._max_data, self._window)) > 0:
            HEAD.pack_into(plain, ROOM, MSG_CHANNEL_DATA, self._recipient, count)
            plain[at : at + count] = rest[:count]
            self._window -= count
            self._wire.seal(0, HEAD.size + count)
            rest = rest[count:]
        if self._paces.download is not None:
            self._paces.download.spend(len(reply) - len(rest), monotonic())
        if rest:
            self._unsent = bytes(rest)
            self._wire.wait(self)

    def _send_file(self, data: FileData) -> None:
        """Read a file straight into the packets that carry it, once the window takes them all."""
        size = HEAD_SIZE + data.length
        if self._max_data < _SMALLEST_PACKET or size > self._widest or not data.length:
            self._send(data.reply())
            return
        if size > self._window:
            self._owed = data
            self._wire.wait(self)
            return
        layout = self._layout(data.length)
        try:
            count = data.into(layout.buffers)
        except (OSError, OverflowError) as error:
            self._send(data.refusal(error))
            return
        if count:
            self._window -= HEAD_SIZE + count
            if self._paces.download is not None:
                self._paces.download.spend(HEAD_SIZE + count, monotonic())
            layout.seal(self._wire.seal, self._recipient, data.head(count), count)
        else:
            self._send(data.end())

    def _layout(self, length: int) -> Layout:
        layout = self._layouts.get(length)
        if layout is None:
            if len(self._layouts) >= _LAYOUTS:
                self._layouts.clear()
            layout = self._layouts[length] = Layout(self._wire.plain, HEAD_SIZE, length, self._max_data)
        return layout

    def _finish(self, error: ProtocolError | None = None) -> None:
        if not self._ended:
            self._ended = True
            self._wire.rest(self)
            try:
                if self._long is not None:
                    self._long.close()
            finally:
                self._on_end(error)


def _monitor_gone(error: ProcessError) -> EOFError:
    return EOFError(f"the monitor does not answer: {error}")
