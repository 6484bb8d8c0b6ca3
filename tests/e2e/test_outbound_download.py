"""A file dropped into the watched folder is offered in /download: soon, whole, each once."""

import hashlib
import os
import threading

import pytest
from daemon import Daemon, eventually
from traffic_scene import make_files, names


@pytest.fixture(scope="module")
def daemon(tmp_path_factory):
    with Daemon(tmp_path_factory.mktemp("outbound") / "instance") as running:
        yield running


@pytest.fixture
def download(daemon):
    return daemon.link / ".sftpd/download"


def sha256_of(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def content_of(path):
    return path.read_bytes() if path.exists() else None


def test_a_dropped_file_can_be_fetched_as_it_was(daemon, download):
    content = os.urandom(300_000)
    (daemon.outbound / "report.csv").write_bytes(content)
    eventually((download / "report.csv").exists, daemon)

    daemon.sftp_done("get /download/report.csv")

    assert (daemon.desk / "report.csv").read_bytes() == content
    assert names(daemon.outbound) == []


def test_a_file_still_being_written_is_not_offered(daemon, download):
    written = b"begun;"
    with (daemon.outbound / "slow.csv").open("wb", buffering=0) as slow:
        slow.write(written)
        for number in range(2):
            # A file that was dropped later and is out proves that the slow one had its chance.
            (daemon.outbound / f"quick-{number}.csv").write_bytes(b"quick")
            while not (download / f"quick-{number}.csv").exists():
                written += b"more;"
                slow.write(b"more;")
                threading.Event().wait(0.1)
        assert not (download / "slow.csv").exists()
    eventually((download / "slow.csv").exists, daemon)

    assert (download / "slow.csv").read_bytes() == written


def test_folders_come_along(daemon, download):
    for folder in (".hidden", "2026/november"):
        (daemon.outbound / folder).mkdir(parents=True)
        (daemon.outbound / folder / "deep.csv").write_bytes(b"in a folder")

    eventually((download / "2026/november/deep.csv").exists, daemon)
    daemon.sftp_done("get /download/2026/november/deep.csv")

    assert (daemon.desk / "deep.csv").read_bytes() == b"in a folder"
    assert not (download / ".hidden").exists()


def test_two_hundred_files_at_once(daemon, download):
    made = make_files(daemon.desk / "many", 200, seed=1)
    before = len(daemon.events_of("transfer.delivered"))
    for name in made:
        (daemon.desk / "many" / name).rename(daemon.outbound / name)

    eventually(lambda: len(daemon.events_of("transfer.delivered")) == before + 200, daemon)

    daemon.sftp_done("get /download/file-*.bin")
    assert {name: sha256_of(daemon.desk / name) for name in made} == made


def test_a_file_of_the_same_name_replaces_the_older_one(daemon, download):
    for content in (b"first", b"second, and longer"):
        (daemon.outbound / "daily.csv").write_bytes(content)
        eventually(lambda wanted=content: content_of(download / "daily.csv") == wanted, daemon)

    daemon.sftp_done("get /download/daily.csv")
    assert (daemon.desk / "daily.csv").read_bytes() == content


def test_names_are_bytes(daemon, download):
    name = b"na\xefve \xff\\ .csv"
    with open(os.fsencode(daemon.outbound) + b"/" + name, "wb") as file:
        file.write(b"named in bytes")

    offered = os.fsencode(download) + b"/" + name
    eventually(lambda: os.path.exists(offered), daemon)

    with daemon.sftp() as client:
        assert client.open(b"/download/" + name).read() == b"named in bytes"
