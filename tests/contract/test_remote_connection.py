"""The connection itself: new keys in the middle, old servers, announced keys, where we come from, silence."""

import contextlib
import hashlib
import os
import re
import signal
import socket
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import paramiko
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from remote_other_server import Files, Login
from remote_scene import NAME, LocalFile, couriers, download, listed, login_at, remotes_for
from sshd import Sshd, _descendants, make_key, public_blob, sshd
from structlog.testing import capture_logs

from sftpd.errors import RemoteError, RemoteRefusedError
from sftpd.process.pool import Children
from sftpd.ssh import packetizer, signing
from sftpd.ssh.courier_filling import filling
from sftpd.ssh.courier_login import log_in
from sftpd.ssh.courier_messages import Connect
from sftpd.ssh.courier_sftp import Client
from sftpd.ssh.key_use import KeyUse
from sftpd.ssh.signing import fingerprint

SIZE = 24 << 20
SFTP_SERVER = "/usr/lib/openssh/sftp-server"
OLD = {
    "gcm": ("", ()),
    "ctr, encrypt then mac": ("Ciphers aes128-ctr\nMACs hmac-sha2-256-etm@openssh.com", ()),
    "ctr, mac and encrypt": ("Ciphers aes256-ctr\nMACs hmac-sha2-512", ()),
    "cbc": (
        "Ciphers aes128-cbc\nMACs hmac-sha1\nKexAlgorithms diffie-hellman-group-exchange-sha256",
        ("aes-cbc", "dh-group-exchange", "hmac-sha1"),
    ),
}


@pytest.fixture(scope="module")
def children() -> Iterator[Children]:
    with Children.start(["sftpd.ssh.courier"]) as started:
        yield started


@contextlib.contextmanager
def client_of(server: Sshd, compat: tuple[str, ...] = ()) -> Iterator[Client]:
    """A courier's client in this process."""
    key = paramiko.PKey.from_path(server.key_path)
    connect = Connect(
        "127.0.0.1",
        server.port,
        server.user,
        host_keys=(public_blob(server.host_public_key),),
        timeout=20.0,
        answer_timeout=20.0,
        source_address=None,
        compat=compat,
        key=key.asbytes(),
        password=None,
        idle=60.0,
    )
    client, _ = log_in(connect, lambda data, name: signing.sign_login(key, server.user, data, name))
    yield client
    client._channel._carrier.close()


def there_and_back(client: Client, server: Sshd, folder: Path) -> None:
    local = folder / "local"
    local.write_bytes(os.urandom(1 << 20) * (SIZE >> 20) + b"end")
    path, got = os.fsencode(server.root / "file"), hashlib.sha256()
    fd = os.open(local, os.O_RDONLY)
    try:
        assert client.write_file(path, filling(fd, SIZE + 3, bytes)) == SIZE + 3
    finally:
        os.close(fd)
    assert (server.root / "file").read_bytes() == local.read_bytes()
    assert client.read_file(path, got.update) == SIZE + 3
    assert got.digest() == hashlib.sha256(local.read_bytes()).digest()


