"""Held files that their partner removes or replaces, where they are put aside: out of sight, in our care."""

import pytest
import sqlalchemy as sa
from exchange_scene import Scene, contents, crash_at_every_step

from sftpd.errors import RefusedError
from sftpd.files import durable
from sftpd.ledger import tables
from sftpd.names import VirtualPath

HELD, NEWER = b"held", b"newer, and longer"


@pytest.fixture
def scene(tmp_path):
    with held_scene(tmp_path) as scene:
        yield scene


def held_scene(folder):
    scene = Scene(folder, puts_aside=True)
    scene.held.add(b"d/a.csv")
    if not (scene.folders.inbound / "d").exists():
        scene.upload("upload/d/a.csv", HELD)
        scene.upload("upload/free.csv", NEWER)
    return scene


def path(text):
    return VirtualPath.parse(text.encode())


def rows(scene):
    """(folder, path, state) of each file; ids are left out of paths."""
    scene.flush()
    f = tables.kept_file.c
    with scene.ledger.read() as conn:
        found = conn.execute(sa.select(f.id, f.folder, f.path, f.state)).all()
    return sorted((row.folder, row.path.decode().removeprefix(f"{row.id}/"), row.state) for row in found)


def put_aside(scene):
    """What lies aside, by its path without the id."""
    return {name.split("/", 1)[1]: content for name, content in contents(scene.folders.held).items()}


REMOVALS = {
    "remove": lambda scene: scene.partner.remove(path("/upload/d/a.csv")),
    "upload": lambda scene: scene.upload("upload/d/a.csv", NEWER),
    "rename": lambda scene: scene.partner.rename(
        path("/upload/free.csv"), path("/upload/d/a.csv"), replace=True
    ),
}


@pytest.mark.parametrize("removal", REMOVALS)
def test_it_is_gone_for_the_partner_and_whole_for_us(scene, removal):
    REMOVALS[removal](scene)
    seen = contents(scene.folders.inbound)
    assert seen.get("d/a.csv") == (None if removal == "remove" else NEWER)
    assert put_aside(scene) == {"inbound/d/a.csv": HELD}
    assert ("held", "inbound/d/a.csv", "present") in rows(scene)
    assert not [row for row in rows(scene) if row[2] in ("replaced", "withdrawn")]
    assert scene.events()["file.put_aside"] == 1
    (told,) = [leaf["data"] for leaf in scene.leaves() if leaf["type"] == "file.put_aside"]
    assert told["folder"] == "inbound"
    assert "a.csv" not in str(told)


@pytest.mark.parametrize("removal", REMOVALS)
def test_when_no_hold_covers_it_any_more_it_is_let_go(scene, removal):
    REMOVALS[removal](scene)
    seen = contents(scene.folders.inbound)
    scene.changes.let_go()
    assert put_aside(scene) == {"inbound/d/a.csv": HELD}
    scene.held.clear()
    scene.changes.let_go()
    assert contents(scene.folders.held) == {}
    assert not any(scene.folders.held.iterdir())
    assert contents(scene.folders.inbound) == seen
    assert ("held", "inbound/d/a.csv", "withdrawn") in rows(scene)
    assert scene.events()["file.withdrawn"] == 1


def test_one_name_may_be_put_aside_again_and_again(scene):
    for number in range(3):
        scene.upload("upload/d/a.csv", b"%d" % number)
    scene.partner.remove(path("/upload/d/a.csv"))
    assert sorted(contents(scene.folders.held).values()) == [b"0", b"1", b"2", HELD]
    assert contents(scene.folders.inbound) == {"free.csv": NEWER}


def test_a_held_file_is_not_renamed_away_from_what_its_hold_is_on(scene):
    with pytest.raises(RefusedError) as refusal:
        scene.partner.rename(path("/upload/d/a.csv"), path("/upload/b.csv"), replace=False)
    assert refusal.value.reason == "HELD"
    assert contents(scene.folders.inbound)["d/a.csv"] == HELD


