"""A link with a vault: nothing crosses it without a copy, and no copy is there that nothing tells of."""

import errno
import os

import pytest
import sqlalchemy as sa
from exchange_scene import Scene, claim_one, contents, crash_at_every_step
from vault_scene import read
from waiting import until

from sftpd.errors import RemoteError
from sftpd.exchange.archive import recorded
from sftpd.files.vault import Vault, VaultError
from sftpd.ledger import tables

CONTENT = b"a;b\n" * 40_000


def archived(scene: Scene) -> dict[str, bytes]:
    """The content of each recorded copy, by the path that it crossed under."""
    scene.flush()
    f = tables.kept_file.c
    with scene.ledger.read() as conn:
        query = sa.select(f.id, f.path, f.source, f.transfer)
        rows = list(conn.execute(query.where(f.folder == "vault", f.state == "present")))
    ids = {transfer.id for transfer in scene.transfers()}
    assert all(row.transfer in ids and row.path.startswith(f"{row.id}/".encode()) for row in rows)
    return {row.path.partition(b"/")[2].decode(): read(scene.vault, row.source) for row in rows}


def left(scene: Scene) -> int:
    """Start as the daemon does; how many copies were there that nothing tells of."""
    with scene.ledger.read() as conn:
        known = recorded(conn, "demo")
    return scene.vault.destroy_others(known)


def sealed(scene: Scene) -> int:
    return sum(path.is_file() for path in scene.folders.vault.rglob("*"))


def told_of(scene: Scene, event: str) -> list[dict]:
    return [leaf["data"] for leaf in scene.leaves() if leaf["type"] == event]


def test_an_upload_is_archived_with_the_transaction_that_tells_of_it(tmp_path):
    with Scene(tmp_path, vault=True) as scene:
        assert scene.upload("upload/a/report.csv", CONTENT) == "published"
        assert archived(scene) == {"a/report.csv": CONTENT}
        (told,) = told_of(scene, "transfer.received")
        assert f"{told['vault']}/a/report.csv" in dict(map(reversed, scene.received()))
        assert left(scene) == 0


def test_a_newer_file_of_that_name_does_not_replace_the_copy_of_the_older(tmp_path):
    with Scene(tmp_path, vault=True) as scene:
        scene.upload("upload/report.csv", b"older")
        scene.upload("upload/report.csv", b"newer")
        assert sealed(scene) == 2
        assert [folder for folder, _ in scene.received()].count("vault") == 2


def test_what_a_gate_holds_back_is_not_archived(tmp_path):
    with Scene(tmp_path, vault=True) as scene:
        scene.hook("pre-receive", "exit 10")
        assert scene.upload("upload/report.csv", CONTENT) == "quarantined"
        assert sealed(scene) == 0


def test_what_comes_to_requests_is_not_archived_whatever_its_name(tmp_path):
    """Orders and answers say who a person is, and are removed when they are on record."""
    with Scene(tmp_path, vault=True) as scene:
        for name in ("a.order.json", "a.order.json.sig", "renamed later"):
            assert scene.upload(f"requests/{name}", b"jan@example.nl") == "published"
        assert sealed(scene) == 0
        assert {folder for folder, _ in scene.received()} == {"requests"}
        assert not any("vault" in told for told in told_of(scene, "transfer.received"))
        scene.upload("upload/report.csv", CONTENT)
        assert archived(scene) == {"report.csv": CONTENT}


def test_a_link_without_a_vault_has_no_copy_and_no_word_of_one(tmp_path):
    with Scene(tmp_path) as scene:
        scene.upload("upload/report.csv", CONTENT)
        assert sealed(scene) == 0
        (told,) = told_of(scene, "transfer.received")
        assert "vault" not in told


@pytest.mark.parametrize("route", ["download", "remote"])
def test_what_is_delivered_is_archived_with_the_transaction_that_tells_of_it(tmp_path, route):
    with Scene(tmp_path, vault=True) as scene:
        scene.queue.offer(scene.senders[route], scene.drop("a/report.csv", CONTENT))
        scene.run_queue()
        assert scene.states() == ["done"]
        assert archived(scene) == {"a/report.csv": CONTENT}
        (told,) = told_of(scene, "transfer.delivered")
        assert told["vault"] in " ".join(path for _, path in scene.received())


def test_a_vault_that_fails_keeps_the_upload_from_being_acknowledged(tmp_path, monkeypatch):
    with Scene(tmp_path, vault=True) as scene:
        monkeypatch.setattr(Vault, "put", _full)
        with pytest.raises(VaultError, match="No space"):
            scene.upload("upload/report.csv", CONTENT)
        assert scene.received() == []
        assert scene.events() == {}
        assert not list(scene.folders.inbound.iterdir())


