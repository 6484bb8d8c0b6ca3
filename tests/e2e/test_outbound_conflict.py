"""A name that is taken at the counterparty, in `/download` and at a real OpenSSH server."""

import json

import pytest
from daemon import Daemon, eventually
from sshd import sshd
from traffic_scene import names, outbound, states, with_remote

THEIRS, OURS = b"theirs", b"ours"


@pytest.fixture
def daemon(tmp_path):
    made = Daemon(tmp_path / "instance")
    yield made
    made.kill()


@pytest.fixture(params=["download", "remote", "remote-without-posix-rename"])
def place(request, daemon, tmp_path):
    """The folder where the counterparty finds files; `report.csv` is taken there."""
    if request.param == "download":
        folder = daemon.link / ".sftpd/download"
        folder.mkdir(parents=True)
        (folder / "report.csv").write_bytes(THEIRS)
        yield folder
        return
    with sshd(tmp_path / "sshd") as server:
        with_remote(daemon, server, outbound(server.root))
        daemon.configure_link("[remote]", 'temporary = "suffix"', 'mode = "0604"', "preserve_times = true")
        if request.param != "remote":
            daemon.configure_link("[remote]", "posix_rename = false")
        (server.root / "report.csv").write_bytes(THEIRS)
        yield server.root


def dropped(daemon, conflict):
    daemon.configure_link("[route]", f'conflict = "{conflict}"')
    daemon.start()
    (daemon.outbound / "report.csv").write_bytes(OURS)


def shown(daemon):
    (transfer,) = json.loads(daemon.cli("transfer", "list", "--json").stdout)
    return transfer


def test_it_is_replaced(daemon, place):
    dropped(daemon, "replace")
    eventually(lambda: states(daemon) == {"done": 1}, daemon)
    assert (place / "report.csv").read_bytes() == OURS


def test_ours_fails(daemon, place):
    dropped(daemon, "fail")
    eventually(lambda: states(daemon) == {"failed": 1}, daemon)
    assert names(place) == ["report.csv"]
    assert (place / "report.csv").read_bytes() == THEIRS
    assert (daemon.failed / "report.csv").read_bytes() == OURS
    assert 'conflict = "fail"' in (daemon.failed / "report.csv.reason.txt").read_text()


def test_both_are_kept(daemon, place):
    dropped(daemon, "keep-both")
    eventually(lambda: states(daemon) == {"done": 1}, daemon)
    transfer = shown(daemon)
    assert transfer["delivered_as"] == f"report-{transfer['id']}.csv"
    assert names(place) == sorted(["report.csv", transfer["delivered_as"]])
    assert (place / transfer["delivered_as"]).read_bytes() == OURS
    (told,) = daemon.events_of("transfer.delivered")
    assert told["data"]["proof"] == transfer["proof"]


def test_ours_is_skipped(daemon, place):
    dropped(daemon, "skip")
    eventually(lambda: states(daemon) == {"skipped": 1}, daemon)
    assert (place / "report.csv").read_bytes() == THEIRS
    assert names(daemon.link / "sent") == ["report.csv"]
    assert len(daemon.events_of("transfer.skipped")) == 1
