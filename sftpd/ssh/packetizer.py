"""SSH's binary packet protocol for one connection (RFC 4253 §6, §9), in the place of paramiko's Packetizer.

Key exchange and logins are paramiko's, packet by packet. What a channel with a Receiver gets goes to that
at once, in the thread that reads, while it lies in the buffer it was opened into.
"""

import contextlib
import select
import socket
import struct
import threading
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

import paramiko
from paramiko.common import (
    MSG_CHANNEL_CLOSE,
    MSG_CHANNEL_DATA,
    MSG_CHANNEL_EOF,
    MSG_CHANNEL_EXTENDED_DATA,
    MSG_CHANNEL_WINDOW_ADJUST,
    MSG_KEXINIT,
)
from paramiko.message import Message as Packet
from paramiko.packet import NeedRekeyException

from sftpd.ssh.incoming import Incoming
from sftpd.ssh.key_use import KeyUse
from sftpd.ssh.outgoing import Outgoing
from sftpd.ssh.sealing import UINT32, Keys, opening_with, sealing_with

_FIRST_OF_KEX = 30
_FIRST_AFTER_KEX = 50
"""Messages below are the transport's own, and pass during a key exchange (RFC 4253 §7.1)."""

_HELD_LIMIT = 1024
_LEAST_SIZES = {
    MSG_CHANNEL_WINDOW_ADJUST: 9,
    MSG_CHANNEL_DATA: 9,
    MSG_CHANNEL_EXTENDED_DATA: 9,
    MSG_CHANNEL_EOF: 5,
    MSG_CHANNEL_CLOSE: 5,
}
"""The messages that are for receivers, and how many bytes each has at least."""

_TICK = 1.0
_LAST_WORDS = 2.0
"""Seconds that a peer may take nothing of what is left to send when the connection is closed."""

_TIMEVAL = struct.Struct("ll")


class Receiver(Protocol):
    """What a channel's messages are for, in the thread that reads."""

    def data(self, data: memoryview) -> None:
        """Bytes have come; they are good until this returns."""
        ...

    def aside(self, count: int) -> None:
        """So many bytes have come that are meant for people."""
        ...

    def adjust(self, count: int) -> None:
        """The other side takes `count` bytes more."""
        ...

    def end_of_data(self) -> None:
        """The other side sends no more."""
        ...

    def closed(self) -> None:
        """The other side has closed the channel."""
        ...

    def go_on(self) -> None:
        """See whether what stood in the way has gone; called until it `rest`s."""
        ...

    def due(self) -> float | None:
        """When it goes on even if nothing comes, in monotonic seconds; None: not before something comes."""
        ...


