"""What of the line a route's files take, against a real OpenSSH server."""

import os
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from remote_scene import NAME, LocalFile, login_at, remotes_for
from sshd import sshd

from sftpd.errors import RemoteError
from sftpd.exchange.remote import Download, Share, Upload, only

CHILDREN = ["sftpd.ssh.courier"]

SIZE = 600_000
RATE = 400_000
UNDER_WAY = RATE // 8 + 32 * 1024
"""Bytes that may be under way when the share says to wait: the window, and a packet."""
FOREVER = 1e6


@pytest.fixture
def server(tmp_path):
    with sshd(tmp_path / "sshd") as running:
        yield running


@pytest.fixture
def remotes(children, server):
    found = remotes_for(children, login_at(server))
    yield found
    found.close()


class Taken:
    """Notes what is taken, and lets on at once up to `allowed` bytes."""

    def __init__(self, allowed=None):
        self.sizes = []
        self.allowed = allowed
        self.spent = threading.Event()
        self.share = Share(RATE, self.take)

    def take(self, size):
        self.sizes.append(size)
        if self.allowed is not None and sum(self.sizes) >= self.allowed:
            self.spent.set()
            return FOREVER
        return 0.0


def fetch(remote, path, target, share):
    with target.open("w+b") as file:
        return only(remote.download([Download(path, file.fileno(), SIZE)], share))


def send(remote, file, path, share):
    with file.path.open("rb") as opened:
        return only(remote.upload([Upload(opened.fileno(), path, file.size, file.sha256)], share))


def test_all_that_is_moved_is_taken_from_the_share(remotes, server, tmp_path):
    file = LocalFile(tmp_path / "file", os.urandom(SIZE))
    there = os.fsencode(server.root / "there")
    sent, fetched = Taken(), Taken()
    with remotes.borrow(NAME) as remote:
        assert send(remote, file, there, sent.share) == "sha256"
        assert fetch(remote, there, tmp_path / "back", fetched.share) == (SIZE, file.sha256)
    # What was sent was read again, for this server tells no hash.
    assert sum(sent.sizes) >= 2 * SIZE
    assert len(sent.sizes) > 2 * SIZE // (RATE // 8) - 2
    assert SIZE <= sum(fetched.sizes) < SIZE + RATE // 8 + 1
    assert (tmp_path / "back").read_bytes() == file.path.read_bytes()


def test_while_the_share_is_used_up_no_more_is_sent(remotes, server, tmp_path):
    file = LocalFile(tmp_path / "file", os.urandom(SIZE))
    taken = Taken(allowed=RATE // 4)
    with ThreadPoolExecutor(1) as pool, remotes.borrow(NAME) as remote:
        sending = pool.submit(send, remote, file, os.fsencode(server.root / "there"), taken.share)
        assert taken.spent.wait(20)
        remotes.close()
        with pytest.raises(RemoteError):
            sending.result()
    assert 0 < (server.root / "there").stat().st_size <= sum(taken.sizes) + UNDER_WAY < SIZE


def test_while_the_share_is_used_up_no_more_is_asked_for(remotes, server, tmp_path):
    (server.root / "there").write_bytes(os.urandom(SIZE))
    taken = Taken(allowed=RATE // 4)
    with ThreadPoolExecutor(1) as pool, remotes.borrow(NAME) as remote:
        there = os.fsencode(server.root / "there")
        fetching = pool.submit(fetch, remote, there, tmp_path / "back", taken.share)
        assert taken.spent.wait(20)
        remotes.close()
        with pytest.raises(RemoteError):
            fetching.result()
    assert 0 < (tmp_path / "back").stat().st_size <= sum(taken.sizes) + UNDER_WAY < SIZE


def test_what_is_no_file_takes_nothing(remotes, server):
    taken = Taken()
    (server.root / "there").write_bytes(b"x")
    with remotes.borrow(NAME) as remote:
        assert remote.size(os.fsencode(server.root / "there")) == 1
    assert taken.sizes == []
