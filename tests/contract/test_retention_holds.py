"""Holds in a real ledger: which paths and files they are found to cover, and who may release them."""

import json
from datetime import timedelta
from pathlib import Path

import ledgers
import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from retention_scene import OLD, RECEIVED, Scene

from sftpd.errors import NotFoundError, RefusedError
from sftpd.ledger import database, tables
from sftpd.ledger.database import open_engine
from sftpd.retention import held, holds
from sftpd.retention.hold import Hold
from sftpd.retention.holds import HoldRequest
from sftpd.retention.scope import (
    OfAccount,
    OfFile,
    OfFolder,
    OfLink,
    OfQuery,
    OfSubject,
    OfTransfer,
)


@pytest.fixture
def scene(tmp_path):
    scene = Scene(tmp_path)
    yield scene
    scene.ledger.close()


def place(scene, scope, link="demo", **values):
    return holds.place(scene.ledger, HoldRequest(link, scope, "court case", "Jan", **values))


def on(scene, path, folder="inbound", link="demo", now=OLD):
    """The scope of the hold that is found on a path."""
    with scene.ledger.read() as conn:
        found = held.on_path(conn, now, link, folder, path)
    return None if found is None else found.scope


def file_of(scene, path):
    with scene.ledger.read() as conn:
        return held.find_file(conn, "demo", f"inbound/{path}").file


def covered(scene, scope):
    with scene.ledger.read() as conn:
        return held.covered(conn, [Hold("h", "demo", scope, "court case", "Jan", RECEIVED)])["h"]


def leaves(scene, prefix):
    with scene.ledger.read() as conn:
        found = [json.loads(leaf) for leaf in conn.scalars(sa.select(tables.outbox.c.leaf))]
    return [leaf for leaf in found if leaf["type"].startswith(prefix)]


def test_each_scope_is_found_on_the_path_of_what_it_covers_and_on_no_other(scene):
    scene.receive(b"a.csv", b"b.csv")
    a = file_of(scene, "a.csv")
    scene.sent_by("anna", a)
    for scope in (
        OfFile(a, "inbound/a.csv"),
        OfTransfer(a),
        OfAccount("anna"),
        OfQuery(account="anna", since=RECEIVED, before=OLD),
        OfQuery(glob="a*"),
        OfSubject(("email",), ("00",), OLD, frozenset({("inbound", b"a.csv")})),
    ):
        hold = place(scene, scope)
        assert on(scene, b"a.csv") == scope
        assert on(scene, b"b.csv") is None
        assert on(scene, b"a.csv", link="other") is None
        assert covered(scene, scope) == 1
        holds.release(scene.ledger, hold, "Jan", lambda link: False)
        assert on(scene, b"a.csv") is None


def test_what_the_ledger_does_not_know_is_covered_by_its_path_alone(scene):
    for scope, wanted in (
        (OfLink(), True),
        (OfFolder("inbound"), True),
        (OfQuery(glob="*.csv"), True),
        (OfAccount(""), True),
        (OfAccount("anna"), False),
        (OfQuery(before=OLD), False),
        (OfSubject(("email",), ("00",), RECEIVED), False),
        (OfSubject(("email",), ("00",)), True),
    ):
        hold = place(scene, scope)
        assert (on(scene, b"a.csv") == scope) is wanted, scope
        holds.release(scene.ledger, hold, "Jan", lambda link: False)


def test_a_transfer_is_found_where_it_lies_for_the_partner_to_fetch(scene):
    delivered = {
        "direction": "outbound",
        "folder": "download",
        "delivered_as": b"d/a.csv",
        "state": "delivered",
    }
    scene.sent_by("", "t1", **delivered)
    scene.sent_by("", "t2", **delivered | {"delivered_as": None, "path": b"b.csv"})
    place(scene, OfTransfer("t1"))
    assert on(scene, b"d/a.csv", "download") == OfTransfer("t1")
    assert on(scene, b"b.csv", "download") is None
    place(scene, OfTransfer("t2"))
    assert on(scene, b"b.csv", "download") == OfTransfer("t2")


def test_a_transfer_is_found_in_the_folder_that_it_is_sent_from_and_in_none_of_ours(scene):
    scene.sent_by("peer", "t1", direction="outbound", path=b"a.csv", state="sending")
    place(scene, OfAccount("peer"))
    assert on(scene, b"a.csv", "outbound") == OfAccount("peer")
    assert on(scene, b"a.csv", "inbound") is None


