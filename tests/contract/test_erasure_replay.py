"""A state that was restored from a backup loses again what was erased since, and serves only then."""

import hashlib
import io
import json
import shutil
import signal
import zipfile
from pathlib import Path

import erasure_scene
import msgspec
import person_corpus
import person_parts
import pytest
from erasure_scene import JAN, RECEIVED, Scene, receive
from msgspec import structs
from replay_scene import backed_up, opened, replay, require_done, restored, texts
from replay_scene import live as live
from stage import Stage
from vault_scene import put

from sftpd.erasure.contents import Files
from sftpd.erasure.erasures import Erasures, Standing
from sftpd.erasure.execute import Executor, Outcome
from sftpd.erasure.grounds import Ground
from sftpd.erasure.plan import LEFT_BEHIND
from sftpd.erasure.replay import Result
from sftpd.erasure.request import State
from sftpd.errors import RefusedError
from sftpd.ledger import tables

CHILDREN = ["sftpd.erasure.reader"]

PIET = "piet@example.nl"
TABLE = f"naam;mail\nJan;{JAN}\nPiet;{PIET}\nAnna;anna@example.nl\n"
WITHOUT_JAN = f"naam;mail\nPiet;{PIET}\nAnna;anna@example.nl\n"
WITHOUT_BOTH = "naam;mail\nAnna;anna@example.nl\n"


def erase(scene: Scene, *identifiers: str) -> str:
    request = scene.approved(*identifiers)
    scene.desk.run(request)
    return request


def test_a_restored_reason_goes_with_the_file_that_failed(live, children, monkeypatch):
    monkeypatch.setattr(erasure_scene, "FOLDERS", (*erasure_scene.FOLDERS, "failed"))
    live.put("failed/letter.txt", f"Beste {JAN}\n")
    live.put("failed/letter.txt.reason.txt", "the remote is full\n")
    backup = backed_up(live)
    assert live.desk.run(live.approved()).state is State.CLOSED
    with restored(live, backup, children) as again:
        assert [outcome.result for outcome in replay(again)] == [Result.DONE, Result.DONE]
        assert list((again.root / "failed").iterdir()) == []


def test_a_restored_state_loses_again_what_was_erased_since(live, children):
    receive(live, "r1", live.put("inbound/a.csv", TABLE))
    receive(live, "r2", live.put("inbound/brief.txt", f"Beste {JAN},\n"))
    live.put("inbound/other.csv", WITHOUT_JAN)
    asked = live.desk.open("demo", [f"email={JAN}"], RECEIVED, "opener")
    backup = backed_up(live)
    live.desk.find(asked)
    live.desk.approve(asked, "operator")
    live.desk.run(asked)
    live.erasures.require_current()

    with restored(live, backup, children) as again:
        with pytest.raises(RefusedError, match="sftpd erasure replay") as refused:
            again.erasures.require_current()
        assert refused.value.reason == "REPLAY_NEEDED"
        with pytest.raises(RefusedError):
            again.desk.run(asked)
        outcomes = replay(again)
        assert [(each.action, each.result, each.records) for each in outcomes] == [
            ("redact", Result.DONE, 1),
            ("delete", Result.DONE, 1),
            ("close", Result.DONE, 0),
        ]
        again.erasures.require_current()
        assert texts(again) == {"a.csv": WITHOUT_JAN, "other.csv": WITHOUT_JAN}
        assert again.desk.show(asked).state is State.CLOSED
        rows = {row["id"]: row for row in again.rows(tables.kept_file)}
        seen = (again.root / "inbound/a.csv").stat()
        assert rows["r1"]["source"] == f"{seen.st_ino}:{seen.st_size}:{seen.st_mtime_ns}"
        assert (rows["r2"]["state"], rows["r2"]["path"]) == ("erased", b"")
        request = again.desk.open("demo", [f"email={JAN}"], RECEIVED, "opener")
        assert again.desk.find(request) == []
        assert replay(again) == []


