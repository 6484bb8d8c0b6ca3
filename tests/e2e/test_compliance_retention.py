"""Retention on a live daemon: what is due goes, what is held or not due stays, and each says why."""

import json
import os
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import paramiko
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


def test_a_plan_says_what_stayed_when_it_was_last_tried(daemon: Daemon) -> None:
    with daemon:
        upload(daemon, "due.csv")
        eventually(lambda: len(disposals(daemon)) == 1, daemon)
        assert plan(daemon)["left"] == {}
        with (daemon.inbound / "due.csv").open("rb"):
            done = daemon.cli("retention", "run", "--plan", plan(daemon)["plan"])
            assert done.returncode == 0, done.stderr
        assert plan(daemon)["left"] == {"demo in_use": 1}
        shown = daemon.cli("retention", "plan").stdout
        assert "Stayed when last tried: demo in_use 1. See sftpd retention report --left." in shown


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
            with pytest.raises((OSError, EOFError, paramiko.SSHException)):
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


def test_a_disposition_report_is_verified_by_ssh_keygen_alone(daemon: Daemon, tmp_path: Path) -> None:
    with daemon:
        upload(daemon, "jan-jansen.csv")
        eventually(lambda: len(disposals(daemon)) == 1, daemon)
        done = daemon.cli("retention", "run", "--plan", planned := plan(daemon)["plan"])
        assert done.returncode == 0, done.stderr
        paper = tmp_path / "paper"
        issue = ("retention", "disposition", planned, "--folder", str(paper))
        issued = daemon.cli(*issue)
        assert issued.returncode == 0, issued.stderr
        assert daemon.cli(*issue).returncode == 1  # it replaces nothing
        for file in ("disposition.json", "disposition.html"):
            assert "jan-jansen" not in (paper / file).read_text()
        assert (paper / "disposition.pdf").read_bytes().startswith(b"%PDF-")
        verify(paper)
        report = json.loads((paper / "disposition.json").read_text())
        (entry,) = report["entries"]
        shown = daemon.cli("audit", "show", str(entry["audit_index"]), "--link", "demo", "--json")
        assert json.loads(shown.stdout)["public"]["file"] == entry["file"]
        (paper / "disposition.json").write_text(json.dumps(report).replace("disposed", "disposeD"))
        with pytest.raises(subprocess.CalledProcessError):
            verify(paper)
        refused = daemon.cli("retention", "disposition", planned, "--open")
        assert (refused.returncode, "go together" in refused.stderr) == (2, True)
        told = daemon.cli("retention", "disposition", planned, "--open", "--reason", "audit", "--json")
        assert "jan-jansen.csv" in told.stdout
        eventually(lambda: len(daemon.events_of("retention.reported")) == 2, daemon)
        assert [event["data"]["opened"] for event in daemon.events_of("retention.reported")] == [False, True]


def verify(paper: Path) -> None:
    with (paper / "disposition.json").open("rb") as report:
        subprocess.run(
            ["ssh-keygen", "-Y", "verify", "-f", paper / "allowed_signers", "-I", "demo.local",
             "-n", "disposition@sftpd", "-s", paper / "disposition.json.sig"],
            stdin=report, check=True,
        )  # fmt: skip


def test_papers_are_written_by_the_suffix_of_their_name(daemon: Daemon, tmp_path: Path) -> None:
    with daemon:
        upload(daemon, "a.csv")
        begins = {".csv": b"link,path,", ".svg": b"<svg", ".html": b"<!DOCTYPE html>", ".pdf": b"%PDF-"}
        for suffix, begin in begins.items():
            file = tmp_path / f"plan{suffix}"
            done = daemon.cli("retention", "plan", "--output", str(file))
            assert (done.returncode, done.stdout) == (0, ""), done.stderr
            assert file.read_bytes().startswith(begin)
        for words in (("schedule",), ("yearly", "2026")):
            for suffix in (".html", ".pdf"):
                file = tmp_path / f"{words[0]}{suffix}"
                assert daemon.cli("retention", *words, "--output", str(file)).returncode == 0
                assert file.read_bytes().startswith(begins[suffix])
        wrong = daemon.cli("retention", "schedule", "--output", "x.doc")
        assert wrong.returncode == 2
        assert "expected .html or .pdf" in wrong.stderr