def test_a_hold_that_has_run_out_is_found_nowhere(scene):
    place(scene, OfLink(), until=OLD)
    assert on(scene, b"a.csv", now=OLD - timedelta(microseconds=1)) == OfLink()
    assert on(scene, b"a.csv", now=OLD) is None


def test_files_and_transfers_that_are_not_there_cannot_be_held(scene):
    scene.receive(b"a.csv")
    for named in ("inbound/b.csv", "sent/a.csv", "none", "inbound"):
        with scene.ledger.read() as conn, pytest.raises(NotFoundError, match="is in our care"):
            held.find_file(conn, "demo", named)
    with scene.ledger.read() as conn:
        assert held.find_file(conn, "demo", file_of(scene, "a.csv")).place == "inbound/a.csv"
        with pytest.raises(NotFoundError):
            held.find_file(conn, "other", "inbound/a.csv")
        with pytest.raises(NotFoundError, match="no transfer"):
            held.find_transfer(conn, "demo", "t1")


def test_of_the_holds_on_single_files_a_look_reads_that_of_the_file_alone(scene):
    scene.receive(*(b"%d.csv" % number for number in range(20)))
    scopes = [OfFile(file_of(scene, f"{number}.csv"), f"inbound/{number}.csv") for number in range(10)]
    for scope in (*scopes, OfFolder("sent")):
        place(scene, scope)
    assert [on(scene, b"%d.csv" % number) for number in range(20)] == scopes + [None] * 10
    with scene.ledger.read() as conn:
        read = holds.standing(conn, OLD, "demo", scopes[3].file)
    assert {hold.scope for hold in read} == {scopes[3], OfFolder("sent")}


def test_a_second_person_is_another_one_however_the_name_is_written(scene):
    hold = place(scene, OfLink())
    for name in ("Jan", "JAN", " jan ", "\uff2aan", "J\u200ban"):
        with pytest.raises(RefusedError) as refusal:
            holds.release(scene.ledger, hold, name, {"demo": True}.__getitem__)
        assert refusal.value.reason == "SECOND_PERSON"
        assert on(scene, b"a.csv") == OfLink()
    assert [leaf["data"]["refused"] for leaf in leaves(scene, "hold.release_refused")] == [
        "SECOND_PERSON"
    ] * 5
    holds.release(scene.ledger, hold, "Piet", {"demo": True}.__getitem__)
    with pytest.raises(RefusedError) as refusal:
        holds.release(scene.ledger, hold, "Piet", {"demo": True}.__getitem__)
    assert refusal.value.reason == "HOLD_RELEASED"
    assert [leaf["type"] for leaf in leaves(scene, "hold.")][-2:] == ["hold.released", "hold.release_refused"]


def test_no_leaf_tells_what_a_hold_is_on_or_why(scene):
    place(scene, OfQuery(glob="jansen*"))
    place(scene, OfAccount("jansen"))
    (first, second) = leaves(scene, "hold.placed")
    assert (first["data"]["scope"], second["data"]["scope"]) == ("query", "account")
    for word in ("jansen", "court", "Jan"):
        assert word not in json.dumps([first, second])


def test_a_hold_of_an_older_ledger_covers_what_it_did(tmp_path):
    engine = open_engine(ledgers.url(tmp_path / "ledger.db", empty=True))
    config = Config()
    config.set_main_option("script_location", str(Path(database.__file__).parent / "migrations"))
    with database.for_writing(engine).begin() as conn:
        config.attributes["connection"] = conn
        command.upgrade(config, "0009")
        for number, (folder, glob) in enumerate([(None, None), ("sent", None), (None, "a*"), ("sent", "a*")]):
            row = {"id": f"h{number}", "folder": folder, "glob": glob}
            conn.execute(
                sa.text(
                    "INSERT INTO hold (id, link, folder, glob, reason, placed_by, placed_at)"
                    " VALUES (:id, 'demo', :folder, :glob, 'court', 'Jan', 1)"
                ),
                row,
            )
    database.migrate(engine)
    with engine.connect() as conn:
        scopes = [hold.scope for hold in holds.listed(conn)]
    engine.dispose()
    assert scopes == [OfLink(), OfFolder("sent"), OfQuery(glob="a*"), OfQuery("sent", "a*")]
