"""How many files each hold covers, counted many at a time, beside what it covers of each."""

import random
from datetime import timedelta

import pytest
import random_retention
from retention_scene import RECEIVED, Scene

from sftpd.ledger import tables
from sftpd.link import aside, vaulted
from sftpd.retention import held, in_care
from sftpd.retention.hold import Hold
from sftpd.retention.scope import OfAccount, OfFolder, OfLink, OfQuery, OfSubject

FOLDERS = ["inbound", "inbound", "sent", "failed", "staging", aside.FOLDER, vaulted.FOLDER]


@pytest.fixture
def scene(tmp_path):
    scene = Scene(tmp_path)
    yield scene
    scene.ledger.close()


def a_path(pick, number, folder):
    path = pick(random_retention.PATHS)
    match folder:
        case "staging":
            return pick([b"anna/", b"carl/"]) + path
        case aside.FOLDER if pick([True, True, False]):
            return b"/".join(aside.place_of(f"f{number}", pick(["inbound", "sent"]), (path,)))
        case vaulted.FOLDER:
            return b"/".join(vaulted.place_of(f"{number:032x}", (path,)))
        case _:
            return path


def fill(scene, pick, files):
    """Have the ledger know files of all kinds, some given back, some gone, some of another link."""
    kept, transfers, returned = [], [], []
    usual = {"source": "1:2:3", "size": 1, "sha256": "00" * 32, "changed_at": RECEIVED}
    for number in range(files):
        folder = pick(FOLDERS)
        file = f"c{number}" if folder == vaulted.FOLDER else f"f{number}"
        link, received = pick(["demo", "demo", "other"]), random_retention.moment(pick)
        crossed = pick([f"t{number}", "f1", "f2"]) if folder == vaulted.FOLDER else None
        about = {"id": file, "transfer": crossed, "link": link, "folder": folder, "received_at": received}
        state = pick(["present"] * 5 + ["disposed"])
        kept.append({**usual, **about, "path": a_path(pick, number, folder), "state": state})
        if crossed not in ("f1", "f2") and pick([True, True, False]):
            peer = pick(["anna", "bert", "carl"])
            transfers.append(
                {
                    **usual, "id": crossed or file, "peer": peer, "link": link, "direction": "inbound",
                    "route": "upload", "path": b"x", "state": "received", "began_at": received,
                }
            )  # fmt: skip
        if folder in ("inbound", "sent") and pick([True] + [False] * 5):
            lay = {"folder": pick(["inbound", "sent"]), "path": pick(random_retention.PATHS)}
            returned.append({"file": file, **lay, "offered_at": received})

    def work(unit):
        unit.conn.execute(tables.kept_file.insert(), kept)
        unit.conn.execute(tables.transfer.insert(), transfers)
        unit.conn.execute(tables.returned.insert(), returned)

    scene.ledger.write(work)


@pytest.mark.parametrize("seed", range(4))
def test_as_many_files_are_counted_as_are_covered_one_by_one(scene, monkeypatch, seed):
    monkeypatch.setattr(held, "_AT_ONCE", 37, raising=False)
    pick = random.Random(seed).choice
    fill(scene, pick, 600)
    scopes = [random_retention.scope(pick) for _ in range(60)]
    scopes += [OfLink(), OfFolder("staging"), OfFolder(aside.FOLDER), OfFolder(vaulted.FOLDER)]
    scopes += [OfSubject(("email",), ("00",)), OfAccount("anna"), OfQuery(glob="*.csv")]
    holds = [
        Hold(f"h{number}", pick(["demo", "demo", "other"]), scope, "case", "Jan", RECEIVED)
        for number, scope in enumerate(scopes)
    ]
    with scene.ledger.read() as conn:
        files = in_care.kept_files(conn, with_peers=True)
        wanted = {hold.id: sum(hold.covers(file) for file in files) for hold in holds}
        assert held.covered(conn, holds) == wanted
        for hold in holds:
            assert held.covered(conn, [hold]) == {hold.id: wanted[hold.id]}
    assert sum(wanted.values()) > 1000


@pytest.mark.parametrize(
    "scope",
    [
        OfLink(),
        OfFolder("inbound"),
        OfAccount("anna"),
        OfQuery(folder="inbound", since=RECEIVED - timedelta(days=1)),
        OfSubject(("email",), ("00",)),
    ],
    ids=lambda scope: scope.kind,
)
def test_to_count_files_takes_no_look_at_each(scene, monkeypatch, scope):
    names = [b"%d.csv" % number for number in range(50)]
    scene.receive(*names)
    scene.sent_by("anna", *(row[0] for row in rows_of(scene)))
    made, whole = [], in_care._kept
    monkeypatch.setattr(in_care, "_kept", lambda row: made.append(row) or whole(row))
    with scene.ledger.read() as conn:
        assert held.covered(conn, [Hold("h", "demo", scope, "case", "Jan", RECEIVED)]) == {"h": 50}
    assert not made


def rows_of(scene):
    with scene.ledger.read() as conn:
        return list(in_care.rows(conn, "demo", with_peers=False))
