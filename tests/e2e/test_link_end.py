"""The end of a link: it does not come before all that is the partner's, or a person's, is dealt with."""

import json
import urllib.request
from datetime import UTC, datetime, time, timedelta
from pathlib import Path

import pytest
from daemon import Daemon, eventually
from sshd import free_port
from test_compliance_guards import Shifted

CLOSE, FINISH = ("link", "close", "demo", "--by", "Ina"), ("link", "finish", "demo", "--reason", "Returned")
OTHER = '[link]\nname = "other"\ncounterparty = "Other"\npersonal_data = false\n'
EVERYTHING = """
[[retention]]
name = "everything"
period = "PT0S"
mandate = "Agreement"
"""


@pytest.fixture
def daemon(tmp_path: Path) -> Daemon:
    made = Daemon(tmp_path / "instance")
    made.link_config.write_text(made.link_config.read_text().partition("[[retention]]")[0] + EVERYTHING)
    return made


def told(daemon: Daemon, *words: str):
    done = daemon.cli(*words, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def dispose(daemon: Daemon) -> None:
    daemon.cli("retention", "run", "--plan", told(daemon, "retention", "plan", "--link", "demo")["plan"])


@pytest.mark.parametrize("is_down", [False, True])
def test_an_upload_that_was_never_ended_keeps_a_link_from_its_end(daemon: Daemon, is_down: bool) -> None:
    part = daemon.staging / "demo/upload/people.csv"
    with daemon:
        with daemon.sftp() as client:
            upload = client.open("/upload/people.csv", "wb")
            upload.write(b"jan@example.org\n" * 10_000)
            upload.flush()
            client.stat("/upload/people.csv")
            closed = told(daemon, *CLOSE)
        assert (closed["files"], closed["folders"]) == (1, {"staging": 1})
        assert part.exists()
        if is_down:
            daemon.stop()
        assert "of the link remain staging: 1" in daemon.cli(*FINISH).stderr
        if is_down:
            daemon.start()
        eventually(lambda: dispose(daemon) or not part.exists(), daemon)
        assert told(daemon, *FINISH)["state"] == "closed"


def test_a_link_whose_unfinished_uploads_cannot_be_seen_does_not_end(daemon: Daemon) -> None:
    with daemon:
        told(daemon, *CLOSE)
        daemon.staging.rename(daemon.root / "elsewhere")
        refused = daemon.cli(*FINISH)
        assert (refused.returncode, str(daemon.staging) in refused.stderr) == (1, True), refused.stderr
        (daemon.root / "elsewhere").rename(daemon.staging)
        assert told(daemon, *FINISH)["state"] == "closed"


def test_an_open_deletion_request_keeps_a_link_from_its_end(daemon: Daemon) -> None:
    (daemon.root / "links.d/other.toml").write_text(OTHER)
    identifier = ("--identifier", "email=jan@example.org")
    with daemon:
        request = told(daemon, "erasure", "open", "--link", "demo", *identifier)["id"]
        told(daemon, "erasure", "find", request)
        closed = told(daemon, *CLOSE)
        assert (closed["files"], closed["requests"]) == (0, 1)
        assert "sftpd erasure list --link demo" in closed["next"]
        assert "open deletion requests: 1" in daemon.cli(*FINISH).stderr

        file = daemon.link_config.read_text()
        daemon.link_config.unlink()
        daemon.reload()
        gone = told(daemon, "status")["links_gone"]
        assert gone == {"demo": {"files": 0, "transfers": 0, "requests": 1}}
        daemon.link_config.write_text(file)
        daemon.reload()

        told(daemon, "erasure", "approve", request, "--by", "Ina")
        told(daemon, "erasure", "run", request)
        assert told(daemon, *FINISH)["state"] == "closed"
        daemon.stop()


def test_the_log_of_a_link_is_read_and_proven_after_its_file_was_taken_out(
    daemon: Daemon, tmp_path: Path
) -> None:
    (daemon.root / "links.d/other.toml").write_text(OTHER)
    of = ("--link", "demo")
    with daemon:
        told(daemon, *CLOSE)
        told(daemon, *FINISH)
        daemon.link_config.unlink()
        for is_down in (False, True):
            if is_down:
                daemon.stop()
            else:
                daemon.reload()
            last = told(daemon, "audit", "tail", *of)[-1]
            assert last["public"] == {"step": "finish", "state": "closed"}
            index = str(last["index"])
            assert told(daemon, "audit", "show", index, *of)["private"]["reason"] == "Returned"
            assert told(daemon, "audit", "search", "Returned", *of)[-1]["index"] == last["index"]
            assert told(daemon, "audit", "prove", index, *of)
            bundle = str(tmp_path / f"{is_down}.zip")
            assert daemon.cli("audit", "bundle", "link.moved", "--output", bundle, *of).returncode == 0
            unknown = daemon.cli("audit", "tail", "--link", "nobody")
            assert (unknown.returncode, "no link 'nobody'; expected one of other" in unknown.stderr) == (
                1,
                True,
            )


def test_what_remains_of_a_closing_link_is_told_of_each_day_and_as_overdue_after_its_term(
    tmp_path: Path,
) -> None:
    daemon, port = Shifted(tmp_path / "instance"), free_port()
    daemon.configure("instance", 'time_zone = "UTC"')
    daemon.configure("metrics", f'listen = "127.0.0.1:{port}"')
    closed = datetime.now(UTC)

    def wait_until_the_run(day: int, runs: int):
        daemon.start_before(datetime.combine(closed.date() + timedelta(days=day), time(3, 15), UTC))
        eventually(lambda: len(daemon.events_of("link.remains")) >= runs, daemon)
        return daemon.events_of("link.remains")[-1]["data"]

    with daemon:
        daemon.file("local", b"a;b\n")
        daemon.sftp_done("put local /upload/kept.csv")
        told(daemon, *CLOSE)
        stands = told(daemon, "status")["closing"]["demo"]
        due = datetime.combine(closed.date() + timedelta(days=16), time(), UTC).isoformat()
        assert (stands["due"], stands["overdue"], stands["files"]) == (due, False, 1)
        for number, day in enumerate((10, 13), 1):
            said = wait_until_the_run(day, number)
            assert (said["due"], said["overdue"], said["files"]) == (due, False, 1)
        assert wait_until_the_run(16, 3)["overdue"] is True
        assert told(daemon, "status")["closing"]["demo"]["overdue"] is True
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as page:
            assert b'sftpd_link_end_overdue{link="demo"} 1.0' in page.read()


def test_a_partner_that_may_not_log_in_any_more_counts_as_told_when_somebody_says_so(daemon: Daemon) -> None:
    with daemon:
        daemon.file("fetched", b"")
        (daemon.outbound / "people.csv").write_bytes(b"name,email\nJan,jan@example.org\n")
        eventually(lambda: "people.csv" in daemon.sftp_done("ls /download"), daemon)
        daemon.sftp_done("get /download/people.csv fetched")
        person = ("--identifier", "email=jan@example.org")
        request = told(daemon, "erasure", "open", "--link", "demo", *person)["id"]
        told(daemon, "erasure", "find", request)
        told(daemon, "erasure", "approve", request, "--by", "Ina")
        told(daemon, *CLOSE)
        assert told(daemon, "erasure", "run", request)["state"] == "notifying"
        eventually(lambda: "notice_not_delivered" in daemon.log, daemon)
        (notice,) = told(daemon, "erasure", "notices", request)
        assert (notice["state"], notice["reason"]) == ("made", "the link is closing")
        assert "open deletion requests: 1" in daemon.cli(*FINISH).stderr
        told(daemon, "erasure", "told", notice["id"], "--reason", "By letter", "--by", "Ina")
        assert told(daemon, "erasure", "show", request)["state"] == "closed"
