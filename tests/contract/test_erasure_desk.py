"""Deletion requests over real files, a real ledger and real readers."""

import fcntl
import hashlib
import json
import os
import shutil
import signal
import stat
import zipfile
from itertools import islice
from pathlib import Path

import erasure_scene
import ledgers
import pytest
from corpus import build
from erasure_scene import JAN, KEY, RECEIVED, Scene
from stage import Stage

from sftpd.audit.commitment import new_opening
from sftpd.erasure.certificate import verify
from sftpd.erasure.layouts import Column, FixedWidth
from sftpd.erasure.plan import Action
from sftpd.erasure.request import State
from sftpd.errors import NotFoundError, RefusedError, UsageError
from sftpd.exchange.deliver import other_name
from sftpd.exchange.layout import LAYOUTS
from sftpd.files.naming import numbered, reason_beside
from sftpd.ledger import tables
from sftpd.names import TransferId
from sftpd.process.pool import Children

TABLE = f"naam;mail\nJan;{JAN}\nPiet;x{JAN}\n"
TABLE_AFTER = f"naam;mail\nPiet;x{JAN}\n"
ROWS = f'[{{"m": "{JAN}"}}, {{"m": "{JAN}.com"}}]'
ROWS_AFTER = f'[{{"m": "{JAN}.com"}}]'


@pytest.fixture
def scene(tmp_path):
    with erasure_scene.scene(tmp_path) as made:
        yield made


def certificate(scene: Scene, request: str):
    return verify(scene.desk.show(request).certificate.encode(), KEY.verifier)


def test_an_erasure_over_the_corpus_leaves_every_other_record_as_it_was(scene):
    corpus = build(scene.root / "inbound")
    request = scene.approved(*corpus.identifiers)
    assert scene.desk.run(request).state is State.CLOSED
    left = {path.name: path.read_bytes() for path in (scene.root / "inbound").iterdir()}
    assert left == corpus.expected
    signed = certificate(scene, request)
    assert sum(entry.records for entry in signed.removed) == corpus.records
    assert (signed.second_search.remaining, signed.unsearchable, signed.held) == (0, (), ())
    again = scene.desk.open("demo", corpus.identifiers, RECEIVED, "opener")
    assert scene.desk.find(again) == []


def test_what_is_known_of_files_tells_their_records(scene):
    columns = (Column("naam", 1, 4), Column("klantnr", 5, 4))
    scene.links.known_layouts = (FixedWidth("loon-*", columns, trailer=1, count=Column("n", 1, 3)),)
    loon = scene.put("inbound/deep/loon-1.txt", "Jan 12340\nPiet12341\nJan 99990\n003\n")
    other = scene.put("inbound/deep/x.txt", "Jan 12340\n")
    scene.desk.run(scene.approved("customer=1234"))
    assert loon.read_text() == "Jan 99990\n001\n"
    assert other.read_text() == "Jan 12340\n"


def test_every_folder_is_searched_and_each_file_loses_as_little_as_can_be(scene):
    scene.put("inbound/deep/a.csv", TABLE)
    scene.put("sent/b.json", ROWS)
    scene.put("staging/acme/brief.txt", f"Beste {JAN},\n")
    scene.put(f"sent/{JAN}.csv", "a;b\n1;2\n")
    scene.put("inbound/other.csv", TABLE_AFTER)
    request = scene.approved()
    scene.desk.run(request)
    assert (scene.root / "inbound/deep/a.csv").read_text() == TABLE_AFTER
    assert (scene.root / "sent/b.json").read_text() == ROWS_AFTER
    assert (scene.root / "inbound/other.csv").read_text() == TABLE_AFTER
    assert sorted(path.name for path in scene.root.glob("s*/**/*") if path.is_file()) == ["b.json"]
    counts = {count.folder: count.files for count in certificate(scene, request).searched}
    assert counts == {"inbound": 2, "sent": 2, "staging": 1, "screening": 0}


