"""Received files go back to a real OpenSSH server, each once, whatever becomes of sftpd meanwhile."""

import json
from collections import Counter

import pytest
from daemon import Daemon, eventually
from sshd import sshd
from traffic_scene import Consumer, make_files, names, outbound, with_remote
from waiting import holds

PATIENCE = 240.0


@pytest.fixture
def server(tmp_path):
    with sshd(tmp_path / "sshd") as running:
        yield running


@pytest.fixture
def daemon(tmp_path, server):
    daemon = Daemon(tmp_path / "instance")
    with_remote(daemon, server, outbound(server.root))
    daemon.configure_link("[retention]", 'period = "PT1S"', 'action = "return"', 'return_by = "route:out"')
    yield daemon
    daemon.kill()


def plan(daemon):
    return json.loads(daemon.cli("retention", "plan", "--json").stdout)


def run(daemon) -> Counter:
    done = daemon.cli("retention", "run", "--plan", plan(daemon)["plan"], "--json")
    assert done.returncode == 0, done.stderr
    return Counter(json.loads(done.stdout)["results"].values())


def outcomes(daemon) -> Counter:
    """The states of the transfers that bring files back."""
    listed = json.loads(
        daemon.cli("transfer", "list", "--route", "out:return", "--limit", "1000", "--json").stdout
    )
    return Counter(one["state"] for one in listed)


def upload(daemon, count):
    made = make_files(daemon.desk, count, seed=5)
    daemon.sftp_batch("put file-* upload/").check_returncode()
    eventually(lambda: len(plan(daemon)["items"]) == count, daemon)
    eventually(lambda: all(item["action"] == "return" for item in plan(daemon)["items"]), daemon)
    return made


def test_files_are_delivered_once_each_and_then_deleted_though_sftpd_is_killed_again_and_again(
    tmp_path, server, daemon
):
    back = server.root / "returned"
    back.mkdir()
    with Consumer(back, tmp_path / "consumed") as consumer:
        daemon.start()
        made = upload(daemon, 40)
        assert run(daemon) == {"queued": 40}
        for mark in (0, 7, 19, 33):
            assert holds(lambda mark=mark: consumer.taken.total() > mark, PATIENCE), daemon.log
            daemon.kill()
            daemon.start()
            # Refused where a file was delivered since the plan; else it deletes what was.
            daemon.cli("retention", "run", "--plan", plan(daemon)["plan"])
        assert holds(lambda: outcomes(daemon) == {"done": 40}, PATIENCE), f"{outcomes(daemon)}\n{daemon.log}"
        run(daemon)
        assert names(daemon.inbound) == []
        daemon.stop()

    assert consumer.hashes == made
    assert set(consumer.taken.values()) == {1}
    assert names(back) == []
    delivered = [event["data"]["transfer"] for event in daemon.events_of("transfer.delivered")]
    assert len(delivered) == len(set(delivered)) == 40
    done = Counter(event["data"]["result"] for event in daemon.events_of("retention.done"))
    assert done == {"queued": 40, "disposed": 40}


def test_while_a_link_is_being_closed_its_files_go_back(server, daemon):
    with daemon:
        upload(daemon, 3)
        assert daemon.cli("link", "close", "demo", "--reason", "the contract has ended").returncode == 0
        assert run(daemon) == {"queued": 3}
        eventually(lambda: outcomes(daemon) == {"done": 3}, daemon)
        assert run(daemon) == {"disposed": 3}
        assert (len(names(server.root / "returned")), names(daemon.inbound)) == (3, [])


def test_a_paused_route_sends_nothing_back_and_what_waits_goes_on_though_no_rule_names_it_any_more(
    server, daemon
):
    with daemon:
        upload(daemon, 2)
        pause = ("transfer", "pause", "--link", "demo", "--route", "out", "--by", "jan", "--reason", "audit")
        assert daemon.cli(*pause).returncode == 0
        assert run(daemon) == {"queued": 2}
        # The gates are asked; then they wait.
        eventually(lambda: outcomes(daemon) == {"sending": 2}, daemon)
        assert json.loads(daemon.cli("status", "--json").stdout)["queue"] == 2
        assert names(server.root) == []
        config = daemon.link_config.read_text()
        assert "version = 1" in config
        config = config.replace('return_by = "route:out"', "").replace("version = 1", "version = 2")
        daemon.link_config.write_text(config)
        daemon.reload()
        resume = ("transfer", "resume", "--link", "demo", "--route", "out", "--by", "jan")
        assert daemon.cli(*resume).returncode == 0
        eventually(lambda: outcomes(daemon) == {"done": 2}, daemon)


def test_what_cannot_be_delivered_stays_and_is_told_of(server, daemon):
    daemon.configure_link("[route]", "attempts = 2")
    (server.root / "returned").write_bytes(b"a file where the folder should be")
    with daemon:
        upload(daemon, 1)
        assert run(daemon) == {"queued": 1}
        eventually(lambda: outcomes(daemon).keys() <= {"failed", "quarantined"}, daemon)
        (item,) = plan(daemon)["items"]
        assert item["action"] in ("keep", "return")
        assert "going back by transfer" in item["reason"]
        assert len(names(daemon.inbound)) == 1
        assert len(daemon.events_of("transfer.failed", "transfer.blocked")) == 1
