"""The outbound queue of a running daemon, and the orders of an operator about it."""

import json
import urllib.request

import pytest
from daemon import PATIENCE, Daemon, eventually
from sshd import free_port, sshd
from traffic_scene import Consumer, couriers, inbound, make_files, names, outbound, states, with_remote

from sftpd.link.folders import Folders

WHY = ("--reason", "test", "--by", "Ina")


@pytest.fixture
def server(tmp_path):
    with sshd(tmp_path / "sshd", options="LogLevel VERBOSE") as running:
        yield running


@pytest.fixture
def daemon(tmp_path):
    made = Daemon(tmp_path / "instance")
    yield made
    made.kill()


def ask(daemon, *words):
    done = daemon.cli(*words, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def logins_refused(server):
    return server.config.with_suffix(".log").read_text().count("Failed publickey")


def test_a_remote_that_refuses_our_login_is_left_alone_until_it_is_resumed(daemon, server, tmp_path):
    with_remote(daemon, server, outbound(server.root))
    keys = server.config.with_name("authorized_keys")
    known = keys.read_text()
    keys.write_text("")
    port = free_port()
    daemon.configure("metrics", f'listen = "127.0.0.1:{port}"')
    made = make_files(daemon.outbound, 20, seed=11)
    daemon.start()
    eventually(lambda: daemon.events_of("remote.suspended"), daemon)
    eventually(lambda: states(daemon).total() == 20, daemon)
    assert logins_refused(server) == 3

    daemon.kill()
    daemon.start()
    assert ask(daemon, "status")["remotes"] == {"demo/partner": "suspended"}
    assert "refuses the login" in ask(daemon, "remote", "show", "partner")["reason"]
    stopped = ask(daemon, "status")["routes_stopped"]["demo/out"]
    assert "suspended: 3 logins in a row failed" in stopped["reason"]
    assert stopped["remedy"].endswith("sftpd remote resume partner --link demo")
    assert logins_refused(server) == 3
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=PATIENCE) as answer:
        assert 'sftpd_remote_away{remote="demo/partner"} 1.0' in answer.read().decode()

    keys.write_text(known)
    with Consumer(server.root, tmp_path / "consumed") as consumer:
        ask(daemon, "remote", "resume", "partner")
        eventually(lambda: states(daemon) == {"done": 20} and len(consumer.hashes) == 20, daemon)
    assert consumer.hashes == made
    assert set(consumer.taken.values()) == {1}


@pytest.mark.parametrize("by", ["resume", "reload"])
def test_a_remote_that_is_down_is_tried_at_once_on_an_operator_s_word_or_when_it_is_another(
    daemon, server, by
):
    with_remote(daemon, server, outbound(server.root))
    rewrite(daemon, "{ base = 0.2, cap = 0.4 }", "{ base = 3600, cap = 3600 }")
    port = server.port
    if by == "reload":
        rewrite(daemon, f"port = {port}", f"port = {free_port()}")
    else:
        server.kill()
    (daemon.outbound / "report.csv").write_bytes(b"as soon as it can be")
    daemon.start()
    eventually(lambda: ask(daemon, "remote", "show", "partner")["state"] == "down", daemon)
    (stopped,) = ask(daemon, "status")["routes_stopped"].values()
    assert "or now by sftpd remote resume partner --link demo" in stopped["remedy"]
    if by == "reload":
        daemon.reload()
        assert ask(daemon, "remote", "show", "partner")["state"] == "down", "nothing is new"
        (told,) = [line for line in daemon.link_config.read_text().splitlines() if line.startswith("port")]
        rewrite(daemon, told, f"port = {port}")
        daemon.reload()
    else:
        server.start()
        ask(daemon, "remote", "resume", "partner")
    eventually(lambda: states(daemon) == {"done": 1}, daemon)
    assert (server.root / "report.csv").read_bytes() == b"as soon as it can be"
    refused = daemon.cli("remote", "resume", "partner")
    assert (refused.returncode, "it is not paused" in refused.stderr) == (1, True)


def test_a_failed_file_is_sent_again_on_an_operator_s_word(daemon, server):
    in_the_way = server.root / "their"
    in_the_way.write_bytes(b"a file where a folder should be")
    with_remote(daemon, server, outbound(in_the_way / "inbox", "attempts = 2"))
    (daemon.outbound / "report.csv").write_bytes(b"in the end")
    daemon.start()
    eventually(lambda: states(daemon) == {"failed": 1}, daemon)
    in_the_way.unlink()

    (transfer,) = ask(daemon, "transfer", "list", "--state", "failed")
    ask(daemon, "transfer", "retry", transfer["id"], *WHY)

    eventually(lambda: states(daemon) == {"done": 1}, daemon)
    assert (in_the_way / "inbox/report.csv").read_bytes() == b"in the end"
    assert names(daemon.failed) == names(daemon.outbound) == []
    told = [event["type"] for event in daemon.events() if event["type"].startswith("transfer.")]
    assert told == ["transfer.failed", "transfer.retried", "transfer.delivered"]


def test_orders_are_taken_while_no_daemon_runs_and_carried_out_when_one_does(daemon, server):
    with_remote(daemon, server, outbound(server.root))
    server.kill()
    (daemon.outbound / "report.csv").write_bytes(b"not to be sent")
    daemon.start()
    eventually(lambda: states(daemon) == {"waiting": 1}, daemon)
    daemon.stop()
    (transfer,) = ask(daemon, "transfer", "list")
    assert ask(daemon, "transfer", "cancel", transfer["id"], *WHY)["state"] == "failing"
    ask(daemon, "transfer", "pause", "--link", "demo", *WHY)
    server.start()

    daemon.start()

    eventually(lambda: states(daemon) == {"failed": 1}, daemon)
    assert names(daemon.failed) == ["report.csv", "report.csv.reason.txt"]
    assert names(server.root) == []