def test_a_partner_that_sets_times_changes_nothing(tmp_path: Path) -> None:
    with Daemon(tmp_path / "instance") as daemon:
        names = ("1970.csv", "2100.csv", "kept.csv")
        for name in names:
            upload(daemon, name)
        os.utime(daemon.file("old", b"old"), (0, 0))
        daemon.sftp_done("put -p old /upload/old.csv")
        before = plan(daemon)
        with daemon.sftp() as client:
            for name, year in zip(names, (1970, 2100), strict=False):
                time = int(datetime(year, 1, 2, tzinfo=UTC).timestamp())
                client.utime(f"/upload/{name}", (time, time))
                assert client.stat(f"/upload/{name}").st_mtime == time
        assert plan(daemon) == before
        soonest = (datetime.now(UTC) + timedelta(days=89)).isoformat()
        latest = (datetime.now(UTC) + timedelta(days=92)).isoformat()
        assert all(soonest < item["due"] < latest for item in before["items"])


def test_each_decision_is_explained_step_by_step(tmp_path: Path) -> None:
    daemon = Daemon(tmp_path / "instance")
    with daemon.link_config.open("a") as file:
        file.write(RULES)
    with daemon:
        for name in ("invoice-2020-05-01.csv", "invoice-x.csv", "a.txt", "b.review"):
            upload(daemon, name)
        planned = {item["path"].split("/")[1]: item for item in plan(daemon)["items"]}
        actions = {name: item["action"] for name, item in planned.items()}
        assert actions == {
            "invoice-2020-05-01.csv": "keep",
            "invoice-x.csv": "keep",
            "a.txt": "keep",
            "b.review": "review",
        }
        # The financial year of its date ended with 2020; min_keep, from the receipt, ends later.
        assert planned["invoice-2020-05-01.csv"]["due"] > "2033"
        assert planned["a.txt"]["due"] is None

        explained = explain(daemon, "invoice-2020-05-01.csv")
        told = [(step["step"], step["says"]) for step in explained["chain"]]
        steps = [step for step, _ in told]
        assert steps[0] == "file"
        assert steps[-4:] == ["ends", "action", "hold", "decision"]
        assert any(step == "period" and "to the end of 2027-12-31" in says for step, says in told)
        assert any("2:10" in says for _, says in told)
        assert any(step == "specificity" and "closing" in says for step, says in told)

        undated = explain(daemon, "invoice-x.csv")["chain"]
        assert any("no date %Y-%m-%d in its name, received" in step["says"] for step in undated)
        printed = daemon.cli("retention", "explain", "inbound/a.txt", "--link", "demo").stdout
        assert "keep: link not closed, so its period has not begun" in printed

        assert daemon.cli("link", "close", "demo", "--by", "me").returncode == 0
        assert "link closed" in explain(daemon, "a.txt")["reason"]