def test_a_redacted_file_keeps_its_mode_and_time(scene):
    path = scene.put("inbound/a.csv", TABLE)
    path.chmod(0o604)
    os.utime(path, ns=(1, 2_000_000_001))
    scene.desk.run(scene.approved())
    assert path.read_text() == TABLE_AFTER
    assert stat.S_IMODE(path.stat().st_mode) == 0o604
    assert path.stat().st_mtime_ns == 2_000_000_001
    assert [entry.name for entry in path.parent.iterdir()] == ["a.csv"]


def test_links_are_not_followed(scene, tmp_path):
    outside = tmp_path / "outside.csv"
    outside.write_text(TABLE)
    (scene.root / "inbound/link.csv").symlink_to(outside)
    (scene.root / "inbound/loop").symlink_to(scene.root / "inbound")
    scene.desk.run(scene.approved())
    assert outside.read_text() == TABLE


def test_what_cannot_be_searched_is_listed_and_left_alone(scene):
    broken = scene.put("inbound/broken.json", f'[{{"m": "{JAN}"')
    archive = scene.put("inbound/a.zip", b"PK\3\4\0\0")
    request = scene.approved()
    assert scene.desk.run(request).state is State.CLOSED
    reasons = {entry.reason for entry in certificate(scene, request).unsearchable}
    assert len(reasons) == 2
    assert broken.exists()
    assert archive.exists()


def test_what_of_an_archive_cannot_be_searched_is_certified_and_the_rest_loses_her(scene):
    path = scene.root / "inbound" / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.csv", TABLE)
        archive.writestr("scan.png", b"\0\1")
    request = scene.approved()
    assert scene.desk.run(request).state is State.CLOSED
    with zipfile.ZipFile(path) as archive:
        assert archive.read("a.csv").decode() == TABLE_AFTER
        assert archive.read("scan.png") == b"\0\1"
    signed = certificate(scene, request)
    assert [(entry.format, entry.records) for entry in signed.removed] == [("zip", 1)]
    assert [entry.reason for entry in signed.unsearchable] == [
        "parts of it were not searched: part 2: it holds control characters, as binary files do"
    ]
    assert signed.second_search.remaining == 0


def test_a_held_file_stays_until_the_hold_is_released(scene):
    held = scene.put("inbound/held.csv", TABLE)
    free = scene.put("inbound/free.csv", TABLE)
    scene.links.holds["inbound", b"held.csv"] = "case 7"
    request = scene.approved()
    assert scene.desk.run(request).state is State.PARTIAL
    assert (held.read_text(), free.read_text()) == (TABLE, TABLE_AFTER)
    first = certificate(scene, request)
    assert [entry.reason for entry in first.held] == ["legal hold: case 7"]
    assert first.remains_until is not None
    scene.links.holds.clear()
    scene.desk.find(request)
    scene.desk.approve(request, "operator")
    assert scene.desk.run(request).state is State.CLOSED
    assert held.read_text() == TABLE_AFTER
    assert len(certificate(scene, request).removed) == 2


def test_a_hold_placed_after_approval_still_holds(scene):
    held = scene.put("inbound/held.csv", TABLE)
    request = scene.approved()
    scene.links.holds["inbound", b"held.csv"] = "case 7"
    assert scene.desk.run(request).state is State.PARTIAL
    assert held.read_text() == TABLE


@pytest.mark.parametrize(("name", "content"), [("held.csv", TABLE), ("held.txt", JAN)])
def test_a_hold_placed_while_a_file_is_looked_into_still_holds(scene, monkeypatch, name, content):
    held = scene.put(f"inbound/{name}", content)
    request = scene.approved()
    ask = scene.readers.ask

    def placing(question, descriptors):
        answer = ask(question, descriptors)
        scene.links.holds["inbound", name.encode()] = "case 7"
        return answer

    monkeypatch.setattr(scene.readers, "ask", placing)
    assert scene.desk.run(request).state is State.PARTIAL
    assert held.read_text() == content
    assert [path.name for path in (scene.root / "inbound").iterdir()] == [name]


