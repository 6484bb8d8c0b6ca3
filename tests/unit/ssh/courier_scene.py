"""A courier's channel without a network: what it seals is answered by a server in this process."""

import struct
from collections import deque
from collections.abc import Callable

from account_sessions import Session, whole
from paramiko.common import MSG_CHANNEL_DATA, MSG_CHANNEL_WINDOW_ADJUST

from sftpd.sftp.engine import Engine
from sftpd.ssh.courier_channel import CourierChannel
from sftpd.ssh.outgoing import ROOM
from sftpd.ssh.packetizer import Receiver
from sftpd.ssh.sealing import LARGEST
from sftpd.ssh.sftp_channel import WINDOW, Peer

NUMBER = 7
PATIENCE = 60.0

Serve = Callable[[bytes], list[bytes]]
"""Takes what was sent, any number of bytes of it; returns what comes back, piece by piece."""


class Carrier:
    """Transport and wire in one: the server sees what is sent when somebody waits, and not before."""

    def __init__(self, serve: Serve, *, grants: int = 0, together: bool = False) -> None:
        """`grants` is how much more of the window the server opens at a time.

        Answers come `together` where all that was sent is answered in one go.
        """
        self.plain = memoryview(bytearray(2 * LARGEST))
        self.watch: Callable[[], None] = lambda: None
        self.exchanging = False
        self.remote_version = "SSH-2.0-scene"
        self.silent_for = 0.0
        self.sent: list[bytes] = []
        self.adjusted = 0
        self.largest = 0
        self.ahead: list[tuple[int, int]] = []
        """How many packets, and bytes, the server had not seen, each time that somebody waited."""
        self._serve = serve
        self._grants = grants
        self._together = together
        self._unseen: deque[bytes] = deque()
        self._waiting: set[Receiver] = set()

    @property
    def wire(self) -> "Carrier":
        return self

    def congested(self) -> bool:
        return False

    def fileno(self) -> int:
        return -1

    def seal(self, at: int, length: int) -> None:
        payload = bytes(self.plain[at + ROOM : at + ROOM + length])
        kind, number, count = struct.unpack_from(">BII", payload)
        assert number == NUMBER
        if kind == MSG_CHANNEL_WINDOW_ADJUST:
            self.adjusted += count
            return
        assert kind == MSG_CHANNEL_DATA
        assert count == len(payload) - 9
        self.largest = max(self.largest, count)
        self.sent.append(payload[9:])
        self._unseen.append(payload[9:])

    def wait(self, receiver: Receiver) -> None:
        self._waiting.add(receiver)

    def rest(self, receiver: Receiver) -> None:
        self._waiting.discard(receiver)

    def attend(self) -> None:
        (receiver,) = self._waiting
        self.ahead.append((len(self._unseen), sum(map(len, self._unseen))))
        while True:
            receiver.go_on()
            if not self._unseen:
                if self._grants:
                    receiver.adjust(self._grants)
                self.watch()
                continue
            pieces = self._serve(self._unseen.popleft())
            while self._together and self._unseen:
                pieces += self._serve(self._unseen.popleft())
            for piece in [b"".join(pieces)] if self._together else pieces:
                receiver.data(memoryview(piece))


def channel_to(carrier: Carrier, *, window: int = WINDOW, max_data: int = 32 * 1024) -> CourierChannel:
    """A channel whose server takes so much ahead, and at a time."""
    return CourierChannel(carrier, Peer(NUMBER, window, max_data), PATIENCE)


def served_by(session: Session) -> Serve:
    """Our own engine and handler as the server."""
    engine = Engine()

    def serve(data: bytes) -> list[bytes]:
        return [whole(session.handler.answer(event)) for event in engine.receive(data)]

    return serve
