"""Bad input costs its sender only: a clear end for them, one line in the log, and honest clients go on."""

import contextlib
import os
import re
import socket
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import paramiko
import pytest
from daemon import PATIENCE, Daemon, eventually

OPEN, CLOSE, READ, OPENDIR = 3, 4, 5, 11
HANDLE, STATUS, VERSION = 102, 101, 2
FAILURE = 4
INIT = b"\0\0\0\x05\x01\0\0\0\x03"


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    made = Daemon(tmp_path_factory.mktemp("hostile") / "instance")
    made.configure("server", "login_grace = 8", "penalties = false")
    made.file("local", b"local")
    with made as running:
        yield running


@pytest.fixture
def honest(daemon: Daemon) -> Iterator[paramiko.SFTPClient]:
    """A client that was there before; afterwards it and a new one still work, and no fault was logged."""
    before = len(daemon.log)
    with daemon.sftp() as sftp:
        yield sftp
        with sftp.open("/upload/honest", "wb") as remote:
            remote.write(b"honest")
    assert (daemon.inbound / "honest").read_bytes() == b"honest"
    daemon.sftp_done("put local /upload/new", "ls -l /upload")
    said = daemon.log[before:]
    assert "Traceback" not in said
    assert all(re.match(r"\d{4}-\d\d-\d\dT", line) for line in said.splitlines()), said
    eventually(lambda: not daemon.sessions, daemon)


@contextlib.contextmanager
def raw(daemon: Daemon) -> Iterator[socket.socket]:
    with socket.create_connection((daemon.host, daemon.port), PATIENCE) as sock:
        yield sock


def lines_logged(daemon: Daemon, attack: Callable[[], object]) -> list[str]:
    """The lines that an attack leaves in the log, once its session has ended."""
    sessions = set(daemon.sessions)
    before = len(daemon.log)
    attack()
    eventually(lambda: set(daemon.sessions) <= sessions, daemon)
    return daemon.log[before:].splitlines()


def ends(sock: socket.socket) -> bool:
    """Whether the server ends the connection."""
    try:
        while sock.recv(65536):
            pass
    except ConnectionError:
        return True
    return True


@pytest.mark.parametrize(
    "sent",
    [
        b"GET / HTTP/1.1\r\nHost: example.org\r\n\r\n",
        b"SSH-1.5-old\r\n",
        b"\0" * 10_000,
        os.urandom(5000) + b"\r\n",
        b"A" * (1 << 20),
        b"SSH-2.0-" + b"A" * (1 << 20),
        b"SSH-2.0-ok\r\n" + b"\xff" * 1000,
        b"SSH-2.0-ok\r\n" + struct.pack(">IBB", 12, 10, 20) + b"\0" * 50,
        b"line\r\n" * 100_000,
    ],
    ids=["http", "ssh-1", "zeros", "random", "endless", "endless ssh", "bad packet", "bad kexinit", "lines"],
)
def test_garbage_ends_its_connection(daemon: Daemon, honest: paramiko.SFTPClient, sent: bytes) -> None:
    def attack() -> None:
        with raw(daemon) as sock:
            with contextlib.suppress(ConnectionError):
                sock.sendall(sent)
            assert ends(sock)

    assert len(lines_logged(daemon, attack)) <= 1
    assert "upload" in honest.listdir("/")


def test_a_connection_that_closes_in_the_middle_of_key_exchange(
    daemon: Daemon, honest: paramiko.SFTPClient
) -> None:
    def attack() -> None:
        with raw(daemon) as sock:
            sock.sendall(b"SSH-2.0-brief\r\n")
            sock.recv(100)

    assert len(lines_logged(daemon, attack)) <= 1
    assert "upload" in honest.listdir("/")


def test_who_only_talks_is_sent_away_before_the_time_for_a_login_is_over(
    daemon: Daemon, honest: paramiko.SFTPClient
) -> None:
    def attack() -> None:
        with raw(daemon) as sock:
            transport = paramiko.Transport(sock)
            transport.start_client(timeout=PATIENCE)
            success = paramiko.Message()
            success.add_byte(b"\x34")
            with contextlib.suppress(OSError, EOFError):
                while transport.is_active():
                    transport._send_message(success)
            transport.close()

    said = lines_logged(daemon, attack)
    assert len(said) <= 1
    assert "SIGALRM" not in "".join(said)
    assert "upload" in honest.listdir("/")


def test_data_of_a_channel_comes_after_the_login(daemon: Daemon, honest: paramiko.SFTPClient) -> None:
    key = paramiko.Ed25519Key.from_private_key_file(str(daemon.key))

    class Hasty(paramiko.Transport):
        early = False
        data = paramiko.Message()

        def _parse_kex_init(self, m: paramiko.Message) -> None:
            if self.early:
                self._send_message(self.data)
            super()._parse_kex_init(m)

    def attack() -> None:
        with raw(daemon) as sock:
            transport = Hasty(sock)
            with contextlib.suppress(OSError, EOFError, paramiko.SSHException):
                transport.start_client(timeout=PATIENCE)
                transport._send_message(Hasty.data)
                transport.auth_publickey(daemon.user, key)
            assert not transport.is_authenticated()
            transport.close()

    for kind in (b"\x5e", b"\x5f"):
        Hasty.data = paramiko.Message(kind + struct.pack(">II", 7, 1) + string(b"data"))
        for Hasty.early in (True, False):
            assert len(lines_logged(daemon, attack)) <= 1
    assert "upload" in honest.listdir("/")