@pytest.mark.parametrize("asked_by", ["us", "the server"])
@pytest.mark.parametrize(("options", "compat"), OLD.values(), ids=OLD)
def test_keys_change_while_files_flow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: str, compat: tuple[str, ...], asked_by: str
) -> None:
    changes = []

    class Counted(KeyUse):
        def changed(self, now: float) -> None:
            changes.append(now)
            super().changed(now)

    renew_after = 5 << 20 if asked_by == "us" else 1 << 40
    monkeypatch.setattr(packetizer, "KeyUse", partial(Counted, renew_after=renew_after))
    limit = "" if asked_by == "us" else "RekeyLimit 5M"
    with (
        sshd(tmp_path / "sshd", options=f"{options}\n{limit}") as server,
        client_of(server, compat) as client,
    ):
        there_and_back(client, server, tmp_path)

    # Both directions change each time, the first time when we log in.
    assert len(changes) >= 2 * (1 + 2 * SIZE // (10 << 20))


@pytest.mark.parametrize(("options", "compat"), [value for value in OLD.values() if value[1]])
def test_an_old_server_is_served_where_that_is_allowed_and_each_login_is_logged(
    children: Children, tmp_path: Path, options: str, compat: tuple[str, ...]
) -> None:
    with sshd(tmp_path / "sshd", options=options) as server:
        with (
            contextlib.closing(remotes_for(children, login_at(server))) as remotes,
            pytest.raises(RemoteError, match="key exchange fails"),
            remotes.borrow(NAME),
        ):
            pass
        allowed = login_at(server, compat=compat)
        with (
            contextlib.closing(remotes_for(children, allowed)) as remotes,
            capture_logs() as lines,
            remotes.borrow(NAME) as remote,
        ):
            assert listed(remote, os.fsencode(server.root)) == []

    (line,) = [line for line in lines if line["event"] == "legacy_algorithms"]
    assert line["remote"] == NAME
    assert set(line["algorithms"]) == {"aes128-cbc", "hmac-sha1", "diffie-hellman-group-exchange-sha256"}


def test_what_is_allowed_is_not_used_where_there_is_better(children: Children, tmp_path: Path) -> None:
    options = "Ciphers +aes128-cbc\nMACs +hmac-sha1"
    with sshd(tmp_path / "sshd", options=options) as server:
        login = login_at(server, compat=("aes-cbc", "hmac-sha1", "dh-group-exchange"))
        with (
            contextlib.closing(remotes_for(children, login)) as remotes,
            capture_logs() as lines,
            remotes.borrow(NAME),
        ):
            pass
    assert [line for line in lines if line["event"] == "legacy_algorithms"] == []


def test_a_key_that_is_announced_is_told_of_and_not_trusted(children: Children, tmp_path: Path) -> None:
    make_key(tmp_path / "rsa", "rsa")
    second = (tmp_path / "rsa.pub").read_text()
    with sshd(tmp_path / "sshd", options=f"HostKey {tmp_path / 'rsa'}") as server:
        for pinned, told in (((server.host_public_key,), 1), ((server.host_public_key, second), 0)):
            login = login_at(server, host_keys=pinned)
            with (
                contextlib.closing(remotes_for(children, login)) as remotes,
                capture_logs() as lines,
                remotes.borrow(NAME),
            ):
                pass
            said = [line["not_pinned"] for line in lines if line["event"] == "remote_announces_host_key"]
            assert said == [fingerprint(public_blob(second))] * told


@pytest.mark.parametrize("source", ["127.0.0.1", "127.1.2.3"])
def test_a_connection_comes_from_the_address_that_is_configured(
    children: Children, tmp_path: Path, source: str
) -> None:
    with sshd(tmp_path / "sshd") as server:
        login = login_at(server, source_address=source)
        with contextlib.closing(remotes_for(children, login)) as remotes, remotes.borrow(NAME) as remote:
            assert listed(remote, os.fsencode(server.root)) == []
        log = server.config.with_suffix(".log").read_text()
    assert f"Accepted publickey for {server.user} from {source} port" in log


def test_an_address_that_is_not_ours_is_an_error_that_names_it(children: Children, tmp_path: Path) -> None:
    with sshd(tmp_path / "sshd") as server:
        login = login_at(server, source_address="192.0.2.1")
        with (
            contextlib.closing(remotes_for(children, login)) as remotes,
            pytest.raises(RemoteError, match=r"cannot be reached from 192\.0\.2\.1"),
            remotes.borrow(NAME),
        ):
            pass


def test_servers_that_ask_whether_we_are_there_get_an_answer_while_nothing_is_to_do(
    children: Children, tmp_path: Path
) -> None:
    options = "ClientAliveInterval 1\nClientAliveCountMax 1"
    with sshd(tmp_path / "sshd", options=options) as server:
        remotes = remotes_for(children, login_at(server))
        with remotes.borrow(NAME):
            (first,) = couriers(children)
        time.sleep(7)
        with remotes.borrow(NAME) as remote:
            assert listed(remote, os.fsencode(server.root)) == []
            assert couriers(children) == [first]
        remotes.close()


def test_a_courier_leaves_with_the_server(children: Children, tmp_path: Path) -> None:
    with sshd(tmp_path / "sshd") as server:
        remotes = remotes_for(children, login_at(server))
        with remotes.borrow(NAME):
            (child,) = couriers(children)
        server.kill()
        child.wait(20)
        remotes.close()


def silent(children: Children, server: Sshd, told: str, **changes: object) -> None:
    login = login_at(server, **changes)
    with contextlib.closing(remotes_for(children, login)) as remotes:
        with pytest.raises(RemoteError, match=told) as caught, remotes.borrow(NAME):
            pass
        assert not isinstance(caught.value, RemoteRefusedError)
    assert couriers(children) == []


def trickle(connection: socket.socket) -> None:
    while True:
        connection.sendall(b"still here\r\n")
        time.sleep(0.1)


def kexinit(connection: socket.socket) -> None:
    """Begin a key exchange as OpenSSH does, and say no more."""
    connection.sendall(b"SSH-2.0-half\r\n")
    message = paramiko.Message()
    message.add_byte(b"\x14")
    message.add_bytes(bytes(16))
    for names in (
        "curve25519-sha256",
        "ssh-ed25519",
        *["aes128-gcm@openssh.com"] * 2,
        *["hmac-sha2-256"] * 2,
    ):
        message.add_string(names)
    for names in ("none", "none", "", ""):
        message.add_string(names)
    message.add_boolean(False)
    message.add_int(0)
    payload = message.asbytes()
    padding = 8 - (len(payload) + 5) % 8 + 8
    packet = (len(payload) + padding + 1).to_bytes(4, "big") + bytes([padding]) + payload + bytes(padding)
    connection.sendall(packet)
    while connection.recv(65536):
        pass


@pytest.mark.parametrize(
    ("says", "told"),
    [(trickle, "no SSH identification"), (kexinit, "key exchange fails: the server does not answer")],
    ids=["lines without end", "half a key exchange"],
)
def test_a_remote_that_does_not_get_anywhere_is_given_up(
    children: Children, tmp_path: Path, says: object, told: str
) -> None:
    make_key(tmp_path / "key", "ed25519")
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection, contextlib.suppress(OSError):
                says(connection)  # type: ignore[operator]

        thread = threading.Thread(target=serve)
        thread.start()
        public = (tmp_path / "key.pub").read_text()
        server = Sshd(listener.getsockname()[1], public, "me", tmp_path / "key", tmp_path, tmp_path)
        silent(children, server, told, connect_timeout=1.0)
        thread.join(20)
        assert not thread.is_alive()


class Undecided(Login):
    """Never says whether a login is good."""

    def __init__(self) -> None:
        super().__init__(interactive=False, transport=None)
        self.end = threading.Event()

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        self.end.wait(60)
        return paramiko.AUTH_FAILED

    def get_allowed_auths(self, username: str) -> str:
        return "publickey"


def test_a_remote_that_does_not_answer_the_login_is_given_up(children: Children, tmp_path: Path) -> None:
    make_key(tmp_path / "key", "ed25519")
    host_key, undecided = paramiko.ECDSAKey.generate(ec.SECP256R1()), Undecided()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            transport = paramiko.Transport(listener.accept()[0])
            transport.add_server_key(host_key)
            transport.set_subsystem_handler("sftp", paramiko.SFTPServer, Files)
            with contextlib.suppress(paramiko.SSHException, EOFError):
                transport.start_server(server=undecided)
            undecided.end.wait(60)
            transport.close()

        thread = threading.Thread(target=serve)
        thread.start()
        public = f"{host_key.get_name()} {host_key.get_base64()}"
        server = Sshd(listener.getsockname()[1], public, "me", tmp_path / "key", tmp_path, tmp_path)
        silent(children, server, "login is not answered within 1 seconds", connect_timeout=1.0)
        undecided.end.set()
        thread.join(20)


def test_a_remote_whose_sftp_says_nothing_is_given_up(children: Children, tmp_path: Path) -> None:
    with sshd(tmp_path / "sshd") as server:
        server.config.write_text(server.config.read_text().replace("internal-sftp", "/bin/sleep 600"))
        server.kill()
        server.start()
        silent(children, server, "the server does not answer", answer_timeout=1.0)


@pytest.mark.parametrize("what", ["upload", "download"])
def test_a_remote_that_stops_in_the_middle_of_a_file_is_given_up(
    children: Children, tmp_path: Path, what: str
) -> None:
    with sshd(tmp_path / "sshd") as server:
        server.config.write_text(server.config.read_text().replace("internal-sftp", SFTP_SERVER))
        server.kill()
        server.start()
        big, target = server.root / "big", tmp_path / "target"
        file = LocalFile(tmp_path / "file", os.urandom(1 << 20) * 128)
        if what == "download":
            big.write_bytes(file.path.read_bytes())
        remotes = remotes_for(children, login_at(server, answer_timeout=1.0))
        faults = []

        def move() -> None:
            try:
                with remotes.borrow(NAME) as remote:
                    if what == "upload":
                        file.upload(remote, os.fsencode(big))
                    else:
                        download(remote, os.fsencode(big), target)
            except RemoteError as fault:
                faults.append(str(fault))

        mover = threading.Thread(target=move)
        mover.start()
        arriving = big if what == "upload" else target
        while not arriving.exists() or not arriving.stat().st_size:
            time.sleep(0.002)
        stopped = [pid for pid in _descendants(server.pid) if re.search("sftp-server", command_of(pid))]
        for pid in stopped:
            os.kill(pid, signal.SIGSTOP)
        mover.join(30)
        assert not mover.is_alive()
        remotes.close()
        for pid in stopped:
            os.kill(pid, signal.SIGKILL)

    assert len(stopped) == 1
    assert faults == ["partner: the server does not answer"]
    assert arriving.stat().st_size < file.size


def command_of(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
