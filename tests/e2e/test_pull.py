"""A scheduled pull from a real OpenSSH server: what is new comes in, each file once."""

import contextlib
import json
import random
import sqlite3

import pytest
from daemon import Daemon, eventually
from sshd import sshd
from traffic_scene import Consumer, inbound, make_files, names, states, with_remote
from waiting import holds

FILES = 200
KILLS = 3
PATIENCE = 120.0


@pytest.fixture
def server(tmp_path):
    with sshd(tmp_path / "sshd") as running:
        yield running


@pytest.fixture
def offered(server):
    """The folder at the remote that is looked at."""
    folder = server.root / "out"
    folder.mkdir()
    return folder


@pytest.fixture
def daemon(tmp_path):
    made = Daemon(tmp_path / "instance")
    yield made
    made.kill()


@pytest.fixture
def consumer(tmp_path, daemon):
    with Consumer(daemon.inbound, tmp_path / "consumed") as running:
        yield running


def test_what_is_left_there_is_fetched_once_also_over_a_restart(daemon, server, offered, consumer):
    with_remote(daemon, server, inbound(offered, '"leave"'))
    made = make_files(offered, 5, seed=7)
    daemon.start()
    eventually(lambda: consumer.hashes == made, daemon)
    daemon.stop()
    daemon.start()

    made |= make_files(offered, 1, seed=8, prefix="later")
    eventually(lambda: consumer.hashes == made, daemon)

    assert set(consumer.taken.values()) == {1}
    assert names(offered) == sorted(made)
    eventually(lambda: len(daemon.events_of("transfer.received")) == 6, daemon)


def test_a_file_that_changed_there_is_fetched_again(daemon, server, offered, consumer):
    with_remote(daemon, server, inbound(offered, '"leave"'))
    (offered / "daily.csv").write_bytes(b"monday")
    daemon.start()
    eventually(lambda: consumer.taken["daily.csv"] == 1, daemon)

    (offered / "daily.csv").write_bytes(b"tuesday, longer")

    eventually(lambda: consumer.taken["daily.csv"] == 2, daemon)


def test_an_erased_file_that_is_left_there_is_not_fetched_again(daemon, server, offered):
    with_remote(daemon, server, inbound(offered, '"leave"'))
    (offered / "letter-jan@example.nl.txt").write_text("Dear jan@example.nl, thank you.\n")
    daemon.start()
    eventually(lambda: names(daemon.inbound) == ["letter-jan@example.nl.txt"], daemon)
    erase(daemon, "email=jan@example.nl")
    assert names(daemon.inbound) == []

    (offered / "later.txt").write_text("a file that shows that there was a look\n")
    eventually(lambda: "later.txt" in names(daemon.inbound), daemon)

    assert names(daemon.inbound) == ["later.txt"]
    assert len(daemon.events_of("transfer.received")) == 2

    (offered / "letter-jan@example.nl.txt").write_text("Dear jan@example.nl, this is another letter.\n")
    eventually(lambda: "letter-jan@example.nl.txt" in names(daemon.inbound), daemon)


def test_what_is_fetched_is_deleted_there(daemon, server, offered, consumer):
    with_remote(daemon, server, inbound(offered, '"delete"'))
    made = make_files(offered, 5, seed=9)
    daemon.start()

    eventually(lambda: names(offered) == [], daemon)
    eventually(lambda: consumer.hashes == made, daemon)
    assert set(consumer.taken.values()) == {1}


def test_what_is_fetched_is_moved_there(daemon, server, offered, consumer):
    with_remote(daemon, server, inbound(offered, f'{{ move = "{server.root}/done" }}'))
    (server.root / "done").mkdir()
    made = make_files(offered, 5, seed=10)
    daemon.start()

    eventually(lambda: names(server.root / "done") == sorted(made), daemon)
    assert names(offered) == []
    eventually(lambda: consumer.hashes == made, daemon)
    assert set(consumer.taken.values()) == {1}


def test_only_what_the_route_wants_is_fetched(daemon, server, offered, consumer):
    with_remote(daemon, server, inbound(offered, '"delete"', 'include = ["*.csv"]', 'exclude = ["draft*"]'))
    for name in ("report.csv", "draft.csv", "report.txt"):
        (offered / name).write_bytes(name.encode())
    daemon.start()

    eventually(lambda: names(offered) == ["draft.csv", "report.txt"], daemon)
    eventually(lambda: consumer.taken == {"report.csv": 1}, daemon)


def test_folders_are_fetched_with_what_is_in_them_and_moved_into_new_ones(daemon, server, offered):
    then = f'{{ move = "{offered}/done", create = true }}'
    with_remote(daemon, server, inbound(offered, then, "recursive = true", "settle = 0"))
    for name in ("a.csv", "sub/b.csv", "sub/draft.part", ".hidden/c.csv"):
        (offered / name).parent.mkdir(exist_ok=True)
        (offered / name).write_text(name)
    daemon.start()

    eventually(lambda: (offered / "done/sub/b.csv").exists() and (offered / "done/a.csv").exists(), daemon)
    daemon.stop()
    assert sorted(path.name for path in daemon.inbound.rglob("*.csv")) == ["a.csv", "b.csv"]
    assert (daemon.inbound / "sub/b.csv").read_text() == "sub/b.csv"
    assert (offered / "sub/draft.part").exists()
    assert len(daemon.events_of("transfer.received")) == 2


def test_a_pull_that_was_missed_while_nobody_ran_is_made_up_for_once(daemon, server, offered, consumer):
    with_remote(daemon, server, inbound(offered, '"leave"').replace('"PT1S"', '"0 0 29 2 *"'))
    made = make_files(offered, 2, seed=13)
    daemon.start()
    daemon.stop()
    assert consumer.taken == {}, "its first time has not come"

    with contextlib.closing(sqlite3.connect(daemon.root / "state/ledger.db")) as ledger, ledger:
        ledger.execute("INSERT INTO tick VALUES ('collect demo/in', 0)")  # it last ran in 1970
    daemon.start()
    eventually(lambda: consumer.hashes == made, daemon)
    daemon.stop()
    made |= make_files(offered, 1, seed=14, prefix="later")
    daemon.start()
    daemon.stop()
    assert consumer.taken.total() == 2


@pytest.mark.slow
def test_each_file_comes_once_though_sftpd_is_killed(daemon, server, offered, consumer):
    with_remote(daemon, server, inbound(offered, '"delete"'))
    made = make_files(offered, FILES, seed=11)
    chance = random.Random(12)
    daemon.start()
    for mark in sorted(chance.sample(range(FILES * 9 // 10), KILLS)):
        assert holds(lambda mark=mark: consumer.taken.total() > mark, PATIENCE), daemon.log
        holds(lambda: False, chance.uniform(0, 0.2))
        daemon.kill()
        daemon.start()

    assert holds(lambda: names(offered) == [], PATIENCE), daemon.log
    assert holds(lambda: states(daemon) == {"done": FILES}, PATIENCE), daemon.log
    daemon.stop()
    eventually(lambda: consumer.hashes == made, daemon)
    assert set(consumer.taken.values()) == {1}
    assert len(daemon.events_of("transfer.received")) == FILES


def erase(daemon, identifier):
    """Erase a person everywhere, as its operators do."""
    opened = daemon.cli("erasure", "open", "--link", "demo", "--identifier", identifier, "--json")
    request = json.loads(opened.stdout)["id"]
    for verb in (["find", request], ["approve", request, "--by", "Privacy Officer"], ["run", request]):
        done = daemon.cli("erasure", *verb)
        assert done.returncode == 0, done.stderr