def test_what_was_not_approved_is_not_removed(scene):
    path = scene.put("inbound/a.csv", TABLE)
    brief = scene.put("inbound/brief.txt", JAN)
    request = scene.approved()
    brief.write_text("niets")
    path.unlink()
    path.with_name("a.csv").write_text(TABLE)
    late = scene.put("inbound/late.csv", TABLE)
    with pytest.raises(RefusedError) as refused:
        scene.desk.run(request)
    assert refused.value.reason == "ERASURE_REMAINS"
    assert (late.read_text(), brief.read_text()) == (TABLE, "niets")
    assert scene.desk.show(request).state is State.SCOPING
    scene.desk.find(request)
    scene.desk.approve(request, "operator")
    assert scene.desk.run(request).state is State.CLOSED
    assert late.read_text() == TABLE_AFTER


def test_a_file_approved_as_a_whole_is_not_deleted_once_others_are_in_it(scene):
    brief = scene.put("inbound/brief.txt", JAN)
    request = scene.approved()
    others = f"naam;mail;tel\n{JAN};1;2\nPiet;3;4\n"
    brief.write_text(others)
    with pytest.raises(RefusedError):
        scene.desk.run(request)
    assert brief.read_text() == others


def test_a_file_that_is_being_written_or_moved_waits(scene):
    part = scene.put("staging/acme/a.csv", TABLE)
    scene.put("screening/b.csv", TABLE)
    request = scene.approved()
    with part.open("r+b") as writer:
        fcntl.flock(writer, fcntl.LOCK_EX)
        with pytest.raises(RefusedError, match="2 files"):
            scene.desk.run(request)
    assert part.read_text() == TABLE


def test_nothing_runs_unapproved_and_nothing_is_approved_unsearched(scene):
    request = scene.desk.open("demo", [f"email={JAN}"], RECEIVED, "opener")
    with pytest.raises(RefusedError):
        scene.desk.approve(request, "operator")
    scene.desk.find(request)
    with pytest.raises(RefusedError):
        scene.desk.run(request)
    scene.desk.deny(request, "operator", "not the person")
    with pytest.raises(RefusedError):
        scene.desk.find(request)
    with pytest.raises(NotFoundError):
        scene.desk.show("none")
    with pytest.raises(UsageError):
        scene.desk.open("demo", [], RECEIVED, "opener")


def test_the_receipt_of_a_file_is_found_by_the_name_of_that_file(scene):
    behind = f".{'0' * 26}.17.received.json"
    scene.put(f"sent/2026-03-01/0/{JAN}.csv{behind}", "{}")
    scene.put(f"sent/2026-03-01/0/{JAN}.csv{behind}.sig", "-----BEGIN SSH SIGNATURE-----\n")
    scene.put(f"sent/2026-03-01/0/x{JAN}.csv{behind}", "{}")
    scene.desk.run(scene.approved())
    assert [path.name for path in scene.root.glob("sent/*/*/*")] == [f"x{JAN}.csv{behind}"]


def test_names_that_sftpd_makes_hide_nobody(scene):
    name = f"{JAN}.csv".encode()
    (apart,) = other_name((name,), TransferId("01k5zq8v3n9w6e2r7t4y1a0b3c"))
    hers = [*islice(numbered(name), 3), reason_beside(name), apart]
    (maybe,) = LAYOUTS["flatten"]((b"march", name))
    other = f"{JAN}.com.1.csv".encode()
    for each in (*hers, maybe, other, b"march+piet@example.nl.csv"):
        scene.put(f"sent/{each.decode()}", "of nobody\n")
    request = scene.desk.open("demo", [f"email={JAN}"], RECEIVED, "opener")
    found = {item.step.path[-1]: item.step.action for item in scene.desk.find(request)}
    assert found == dict.fromkeys(hers, Action.DELETE) | dict.fromkeys((maybe, other), Action.REVIEW)
    for item in scene.desk.items(request):
        if item.is_undecided:
            remove = item.step.path[-1] == maybe
            scene.desk.reviewer.decide(request, [item.seq], remove=remove, by="operator", reason=None)
    scene.desk.approve(request, "operator")
    assert scene.desk.run(request).state is State.CLOSED
    left = {path.name.encode() for path in (scene.root / "sent").iterdir()}
    assert left == {other, b"march+piet@example.nl.csv"}
    assert certificate(scene, request).second_search.remaining == 0