def test_who_does_not_log_in_is_sent_away(daemon: Daemon, honest: paramiko.SFTPClient) -> None:
    def attack() -> None:
        with raw(daemon) as silent, raw(daemon) as named:
            named.sendall(b"SSH-2.0-patient\r\n")
            assert ends(silent)
            assert ends(named)

    before = len(daemon.log)
    attack()
    eventually(lambda: daemon.log.count("ended=SIGALRM", before) == 2, daemon)
    assert len(daemon.log[before:].splitlines()) == 2
    assert "upload" in honest.listdir("/")


@pytest.mark.parametrize("length", [0, 0xFFFF_FFFF, 256 * 1024 + 1])
def test_an_sftp_packet_of_an_impossible_length_ends_the_channel(
    daemon: Daemon, honest: paramiko.SFTPClient, length: int
) -> None:
    def attack() -> None:
        with Channel(daemon) as channel:
            channel.send(struct.pack(">I", length) + b"x" * 100)
            assert channel.ended()

    assert len([line for line in lines_logged(daemon, attack) if "protocol_error" in line]) == 1
    assert "upload" in honest.listdir("/")


def test_guessed_handles_open_nothing(daemon: Daemon, honest: paramiko.SFTPClient) -> None:
    with honest.open("/upload/in-use.part", "wb") as remote, Channel(daemon) as channel:
        guesses = [remote.handle, b"", b"\0" * 8, b"0", b"\xff" * 255, *(os.urandom(8) for _ in range(100))]
        for kind in (READ, CLOSE):
            for guess in guesses:
                rest = struct.pack(">QI", 0, 100) if kind == READ else b""
                assert channel.ask(kind, string(guess) + rest)[0] == STATUS
        remote.write(b"still mine")


def test_ten_thousand_opens_are_bounded(daemon: Daemon, honest: paramiko.SFTPClient) -> None:
    with Channel(daemon) as channel:
        kinds = [channel.ask(OPENDIR, string(b"/upload"))[0] for _ in range(10_000)]
        assert kinds.count(HANDLE) == 256
        assert set(kinds[256:]) == {STATUS}
    assert "upload" in honest.listdir("/")


def test_many_channels_on_one_connection_are_bounded(daemon: Daemon, honest: paramiko.SFTPClient) -> None:
    with daemon.connected() as transport:
        opened = [transport.open_session(timeout=PATIENCE) for _ in range(8)]
        with pytest.raises(paramiko.ChannelException, match="prohibited"):
            transport.open_session(timeout=PATIENCE)
        for channel in opened:
            channel.close()
        eventually(lambda: can_open(transport), daemon)
    assert "upload" in honest.listdir("/")


def test_requests_before_init_and_unknown_ones(daemon: Daemon, honest: paramiko.SFTPClient) -> None:
    with Channel(daemon) as channel:
        assert channel.ask(99, b"")[0] == STATUS
        assert channel.ask(OPEN, b"\xff\xff\xff\xff")[0] == STATUS
        assert channel.ask(200, string(b"no-such@example.org"))[0] == STATUS
        assert channel.ask(OPENDIR, string(b"/"))[0] == HANDLE
    with Channel(daemon, init=b"\0\0\0\x05\x0b\0\0\0\1") as channel:
        assert channel.ended()


def test_a_session_is_narrowed_and_holds_no_database(daemon: Daemon, honest: paramiko.SFTPClient) -> None:
    (pid,) = daemon.sessions
    status = Path(f"/proc/{pid}/status").read_text()
    assert "NoNewPrivs:\t1" in status
    held = [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")]
    assert not [name for name in held if "/state/" in name and "/audit/demo/public" not in name]
    assert not [name for name in held if "/keys/" in name]
    environment = Path(f"/proc/{pid}/maps").read_text()
    assert "ledger.db" not in environment


def can_open(transport: paramiko.Transport) -> bool:
    try:
        paramiko.SFTPClient.from_transport(transport)
    except paramiko.ChannelException:
        return False
    return True


class Channel:
    """An SFTP channel of which every byte is ours."""

    def __init__(self, daemon: Daemon, init: bytes = INIT) -> None:
        self._stack = contextlib.ExitStack()
        transport = self._stack.enter_context(daemon.connected())
        self._channel = transport.open_session()
        self._channel.settimeout(PATIENCE)
        self._channel.invoke_subsystem("sftp")
        self._channel.sendall(init)
        self._id = 0
        if init == INIT:
            assert self._reply()[0] == VERSION

    def __enter__(self) -> "Channel":
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def send(self, data: bytes) -> None:
        self._channel.sendall(data)

    def ask(self, kind: int, fields: bytes) -> bytes:
        """The reply to a request, from its type on."""
        self._id += 1
        packet = struct.pack(">BI", kind, self._id) + fields
        self.send(struct.pack(">I", len(packet)) + packet)
        return self._reply()

    def ended(self) -> bool:
        return self._channel.recv(1) == b""

    def _reply(self) -> bytes:
        (length,) = struct.unpack(">I", self._exactly(4))
        return self._exactly(length)

    def _exactly(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            chunk = self._channel.recv(size - len(data))
            assert chunk, "the channel ended"
            data += chunk
        return data


def string(value: bytes) -> bytes:
    return struct.pack(">I", len(value)) + value
