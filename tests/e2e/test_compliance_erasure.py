"""A deletion request over two hundred files of a live link, through a crash and around a legal hold."""

import json
import threading
from pathlib import Path
from typing import Any

import corpus
import person_corpus
import pytest
from daemon import PATIENCE, Daemon, eventually


@pytest.mark.slow
def test_an_erasure_by_email_removes_her_records_and_nothing_else(tmp_path: Path) -> None:
    with Daemon(tmp_path / "instance") as daemon:
        given = place(daemon)
        eventually(lambda: erasure(daemon, "index")[0]["indexed"] == corpus.FILES, daemon)
        known = erasure(daemon, "open", "--link", "demo", "--identifier", "email=nobody@example.nl")["id"]
        searched = erasure(daemon, "find", known)["searched"]
        assert (searched["looked_up"], searched["read"]) == (corpus.FILES, searched["files"] - corpus.FILES)
        erasure(daemon, "deny", known, "--by", "Privacy Officer", "--reason", "there is nobody")
        request = approved(daemon, given)
        done = erasure(daemon, "run", request)
        assert done["state"] == "closed"
        assert published(daemon) == given.expected
        assert done["certificate"]["certificate"]["second_search"]["remaining"] == 0
        assert sum(item["records"] for item in done["items"]) == given.records
        again = erasure(daemon, "open", "--link", "demo", "--identifier", *given.identifiers)["id"]
        assert erasure(daemon, "find", again)["items"] == []
        erasure(daemon, "deny", again, "--by", "Privacy Officer", "--reason", "there is nothing left")
        certificate = daemon.desk / "certificate"
        daemon.cli("erasure", "certificate", request, "--output", str(certificate))
        assert daemon.cli("erasure", "verify", str(certificate)).returncode == 0
        certificate.write_text(certificate.read_text().replace('"remaining":0', '"remaining":1'))
        assert daemon.cli("erasure", "verify", str(certificate)).returncode == 1
        assert daemon.cli("audit", "verify").returncode == 0
        daemon.stop()
    files = [path for path in (daemon.root / "state").rglob("*") if path.is_file()]
    assert [path for path in files if corpus.EMAIL.encode() in path.read_bytes()] == []
    assert corpus.EMAIL not in daemon.log


@pytest.mark.slow
def test_a_person_in_every_format_is_gone_and_a_certificate_says_so(tmp_path: Path) -> None:
    given = person_corpus.generate(90, seed=11, persons=60)
    daemon = Daemon(tmp_path / "instance")
    columns = '[{ name = "nr", start = 1, width = 4 }, { name = "e-mail", start = 5, width = 40 }]'
    layout = ('glob = "mail-*.txt"', f"column = {columns}", "trailer = 1", "count_start = 3")
    daemon.configure_link("[erasure.fixed_width]", *layout)
    with daemon:
        (daemon.desk / "corpus").mkdir()
        given.write(daemon.desk / "corpus")
        email = next(raw for raw in given.identifiers if raw.startswith("email=")).removeprefix("email=")
        lines = [f"0001{email:40}x\n", f"0002{'x' + email:40}x\n"]
        daemon.file("mail-1.txt", "".join((*lines, "TR0000000002\n")).encode())
        daemon.sftp_done("put mail-1.txt /upload/mail-1.txt")
        daemon.sftp_done("put corpus/* /upload/")
        words = [word for identifier in given.identifiers for word in ("--identifier", identifier)]
        request = erasure(daemon, "open", "--link", "demo", *words)["id"]
        erasure(daemon, "find", request)
        erasure(daemon, "approve", request, "--by", "Privacy Officer")
        done = erasure(daemon, "run", request)
        assert done["state"] == "closed"
        mail = daemon.inbound / "mail-1.txt"
        assert mail.read_text() == f"{lines[1]}TR0000000001\n"
        mail.unlink()
        given.check(daemon.inbound)
        formats = {item["format"] for item in done["items"] if item["state"] == "done"}
        named = {"csv", "json", "ndjson", "xml", "xlsx", "ods", "zip", "tar", "gzip", "eml", "mbox", "text"}
        named.add("fixed width")
        assert formats == named
        assert done["certificate"]["certificate"]["second_search"]["remaining"] == 0
        again = erasure(daemon, "open", "--link", "demo", *words)["id"]
        left = erasure(daemon, "find", again)["items"]
        assert [item for item in left if item["action"] != "unsearchable"] == []
        certificate = daemon.desk / "certificate"
        daemon.cli("erasure", "certificate", request, "--output", str(certificate))
        assert daemon.cli("erasure", "verify", str(certificate)).returncode == 0
        assert daemon.cli("audit", "verify").returncode == 0