def test_a_link_ends_when_nothing_of_it_is_left(daemon: Daemon) -> None:
    finish = ("link", "finish", "demo", "--reason", "All was returned")
    with daemon:
        upload(daemon, "due.csv")
        upload(daemon, "other.txt")
        assert daemon.cli("transfer", "pause", "--link", "demo", "--reason", "a test").returncode == 0
        (daemon.outbound / "on-its-way").write_bytes(b"x")
        eventually(lambda: len(unfinished(daemon)) == 1, daemon)
        assert "sftpd link close demo" in daemon.cli(*finish).stderr
        closed = json.loads(daemon.cli("link", "close", "demo", "--json").stdout)
        assert (closed["folders"], closed["without_rule"], closed["transfers"]) == ({"inbound": 2}, 1, 1)
        again = daemon.cli("link", "close", "demo").stderr
        assert "possible steps: sftpd link finish demo --reason TEXT" in again
        refused = daemon.cli(*finish)
        assert (refused.returncode, "inbound: 2, unfinished transfers: 1" in refused.stderr) == (1, True)
        assert closed["next"][-1].startswith("sftpd link finish demo")
        assert all(command in refused.stderr for command in closed["next"][:-1])

        cancel = ("transfer", "cancel", unfinished(daemon)[0]["id"], "--reason", "The link ends")
        assert daemon.cli(*cancel).returncode == 0
        eventually(lambda: "failed: 1, inbound: 2;" in daemon.cli(*finish).stderr, daemon)
        text = daemon.link_config.read_text().partition("[[retention]]")[0]
        daemon.link_config.write_text(f"{text}{EVERYTHING}")
        daemon.reload()
        eventually(lambda: len(disposals(daemon)) == 3, daemon)
        assert daemon.cli("retention", "run", "--plan", plan(daemon)["plan"]).returncode == 0
        assert json.loads(daemon.cli(*finish, "--json").stdout)["state"] == "closed"
        assert daemon.cli(*finish).stderr.count("possible steps: none") == 1
        assert daemon.sftp_batch("ls /").returncode != 0
        daemon.stop()


def unfinished(daemon: Daemon) -> list[dict[str, Any]]:
    """The transfers that have not come to their end."""
    listed = json.loads(daemon.cli("transfer", "list", "--link", "demo", "--json").stdout)
    return [one for one in listed if one["state"] not in ("done", "failed")]


EVERYTHING = """
[[retention]]
name = "everything"
period = "PT0S"
mandate = "Agreement"
"""


def test_a_download_is_the_last_access(tmp_path: Path) -> None:
    daemon = Daemon(tmp_path / "instance")
    daemon.configure_link("[retention]", 'trigger = "last_access"')
    with daemon:
        upload(daemon, "a.csv")
        upload(daemon, "b.csv")
        daemon.sftp_done(f"get /upload/a.csv {tmp_path / 'fetched'}")
        eventually(lambda: ": last read " in explain(daemon, "a.csv")["reason"], daemon)
        assert ": never read, received " in explain(daemon, "b.csv")["reason"]


def test_a_returned_file_goes_when_all_of_it_was_fetched_by_as_many_fetches_as_that_took(
    tmp_path: Path,
) -> None:
    daemon = Daemon(tmp_path / "instance")
    daemon.configure_link("[retention]", 'period = "PT0S"', 'action = "return"')

    def fetch(begin: int, size: int) -> None:
        with daemon.sftp() as client, client.open("/download/returned/a.csv") as file:
            file.seek(begin)
            file.read(size)

    with daemon:
        daemon.file("local", bytes(100_000))
        daemon.sftp_done("put local /upload/a.csv")
        eventually(lambda: plan(daemon)["items"][0]["action"] == "return", daemon)
        assert daemon.cli("retention", "run", "--plan", plan(daemon)["plan"]).returncode == 0
        for number, (begin, size) in enumerate(((99_999, 1), (0, 60_000)), 1):
            fetch(begin, size)
            eventually(lambda number=number: len(daemon.events_of("file.fetched")) == number, daemon)
            assert disposals(daemon) == []
        fetch(60_000, 40_000)
        eventually(lambda: len(disposals(daemon)) == 1, daemon)
        told = [event["data"]["complete"] for event in daemon.events_of("file.fetched")]
        assert told == [False, False, True]


RULES = """
[[class]]
name = "invoices"
glob = ["invoice-*"]

[[retention]]
name = "invoices"
class = "invoices"
period = "fiscal"
trigger = { business_date = "%Y-%m-%d" }
min_keep = "P8Y"

[[retention]]
name = "closing"
folder = "inbound"
glob = "*.*"
period = "P1Y"
trigger = { event = "link closed" }
mandate = "Agreement"

[[retention]]
name = "reviewed"
folder = "inbound"
glob = "*.review"
period = "PT0S"
action = "review"
mandate = "Agreement"
"""


def explain(daemon: Daemon, name: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(
        daemon.cli("retention", "explain", f"inbound/{name}", "--link", "demo", "--json").stdout
    )
    return document


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