@pytest.fixture
def failures(monkeypatch, tmp_path):
    """A scene that has the folder `failed` too."""
    monkeypatch.setattr(erasure_scene, "FOLDERS", (*erasure_scene.FOLDERS, "failed"))
    with erasure_scene.scene(tmp_path) as made:
        yield made


def test_the_reason_goes_with_the_file_that_failed(failures):
    """Its name need not carry her, nor what it says."""
    for name in ("a/letter.txt", "piet.txt", f"{JAN}.csv"):
        failures.put(f"failed/{name}", "of nobody\n" if JAN in name or "piet" in name else f"Beste {JAN}\n")
        failures.put(f"failed/{name}.reason.txt", "the remote is full\n")
    for name in ("letter.txt", "letter.txt.reason.txt"):
        failures.put(f"sent/{name}", f"Beste {JAN}\n" if name == "letter.txt" else "not ours\n")
    table = failures.put("failed/table.csv", TABLE)
    failures.put("failed/table.csv.reason.txt", "the remote is full\n")
    request = failures.approved()
    assert failures.desk.run(request).state is State.CLOSED
    left = {str(path.relative_to(failures.root)) for path in failures.root.glob("*/**/*.txt")}
    kept = {"failed/piet.txt", "failed/piet.txt.reason.txt", "failed/table.csv.reason.txt"}
    assert left == kept | {"sent/letter.txt.reason.txt"}
    assert table.read_text() == TABLE_AFTER
    assert sum(entry.records for entry in certificate(failures, request).removed) == 5


def test_a_reason_that_is_held_stays(failures):
    failures.put("failed/letter.txt", f"Beste {JAN}\n")
    reason = failures.put("failed/letter.txt.reason.txt", "the remote is full\n")
    failures.links.holds["failed", b"letter.txt.reason.txt"] = "court case"
    assert failures.desk.run(failures.approved()).state is State.CLOSED
    assert list((failures.root / "failed").iterdir()) == [reason]


def test_a_closed_request_knows_the_person_no_more(scene):
    scene.put(f"inbound/{JAN}/x.csv", "a;b\n")
    scene.put(f"inbound/{JAN}.csv", TABLE)
    request = scene.approved()
    scene.desk.run(request)
    scene.desk.show(request)
    for table in (tables.erasure_request, tables.erasure_item, tables.opening):
        assert JAN not in repr(scene.rows(table))
        assert JAN.encode() not in scene.events()
    assert scene.desk.items(request)[0].step.action is Action.DELETE
    assert scene.rows(tables.erasure_request)[0]["epoch"] == 2