def test_the_ledger_holds_nothing_of_the_person(live):
    live.put(f"inbound/{JAN}.csv", TABLE)
    live.put("inbound/a.json", json.dumps([{JAN: 1}, {"m": JAN}, {"m": "x"}]))
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as made:
        made.writestr("Jan Jansen.csv", TABLE)
        made.writestr("rest.csv", WITHOUT_JAN)
    live.put("inbound/a.zip", archive.getvalue())
    live.approved(f"email={JAN}")
    erase(live, f"email={JAN}", "name=Jan Jansen")
    ledger = (live.root / "erasures/ledger.jsonl").read_bytes()
    assert ledger.count(b"\n") == 5
    for told in (JAN, "Jan", "jansen", "a.json", hashlib.sha256(TABLE.encode()).hexdigest()):
        assert told.encode() not in ledger


def test_a_file_that_was_redacted_twice_loses_both_in_turn(live, children):
    live.put("inbound/a.csv", TABLE)
    backup = backed_up(live)
    erase(live, f"email={JAN}")
    erase(live, f"email={PIET}")
    with restored(live, backup, children) as again:
        require_done(replay(again))
        assert texts(again) == {"a.csv": WITHOUT_BOTH}


def test_files_of_every_format_lose_the_same_records_again(live, children):
    corpus = person_corpus.generate(36, seed=11, persons=30)
    corpus.write(live.root / "inbound")
    backup = backed_up(live)
    erase(live, *corpus.identifiers)
    corpus.check(live.root / "inbound")
    with restored(live, backup, children) as again:
        outcomes = replay(again)
        assert {outcome.result for outcome in outcomes} == {Result.DONE}
        assert [outcome.reason for outcome in outcomes if outcome.reason] == []
        corpus.check(again.root / "inbound")


def test_records_that_carried_a_person_between_their_fields_go_again(live, children):
    corpus = person_parts.generate(36, seed=13, persons=30)
    corpus.write(live.root / "inbound")
    backup = backed_up(live)
    request = live.desk.open("demo", corpus.identifiers, RECEIVED, "opener")
    kept = [item.seq for item in live.desk.find(request) if item.is_undecided]
    live.desk.reviewer.decide(request, kept, remove=False, by="reviewer", reason="not hers")
    live.desk.approve(request, "operator")
    live.desk.run(request)
    corpus.check(live.root / "inbound")
    with restored(live, backup, children) as again:
        outcomes = replay(again)
        assert {outcome.result for outcome in outcomes} == {Result.DONE}
        assert [outcome.reason for outcome in outcomes if outcome.reason] == []
        corpus.check(again.root / "inbound")
        asked = again.desk.open("demo", corpus.identifiers, RECEIVED, "opener")
        assert not [item for item in again.desk.find(asked) if item.step.action in LEFT_BEHIND]


def test_what_lies_elsewhere_goes_too_and_what_only_looks_alike_stays(live, children):
    live.put("inbound/a.csv", TABLE)
    live.put("inbound/leeg.txt", "")
    live.put(f"inbound/{JAN}.txt", "")
    backup = backed_up(live)
    erase(live)
    (backup / "inbound/a.csv").rename(backup / "sent/moved.csv")
    with restored(live, backup, children) as again:
        require_done(replay(again))
        assert (again.root / "sent/moved.csv").read_text() == WITHOUT_JAN
        assert texts(again) == {"leeg.txt": ""}


SCAN = "%PDF- a scan of a page\n"
"""A content in which nobody can be found: only the name of its file says whose it is."""