def test_a_rename_of_one_held_file_over_another_is_refused_and_puts_nothing_aside(scene):
    scene.held.add(b"free.csv")
    with pytest.raises(RefusedError):
        scene.partner.rename(path("/upload/free.csv"), path("/upload/d/a.csv"), replace=True)
    assert contents(scene.folders.inbound) == {"d/a.csv": HELD, "free.csv": NEWER}
    assert contents(scene.folders.held) == {}


def test_a_rename_that_fails_puts_nothing_aside(scene):
    for source, replace in (("/upload/none", True), ("/upload/free.csv", False)):
        with pytest.raises((FileNotFoundError, FileExistsError)):
            scene.partner.rename(path(source), path("/upload/d/a.csv"), replace=replace)
    assert contents(scene.folders.inbound)["d/a.csv"] == HELD
    assert contents(scene.folders.held) == {}


def test_what_sftpd_has_no_record_of_cannot_be_put_aside_and_is_refused(scene):
    (scene.folders.inbound / "local.csv").write_bytes(HELD)
    scene.held.add(b"local.csv")
    with pytest.raises(RefusedError):
        scene.partner.remove(path("/upload/local.csv"))
    with pytest.raises(RefusedError):
        scene.upload("upload/local.csv", NEWER)
    assert contents(scene.folders.inbound)["local.csv"] == HELD
    assert contents(scene.folders.quarantine) == {"local.csv": NEWER}


def test_where_the_disk_fails_it_is_refused_and_stays(scene, monkeypatch):
    def fail(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(durable, "make_directories", fail)
    with pytest.raises(RefusedError) as refusal:
        scene.partner.remove(path("/upload/d/a.csv"))
    assert refusal.value.reason == "HELD"
    assert contents(scene.folders.inbound)["d/a.csv"] == HELD
    assert ("inbound", "d/a.csv", "present") in rows(scene)
    assert scene.leaves()[-1]["data"]["change"] == "file.put_aside"


@pytest.mark.parametrize("removal", ["remove", "upload"])
def test_killed_at_any_step_it_lies_whole_in_one_place_that_the_ledger_knows(tmp_path, monkeypatch, removal):
    acknowledged = set()

    def act(scene):
        scene.upload("upload/d/a.csv", HELD)
        acknowledged.add(scene.folder)
        scene.held.add(b"d/a.csv")
        REMOVALS[removal](scene)

    def check(folder, crashed):
        if folder not in acknowledged:
            return
        with Scene(folder, puts_aside=True) as scene:
            scene.held.add(b"d/a.csv")
            scene.recovery.run(scene.queue, {})
            lying = {f"inbound/{name}": content for name, content in contents(scene.folders.inbound).items()}
            lying |= {f"held/{name}": content for name, content in put_aside(scene).items()}
            assert list(lying.values()).count(HELD) == 1
            known = {f"{folder}/{name}" for folder, name, state in rows(scene) if state == "present"}
            assert known == lying.keys()
            assert not [row for row in rows(scene) if row[2] == "moving_aside"]
            if not crashed:
                assert lying["held/inbound/d/a.csv"] == HELD

    assert crash_at_every_step(tmp_path, monkeypatch, act, check, puts_aside=True) > 8
    assert len(acknowledged) > 4


def test_a_removal_cut_off_is_not_done_under_a_hold_that_was_placed_meanwhile(tmp_path):
    with Scene(tmp_path) as scene:
        scene.upload("upload/a.csv", HELD)
        scene.ledger.write(
            lambda unit: unit.conn.execute(tables.kept_file.update().values(state="withdrawing"))
        )
    with Scene(tmp_path) as scene:
        scene.held.add(b"a.csv")
        scene.recovery.run(scene.queue, {})
        assert contents(scene.folders.inbound) == {"a.csv": HELD}
        assert rows(scene) == [("inbound", "a.csv", "present")]