def test_the_ledger_follows_a_file_that_was_redacted(scene):
    path = scene.put("inbound/a.csv", TABLE)
    gone = scene.put("inbound/b.txt", JAN)
    receive(scene, "r1", path)
    receive(scene, "r2", gone)
    scene.desk.run(scene.approved())
    first, second = sorted(scene.rows(tables.kept_file), key=lambda row: row["id"])
    seen = path.stat()
    assert first["source"] == f"{seen.st_ino}:{seen.st_size}:{seen.st_mtime_ns}"
    assert first["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert (second["state"], second["path"]) == ("erased", b"")
    assert sorted(scene.links.without_receipts) == ["r1", "r2"]
    assert {(row["event"], row["field"]) for row in scene.rows(tables.opening)} & {
        ("r1", "path"),
        ("r1", "sha256"),
        ("r2", "path"),
        ("r2", "sha256"),
    } == {("r1", "path")}


def receive(scene: Scene, file: str, path: Path) -> None:
    seen = path.stat()
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    row = {
        "id": file,
        "link": "demo",
        "folder": path.parent.name,
        "path": path.name.encode(),
        "source": f"{seen.st_ino}:{seen.st_size}:{seen.st_mtime_ns}",
        "size": seen.st_size,
        "sha256": digest,
        "received_at": RECEIVED,
        "state": "present",
        "changed_at": RECEIVED,
    }
    openings = [
        {"event": file, "field": known.field, "nonce": known.nonce, "value": json.dumps(known.value)}
        for known in (new_opening("path", path.name), new_opening("sha256", digest))
    ]
    scene.ledger.write(lambda unit: unit.conn.execute(tables.kept_file.insert(), [row]))
    scene.ledger.write(lambda unit: unit.conn.execute(tables.opening.insert(), openings))


@pytest.mark.parametrize("every", [3, pytest.param(1, marks=pytest.mark.soak)])
def test_kill_9_at_any_step_of_a_run_is_finished_by_the_next(tmp_path, stage_of, every):
    """Each step of the run is the last of a process of its own, on a copy of the same beginning."""
    beginning = tmp_path / "beginning"
    beginning.mkdir()
    with erasure_scene.scene(beginning) as scene:
        table = f"{TABLE}Jan;{JAN.replace('@', '+x@')}\n"
        scene.put("inbound/a.csv", table)
        scene.put("inbound/b.txt", JAN)
        scene.put("inbound/other.csv", TABLE_AFTER)
        deliver(scene, "t1", table)
        deliver(scene, "t2", JAN)
        request = scene.approved(possible=True)
    stage = stage_of(erasure_scene)
    steps = int(run(stage, beginning, tmp_path / "whole", request, step=-1))
    places = [tmp_path / str(step) for step in range(0, steps, every)]
    for place in places:
        run(stage, beginning, place, request, int(place.name))
    assert steps > 10
    with Children.start(["sftpd.erasure.reader"]) as children:
        for place in places:
            scene = Scene(place, children)
            for interrupted in scene.desk.interrupted() or [request]:
                scene.desk.run(interrupted)
            signed = certificate(scene, request)
            assert sum(entry.records for entry in signed.removed) == 3
            assert [one.files for one in signed.recipients] == [2]
            scene.close()
            files = {path.name: path.read_text() for path in (place / "inbound").iterdir()}
            assert files == {"a.csv": TABLE_AFTER, "other.csv": TABLE_AFTER}


def deliver(scene: Scene, transfer: str, content: str) -> None:
    """Enter a delivery of which no copy is left."""
    row = {
        "id": transfer, "link": "demo", "direction": "outbound", "route": "out", "peer": "far", "path": b"f",
        "source": "1:2:3", "size": len(content), "sha256": hashlib.sha256(content.encode()).hexdigest(),
        "state": "done", "began_at": RECEIVED, "changed_at": RECEIVED,
    }  # fmt: skip
    scene.ledger.write(lambda unit: unit.conn.execute(tables.transfer.insert(), [row]))


def run(stage: Stage, beginning: Path, place: Path, request: str, step: int) -> str:
    """Run the request on a copy of a scene in a process that is killed at `step`; returns what it printed."""
    shutil.copytree(beginning, place)
    ledgers.copied(beginning / "ledger.db", place / "ledger.db")
    ended = stage.play(place, request, step)
    assert ended.status == (0 if step < 0 else -signal.SIGKILL), ended.errors
    return ended.output


def test_whoever_opened_a_request_cannot_approve_it_where_a_second_person_must(scene: Scene) -> None:
    scene.links.second_person = True
    request = scene.desk.open("demo", [f"email={JAN}"], RECEIVED, "opener")
    scene.desk.find(request)
    with pytest.raises(RefusedError) as refusal:
        scene.desk.approve(request, " Opener ")
    assert refusal.value.reason == "SECOND_PERSON"
    scene.desk.approve(request, "another")
    assert scene.desk.show(request).approved_by == "another"


@pytest.mark.sqlite
def test_a_closed_request_leaves_no_identifier_in_the_ledger_s_files(scene: Scene) -> None:
    (scene.root / "inbound" / "list.csv").write_text(f"name,email\nJan,{JAN}\n")
    request = scene.desk.open("demo", [f"email={JAN}"], RECEIVED, "opener")
    files = list(scene.root.glob("ledger.db*"))
    assert any(JAN.encode() in file.read_bytes() for file in files)
    scene.desk.find(request)
    scene.desk.approve(request, "officer")
    scene.desk.run(request)
    assert [file.name for file in files if JAN.encode() in file.read_bytes()] == []
