"""What goes wrong with a remote, told apart; and what is left working afterwards."""

import contextlib
import os
import signal
import socket
import threading

import paramiko
import pytest
from remote_scene import NAME, LocalFile, couriers, listed, login_at, remotes_for
from sshd import free_port, make_key, public_blob, sshd
from waiting import until

from sftpd import __version__
from sftpd.errors import (
    HostKeyError,
    NotFoundError,
    OwnFaultError,
    ProcessError,
    RemoteError,
    RemoteRefusedError,
)
from sftpd.exchange.remote import Download, Upload, only
from sftpd.process.pool import Children
from sftpd.ssh.remotes import _IDLE_LIMIT
from sftpd.ssh.signing import fingerprint

CHILDREN = ["sftpd.ssh.courier"]

BIG = 64 << 20


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with sshd(tmp_path_factory.mktemp("sshd")) as running:
        yield running


@pytest.fixture
def borrowing(children):
    """Borrow with a login that shall fail; every courier is gone afterwards."""
    opened = []

    def borrow(login):
        opened.append(remotes_for(children, login))
        with opened[-1].borrow(NAME):
            pytest.fail("there should be no login")

    yield borrow
    for remotes in opened:
        remotes.close()
    assert couriers(children) == []


def test_a_host_key_that_is_not_pinned_ends_it_and_names_both(borrowing, server, tmp_path):
    make_key(tmp_path / "other", "ed25519")
    pinned = (tmp_path / "other.pub").read_text()

    with pytest.raises(HostKeyError) as caught:
        borrowing(login_at(server, host_keys=(pinned,)))

    assert fingerprint(public_blob(server.host_public_key)) in str(caught.value)
    assert fingerprint(public_blob(pinned)) in str(caught.value)


def test_a_pinned_key_of_another_type_is_preferred_where_the_server_has_it(children, tmp_path):
    make_key(tmp_path / "rsa", "rsa")
    with sshd(tmp_path / "sshd", options=f"HostKey {tmp_path / 'rsa'}") as server:
        remotes = remotes_for(children, login_at(server, host_keys=((tmp_path / "rsa.pub").read_text(),)))
        with remotes.borrow(NAME) as remote:
            assert listed(remote, os.fsencode(server.root)) == []
        remotes.close()


def test_a_key_that_is_not_authorised_is_refused(borrowing, server, tmp_path):
    make_key(tmp_path / "stranger", "ed25519")

    with pytest.raises(RemoteRefusedError, match="refuses the login") as caught:
        borrowing(login_at(server, key=paramiko.PKey.from_path(tmp_path / "stranger")))
    assert not isinstance(caught.value, HostKeyError)


def test_a_password_that_is_not_taken_is_refused_and_not_shown(borrowing, server, tmp_path):
    make_key(tmp_path / "stranger", "ed25519")
    stranger = paramiko.PKey.from_path(tmp_path / "stranger")

    with pytest.raises(RemoteRefusedError) as caught:
        borrowing(login_at(server, key=stranger, password=lambda: "canary-password"))
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize("host", ["127.0.0.1", "no-such-host.invalid"])
def test_a_remote_that_cannot_be_reached_may_be_tried_again(borrowing, server, host):
    with pytest.raises(RemoteError, match=r"cannot be reached|has no address") as caught:
        borrowing(login_at(server, host=host, port=free_port()))
    assert not isinstance(caught.value, RemoteRefusedError)


def test_a_remote_that_accepts_and_says_nothing_is_given_up(borrowing, server):
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        pytest.raises(RemoteError, match="no SSH identification") as caught,
    ):
        borrowing(login_at(server, port=silent.getsockname()[1], connect_timeout=0.3))
    assert not isinstance(caught.value, RemoteRefusedError)


def test_a_remote_that_stops_in_the_key_exchange_is_given_up(borrowing, server):
    with socket.create_server(("127.0.0.1", 0)) as half:
        greeter = threading.Thread(target=greet_only, args=(half,), daemon=True)
        greeter.start()
        with pytest.raises(RemoteError, match="key exchange"):
            borrowing(login_at(server, port=half.getsockname()[1], connect_timeout=0.3))
        greeter.join()


def greet_only(server):
    connection, _ = server.accept()
    with connection, contextlib.suppress(ConnectionError):
        connection.sendall(b"SSH-2.0-half\r\n")
        while connection.recv(4096):
            pass


def test_the_identification_is_sftpds_own(borrowing, server):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        seen = []
        reader = threading.Thread(target=lambda: seen.append(read_identification(listener)), daemon=True)
        reader.start()
        with pytest.raises(RemoteError):
            borrowing(login_at(server, port=listener.getsockname()[1]))
        reader.join()

    assert seen == [b"SSH-2.0-sftpd_%s\r\n" % __version__.encode()]


def read_identification(listener):
    connection, _ = listener.accept()
    with connection, connection.makefile("rb") as lines:
        return lines.readline()


def test_an_unknown_remote_is_said_to_be_unknown(children):
    with pytest.raises(NotFoundError), remotes_for(children, None).borrow("stranger"):
        pass


