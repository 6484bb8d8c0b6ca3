"""Retention on a live daemon: what is due goes, what is held or not due stays, and each says why."""

import json
from pathlib import Path
from typing import Any

import pytest
from daemon import Daemon, eventually


@pytest.fixture
def daemon(tmp_path: Path) -> Daemon:
    daemon = Daemon(tmp_path / "instance")
    daemon.configure_link("[retention]", 'period = "PT5S"', 'glob = "*.csv"')
    return daemon


def test_disposes_of_exactly_the_due_files(daemon: Daemon) -> None:
    with daemon:
        for name in ("due-1.csv", "due-2.csv", "held.csv", "other.txt"):
            upload(daemon, name)
        hold(daemon, "held.csv")
        eventually(lambda: len(disposals(daemon)) == 2, daemon)
        planned = plan(daemon)
        items = {item["path"]: item for item in planned["items"]}
        assert items["inbound/due-1.csv"]["action"] == "dispose"
        assert "PT5S ends" in items["inbound/due-1.csv"]["reason"]
        assert items["inbound/held.csv"]["action"] == "keep"
        assert "Court order" in items["inbound/held.csv"]["reason"]
        assert items["inbound/other.txt"]["reason"] == "no rule"

        done = daemon.cli("retention", "run", "--plan", planned["plan"], "--json")
        assert done.returncode == 0, done.stderr
        assert sorted(path.name for path in daemon.inbound.iterdir()) == ["held.csv", "other.txt"]

        report = json.loads(daemon.cli("retention", "report", "--json").stdout)
        assert {row["path"]: row["result"] for row in report} == dict.fromkeys(
            ("due-1.csv", "due-2.csv"), "disposed"
        )
        assert all("PT5S ends" in row["reason"] for row in report)
        eventually(lambda: len(daemon.events_of("retention.done")) == 2, daemon)
        for type in ("retention.intended", "retention.done"):
            files = [event["data"]["file"] for event in daemon.events_of(type)]
            assert sorted(files) == sorted(row["file"] for row in report)


def test_a_plan_that_no_longer_holds_is_refused(daemon: Daemon) -> None:
    with daemon:
        upload(daemon, "a.csv")
        upload(daemon, "b.csv")
        eventually(lambda: len(disposals(daemon)) == 2, daemon)
        stale = plan(daemon)["plan"]
        hold(daemon, "b.csv")
        refused = daemon.cli("retention", "run", "--plan", stale)
        assert refused.returncode == 1
        assert "plan again" in refused.stderr
        assert len(list(daemon.inbound.iterdir())) == 2
        assert daemon.events_of("retention.intended") == []


def test_a_suspended_link_takes_nothing_and_still_disposes_and_erases(daemon: Daemon) -> None:
    with daemon:
        upload(daemon, "due.csv")
        upload(daemon, "keep.txt")
        with daemon.sftp() as client:
            assert daemon.cli("link", "suspend", "demo", "--by", "me").returncode == 0
            with pytest.raises((OSError, EOFError)):
                client.open("/upload/new", "wb")
        assert daemon.sftp_batch("ls /").returncode != 0
        eventually(lambda: len(disposals(daemon)) == 1, daemon)
        done = daemon.cli("retention", "run", "--plan", plan(daemon)["plan"])
        assert done.returncode == 0, done.stderr
        opened = daemon.cli(
            "erasure", "open", "--link", "demo", "--identifier", "email=jan@example.org", "--json"
        )
        request = json.loads(opened.stdout)["id"]
        for step in (("find",), ("approve", "--by", "me"), ("run",)):
            assert daemon.cli("erasure", step[0], request, *step[1:]).returncode == 0
        assert [path.name for path in daemon.inbound.iterdir()] == ["keep.txt"]
        assert daemon.cli("link", "resume", "demo", "--by", "me").returncode == 0
        upload(daemon, "again.txt")


def upload(daemon: Daemon, name: str) -> None:
    daemon.file("local", b"name,email\nAnna,anna@example.org\n")
    daemon.sftp_done(f"put local /upload/{name}")


def hold(daemon: Daemon, name: str) -> None:
    words = ("--folder", "inbound", "--glob", name, "--reason", "Court order", "--by", "me")
    assert daemon.cli("hold", "add", "--link", "demo", *words).returncode == 0


def plan(daemon: Daemon) -> dict[str, Any]:
    planned: dict[str, Any] = json.loads(daemon.cli("retention", "plan", "--json").stdout)
    return planned


def disposals(daemon: Daemon) -> list[dict[str, Any]]:
    """What the plan of now would dispose of."""
    return [item for item in plan(daemon)["items"] if item["action"] == "dispose"]