@pytest.mark.parametrize(
    ("then", "later"),
    [
        ("staging/anna/upload/Jan Jansen.pdf", "inbound/Jan Jansen.pdf"),
        ("screening/r1", "inbound/Jan Jansen.pdf"),
        ("staging/Jan Jansen.pdf", "sent/Jan Jansen.1.pdf"),
        ("staging/a/b/Jan Jansen.pdf", "sent/a+b+Jan Jansen.pdf"),
    ],
)
def test_a_file_that_went_for_its_name_goes_from_where_it_lay_before(live, children, then, later):
    live.put(then, SCAN)
    live.put("inbound/other.pdf", SCAN)
    live.put("inbound/Jan Jansen.txt", "another content")
    backup = backed_up(live)
    (live.root / then).rename(live.root / later)
    receive(live, "r1", live.root / later)
    row = {
        "id": "r1", "link": "demo", "direction": "inbound", "route": "upload", "peer": "acme",
        "path": b"a/Jan Jansen.pdf", "delivered_as": b"other.pdf", "source": "1:2:3",
        "size": len(SCAN), "sha256": "00", "state": "done", "began_at": RECEIVED, "changed_at": RECEIVED,
    }  # fmt: skip
    live.ledger.write(lambda unit: unit.conn.execute(tables.transfer.insert(), [row]))
    (live.root / "inbound/Jan Jansen.txt").unlink()
    erase(live, "name=Jan Jansen")
    with restored(live, backup, children) as again:
        outcomes = [each for each in replay(again) if each.action != "close"]
        assert [(each.result, each.records) for each in outcomes] == [(Result.DONE, 1)]
        assert not (again.root / then).exists()
        assert texts(again) == {"other.pdf": SCAN, "Jan Jansen.txt": "another content"}
        again.erasures.require_current()


def test_what_went_by_decision_goes_from_where_it_lay_before(live, children):
    letter, table = "Beste J.P. de Vries,\n", "naam;stad\nJ.P. de Vries;Gouda\nPiet;Ede\n"
    live.put("staging/brief.txt", letter)
    live.put("staging/lijst.csv", table)
    live.put("sent/anders.txt", letter)
    backup = backed_up(live)
    (live.root / "sent/anders.txt").unlink()
    for name in ("brief.txt", "lijst.csv"):
        (live.root / "staging" / name).rename(live.root / "inbound" / name)
    live.desk.run(live.approved("name=Jan Pieter de Vries", possible=True))
    with restored(live, backup, children) as again:
        outcomes = [each for each in replay(again) if each.action != "close"]
        assert [each.result for each in outcomes] == [Result.DONE, Result.DONE]
        assert not (again.root / "staging/brief.txt").exists()
        assert (again.root / "staging/lijst.csv").read_text() == "naam;stad\nPiet;Ede\n"
        assert (again.root / "sent/anders.txt").read_text() == letter


def test_a_file_of_the_same_name_is_listed_where_the_one_that_was_decided_on_is_there(live, children):
    letter = "Beste J.P. de Vries,\n"
    live.put("inbound/brief.txt", letter)
    live.put("sent/brief.txt", letter)
    backup = backed_up(live)
    (live.root / "sent/brief.txt").unlink()
    live.desk.run(live.approved("name=Jan Pieter de Vries", possible=True))
    with restored(live, backup, children) as again:
        done, listed = (each for each in replay(again) if each.action != "close")
        assert (done.result, listed.result, listed.path) == (Result.DONE, Result.OTHER, (b"brief.txt",))
        assert "in sent" in listed.reason
        assert (again.root / "sent/brief.txt").read_text() == letter
        again.erasures.require_current()


def test_where_only_the_content_agrees_with_what_went_for_its_name_files_are_listed(
    live, children, monkeypatch
):
    """As of a file that somebody renamed, or of an entry from before entries told names."""
    for number in range(3):
        live.put(f"staging/{JAN}{number}.pdf", SCAN)
    backup = backed_up(live)
    for path in (live.root / "staging").iterdir():
        path.unlink()
    live.put(f"inbound/{JAN}.pdf", SCAN)
    appended = Erasures.append

    def without_names(erasures, make):
        def old(epoch, at):
            entry = make(epoch, at)
            return structs.replace(entry, names=msgspec.UNSET) if hasattr(entry, "names") else entry

        appended(erasures, old)

    monkeypatch.setattr(Erasures, "append", without_names)
    monkeypatch.setattr("sftpd.erasure.replay._LISTED", 2, raising=False)
    erase(live)
    assert b"names" not in (live.root / "erasures/ledger.jsonl").read_bytes()
    with restored(live, backup, children) as again:
        outcomes = [each for each in replay(again) if each.action != "close"]
        assert {each.result for each in outcomes} == {Result.OTHER}
        names = [(f"{JAN}{number}.pdf".encode(),) for number in range(2)]
        assert [each.path for each in outcomes] == [*names, None]
        assert "in staging" in outcomes[0].reason
        assert outcomes[-1].reason.startswith("1 more")
        assert again.events().count(b'"erasure.replayed"') == 1
        again.erasures.require_current()