@pytest.mark.parametrize("route", ["download", "remote"])
def test_a_vault_that_fails_keeps_a_file_from_being_placed_until_it_works_again(tmp_path, monkeypatch, route):
    with Scene(tmp_path, vault=True) as scene:
        place = scene.folders.download if route == "download" else tmp_path / "remote" / "out"
        with monkeypatch.context() as patched:
            patched.setattr(Vault, "put", _full)
            due = claim_one(scene.senders[route], scene.drop("report.csv", CONTENT))
            assert "No space" in str(scene.senders[route].advance(due.id)[due.id])
        assert not (place / "report.csv").exists()
        assert scene.events()["transfer.delivered"] == 0
        assert scene.senders[route].advance(due.id) == {}
        assert (place / "report.csv").read_bytes() == CONTENT
        assert archived(scene) == {"report.csv": CONTENT}


def _full(vault, source):
    raise VaultError(f"a file could not be sealed: {os.strerror(errno.ENOSPC)}")


def test_a_file_that_changes_while_it_is_sealed_is_delivered_as_it_is_then(tmp_path, monkeypatch):
    put = Vault.put

    def changing(vault, fd):
        monkeypatch.setattr(Vault, "put", put)
        sealed_as = put(vault, fd)
        scene.drop("report.csv", b"later version")
        return sealed_as

    with Scene(tmp_path, vault=True) as scene:
        sender = scene.senders["download"]
        early = claim_one(sender, scene.drop("report.csv", b"early"))
        monkeypatch.setattr(Vault, "put", changing)
        assert isinstance(sender.advance(early.id)[early.id], VaultError)
        assert sender.advance(early.id) == {}
        assert scene.states() == ["vanished"]
        later = claim_one(sender, (b"report.csv",))
        assert sender.advance(later.id) == {}
        assert contents(scene.folders.download) == {"report.csv": b"later version"}
        assert archived(scene) == {"report.csv": b"later version"}
        (told,) = told_of(scene, "transfer.delivered")
        assert told["transfer"] == later.id
        assert left(scene) == 0


def test_a_file_that_its_remote_does_not_take_leaves_no_copy(tmp_path):
    with Scene(tmp_path, vault=True) as scene:
        sender = scene.senders["remote"]
        due = claim_one(sender, scene.drop("report.csv", CONTENT))
        scene.remote.faults["publish"] = [RemoteError("it hung up")]
        assert isinstance(sender.advance(due.id)[due.id], RemoteError)
        assert sealed(scene) == 0
        assert left(scene) == 0


def test_a_refused_upload_leaves_no_copy(tmp_path):
    with Scene(tmp_path, vault=True) as scene:
        scene.upload("upload/report.csv", b"older")
        scene.stage("upload/report.csv", b"newer")
        taken = scene.keeping.require_room
        scene.keeping.require_room = lambda *_: scene.held.add(b"report.csv")  # placed since it was asked
        assert sealed(scene) == 1
        with pytest.raises(Exception, match="nothing may replace it"):
            scene.complete("upload/report.csv")
        scene.keeping.require_room = taken
        assert sealed(scene) == 1
        assert left(scene) == 0


def test_an_upload_has_its_copy_wherever_it_is_cut_off(tmp_path, monkeypatch):
    told = []

    def act(scene):
        told.clear()
        told.append(scene.upload("upload/report.csv", CONTENT))

    def check(folder, crashed):
        with Scene(folder, vault=True) as scene:
            left(scene)
            scene.recovery.run(scene.queue, {})
            received = [path for kept, path in scene.received() if kept == "inbound"]
            assert archived(scene) == dict.fromkeys(received, CONTENT)
            assert sealed(scene) == len(received)
            assert not told or received == ["report.csv"]
            assert left(scene) == 0

    assert crash_at_every_step(tmp_path, monkeypatch, act, check, vault=True) >= 10


@pytest.mark.parametrize("route", ["download", "remote"])
def test_a_delivery_has_its_copy_wherever_it_is_cut_off(tmp_path, monkeypatch, route):
    def act(scene):
        sender = scene.senders[route]
        sender.advance(claim_one(sender, scene.drop("report.csv", CONTENT)).id)

    def check(folder, crashed):
        with Scene(folder, vault=True) as scene:
            left(scene)
            scene.recover(route)
            until(lambda: scene.states() == ["done"])
            assert archived(scene) == {"report.csv": CONTENT}
            assert sealed(scene) == 1
            assert scene.events()["transfer.delivered"] == 1
            assert left(scene) == 0

    assert crash_at_every_step(tmp_path, monkeypatch, act, check, vault=True) >= 8