def killed_mid_upload(children, remotes, tmp_path, target, kill):
    """Upload a big file, and when its first bytes are at `target` call `kill`; returns the error."""
    file = LocalFile(tmp_path / "big", os.urandom(1 << 20) * (BIG >> 20))
    faults = []

    def send():
        try:
            with remotes.borrow(NAME) as remote:
                file.upload(remote, os.fsencode(target))
        except RemoteError as fault:
            faults.append(fault)

    sender = threading.Thread(target=send)
    sender.start()
    until(lambda: target.exists() and target.stat().st_size > 0)
    kill()
    sender.join()
    assert target.stat().st_size < BIG
    return faults


def test_kill_of_the_server_mid_upload_is_an_error_and_the_next_borrower_gets_through(children, tmp_path):
    with sshd(tmp_path / "sshd") as server:
        remotes = remotes_for(children, login_at(server))
        target = server.root / "big"

        (fault,) = killed_mid_upload(children, remotes, tmp_path, target, server.kill)
        assert not isinstance(fault, RemoteRefusedError)

        server.start()
        with remotes.borrow(NAME) as remote:
            assert remote.size(os.fsencode(target)) == target.stat().st_size
        remotes.close()


def test_kill_of_the_courier_mid_upload_is_an_error_and_the_next_borrower_gets_another(
    children, server, tmp_path
):
    remotes = remotes_for(children, login_at(server))
    target = server.root / "big-2"

    def kill():
        (child,) = couriers(children)
        os.kill(child.pid, signal.SIGKILL)

    (fault,) = killed_mid_upload(children, remotes, tmp_path, target, kill)
    assert "courier has ended" in str(fault)

    with remotes.borrow(NAME) as remote:
        assert remote.size(os.fsencode(target)) is not None
    remotes.close()


def test_close_ends_an_upload_that_runs(children, server, tmp_path):
    remotes = remotes_for(children, login_at(server))

    (fault,) = killed_mid_upload(children, remotes, tmp_path, server.root / "big-3", remotes.close)

    assert isinstance(fault, OwnFaultError)
    with pytest.raises(OwnFaultError, match="stopping"), remotes.borrow(NAME):
        pass


def test_a_file_of_ours_that_cannot_be_read_or_written_is_our_fault_and_not_the_remote_s(
    children, server, tmp_path
):
    file = LocalFile(tmp_path / "ours", b"content")
    unreadable = os.open(file.path, os.O_WRONLY)
    full = os.open("/dev/full", os.O_RDWR)
    changed = os.open(file.path, os.O_RDONLY)
    (server.root / "theirs").write_bytes(b"theirs")
    path = os.fsencode(server.root / "theirs")
    asked = (
        (lambda remote: remote.upload([Upload(unreadable, path, 7, file.sha256)]), "cannot be read"),
        (lambda remote: remote.upload([Upload(changed, path, 7, "0" * 64)]), "changed while it was sent"),
        (lambda remote: remote.download([Download(path, full)]), "cannot be written"),
    )
    with contextlib.closing(remotes_for(children, login_at(server))) as remotes:
        for ask, said in asked:
            with remotes.borrow(NAME) as remote, pytest.raises(OwnFaultError, match=said):
                only(ask(remote))
    for fd in (unreadable, full, changed):
        os.close(fd)


def test_that_no_courier_can_be_started_says_nothing_of_the_remote(server):
    with Children.start(CHILDREN) as ended:
        pass
    with (
        contextlib.closing(remotes_for(ended, login_at(server))) as remotes,
        pytest.raises(ProcessError),
        remotes.borrow(NAME),
    ):
        pass


def test_an_idle_connection_is_used_again(children, server):
    remotes = remotes_for(children, login_at(server))
    seen = []
    for _ in range(2):
        with remotes.borrow(NAME) as remote:
            listed(remote, os.fsencode(server.root))
            seen += couriers(children)

    assert len(seen) == 2
    assert seen[0] is seen[1]
    remotes.close()


def test_an_idle_connection_whose_server_went_away_is_replaced(children, tmp_path):
    with sshd(tmp_path / "sshd") as server:
        remotes = remotes_for(children, login_at(server))
        with remotes.borrow(NAME):
            pass
        server.kill()
        server.start()
        with remotes.borrow(NAME) as remote:
            assert listed(remote, os.fsencode(server.root)) == []
        remotes.close()


def test_a_courier_that_is_not_used_leaves(children, server):
    remotes = remotes_for(children, login_at(server), idle_seconds=0.05)
    with remotes.borrow(NAME):
        (child,) = couriers(children)
    child.wait(20)

    with remotes.borrow(NAME) as remote:
        assert remote.size(os.fsencode(server.root / "nothing")) is None
    remotes.close()


def test_no_more_than_a_few_couriers_stay_idle(children, server):
    with contextlib.closing(remotes_for(children, login_at(server))) as remotes:
        with contextlib.ExitStack() as borrowed:
            for _ in range(_IDLE_LIMIT + 1):
                borrowed.enter_context(remotes.borrow(NAME))
            assert len(couriers(children)) == _IDLE_LIMIT + 1
        assert len(couriers(children)) == _IDLE_LIMIT
    assert couriers(children) == []