def test_what_has_another_content_is_listed_and_left_alone(live, children):
    receive(live, "r1", live.put("inbound/a.csv", TABLE))
    live.put("inbound/gone.txt", JAN)
    backup = backed_up(live)
    erase(live)
    (backup / "inbound/a.csv").write_text("something else")
    (backup / "inbound/gone.txt").unlink()
    with restored(live, backup, children) as again:
        outcomes = {outcome.file: outcome for outcome in replay(again) if outcome.action != "close"}
        assert outcomes["r1"].result is Result.OTHER
        assert outcomes["r1"].path == (b"a.csv",)
        assert [each.result for file, each in outcomes.items() if file != "r1"] == [Result.ABSENT]
        assert texts(again) == {"a.csv": "something else"}
        again.erasures.require_current()


def test_what_is_left_keeps_the_state_from_serving(live, children):
    held = live.put("inbound/a.csv", TABLE)
    live.put("inbound/b.txt", JAN)
    backup = backed_up(live)
    erase(live)
    assert held.read_text() == WITHOUT_JAN
    with restored(live, backup, children) as again:
        again.links.holds["inbound", b"a.csv"] = "case 7"
        (left,) = [outcome for outcome in replay(again) if outcome.result is Result.LEFT]
        assert "case 7" in left.reason
        assert texts(again) == {"a.csv": TABLE}
        assert again.erasures.compare().standing is Standing.BEHIND
        again.links.holds.clear()
        require_done(replay(again))
        assert texts(again) == {"a.csv": WITHOUT_JAN}
        assert again.erasures.compare().standing is Standing.CURRENT


def test_a_sealed_copy_loses_the_person_again_and_its_key_is_destroyed(tmp_path, children):
    root = tmp_path / "live"
    (root / "vault").mkdir(parents=True)
    with opened(root, children) as live:
        sealed = put(live.links.vault, TABLE.encode())
        digest = hashlib.sha256(TABLE.encode()).hexdigest()
        row = {
            "id": "c1", "transfer": "t1", "link": "demo", "folder": "vault", "path": b"c1/a.csv",
            "source": sealed, "size": len(TABLE), "sha256": digest, "received_at": RECEIVED,
            "state": "present", "changed_at": RECEIVED,
        }  # fmt: skip
        live.ledger.write(lambda unit: unit.conn.execute(tables.kept_file.insert(), [row]))
        backup = backed_up(live)
        erase(live)
        with restored(live, backup, children) as again:
            assert again.links.vault.holds(sealed)
            require_done(replay(again))
            assert not again.links.vault.holds(sealed)
            (row,) = again.rows(tables.kept_file)
            with again.links.vault.open(row["source"]) as copy:
                assert b"".join(copy.chunks()).decode() == WITHOUT_JAN


def test_a_lost_or_shorter_or_other_ledger_is_noticed(live, tmp_path):
    live.put("inbound/a.csv", TABLE)
    live.put("inbound/b.csv", TABLE)
    path = live.root / "erasures/ledger.jsonl"
    empty = path.read_bytes()
    erase(live, f"email={JAN}")
    whole = path.read_bytes()
    other = whole.replace(b'"records":1', b'"records":2', 1)
    for content, said in ((None, "missing"), (empty, "ends with entry 0"), (other, "does not follow")):
        live.erasures.close()
        path.unlink(missing_ok=True)
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(RefusedError, match=said) as refused:
            live.erasures.require_current()
        assert refused.value.reason == "ERASURE_LEDGER_LOST"
    live.erasures.close()
    path.write_bytes(whole + b'{"entry":{"torn')
    live.erasures.require_current()
    assert path.read_bytes() == whole


