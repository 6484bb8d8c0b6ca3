"""What comes between the steps of a deletion request, and what the ledger forgets with them."""

import hashlib
import threading

import erasure_scene
import pytest
from erasure_scene import JAN, KEY, RECEIVED, Scene

from sftpd.erasure.certificate import verify
from sftpd.erasure.contents import Files
from sftpd.erasure.grounds import Ground
from sftpd.erasure.request import State
from sftpd.errors import RefusedError
from sftpd.ledger import tables
from sftpd.ledger.outbox import Event

TABLE = f"naam;mail\nJan;{JAN}\nPiet;x{JAN}\n"
SHA256 = hashlib.sha256(TABLE.encode()).hexdigest()


@pytest.fixture
def scene(tmp_path):
    with erasure_scene.scene(tmp_path) as made:
        yield made


def certificate(scene: Scene, request: str):
    return verify(scene.desk.show(request).certificate.encode(), KEY.verifier)


@pytest.mark.parametrize(("name", "content"), [("a.csv", TABLE), ("a.txt", JAN)])
def test_what_is_published_while_a_file_is_looked_into_stays(scene, monkeypatch, name, content):
    path = scene.put(f"inbound/{name}", content)
    request = scene.approved(f"email={JAN}", "email=other@example.nl")
    which, newer = scene.readers.which, scene.put("screening/newer", "naam;mail\nAnna;anna@example.nl\n")

    def publishing(question, descriptor):
        answer = which(question, descriptor)
        if newer.exists():
            newer.rename(path)
        return answer

    monkeypatch.setattr(scene.readers, "which", publishing)
    assert scene.desk.run(request).state is State.CLOSED
    assert path.read_text() == "naam;mail\nAnna;anna@example.nl\n"
    assert certificate(scene, request).removed == ()


def test_nobody_publishes_where_a_file_goes_until_that_is_recorded(scene, monkeypatch):
    scene.put("inbound/a.csv", TABLE)
    request = scene.approved()
    recorded: list[bool] = []
    replace = Files.replace

    def publish() -> None:
        with scene.links.alone("demo", "inbound", (b"a.csv",)):
            recorded.append(b"erasure.removed" in scene.events())

    publisher = threading.Thread(target=publish)

    def replacing(*arguments):
        publisher.start()
        return replace(*arguments)

    monkeypatch.setattr(Files, "replace", replacing)
    assert scene.desk.run(request).state is State.CLOSED
    publisher.join()
    assert recorded == [True]


def half_run(scene: Scene) -> str:
    """A request for which `a.csv` was redacted; in `late.csv` the person is still."""
    scene.put("inbound/a.csv", TABLE)
    request = scene.approved()
    scene.put("inbound/late.csv", TABLE)
    with pytest.raises(RefusedError, match="1 file"):
        scene.desk.run(request)
    scene.desk.find(request)
    return request


def test_what_was_removed_stays_on_record_when_its_file_is_excepted_later(scene):
    request = half_run(scene)
    scene.put("inbound/a.csv", TABLE)
    late = [item.seq for item in scene.desk.find(request) if item.is_undone]
    scene.desk.reviewer.except_files(request, late, Ground.LEGAL_DUTY, "books", "Ina")
    scene.desk.approve(request, "operator")
    assert scene.desk.run(request).state is State.PARTIAL
    signed = certificate(scene, request)
    assert ([entry.records for entry in signed.removed], len(signed.held)) == ([1], 2)


def test_a_request_for_which_something_was_removed_is_not_denied(scene):
    crossed(scene, "t1", "f", direction="outbound")
    request = half_run(scene)
    with pytest.raises(RefusedError, match="1 of its removals") as refused:
        scene.desk.deny(request, "operator", "unfounded")
    assert refused.value.reason == "ERASURE_BEGUN"
    scene.desk.approve(request, "operator")
    assert scene.desk.run(request).state is State.NOTIFYING
    assert [entry.records for entry in certificate(scene, request).removed] == [1, 1]
    assert [row["transfer"] for row in scene.rows(tables.erasure_delivery)] == ["t1"]


