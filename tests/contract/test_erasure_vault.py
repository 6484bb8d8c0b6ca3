"""Deletion requests reach the copies in the vault: gone means gone there too."""

import hashlib
import shutil
import signal
from contextlib import closing
from pathlib import Path

import erasure_scene
import pytest
from erasure_scene import JAN, KEY, RECEIVED, Scene
from stage import Stage
from vault_scene import put, read, sealed_files, vault_in

from sftpd.erasure import contents
from sftpd.erasure.certificate import verify
from sftpd.erasure.plan import Action
from sftpd.erasure.request import State
from sftpd.errors import NotFoundError, RefusedError
from sftpd.exchange.archive import recorded
from sftpd.files.vault import VaultError
from sftpd.ledger import tables
from sftpd.process.pool import Children

TABLE = f"naam;mail\nJan;{JAN}\nPiet;x{JAN}\n"
TABLE_AFTER = f"naam;mail\nPiet;x{JAN}\n"


@pytest.fixture
def scene(tmp_path):
    (tmp_path / "vault").mkdir()
    with erasure_scene.scene(tmp_path) as made:
        yield made


def archive(scene: Scene, name: str, path: str, content: str) -> str:
    """Put a copy in the vault of what crossed as the transfer `name`; returns its id there."""
    sealed = put(scene.links.vault, content.encode())
    digest = hashlib.sha256(content.encode()).hexdigest()
    file = {"link": "demo", "size": len(content), "sha256": digest, "changed_at": RECEIVED}
    copy = {
        "id": f"copy-{name}", "transfer": name, "folder": "vault", "path": f"copy-{name}/{path}".encode(),
        "source": sealed, "received_at": RECEIVED, "state": "present",
    }  # fmt: skip
    transfer = {
        "id": name, "direction": "inbound", "route": "upload", "peer": "acme", "path": path.encode(),
        "source": "1:2:3", "state": "done", "began_at": RECEIVED,
    }  # fmt: skip
    scene.ledger.write(lambda unit: unit.conn.execute(tables.kept_file.insert(), [file | copy]))
    scene.ledger.write(lambda unit: unit.conn.execute(tables.transfer.insert(), [file | transfer]))
    return sealed


def copies(scene: Scene) -> dict[str, dict]:
    return {row["id"]: dict(row) for row in scene.rows(tables.kept_file) if row["folder"] == "vault"}


def test_a_copy_loses_the_person_under_a_new_key_and_another_the_whole_of_it(scene):
    table = archive(scene, "t1", "a/table.csv", TABLE)
    letter = archive(scene, "t2", "letter.txt", f"Beste {JAN},\n")
    other = archive(scene, "t3", "other.csv", TABLE_AFTER)
    request = scene.approved()
    steps = {item.step.path[-1]: item.step.action for item in scene.desk.items(request)}
    assert steps == {b"table.csv": Action.REDACT, b"letter.txt": Action.DELETE}
    assert scene.desk.run(request).state is State.CLOSED

    left = copies(scene)
    renewed = left["copy-t1"]["source"]
    assert renewed not in (table, letter, other)
    assert read(scene.links.vault, renewed) == TABLE_AFTER.encode()
    assert left["copy-t1"]["sha256"] == hashlib.sha256(TABLE_AFTER.encode()).hexdigest()
    assert left["copy-t2"]["state"] == "erased"
    for gone in (table, letter):
        assert not scene.links.vault.holds(gone)
        with pytest.raises(NotFoundError, match="no key"):
            read(scene.links.vault, gone)
    assert read(scene.links.vault, other) == TABLE_AFTER.encode()
    assert sealed_files(scene.root) == sorted([renewed, other])
    signed = verify(scene.desk.show(request).certificate.encode(), KEY.verifier)
    assert {count.folder: count.files for count in signed.searched}["vault"] == 3
    assert (signed.second_search.remaining, signed.unsearchable) == (0, ())


def test_the_ledger_forgets_what_crossed_with_the_last_file_of_it(scene):
    """The name and hash of a transfer are forgotten with its copy, unless its file is still in our care."""
    archive(scene, "t1", "gone.txt", f"Beste {JAN}")
    archive(scene, "t2", "held.txt", f"Geachte {JAN}")
    path = scene.put("inbound/held.txt", f"Geachte {JAN}")
    seen = path.stat()
    row = {
        "id": "t2", "link": "demo", "folder": "inbound", "path": b"held.txt", "size": seen.st_size,
        "source": f"{seen.st_ino}:{seen.st_size}:{seen.st_mtime_ns}", "sha256": "00", "state": "present",
        "received_at": RECEIVED, "changed_at": RECEIVED,
    }  # fmt: skip
    scene.ledger.write(lambda unit: unit.conn.execute(tables.kept_file.insert(), [row]))
    scene.links.holds["inbound", b"held.txt"] = "court case"
    scene.desk.run(scene.approved())
    assert {row["id"]: row["path"] for row in scene.rows(tables.transfer)} == {"t1": b"", "t2": b"held.txt"}
    assert {"t1", "t2"} <= set(scene.links.without_receipts)