def test_nothing_is_removed_while_the_ledger_is_away(live):
    path = live.put("inbound/a.csv", TABLE)
    request = live.approved()
    ledger = live.root / "erasures/ledger.jsonl"
    away = ledger.rename(live.root / "away")
    with pytest.raises(RefusedError, match="missing"):
        live.desk.run(request)
    ledger.write_bytes(b"")
    with pytest.raises(RefusedError, match="no erasure ledger"):
        live.desk.run(request)
    assert path.read_text() == TABLE
    away.rename(ledger)
    live.desk.run(request)
    assert path.read_text() == WITHOUT_JAN
    assert ledger.read_bytes().count(b"\n") == 3


@pytest.mark.parametrize("moved", [False, True])
def test_what_was_excepted_stays_although_its_content_went_elsewhere(live, children, moved):
    for place in ("inbound/a.csv", "sent/books.csv"):
        live.put(place, TABLE)
    backup = backed_up(live)
    request = live.desk.open("demo", [f"email={JAN}"], RECEIVED, "opener")
    seqs = [item.seq for item in live.desk.find(request) if item.step.folder == "sent"]
    live.desk.reviewer.except_files(request, seqs, Ground.LEGAL_DUTY, "books of 2025", "Ina")
    live.desk.approve(request, "operator")
    assert live.desk.run(request).state is State.PARTIAL
    books = backup / "sent/books.csv"
    if moved:
        books = books.rename(backup / "staging/books.csv")
    with restored(live, backup, children) as again:
        outcomes = replay(again)
        assert texts(again) == {"a.csv": WITHOUT_JAN}
        assert books.read_text() == TABLE
        assert [(each.result, each.path) for each in outcomes if each.result is not Result.DONE] == [
            (Result.OTHER, (b"books.csv",))
        ]
        require_done(outcomes)


def test_who_has_lost_the_ledger_can_go_on_and_that_is_recorded(live):
    live.put("inbound/a.csv", TABLE)
    erase(live, f"email={JAN}")
    with pytest.raises(RefusedError, match="is there"):
        live.erasures.go_on_without("operator", "the disk died")
    live.erasures.close()
    (live.root / "erasures/ledger.jsonl").unlink()
    live.erasures.go_on_without("operator", "the disk died")
    live.erasures.require_current()
    assert b"erasure.ledger_lost" in live.events()
    assert b"the disk died" not in live.events()
    erase(live, f"email={PIET}")
    live.erasures.require_current()
    entries = [entry.epoch for entry, _ in live.erasures.pending(0)]
    assert entries == [3, 4]


def test_kill_9_at_any_step_of_a_replay_is_finished_by_the_next(live, children, tmp_path, stage_of):
    receive(live, "r1", live.put("inbound/a.csv", TABLE))
    receive(live, "r2", live.put("inbound/b.txt", JAN))
    backup = backed_up(live)
    erase(live)
    erase(live, f"email={PIET}")
    live.erasures.close()
    shutil.copytree(live.root / "erasures", backup / "erasures")
    stage = stage_of(erasure_scene)
    steps = int(run(stage, backup, tmp_path / "whole", -1))
    places = {step: tmp_path / str(step) for step in range(1, steps, 8)}
    for step, place in places.items():
        run(stage, backup, place, step)
    assert steps > 20
    for place in places.values():
        with opened(place, children) as again:
            require_done(replay(again))
            again.erasures.require_current()
            assert texts(again) == {"a.csv": WITHOUT_BOTH}
            states = {row["id"]: row["state"] for row in again.rows(tables.kept_file)}
            assert states == {"r1": "present", "r2": "erased"}
            (kept,) = [row for row in again.rows(tables.kept_file) if row["id"] == "r1"]
            assert kept["sha256"] == hashlib.sha256(WITHOUT_BOTH.encode()).hexdigest()


