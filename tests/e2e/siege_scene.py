"""Attacks that go on until they are ended, each in a process that yields the processor to all others."""

import contextlib
import mmap
import multiprocessing
import os
import selectors
import signal
import socket
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from heapq import heappop, heappush
from pathlib import Path

import leaks
import paramiko
from daemon import PATIENCE, Daemon, eventually
from pipelined_sftp import Pipeline

from sftpd.sftp.requests import Opendir

ATTACKER = "attacker"
"""The account of attacks from within."""

Count = Callable[[], None]
"""To be called at each hit, so that it is seen that there was an attack."""

Attack = Callable[[Daemon, Count], None]
"""Goes on, or returns or raises to be called again."""

_NUMBER = struct.Struct("Q")
_SOURCE = "127.0.66.1"
_IDENTIFICATION = b"SSH-2.0-siege\r\n"
_SERVICE_REQUEST, _USERAUTH_REQUEST, _USERAUTH_SUCCESS = 5, 50, 52
_HALF_OPEN = 1_000
_OPENS = 100_000
_LORISES = 90


class Hits:
    """How often an attack has hit, across processes."""

    def __init__(self) -> None:
        self._shared = mmap.mmap(-1, _NUMBER.size)

    def __int__(self) -> int:
        number: int = _NUMBER.unpack_from(self._shared)[0]
        return number

    def count(self) -> None:
        _NUMBER.pack_into(self._shared, 0, int(self) + 1)

    def close(self) -> None:
        self._shared.close()


@contextmanager
def besieged(daemon: Daemon, attack: Attack) -> Iterator[None]:
    """Attack during the block, once it has begun in earnest."""
    with contextlib.closing(Hits()) as hits:
        process = multiprocessing.get_context("fork").Process(target=_attack, args=(attack, daemon, hits))
        process.start()
        assert process.pid is not None
        try:
            eventually(lambda: int(hits) >= _EARNEST.get(attack, 1), daemon)
            yield
            assert process.is_alive(), "the attack has ended by itself"
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.join()
            process.close()


def _attack(attack: Attack, daemon: Daemon, hits: Hits) -> None:
    os.setsid()
    os.nice(19)
    while True:
        with contextlib.suppress(OSError, EOFError, AssertionError, paramiko.SSHException):
            attack(daemon, hits.count)


def pss(daemon: Daemon) -> int:
    """Bytes of memory of the daemon with all its processes, what they share counted once."""
    total = 0
    for pid in (daemon.pid, *leaks.processes(daemon.pid)):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError, PermissionError):
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
            total += sum(int(line.split()[1]) << 10 for line in lines if line.startswith("Pss:"))
    return total


def come(daemon: Daemon, source: str = _SOURCE) -> socket.socket:
    return socket.create_connection((daemon.host, daemon.port), PATIENCE, source_address=(source, 0))


def half_open_from_one_network(daemon: Daemon, count: Count) -> None:
    _keep_open(daemon, count, [f"127.0.77.{1 + n % 4}" for n in range(_HALF_OPEN)], pause=1.0)


def half_open_from_many_networks(daemon: Daemon, count: Count) -> None:
    _keep_open(daemon, count, [f"127.77.{n % 20}.{1 + n // 20}" for n in range(_HALF_OPEN)], pause=20.0)


def _keep_open(daemon: Daemon, count: Count, sources: list[str], pause: float) -> None:
    """Connect from every source and say nothing; who was sent away comes again after so many seconds."""
    due = [(0.0, n, source) for n, source in enumerate(sources)]
    with selectors.DefaultSelector() as selector:
        while True:
            while due and due[0][0] <= time.monotonic():
                _, n, source = heappop(due)
                with contextlib.suppress(OSError):
                    selector.register(come(daemon, source), selectors.EVENT_READ, (n, source))
                    count()
            for key, _ in selector.select(1.0):
                assert isinstance(key.fileobj, socket.socket)
                if not _is_open(key.fileobj):
                    selector.unregister(key.fileobj)
                    key.fileobj.close()
                    heappush(due, (time.monotonic() + pause, *key.data))


def _is_open(sock: socket.socket) -> bool:
    try:
        return sock.recv(4096) != b""
    except ConnectionError:
        return False


