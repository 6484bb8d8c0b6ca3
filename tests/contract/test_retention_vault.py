"""Retention over the copies in a vault: rules, holds, reasons and the end, which is that of their keys."""

import os

import pytest
from retention_scene import OLD, RECEIVED, ZONE, Scene
from test_retention_sweep import anybody, events, states
from vault_scene import make_vault, put, read, sealed_files

from sftpd.errors import NotFoundError
from sftpd.files.beneath import Root
from sftpd.ledger import tables
from sftpd.periods import Period
from sftpd.retention import held, holds
from sftpd.retention.desk import RetentionDesk
from sftpd.retention.holds import HoldRequest
from sftpd.retention.rule import FileClass, Rule, Term
from sftpd.retention.scope import OfAccount, OfFile, OfFolder, OfQuery, OfTransfer
from sftpd.retention.sweep import Reach
from sftpd.retention.timekeeper import Timekeeper

SHORT, LONG = Term(Period.parse("PT5S")), Term(Period.parse("P30Y"))
VAULT = Rule("vault", 1, "demo", "vault", "*", SHORT, "dispose", "agreement", ZONE)


class Archived(Scene):
    """A scene whose link has a vault."""

    def __init__(self, folder, *rules, vault=None):
        super().__init__(folder)
        self.vault = vault or make_vault(folder)
        self.rules = rules
        self.use(self.vault)

    def use(self, vault):
        keeper = Timekeeper(self.ledger, self.clock)
        rules = self.rules or [VAULT]
        self.desk = RetentionDesk(
            self.ledger, rules, self.roots, keeper, self.clock, self.bounds, Reach(lambda link: vault)
        )

    def archive(self, path, *, peer="alice", content=None):
        """A copy of what crossed as a transfer under a path; returns its id in the vault."""
        name = f"t-{path.rpartition('/')[2]}"
        sealed = put(self.vault, path.encode() if content is None else content)
        row = {
            "id": f"c-{name}", "transfer": name, "link": "demo", "folder": "vault", "source": sealed,
            "path": f"c-{name}/{path}".encode(), "size": len(path), "sha256": "00" * 32,
            "received_at": RECEIVED, "state": "present", "changed_at": RECEIVED,
        }  # fmt: skip
        self.sent_by(peer, name)
        self.ledger.write(lambda unit: unit.conn.execute(tables.kept_file.insert(), [row]))
        return sealed

    def hold(self, scope):
        return holds.place(self.ledger, HoldRequest("demo", scope, "court case", "jan"))

    def planned(self):
        return {os.fsdecode(item.file.path) for item in self.steps()}


@pytest.fixture
def scene(tmp_path):
    made = Archived(tmp_path)
    yield made
    made.vault.close()
    made.ledger.close()


def under(scene, *rules):
    scene.rules = rules
    scene.use(scene.vault)


def test_a_run_destroys_the_key_and_the_bytes_of_what_is_due_and_nothing_else(scene):
    due, kept = scene.archive("a/due.csv"), scene.archive("kept.keep")
    under(scene, VAULT, Rule("long", 1, "demo", "vault", "*.keep", LONG, "dispose", "law", ZONE))
    assert scene.run() == {"c-t-due.csv/a/due.csv": "disposed"}
    assert sealed_files(scene.folder) == [kept]
    assert not scene.vault.holds(due)
    assert read(scene.vault, kept) == b"kept.keep"
    assert states(scene)[b"c-t-due.csv/a/due.csv"] == "disposed"
    assert events(scene)["retention.done", "c-t-due.csv"] == 1


@pytest.mark.parametrize(
    ("covers", "options"),
    [
        (True, {"folder": None}),
        (True, {"folder": "vault"}),
        (False, {"folder": "inbound"}),
        (True, {"glob": "in/*.csv"}),
        (False, {"glob": "*/in/*.csv"}),
        (True, {"glob": "*.csv"}),
        (True, {"account": "alice"}),
        (False, {"account": "bob"}),
        (True, {"file_class": FileClass("reports", ("in/*",))}),
    ],
)
def test_rules_know_a_copy_by_the_path_and_the_peer_of_its_file(scene, covers, options):
    scene.archive("in/report.csv")
    usual = {"folder": None, "glob": "*"}
    given = usual | options
    rule = Rule(
        "one", 1, "demo", given.pop("folder"), given.pop("glob"), SHORT, "dispose", "law", ZONE, **given
    )
    under(scene, rule)
    assert bool(scene.planned()) is covers


