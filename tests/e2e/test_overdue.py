"""Files that are not ready for too long, as an operator meets them: event, metric, log and `status`."""

import json
import urllib.request
from datetime import datetime, timedelta

import pytest
import sshd
from daemon import PATIENCE, SFTPD, Daemon, eventually
from traffic_scene import inbound, names, with_remote


@pytest.fixture
def daemon(tmp_path):
    made = Daemon(tmp_path / "instance")
    made.port_of_metrics = sshd.free_port()
    made.configure("metrics", f'listen = "127.0.0.1:{made.port_of_metrics}"')
    made.configure("scheduler", "rescan_every = 1")
    yield made
    made.kill()


def overdue(daemon):
    return json.loads(daemon.cli("status", "--json").stdout)["overdue"]


def metrics(daemon):
    url = f"http://127.0.0.1:{daemon.port_of_metrics}/metrics"
    with urllib.request.urlopen(url, timeout=PATIENCE) as answer:
        return answer.read().decode()


def told(daemon):
    return [
        (event["type"], event["data"]["route"], event["data"]["reason"], event["data"].get("files"))
        for event in daemon.events_of("waiting.overdue", "waiting.ended")
    ]


def test_a_file_that_stays_open_and_one_without_its_done_file_are_told_of_once_until_they_go_on(daemon):
    text = daemon.link_config.read_text()
    head, _, tail = text.partition('[[route]]\nname = "out"')
    daemon.link_config.write_text(
        f'{head}[[route]]\nname = "out"\noverdue_after = 2{tail}\n'
        '[[route]]\nname = "done"\ndirection = "outbound"\nfolder = "done"\nto = "download"\n'
        'done_file = ".ok"\nsettle = 0\noverdue_after = 2\n'
    )
    daemon.start()
    (daemon.link / "done/bare.csv").write_bytes(b"1")
    (daemon.outbound / "quick.csv").write_bytes(b"1")
    (daemon.outbound / "left.csv.part").write_bytes(b"1")
    with (daemon.outbound / "held-open.csv").open("wb", buffering=0) as writer:
        writer.write(b"begun")
        eventually(lambda: len(told(daemon)) == 3, daemon)
        assert sorted(told(daemon)) == [
            ("waiting.overdue", "done", "no_done_file", 1),
            ("waiting.overdue", "out", "open", 1),
            ("waiting.overdue", "out", "unfinished", 1),
        ]
        shown = overdue(daemon)
        assert {key: (one["files"], one["paths"]) for key, one in shown.items()} == {
            "demo/out open": (1, ["held-open.csv"]),
            "demo/out unfinished": (1, ["left.csv.part"]),
            "demo/done no_done_file": (1, ["bare.csv"]),
        }
        people = daemon.cli("status").stdout
        assert "demo/out open files 1, since 20" in people
        assert "paths held-open.csv" in people
        assert 'sftpd_overdue_files{reason="open",route="demo/out"} 1.0' in metrics(daemon)
        assert "held-open" not in metrics(daemon)
        assert "files_overdue" in daemon.log
        assert "held-open.csv" in daemon.log
        since = datetime.fromisoformat(shown["demo/out open"]["since"])
        daemon.reload()
        writer.write(b"and more")
        eventually(lambda: "demo/out open" in overdue(daemon), daemon)
        # It is reckoned from two clocks, which are read one after the other.
        still = datetime.fromisoformat(overdue(daemon)["demo/out open"]["since"])
        assert abs(still - since) < timedelta(seconds=1)
    (daemon.link / "done/bare.csv.ok").touch()
    (daemon.outbound / "left.csv.part").rename(daemon.outbound / "left.csv")
    eventually(lambda: len(told(daemon)) == 6, daemon)
    assert sorted(told(daemon))[:3] == [
        ("waiting.ended", "done", "no_done_file", None),
        ("waiting.ended", "out", "open", None),
        ("waiting.ended", "out", "unfinished", None),
    ]
    assert overdue(daemon) == {}
    eventually(lambda: names(daemon.outbound) == names(daemon.link / "done") == [], daemon)


def test_a_file_that_may_not_be_read_is_told_of_logged_once_and_sent_once_it_may(tmp_path):
    override = "-dac_override,-dac_read_search"
    bound = ("setpriv", "--inh-caps", override, "--bounding-set", override, SFTPD)
    daemon = Daemon(tmp_path / "bound", bound)
    daemon.configure("scheduler", "rescan_every = 1")
    daemon.configure_link("[route]", "overdue_after = 2")
    secret = daemon.outbound / "secret.csv"
    secret.write_bytes(b"1")
    secret.chmod(0)
    try:
        daemon.start()
        eventually(lambda: told(daemon) == [("waiting.overdue", "out", "unreadable", 1)], daemon)
        assert overdue(daemon)["demo/out unreadable"]["paths"] == ["secret.csv"]
        assert daemon.log.count("file_not_readable") == 1
        assert "claim_fault" not in daemon.log
        secret.chmod(0o644)
        eventually(lambda: names(daemon.outbound) == [], daemon)
        eventually(lambda: told(daemon)[1:] == [("waiting.ended", "out", "unreadable", None)], daemon)
        assert overdue(daemon) == {}
        daemon.stop()
    finally:
        daemon.kill()


def test_files_at_a_remote_that_grow_for_ever_or_stay_unfinished_are_told_of_until_they_go_on(
    daemon, tmp_path
):
    with sshd.sshd(tmp_path / "sshd") as server:
        offered = server.root / "out"
        offered.mkdir()
        with_remote(daemon, server, inbound(offered, '"leave"', "settle = 1", "overdue_after = 3"))
        (offered / "left.csv.part").write_bytes(b"1")
        daemon.start()
        with (offered / "log.csv").open("ab", buffering=0) as writer:
            eventually(lambda: writer.write(b"more") and len(told(daemon)) == 2, daemon)
            assert sorted(told(daemon)) == [
                ("waiting.overdue", "in", "changing", 1),
                ("waiting.overdue", "in", "unfinished", 1),
            ]
            assert overdue(daemon)["demo/in unfinished"]["paths"] == ["left.csv.part"]
            assert overdue(daemon)["demo/in changing"]["paths"] == ["log.csv"]
        (offered / "left.csv.part").rename(offered / "left.csv")
        eventually(lambda: len(told(daemon)) == 4, daemon)
        assert sorted(told(daemon))[:2] == [
            ("waiting.ended", "in", "changing", None),
            ("waiting.ended", "in", "unfinished", None),
        ]
        eventually(lambda: names(daemon.inbound) == ["left.csv", "log.csv"], daemon)