def rewrite(daemon, old, new):
    text = daemon.link_config.read_text()
    assert old in text
    daemon.link_config.write_text(text.replace(old, new, 1))


def test_what_waits_for_a_route_that_was_taken_out_is_told_of_and_can_be_cancelled(daemon, server):
    with_remote(daemon, server, outbound(server.root))
    route = "[[route]]\n" + outbound(server.root)
    daemon.start()
    ask(daemon, "transfer", "pause", "--link", "demo", *WHY)
    for name in ("kept.csv", "report.csv"):
        (daemon.outbound / name).write_bytes(name.encode())
    eventually(lambda: states(daemon) == {"sending": 2}, daemon)
    assert ask(daemon, "status")["routes_gone"] == {}
    rewrite(daemon, route, "")
    daemon.reload()
    assert ask(daemon, "status")["routes_gone"] == {"demo/out": 2}
    listed = ask(daemon, "transfer", "list", "--state", "sending", "--route", "out")
    by_name = {transfer["path"]: transfer for transfer in listed}
    assert by_name["kept.csv"]["reason"] == "no outbound route 'out' of link demo is configured any more"

    cancelled = ask(daemon, "transfer", "cancel", by_name["report.csv"]["id"], *WHY)

    assert (cancelled["state"], cancelled["reason"]) == ("cancelled", "cancelled by Ina: test")
    assert ask(daemon, "status")["routes_gone"] == {"demo/out": 1}
    assert names(daemon.outbound) == ["kept.csv", "report.csv"]
    (event,) = daemon.events_of("transfer.cancelled")
    assert event["data"]["left"] is True
    refused = daemon.cli("transfer", "retry", cancelled["id"], *WHY)
    assert (refused.returncode, "outbound and cancelled cannot retry" in refused.stderr) == (1, True)

    daemon.stop()
    rewrite(daemon, "[[retention]]", f"{route}[[retention]]")
    daemon.start()
    ask(daemon, "transfer", "resume", "--link", "demo")
    eventually(lambda: states(daemon) == {"done": 1, "failed": 1}, daemon)
    assert (names(server.root), names(daemon.outbound)) == (["kept.csv"], [])
    assert names(daemon.failed) == ["report.csv", "report.csv.reason.txt"]
    ask(daemon, "transfer", "retry", cancelled["id"], *WHY)
    eventually(lambda: states(daemon) == {"done": 2}, daemon)
    assert names(server.root) == ["kept.csv", "report.csv"]


def test_a_pause_holds_over_a_reload_and_a_restart(daemon, server):
    with_remote(daemon, server, outbound(server.root))
    daemon.start()
    ask(daemon, "transfer", "pause", "--link", "demo", "--route", "out", *WHY)
    (daemon.outbound / "report.csv").write_bytes(b"later")
    eventually(lambda: states(daemon) == {"sending": 1}, daemon)
    daemon.reload()
    daemon.stop()
    daemon.start()
    assert states(daemon) == {"sending": 1}
    ask(daemon, "transfer", "resume", "--link", "demo", "--route", "out")
    eventually(lambda: states(daemon) == {"done": 1}, daemon)


def test_a_route_sends_no_faster_than_its_rate_and_goes_on_without_one(daemon, server):
    with_remote(daemon, server, outbound(server.root, 'rate = "2 KiB"'))
    daemon.start()
    (daemon.outbound / "large.bin").write_bytes(bytes(2 << 20))
    eventually(lambda: list(server.root.glob(".*.part")), daemon)
    # Without the limit it would be there whole before anybody saw a part.
    assert next(server.root.glob(".*.part")).stat().st_size < 1 << 20
    assert states(daemon) == {"sending": 1}
    daemon.link_config.write_text(daemon.link_config.read_text().replace('rate = "2 KiB"', ""))
    daemon.reload()
    eventually(lambda: states(daemon) == {"done": 1}, daemon)
    assert (server.root / "large.bin").stat().st_size == 2 << 20


def test_what_is_on_its_way_is_cut_off_when_the_link_is_suspended_and_comes_once_when_it_is_resumed(
    daemon, server, tmp_path
):
    offered, content = tmp_path / "offered", bytes(2 << 20)
    offered.mkdir()
    (offered / "in.bin").write_bytes(content)
    rate = 'rate = "2 KiB"'
    pull = inbound(offered, '"delete"', rate, "settle = 0")
    with_remote(daemon, server, outbound(server.root, rate) + "[[route]]\n" + pull)
    daemon.start()
    (daemon.outbound / "out.bin").write_bytes(content)
    screening = Folders(daemon.link).screening
    eventually(lambda: list(server.root.glob(".*.part")) and names(screening), daemon)

    ask(daemon, "link", "suspend", "demo")
    eventually(lambda: couriers(daemon) == [] and names(screening) == [], daemon)
    assert states(daemon) == {"sending": 1}, "it costs no try"
    assert names(daemon.inbound) == []
    assert "remote_down" not in daemon.log

    daemon.link_config.write_text(daemon.link_config.read_text().replace(rate, ""))
    daemon.reload()
    ask(daemon, "link", "resume", "demo")
    eventually(lambda: states(daemon) == {"done": 2} and names(offered) == [], daemon)
    assert (server.root / "out.bin").read_bytes() == (daemon.inbound / "in.bin").read_bytes() == content
    assert len(daemon.events_of("transfer.received")) == len(daemon.events_of("transfer.delivered")) == 1