def test_a_rule_without_a_folder_ends_the_file_and_its_copy(scene):
    scene.receive(b"report.csv")
    scene.archive("report.csv")
    under(scene, Rule("all", 1, "demo", None, "*", SHORT, "dispose", "law", ZONE))
    assert set(scene.run().values()) == {"disposed"}
    assert (scene.left(), sealed_files(scene.folder)) == (set(), [])


@pytest.mark.parametrize(
    ("covers", "scope"),
    [
        (True, OfTransfer("t-a.csv")),
        (False, OfTransfer("t-other")),
        (True, OfFile("c-t-a.csv", "vault/a.csv")),
        (False, OfFile("t-a.csv", "inbound/in/a.csv")),
        (True, OfFolder("vault")),
        (True, OfAccount("alice")),
        (False, OfAccount("bob")),
        (True, OfQuery(glob="in/*.csv")),
        (False, OfQuery(folder="inbound")),
    ],
)
def test_holds_know_a_copy_by_its_transfer_its_peer_and_its_path(scene, covers, scope):
    copy = scene.archive("in/a.csv")
    hold = scene.hold(scope)
    with scene.ledger.read() as conn:
        assert held.covered(conn, [holds.get(conn, hold)]) == {hold: int(covers)}
        on_path = held.on_path(conn, OLD, "demo", "vault", b"c-t-a.csv/in/a.csv")
    assert (on_path is not None) is covers
    assert scene.planned() == (set() if covers else {"c-t-a.csv/in/a.csv"})
    if covers:
        assert scene.run() == {}
        assert read(scene.vault, copy) == b"in/a.csv"
        holds.release(scene.ledger, hold, "jan", anybody)
    scene.run()
    assert not scene.vault.holds(copy)


def test_a_hold_that_is_placed_after_the_plan_keeps_the_copy(scene):
    copy = scene.archive("a.csv")
    plan = scene.desk.plan()
    sweep = scene.desk._sweep
    steps = [scene.steps()]
    scene.hold(OfTransfer("t-a.csv"))
    results = sweep.run(plan.hash, steps, plan.places)
    assert {result.value for result in results.values()} == {"held"}
    assert read(scene.vault, copy) == b"a.csv"


def test_an_explanation_finds_the_copy_by_its_place(scene):
    scene.archive("a.csv")
    told = scene.desk.explain("demo", "vault", b"c-t-a.csv/a.csv")
    assert told.item.decision.rule.id == "vault"


def test_a_disposal_that_a_crash_interrupted_is_finished_at_the_start(scene, monkeypatch):
    copy = scene.archive("a.csv")

    class Crash(BaseException):
        pass

    def dies(*_):
        raise Crash

    with monkeypatch.context() as patched:
        patched.setattr("sftpd.retention.sweep.conclude", dies)
        with pytest.raises(Crash):
            scene.run()
    assert not scene.vault.holds(copy)
    scene.desk.recover()
    assert states(scene)[b"c-t-a.csv/a.csv"] == "disposed"
    assert events(scene)["retention.done", "c-t-a.csv"] == 1


def test_without_its_vault_a_copy_is_not_told_to_be_gone(scene):
    copy = scene.archive("a.csv")
    scene.use(None)
    assert scene.run() == {"c-t-a.csv/a.csv": "failed"}
    assert states(scene)[b"c-t-a.csv/a.csv"] == "present"
    scene.use(scene.vault)
    assert read(scene.vault, copy) == b"a.csv"


def test_a_restored_backup_of_the_vault_stays_unreadable_after_the_disposal(scene):
    copy = scene.archive("a.csv")
    path = scene.folder / "vault" / copy[:2] / copy
    backup = path.read_bytes()
    scene.run()
    path.write_bytes(backup)
    with pytest.raises(NotFoundError, match="no key"):
        read(scene.vault, copy)


def test_a_copy_whose_bytes_are_seen_after_its_removal_is_not_told_to_be_gone(scene, monkeypatch):
    scene.archive("a.csv")
    monkeypatch.setattr(Root, "unlink", lambda root, parts: None)
    assert scene.run() == {"c-t-a.csv/a.csv": "failed"}
    assert states(scene)[b"c-t-a.csv/a.csv"] == "present"