def test_the_hash_of_what_was_redacted_is_in_no_transfer(scene):
    crossed(scene, "t1", "a.csv")
    path = scene.put("inbound/a.csv", TABLE)
    seen = path.stat()
    keep(scene, "t1", "a.csv", source=f"{seen.st_ino}:{seen.st_size}:{seen.st_mtime_ns}", state="present")
    request = scene.approved()
    assert scene.desk.run(request).state is State.CLOSED
    (transfer,) = scene.rows(tables.transfer)
    assert (transfer["path"], transfer["sha256"]) == (b"a.csv", "")


def test_names_of_files_that_retention_disposed_of_are_forgotten(scene):
    for file, name in (("f1", f"{JAN}.csv"), ("f2", f"x{JAN}.csv")):
        crossed(scene, file, name)
        keep(scene, file, name, source="1:2:3", state="disposed")
        dispose(scene, file, name)
    request = scene.approved()
    assert scene.desk.run(request).state is State.CLOSED
    for table in (tables.transfer, tables.kept_file, tables.disposal):
        assert [row["path"] for row in scene.rows(table)] == [b"", f"x{JAN}.csv".encode()]


def test_names_between_two_others_are_forgotten_in_the_log_of_the_link_alone(scene):
    crossed(scene, "t1", f"{JAN}.pdf")
    keep(scene, "t1", f"{JAN}.pdf", source="1:2:3", state="withdrawn")
    for link in ("demo", "other", None):
        told = {"path": f"/upload/{JAN}.csv", "new_path": "/upload/b.csv"}
        scene.ledger.write(lambda unit, at=link, told=told: unit.record(Event("file.renamed", at, {}, told)))
    for name in (f"{JAN}.pdf", f"{JAN}.csv"):
        row = {"event": name, "field": "path", "nonce": b"", "value": f'"/upload/{name}"'}
        scene.ledger.write(lambda unit, row=row: unit.conn.execute(tables.opening.insert(), [row]))
    assert scene.desk.run(scene.approved()).state is State.CLOSED
    left = [row for row in scene.rows(tables.opening) if row["field"] in ("path", "new_path")]
    assert {row["log"] for row in left} == {"other", "system", None}
    # Whose it is where openings did not know their log is only known of names in the ledger.
    assert [row["event"] for row in left if row["log"] is None] == [f"{JAN}.csv"]


def crossed(scene: Scene, transfer: str, name: str, direction: str = "inbound") -> None:
    """Enter a file that crossed the link."""
    row = {
        "id": transfer, "link": "demo", "direction": direction, "route": "upload", "peer": "acme",
        "path": name.encode(), "source": "1:2:3", "size": len(TABLE), "sha256": SHA256, "state": "done",
        "began_at": RECEIVED, "changed_at": RECEIVED,
    }  # fmt: skip
    scene.ledger.write(lambda unit: unit.conn.execute(tables.transfer.insert(), [row]))


def keep(scene: Scene, file: str, name: str, **how: str) -> None:
    """Enter a file as one that is, or was, in our care."""
    row = {
        "id": file, "link": "demo", "folder": "inbound", "path": name.encode(), "size": len(TABLE),
        "sha256": SHA256, "received_at": RECEIVED, "changed_at": RECEIVED, **how,
    }  # fmt: skip
    scene.ledger.write(lambda unit: unit.conn.execute(tables.kept_file.insert(), [row]))


def dispose(scene: Scene, file: str, name: str) -> None:
    """Enter that retention disposed of a file."""
    row = {
        "plan": "p", "file": file, "link": "demo", "folder": "inbound", "path": name.encode(),
        "source": "1:2:3", "rule": "year", "rule_version": 1, "due": RECEIVED, "reason": "it is due",
        "intended_at": RECEIVED, "done_at": RECEIVED, "result": "disposed",
    }  # fmt: skip
    scene.ledger.write(lambda unit: unit.conn.execute(tables.disposal.insert(), [row]))
