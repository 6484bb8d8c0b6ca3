"""Files that change at real servers while they are fetched: what comes is never of two versions."""

import contextlib
import hashlib
import os

import pytest
from remote_scene import NAME, login_at, remotes_for
from remote_servers import SERVERS

from sftpd.errors import ChangedThereError
from sftpd.exchange.remote import Download, Share, only
from sftpd.link.model import Handling

CHILDREN = ["sftpd.ssh.courier"]

OLD, NEW = b"old " * 150_000, b"new " * 150_000
LONG_AGO = 1_700_000_000
RATE = 400_000
TELL_HASHES = {"sftpd": {}, "proftpd": {"check_file": "always"}}


@pytest.fixture(scope="module")
def server(request, tmp_path_factory):
    with SERVERS[request.param](tmp_path_factory.mktemp("servers") / "s") as running:
        yield running


@pytest.fixture
def fetch(children, server, tmp_path):
    """Fetch a file that becomes another once a part of it has come; returns what came."""

    def fetching(change, *, steady=True, **handling):
        server.put("report.csv", OLD)
        there = server.local("report.csv")
        os.utime(there, (LONG_AGO, LONG_AGO))
        taken = []

        def take(size):
            taken.append(size)
            if len(taken) == 3:
                change(there)
            return 0.0

        remotes = remotes_for(children, login_at(server.login, handling=Handling(**handling)))
        target = tmp_path / "back"
        with contextlib.closing(remotes), remotes.borrow(NAME) as remote, target.open("w+b") as file:
            wanted = Download(server.at("report.csv"), file.fileno(), len(OLD), steady)
            told = only(remote.download([wanted], Share(RATE, take)))
        assert len(taken) > 3
        content = target.read_bytes()
        assert told == (len(content), hashlib.sha256(content).hexdigest())
        return content

    return fetching


def unchanged(there):
    del there


def rewritten(there):
    with there.open("r+b") as file:
        file.write(NEW)


def rewritten_unseen(there):
    rewritten(there)
    os.utime(there, (LONG_AGO, LONG_AGO))


def replaced(there):
    (there.parent / "report.csv.new").write_bytes(NEW)
    (there.parent / "report.csv.new").rename(there)


@pytest.mark.parametrize("server", SERVERS, indirect=True)
class TestEveryServer:
    def test_a_file_that_stays_as_it_is_comes_whole(self, server, fetch):
        assert fetch(unchanged) == OLD

    def test_one_that_is_rewritten_in_place_does_not_come(self, server, fetch):
        if server.name == "rclone":
            pytest.skip("it tells what it knew of the file when it was asked first")
        with pytest.raises(ChangedThereError):
            fetch(rewritten)

    def test_one_that_is_replaced_comes_as_it_was_or_not(self, server, fetch):
        with contextlib.suppress(ChangedThereError):
            assert fetch(replaced) == OLD

    def test_one_that_is_given_only_once_comes_as_it_came(self, server, fetch):
        content = fetch(rewritten, steady=False)
        assert OLD != content != NEW
        assert len(content) == len(OLD)


@pytest.mark.parametrize("server", TELL_HASHES, indirect=True)
def test_one_that_is_rewritten_and_has_its_time_set_back_does_not_come_where_hashes_are_told(server, fetch):
    with pytest.raises(ChangedThereError):
        fetch(rewritten_unseen, **TELL_HASHES[server.name])