class Packetizer:
    """Packets of one connection; paramiko's Transport finds here what it looks for in its own.

    One thread reads. Others may send: what they send has left when `send_message` returns.
    """

    def __init__(self, connection: socket.socket, *, now: Callable[[], float]) -> None:
        """`now` tells monotonic seconds."""
        self.watch: Callable[[], None] = _nothing
        """Called when nothing comes, and else about each second; may raise EOFError to end all."""
        self.drops_strange_data = False
        """Whether data for a channel without a Receiver is dropped; else paramiko gets it."""
        self.messages_left: int | None = None
        """How many messages may still come that are for no Receiver; None: any number."""
        self.drops_guess = False
        """Whether the next message of a key exchange is dropped: it began another one than was agreed on."""
        self.acknowledges_at_once = True
        """Whether TCP acknowledges what comes without waiting for something to send."""
        self.exchanging = False
        """Whether a key exchange keeps all other messages back."""
        self._connection = connection
        self._now = now
        self._in, self._out = Incoming(connection), Outgoing(connection)
        self.plain, self.seal, self.congested = self._out.plain, self._out.seal, self._out.congested
        """As Outgoing has them, for the thread that reads."""
        self._keys = KeyUse(now())
        self._lock = threading.RLock()
        self._reader: int | None = None
        self._closed = False
        self._held: deque[bytes] = deque()
        self._receivers: dict[int, Receiver] = {}
        self._waiting: set[Receiver] = set()
        self._later: list[Callable[[], None]] = []
        self._deadline: float | None = None
        self._keepalive: tuple[float, Callable[[], None]] | None = None
        self._heard = self._watched = now()
        self._idle = False
        # Reads wait for a second at the most; writes that could wait say so (MSG_DONTWAIT).
        connection.settimeout(None)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _TIMEVAL.pack(int(_TICK), 0))

    def attach(self, channel: int, receiver: Receiver) -> None:
        """Hand what comes for a channel to a receiver."""
        self.acknowledges_at_once = False
        self._receivers[channel] = receiver

    def detach(self, channel: int) -> None:
        """Hand nothing more on."""
        receiver = self._receivers.pop(channel, None)
        if receiver is not None:
            self._waiting.discard(receiver)

    def later(self, job: Callable[[], None]) -> None:
        """Do something once what was sealed has left, before the other side is waited for."""
        self._later.append(job)

    def wait(self, receiver: Receiver) -> None:
        """Have a receiver's `go_on` called."""
        self._waiting.add(receiver)

    def rest(self, receiver: Receiver) -> None:
        """Have it called no more."""
        self._waiting.discard(receiver)

    @property
    def silent_for(self) -> float:
        """Seconds since anything came from the other side."""
        return self._now() - self._heard

    def send_message(self, message: Packet) -> None:
        """Send a message, or keep it for the end of the key exchange that is under way."""
        payload: bytes = message.asbytes()
        with self._lock:
            if self.exchanging and payload[0] >= _FIRST_AFTER_KEX:
                self._hold(payload)
                return
            self.exchanging |= payload[0] == MSG_KEXINIT
            self._out.seal_bytes(payload)
            if self._reader != threading.get_ident():
                self._out.flush_all()

    def read_message(self) -> tuple[int, Packet]:
        """The next message that is not for a Receiver.

        Raises NeedRekeyException, SSHException for what is no packet, and EOFError at the end.
        """
        self._reader = threading.get_ident()
        while True:
            if self._waiting:
                for receiver in tuple(self._waiting):
                    receiver.go_on()
            if self._keys.due and not self.exchanging and not self._keys.half_changed:
                raise NeedRekeyException
            payload = self._in.next_payload()
            if payload is None:
                self._receive()
                continue
            self._keys.use(self._in.bytes + self._out.bytes)
            kind = payload[0]
            if kind in _LEAST_SIZES and self._hand_on(kind, payload):
                continue
            if self.drops_guess and kind >= _FIRST_OF_KEX:
                self.drops_guess = False
                continue
            if self.messages_left is not None:
                if not self.messages_left:
                    raise paramiko.SSHException("too many messages")
                self.messages_left -= 1
            message = Packet(bytes(payload[1:]))
            message.seqno = (self._in.sequence - 1) & 0xFFFF_FFFF
            return kind, message

    def readline(self, timeout: float) -> str:
        """A line before the packets. Raises TimeoutError, EOFError, and SSHException where none ends."""
        deadline = self._now() + timeout
        while (line := self._in.line()) is None:
            if self._now() >= deadline:
                raise TimeoutError
            self._receive()
        return line.decode("utf-8", "replace")

    def write_all(self, data: bytes) -> None:
        """Send what is no packet."""
        with self._lock:
            self._out.put(data)
            self._out.flush_all()

    def close(self) -> None:
        """Send what still waits, as far as the other side takes it, and end the connection."""
        if self._closed:
            return
        self._closed = True
        with contextlib.suppress(EOFError, OSError), self._lock:
            self._out.flush_all(_LAST_WORDS)
        with contextlib.suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)

    @property
    def closed(self) -> bool:
        """Whether it was closed on this side."""
        return self._closed

    def set_outbound_cipher(
        self, *, sdctr: bool, etm: bool, aead: bool, iv_out: bytes | None, **named: Any
    ) -> None:
        """Seal with new keys from now on, and send what was kept back."""
        del sdctr, aead
        with self._lock:
            self._out.sealing = sealing_with(_keys(named), etm=etm, nonce=iv_out)
            self._out.bytes = 0
            self._keys.changed(self._now())
            self.exchanging = False
            while self._held:
                self._out.seal_bytes(self._held.popleft())

    def set_inbound_cipher(self, *, etm: bool, aead: bool, iv_in: bytes | None, **named: Any) -> None:
        """Open with new keys from now on. Raises SSHException when they are changed all the time."""
        del aead
        self._in.opening = opening_with(_keys(named), etm=etm, nonce=iv_in)
        self._in.bytes = 0
        self._keys.changed(self._now())

    def reset_seqno_out(self) -> None:
        """Begin to count again: strict key exchange."""
        self._out.sequence = 0

    def reset_seqno_in(self) -> None:
        """Begin to count again: strict key exchange."""
        self._in.sequence = 0

    @property
    def _initial_kex_done(self) -> bool:
        return self._in.may_wrap

    @_initial_kex_done.setter
    def _initial_kex_done(self, done: bool) -> None:
        self._in.may_wrap = self._out.may_wrap = done

    def need_rekey(self) -> bool:
        """Whether keys have been used enough."""
        return self._keys.due

    def start_handshake(self, timeout: float) -> None:
        """Give the first key exchange so many seconds."""
        self._deadline = self._now() + timeout

    def complete_handshake(self) -> None:
        """Give it any time."""
        self._deadline = None

    def handshake_timed_out(self) -> bool:
        """Whether the first key exchange takes too long."""
        return self._deadline is not None and self._now() >= self._deadline

    def set_keepalive(self, interval: float, callback: Callable[[], None]) -> None:
        """Call back after each `interval` seconds in which nothing came."""
        self._keepalive = (interval, callback) if interval else None

    def set_inbound_compressor(self, compressor: object) -> None:
        """Refuse: compression is not offered."""
        del compressor
        raise paramiko.SSHException("compression is not offered")

    set_outbound_compressor = set_inbound_compressor

    def set_log(self, log: object) -> None:
        """Log nothing: what goes wrong is raised."""

    set_hexdump = set_log

    def get_hexdump(self) -> bool:
        """Never."""
        return False

    def _hold(self, payload: bytes) -> None:
        if len(self._held) >= _HELD_LIMIT:
            raise paramiko.SSHException("too much is asked for during a key exchange")
        self._held.append(payload)

    def _hand_on(self, kind: int, payload: memoryview) -> bool:
        """Give a channel's message to its receiver; returns whether paramiko need not see it."""
        size = len(payload)
        if size < _LEAST_SIZES[kind]:
            raise _cut_short()
        receiver = self._receivers.get(UINT32.unpack_from(payload, 1)[0])
        if receiver is None:
            return self.drops_strange_data and kind in (MSG_CHANNEL_DATA, MSG_CHANNEL_EXTENDED_DATA)
        if kind == MSG_CHANNEL_DATA:
            end = 9 + UINT32.unpack_from(payload, 5)[0]
            if size < end:
                raise _cut_short()
            receiver.data(payload[9:end])
        elif kind == MSG_CHANNEL_WINDOW_ADJUST:
            receiver.adjust(UINT32.unpack_from(payload, 5)[0])
        elif kind == MSG_CHANNEL_EXTENDED_DATA:
            receiver.aside(len(payload) - 13)
        elif kind == MSG_CHANNEL_EOF:
            receiver.end_of_data()
        else:
            receiver.closed()
        return kind in (MSG_CHANNEL_DATA, MSG_CHANNEL_EXTENDED_DATA, MSG_CHANNEL_WINDOW_ADJUST)

    def _receive(self) -> None:
        """Send what waits, and take in what comes within a second or until something is due."""
        unsent = self._flush()
        while self._later:
            self._later.pop()()
            unsent = self._flush()
        pause = self._pause() if self._waiting else _TICK
        if not unsent and pause >= _TICK:
            came = self._in.fill(0)
        else:
            came = self._await(unsent, pause) and self._in.fill(socket.MSG_DONTWAIT)
        if came:
            self._heard, self._idle = self._now(), False
            if self.acknowledges_at_once:
                # Until files flow the other side waits for each answer, and for its acknowledgement.
                self._connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        else:
            self._be_idle()
        if not came or self._heard - self._watched >= _TICK:
            self._watched = self._now()
            self.watch()

    def _flush(self) -> bool:
        """Send what the socket takes, unless another thread is about to; returns whether anything waits."""
        if not self._lock.acquire(blocking=False):
            return False
        try:
            return not self._out.flush()
        finally:
            self._lock.release()

    def _pause(self) -> float:
        due = [moment for receiver in self._waiting if (moment := receiver.due()) is not None]
        return max(min(due) - self._now(), 0.0) if due else _TICK

    def _await(self, unsent: bool, pause: float) -> bool:
        poll = select.poll()
        poll.register(self._connection, select.POLLIN | (select.POLLOUT if unsent else 0))
        return any(event & ~select.POLLOUT for _, event in poll.poll(pause * 1000))

    def _be_idle(self) -> None:
        if self._closed:
            raise EOFError("the connection was closed on this side")
        self._keys.look(self._now())
        if self.handshake_timed_out():
            raise EOFError("the key exchange takes too long")
        if self._keepalive is not None and self.silent_for >= self._keepalive[0] and not self.exchanging:
            self._heard = self._now()
            self._keepalive[1]()
        if not self._idle and not self._waiting:
            self._idle = True
            self._in.give_back()
            with self._lock:
                self._out.give_back()


def _cut_short() -> paramiko.SSHException:
    return paramiko.SSHException("message of a channel is cut short")


def _keys(named: dict[str, Any]) -> Keys:
    return Keys(
        named["block_engine"], named["block_size"], named["mac_engine"], named["mac_size"], named["mac_key"]
    )


def _nothing() -> None:
    """Watch nothing."""