def test_a_held_copy_stays_as_it_is(scene):
    sealed = archive(scene, "t1", "table.csv", TABLE)
    scene.links.holds["vault", b"copy-t1/table.csv"] = "court case"
    request = scene.approved()
    assert scene.desk.run(request).state is State.PARTIAL
    assert read(scene.links.vault, sealed) == TABLE.encode()


def test_a_copy_that_is_too_large_is_listed_as_unsearchable(scene, monkeypatch):
    monkeypatch.setattr(contents, "LIMIT", 10)
    archive(scene, "t1", "table.csv", TABLE)
    (item,) = scene.desk.items(scene.approved())
    assert item.step.action is Action.UNSEARCHABLE
    assert "up to 10 are searched" in item.step.reason


def test_a_damaged_copy_is_listed_as_unsearchable(scene):
    sealed = archive(scene, "t1", "table.csv", TABLE)
    path = scene.root / "vault" / sealed[:2] / sealed
    path.write_bytes(path.read_bytes()[:-1])
    (item,) = scene.desk.items(scene.approved())
    assert item.step.action is Action.UNSEARCHABLE
    assert "not as it was sealed" in item.step.reason


def test_copies_whose_vault_is_configured_no_more_are_listed_as_unsearchable(scene, monkeypatch):
    archive(scene, "t1", "table.csv", TABLE)
    folder = contents.VaultFolder("demo", None, scene.ledger)
    monkeypatch.setattr(scene.links, "folders", lambda link: [folder])
    (item,) = scene.desk.items(scene.approved())
    assert item.step.reason == "the configuration of its link has no [vault]"


def test_a_vault_that_fails_leaves_the_copy_and_the_request_open(scene, monkeypatch):
    sealed = archive(scene, "t1", "table.csv", TABLE)
    request = scene.approved()

    def full(source):
        raise VaultError("a file could not be sealed: No space left on device")

    monkeypatch.setattr(scene.links.vault, "put", full)
    with pytest.raises(RefusedError, match="still finds the person in 1 files"):
        scene.desk.run(request)
    assert "No space left" in scene.desk.items(request)[0].step.reason
    assert read(scene.links.vault, sealed) == TABLE.encode()


@pytest.mark.parametrize("every", [3, pytest.param(1, marks=pytest.mark.soak)])
def test_kill_9_at_any_step_is_finished_and_leaves_no_copy_of_the_person(tmp_path, stage_of, every):
    beginning = tmp_path / "beginning"
    (beginning / "vault").mkdir(parents=True)
    with erasure_scene.scene(beginning) as scene:
        old = {
            archive(scene, "t1", "table.csv", TABLE),
            archive(scene, "t2", "letter.txt", f"Beste {JAN},\n"),
        }
        request = scene.approved()
    stage = stage_of(erasure_scene)
    steps = int(run(stage, beginning, tmp_path / "whole", request, step=-1))
    assert steps > 12
    places = [tmp_path / str(step) for step in range(0, steps, every)]
    for place in places:
        run(stage, beginning, place, request, int(place.name))
    with Children.start(["sftpd.erasure.reader"]) as children:
        for place in places:
            with closing(Scene(place, children)) as scene:
                with scene.ledger.read() as conn:  # as a start does before it finishes requests
                    known = recorded(conn, "demo")
                scene.links.vault.destroy_others(known)
                for interrupted in scene.desk.interrupted() or [request]:
                    scene.desk.run(interrupted)
                signed = verify(scene.desk.show(request).certificate.encode(), KEY.verifier)
                assert sum(entry.records for entry in signed.removed) == 2
                rows = copies(scene)
            with vault_in(place) as vault:
                assert sealed_files(place) == [rows["copy-t1"]["source"]]
                assert read(vault, rows["copy-t1"]["source"]) == TABLE_AFTER.encode()
                assert not any(vault.holds(gone) for gone in old)


def run(stage: Stage, beginning: Path, place: Path, request: str, step: int) -> str:
    shutil.copytree(beginning, place)
    ended = stage.play(place, request, step)
    assert ended.status == (0 if step < 0 else -signal.SIGKILL), ended.errors
    return ended.output