@pytest.mark.slow
def test_a_daemon_killed_amid_an_erasure_finishes_it_by_itself(tmp_path: Path) -> None:
    with Daemon(tmp_path / "instance") as daemon:
        given = place(daemon)
        request = approved(daemon, given)
        before = published(daemon)
        run = threading.Thread(target=daemon.cli, args=("erasure", "run", request))
        run.start()
        eventually(lambda: published(daemon) != before, daemon)
        daemon.kill()
        run.join(PATIENCE)
        assert published(daemon) != given.expected
        daemon.start()
        eventually(lambda: "erasure_recovered" in daemon.log, daemon)
        assert erasure(daemon, "show", request)["state"] == "closed"
        assert published(daemon) == given.expected
        assert daemon.cli("audit", "verify").returncode == 0


def test_what_is_held_stays_and_the_request_stays_open(tmp_path: Path) -> None:
    before = b"name,email\nJan,jan@example.org\nAnna,anna@example.org\n"
    with Daemon(tmp_path / "instance") as daemon:
        daemon.file("local", before)
        daemon.file("sealed", b"\0\1\2 sealed")
        files = ("local /upload/free.csv", "local /upload/held.csv", "sealed /upload/sealed.bin")
        daemon.sftp_done(*(f"put {file}" for file in files))
        scope = ("--link", "demo", "--folder", "inbound", "--glob", "held.csv")
        placed = daemon.cli("hold", "add", *scope, "--reason", "Court order", "--by", "me", "--json")
        opened = erasure(daemon, "open", "--link", "demo", "--identifier", "email=jan@example.org")
        request = opened["id"]
        found = {item["path"]: item for item in erasure(daemon, "find", request)["items"]}
        assert found["held.csv"]["action"] == "keep"
        assert "Court order" in found["held.csv"]["reason"]
        sealed = found["sealed.bin"]
        assert (sealed["action"], sealed["state"]) == ("unsearchable", "unsearched")
        told = daemon.cli("erasure", "show", request).stdout
        assert f"sftpd erasure decide {request} SEQ --remove|--keep --reason TEXT" in told
        why = ("--remove", "--reason", "it is her passport")
        (decided,) = erasure(daemon, "decide", request, str(sealed["seq"]), *why)["matches"]
        assert (decided["path"], decided["decision"]) == ("sealed.bin", "remove")
        erasure(daemon, "approve", request, "--by", "me")
        assert erasure(daemon, "run", request)["state"] == "partial"
        assert {path.name for path in daemon.inbound.iterdir()} == {"free.csv", "held.csv"}
        assert (daemon.inbound / "held.csv").read_bytes() == before
        assert (daemon.inbound / "free.csv").read_bytes() == b"name,email\nAnna,anna@example.org\n"

        late = ("--identifier", "email=nobody@example.org", "--received", "2020-01-01T00:00:00Z")
        overdue = erasure(daemon, "open", "--link", "demo", *late)["id"]
        assert counted(daemon) == {"overdue": 1, "can_go_on": 0}
        assert {each["id"]: each["overdue"] for each in erasure(daemon, "list")} == {
            request: False,
            overdue: True,
        }
        released = daemon.cli("hold", "release", json.loads(placed.stdout)["id"], "--by", "me")
        assert f"sftpd erasure find {request}" in released.stdout
        eventually(lambda: daemon.events_of("erasure.freed"), daemon)
        assert counted(daemon) == {"overdue": 1, "can_go_on": 1}
        assert erasure(daemon, "show", request)["approved_by"] == "me"
        assert erasure(daemon, "find", request)["approved_by"] is None
        erasure(daemon, "approve", request, "--by", "me")
        assert erasure(daemon, "run", request)["state"] == "closed"
        assert (daemon.inbound / "held.csv").read_bytes() == b"name,email\nAnna,anna@example.org\n"


def counted(daemon: Daemon) -> dict[str, int]:
    """The deletion requests that somebody has to see to."""
    counts: dict[str, int] = json.loads(daemon.cli("status", "--json").stdout)["deletion_requests"]
    return counts


def place(daemon: Daemon) -> corpus.Corpus:
    """Upload the corpus as the partner would."""
    (daemon.desk / "corpus").mkdir()
    given = corpus.build(daemon.desk / "corpus")
    daemon.sftp_done("put corpus/* /upload/")
    assert len(published(daemon)) == corpus.FILES
    return given


def approved(daemon: Daemon, given: corpus.Corpus) -> str:
    """A request for the corpus's person, with its plan approved."""
    words = [word for identifier in given.identifiers for word in ("--identifier", identifier)]
    request: str = erasure(daemon, "open", "--link", "demo", *words)["id"]
    erasure(daemon, "find", request)
    erasure(daemon, "approve", request, "--by", "Privacy Officer")
    return request


def erasure(daemon: Daemon, *words: str) -> dict[str, Any]:
    """What a step of a request that must succeed prints."""
    done = daemon.cli("erasure", *words, "--json")
    assert done.returncode == 0, f"{done.stderr}\n{daemon.log}"
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def published(daemon: Daemon) -> dict[str, bytes]:
    """What lies in `inbound/` now."""
    return {path.name: path.read_bytes() for path in daemon.inbound.glob("export-*")}