def slow_loris(daemon: Daemon, count: Count) -> None:
    """As many as are let in send a packet byte by byte, and who is sent away is followed by another."""
    slow = _IDENTIFICATION + struct.pack(">I", 30_004) + bytes(30_004)
    sources = [f"127.0.{n % 4}.66" for n in range(_LORISES)]
    said = [0] * _LORISES
    with contextlib.ExitStack() as stack:
        socks = [stack.enter_context(come(daemon, source)) for source in sources]
        while True:
            for n, sock in enumerate(socks):
                try:
                    sock.send(slow[said[n] : said[n] + 1])
                    said[n] += 1
                    count()
                except ConnectionError:
                    sock.close()
                    socks[n], said[n] = stack.enter_context(come(daemon, sources[n])), 0
            time.sleep(0.05)


def _say(daemon: Daemon, count: Count, *packets: bytes, length: int | None = None) -> None:
    """Connect, send packets without any key exchange, and wait for the end."""
    with come(daemon) as sock:
        sock.sendall(_IDENTIFICATION + b"".join(_clear(packet, length) for packet in packets))
        count()
        while sock.recv(4096):
            pass


def _clear(payload: bytes, length: int | None) -> bytes:
    """A packet before the first keys; `length` is what it says of itself in place of the truth."""
    padding = 8 + -(5 + len(payload)) % 8
    said = 1 + len(payload) + padding if length is None else length
    return struct.pack(">IB", said, padding) + payload + bytes(padding)


def length_of_a_packet(daemon: Daemon, count: Count) -> None:
    _say(daemon, count, bytes(1000), length=0xFFFF_FFFF)


def length_of_a_request(daemon: Daemon, count: Count) -> None:
    with Pipeline(daemon, ATTACKER, "-b", _SOURCE) as session:
        session.send(b"\xff\xff\xff\xff" + bytes(1000))
        count()
        session.ask([Opendir(b"/")])


def many_opens(daemon: Daemon, count: Count) -> None:
    with Pipeline(daemon, ATTACKER, "-b", _SOURCE) as session:
        for _ in range(_OPENS // 100):
            session.ask([Opendir(b"/upload")] * 100)
            count()


def rekeying(daemon: Daemon, count: Count) -> None:
    with daemon.connected(ATTACKER, key_filename=str(daemon.key), sock=come(daemon)) as transport:
        while True:
            transport.renegotiate_keys()
            count()


def success_before_keys(daemon: Daemon, count: Count) -> None:
    _say(daemon, count, bytes([_USERAUTH_SUCCESS]))


def success_after_keys(daemon: Daemon, count: Count) -> None:
    with come(daemon) as sock:
        transport = paramiko.Transport(sock)
        try:
            transport.start_client(timeout=PATIENCE)
            message = paramiko.Message()
            message.add_byte(bytes([_USERAUTH_SUCCESS]))
            while transport.is_active():
                transport._send_message(message)
                count()
        finally:
            transport.close()


def login_before_keys(daemon: Daemon, count: Count) -> None:
    def string(text: bytes) -> bytes:
        return struct.pack(">I", len(text)) + text

    service, user = string(b"ssh-userauth"), string(ATTACKER.encode())
    login = user + string(b"ssh-connection") + string(b"none")
    _say(daemon, count, bytes([_SERVICE_REQUEST]) + service, bytes([_USERAUTH_REQUEST]) + login)


ATTACKS: dict[str, Attack] = {
    "half-open, one network": half_open_from_one_network,
    "half-open, many networks": half_open_from_many_networks,
    "slow-loris": slow_loris,
    "4 GiB packet": length_of_a_packet,
    "4 GiB request": length_of_a_request,
    "10^5 opens": many_opens,
    "rekeying": rekeying,
    "SUCCESS before keys": success_before_keys,
    "SUCCESS after keys": success_after_keys,
    "USERAUTH before keys": login_before_keys,
}

_EARNEST = {
    half_open_from_one_network: _HALF_OPEN,
    half_open_from_many_networks: _HALF_OPEN,
    slow_loris: _LORISES,
}
"""How many hits a transfer beside the attack waits for."""