def test_a_backup_from_any_step_of_an_erasure_comes_back_without_the_person(
    live, children, tmp_path, monkeypatch
):
    receive(live, "r1", live.put("inbound/a.csv", TABLE))
    live.put("inbound/b.txt", JAN)
    request = live.approved()
    backups = []

    def backing_up(call):
        def step(*args):
            backups.append(tmp_path / str(len(backups)))
            shutil.copytree(live.root, backups[-1], ignore=shutil.ignore_patterns("erasures"))
            return call(*args)

        return step

    for owner, name in ((live.ledger, "write"), (Files, "remove"), (Files, "replace")):
        monkeypatch.setattr(owner, name, backing_up(getattr(owner, name)))
    live.desk.run(request)
    monkeypatch.undo()
    live.erasures.close()
    standings = []
    for place in backups:
        shutil.copytree(live.root / "erasures", place / "erasures")
        with opened(place, children) as again:
            standings.append(again.erasures.compare().standing)
            if standings[-1] is Standing.BEHIND:
                require_done(replay(again))
            for interrupted in again.desk.interrupted():
                again.desk.run(interrupted)
            assert texts(again) == {"a.csv": WITHOUT_JAN}
    assert set(standings) == {Standing.BEHIND, Standing.CURRENT}
    assert len(backups) > 8


def test_what_another_request_took_in_place_of_what_was_reserved_is_replayed(live, children, monkeypatch):
    live.put("inbound/a.csv", TABLE)
    live.put("inbound/b.txt", PIET)
    first = live.approved()
    backups = []

    def backing_up(*args):
        backups.append(backed_up(live))
        return Outcome(done=False, reason="legal hold: case 7")

    monkeypatch.setattr(Executor, "_remove", backing_up)
    with pytest.raises(RefusedError, match="still finds"):
        live.desk.run(first)
    monkeypatch.undo()
    live.links.holds["inbound", b"a.csv"] = "case 7"
    erase(live, f"email={PIET}")
    with restored(live, backups[0], children) as again:
        assert again.erasures.compare().standing is Standing.BEHIND
        require_done(replay(again))
        assert texts(again) == {"a.csv": TABLE}


def run(stage: Stage, beginning: Path, place: Path, step: int) -> str:
    """Replay a copy of a scene in a process that is killed at `step`; returns what it printed."""
    shutil.copytree(beginning, place)
    ended = stage.play(place, "replay", step)
    assert ended.status == (0 if step < 0 else -signal.SIGKILL), ended.errors
    return ended.output


def test_what_went_by_decision_goes_again_and_what_was_kept_stays(live, children):
    before = "naam;stad\nJan Pieter de Vries;Delft\nJ.P. de Vries;Gouda\nJan de Vries;Leiden\n"
    live.put("inbound/a.csv", before)
    live.put("inbound/b.txt", "Beste J.P. de Vries,\n")
    live.put("inbound/c.txt", "Beste Jan de Vries,\n")
    backup = backed_up(live)
    request = live.desk.open("demo", ["name=Jan Pieter de Vries"], RECEIVED, "opener")
    live.desk.find(request)
    found = {
        (item.step.path[-1], item.step.possible.place): item.seq
        for item in live.desk.reviewer.matches(request)
    }
    remove = [seq for (path, place), seq in found.items() if path == b"b.txt" or place == "record 3"]
    keep = [seq for seq in found.values() if seq not in remove]
    for seqs, goes in ((remove, True), (keep, False)):
        live.desk.reviewer.decide(request, seqs, remove=goes, by="reviewer", reason="known")
    live.desk.approve(request, "operator")
    live.desk.run(request)
    left = {"a.csv": "naam;stad\nJan de Vries;Leiden\n", "c.txt": "Beste Jan de Vries,\n"}
    assert texts(live) == left
    assert b"record 3" not in (live.root / "erasures/ledger.jsonl").read_bytes()
    with restored(live, backup, children) as again:
        require_done(replay(again))
        assert texts(again) == left
