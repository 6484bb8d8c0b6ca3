"""Receipts that a remote holds of our deliveries: each is matched or told of, once, and kept for proof."""

import contextlib
import hashlib
import os
import shutil
import sqlite3
from datetime import timedelta

import pytest
import sqlalchemy as sa
from deaths import die_after
from exchange_doubles import Crash, Fuse
from exchange_scene import DIGESTS, claim_one, contents
from receipt_scene import verifies
from return_scene import THEIRS, TRANSFER, WITHIN, Clock, ReturnScene, claim

from sftpd.audit import sshsig
from sftpd.audit.checkpoint import SigningKey
from sftpd.erasure import openings, traces
from sftpd.errors import RemoteError, RemoteRefusedError
from sftpd.exchange import receipt, return_collect, return_records
from sftpd.exchange.return_collect import ReturnCollector
from sftpd.files import durable
from sftpd.ledger import tables
from sftpd.ledger.ledger import Ledger

CHANGES = [
    (os, ["fsync", "mkdir", "unlink"]),
    (durable, ["sync_file_system"]),
    (Ledger, ["write"]),
]
"""The calls besides writes that change the disk."""


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def scene(tmp_path, clock):
    with ReturnScene(tmp_path, clock=clock) as scene:
        yield scene


def test_a_delivery_awaits_its_receipt_and_gets_it(scene):
    sent = scene.deliver("march/report.csv", b"name;amount\n")
    assert scene.standing(sent)["state"] == "awaited"
    scene.collect()
    assert scene.told() == []

    path = scene.receipt_of(sent, 1234)
    scene.collect()

    ((kind, public),) = scene.told()
    assert kind == "receipt.matched"
    assert public == {
        "transfer": sent,
        "direction": "outbound",
        "route": "remote",
        "size": 12,
        "verdict": "accept",
        "arrival": "in_time",
        "instance": THEIRS.name,
        "theirs": f"{TRANSFER}1234",
        "log": f"{THEIRS.name}/theirs",
        "index": 1234,
        "leaf": "ab" * 32,
    }
    standing = scene.standing(sent)
    assert (standing["state"], standing["verdict"], standing["index"]) == ("matched", "accept", 1234)
    (kept,) = scene.kept.rglob("*.json")
    assert (kept.parent.name, kept.name) == (sent, "1234.json")
    assert kept.read_bytes() == path.read_bytes()
    signers = scene.folder / "signers"
    signers.write_text(sshsig.allowed_signer(THEIRS.verifier, receipt.NAMESPACE))
    assert verifies(kept, signers, THEIRS.name)


def test_names_and_hashes_are_private_in_what_is_told(scene):
    sent = scene.deliver("jan@example.org.csv")
    scene.receipt_of(sent, 1)
    scene.receipt_of(sent, 2, name="anna@example.org.csv")
    scene.collect()
    assert scene.outcomes() == ["matched accept", "refused unknown"]
    leaves = str([leaf for leaf in scene.leaves() if leaf["type"].startswith("receipt.")])
    sha256 = scene.transfers()[0].sha256
    assert not any(private in leaves for private in ("example.org", sha256))
    with scene.ledger.read() as conn:
        opened = {*conn.scalars(sa.select(tables.opening.c.value))}
    assert '"jan@example.org.csv"' in opened
    assert '"anna@example.org.csv"' not in opened, "nothing here could erase it"


def test_each_receipt_is_told_of_once_and_those_before_are_not_fetched_again(scene):
    for number in range(3):
        scene.receipt_of(scene.deliver(f"{number}.csv", b"%d" % number), number)
    scene.collect()
    fetched = scene.remote.calls["download"]
    assert fetched == 6
    scene.collect()
    scene.receipt_of(scene.deliver("later.csv"), 3000)
    scene.collect()
    assert scene.outcomes() == ["matched accept"] * 4
    assert scene.remote.calls["download"] == fetched + 2


def test_a_folder_that_was_gone_over_is_not_listed_again(scene, clock):
    for day in range(3):
        scene.receipt_of(scene.deliver(f"{day}.csv", b"%d" % day), day * 1500)
        clock.pass_by(timedelta(days=1))
    scene.collect()
    assert scene.outcomes() == ["matched accept"] * 3
    shutil.rmtree(scene.there / "2026-03-01")
    (scene.there / "2026-03-02/0").mkdir()
    looked = []
    look = type(scene.remote).look
    scene.remote.look = lambda path, wanted: (looked.append(path), look(scene.remote, path, wanted))[1]
    scene.collect()
    assert looked == [
        b"/receipts/",
        b"/receipts/2026-03-02",
        b"/receipts/2026-03-03",
        b"/receipts/2026-03-03/3",
    ]


def test_a_remote_without_receipts_costs_a_look_and_the_deliveries_are_missed(scene, clock):
    sent = scene.deliver("report.csv")
    clock.pass_by(WITHIN - timedelta(seconds=1))
    scene.collect()
    assert scene.told() == []
    clock.pass_by(timedelta(seconds=1))
    scene.collect()
    scene.collect()
    assert scene.outcomes() == ["missed"]
    assert scene.told()[0][1]["transfer"] == sent
    assert scene.standing(sent)["state"] == "missed"
    with scene.ledger.read() as conn:
        assert return_records.missing_by_link(conn) == {"demo": 1}


def test_a_delivery_is_missed_also_while_nobody_can_look(scene, clock):
    scene.deliver("report.csv")
    clock.pass_by(WITHIN)
    scene.remote.down = RemoteError("away")
    with pytest.raises(RemoteError):
        scene.returns.collect()
    assert scene.outcomes() == ["missed"]


def test_all_that_are_missed_are_told_of_however_many(scene, clock, monkeypatch):
    monkeypatch.setattr(return_records, "_BATCH", 2)
    for number in range(5):
        scene.deliver(f"{number}.csv")
    clock.pass_by(WITHIN)
    scene.collect()
    assert scene.outcomes() == ["missed"] * 5


def test_a_receipt_that_comes_late_is_matched_as_late(scene, clock):
    sent = scene.deliver("report.csv")
    clock.pass_by(WITHIN)
    scene.collect()
    scene.receipt_of(sent, 1)
    clock.pass_by(timedelta(seconds=1))
    scene.collect()
    assert scene.outcomes() == ["missed", "matched accept"]
    assert scene.told()[1][1]["arrival"] == "late"
    with scene.ledger.read() as conn:
        assert return_records.missing_by_link(conn) == {}


def test_a_verdict_that_is_not_accept_is_told_and_so_is_one_that_changed(scene):
    blocked, changed = scene.deliver("virus.exe", b"1"), scene.deliver("late.exe", b"2")
    scene.receipt_of(blocked, 1, verdict="quarantine")
    scene.receipt_of(changed, 2, transfer="06h1same")
    scene.collect()
    scene.receipt_of(changed, 3, transfer="06h1same", verdict="reject")
    scene.collect()
    assert scene.outcomes() == ["matched quarantine", "matched accept", "matched reject"]
    assert scene.standing(changed)["verdict"] == "reject"
    assert {path.name for path in scene.kept.rglob("*.json")} == {"1.json", "2.json", "3.json"}


def test_a_file_that_is_rejected_and_sent_again_has_the_receipt_of_the_try_that_was_not(scene):
    transfer = claim_one(scene.senders["remote"], scene.drop("report.csv")).id
    for index in (1, 2):
        scene.receipt_of(transfer, index, verdict="reject")
    scene.collect()
    assert scene.standing(transfer)["verdict"] == "reject"
    scene.senders["remote"].advance(transfer)
    scene.receipt_of(transfer, 3)
    scene.receipt_of(transfer, 4)
    scene.collect()
    assert scene.outcomes() == [*["matched reject"] * 2, "matched accept", "refused repeated"]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"sha256": "00" * 32}, "sha256"),
        ({"size": 5}, "size"),
        ({"name": "other.csv"}, "unknown"),
        ({"route": "requests"}, "unknown"),
        ({"direction": "outbound"}, "malformed"),
        ({"instance": "other.example"}, "signature"),
    ],
)
def test_a_receipt_that_does_not_fit_is_refused_once_and_the_delivery_still_awaits_one(
    scene, changes, reason
):
    sent = scene.deliver("report.csv")
    scene.receipt_of(sent, 1, **changes)
    scene.collect()
    scene.collect()
    assert scene.outcomes() == [f"refused {reason}"]
    assert scene.standing(sent)["state"] == "awaited"
    assert contents(scene.kept) == {}
    scene.receipt_of(sent, 2)
    scene.collect()
    assert scene.outcomes()[1:] == ["matched accept"]


def tampered(path):
    path.write_bytes(path.read_bytes().replace(b'"accept"', b'"reject"'))


def unsigned(path):
    path.with_name(f"{path.name}.sig").unlink()


def by_another(path):
    signature = sshsig.sign(path.read_bytes(), SigningKey.generate(THEIRS.name), receipt.NAMESPACE)
    path.with_name(f"{path.name}.sig").write_bytes(signature)


def for_another_use(path):
    signature = sshsig.sign(path.read_bytes(), THEIRS, "file")
    path.with_name(f"{path.name}.sig").write_bytes(signature)


def huge(path):
    path.write_bytes(b" " * (return_collect.RECEIPT_LIMIT + 1))


def hugely_signed(path):
    path.with_name(f"{path.name}.sig").write_bytes(b" " * (return_collect.SIGNATURE_LIMIT + 1))


def renamed(path):
    other = path.with_name(path.name.replace(".1.received", ".2.received"))
    path.with_name(f"{path.name}.sig").rename(f"{other}.sig")
    path.rename(other)


@pytest.mark.parametrize(
    ("harm", "reason"),
    [
        (tampered, "signature"),
        (unsigned, "unsigned"),
        (by_another, "signature"),
        (for_another_use, "signature"),
        (huge, "size_limit"),
        (hugely_signed, "size_limit"),
        (renamed, "misplaced"),
    ],
)
def test_a_receipt_that_is_not_as_it_was_made_is_refused(scene, harm, reason):
    sent = scene.deliver("report.csv")
    harm(scene.receipt_of(sent, 1))
    scene.receipt_of(scene.deliver("good.csv", b"good"), 3)
    scene.collect()
    assert scene.outcomes() == [f"refused {reason}", "matched accept"]
    assert scene.standing(sent)["state"] == "awaited"
    if reason == "size_limit":
        assert scene.remote.calls["download"] == 2, "it is not fetched"


def test_one_that_may_not_be_read_keeps_no_other_waiting(scene):
    for number in (1, 2):
        scene.receipt_of(scene.deliver(f"{number}.csv", b"%d" % number), number)
    scene.remote.faults["download"] = [RemoteRefusedError("permission denied")]
    scene.collect()
    assert scene.outcomes() == ["refused unreadable", "matched accept"]


def test_what_a_broken_connection_left_is_taken_next_time(scene):
    for number in range(3):
        scene.receipt_of(scene.deliver(f"{number}.csv", b"%d" % number), number)
    scene.remote.lost_answers["download"] = 0

    def lose(name):
        if name.endswith(b".1.received.json"):
            scene.remote.lost_answers["download"] = 1

    scene.remote.before_download = lose
    with pytest.raises(RemoteError):
        scene.returns.collect()
    assert scene.outcomes() == ["matched accept"]
    scene.remote.before_download = lambda name: None
    scene.collect()
    assert scene.outcomes() == ["matched accept"] * 3


def test_receipts_of_other_accounts_and_of_other_kinds_are_passed_over(scene):
    sent = scene.deliver("report.csv")
    scene.receipt_of(sent, 1, peer="somebody")
    delivered = scene.receipt_of(sent, 2)
    delivered.rename(delivered.with_name(delivered.name.replace("received", "delivered")))
    (scene.there / "allowed_signers").write_text("x")
    (scene.there / "2026-03-01/0/notes.txt").write_text("x")
    (scene.there / "2026-03-01/misc").mkdir()
    scene.collect()
    assert scene.told() == []
    scene.receipt_of(sent, 3)
    fetched = scene.remote.calls["download"]
    scene.collect()
    assert scene.outcomes() == ["matched accept"]
    assert scene.remote.calls["download"] == fetched + 2


def test_of_what_was_delivered_before_none_is_awaited_and_none_told_of(tmp_path, scene, clock):
    scene.ledger.write(lambda unit: unit.conn.execute(tables.return_receipt.delete()))
    early = scene.deliver("early.csv")
    scene.receipt_of(early, 1)
    scene.ledger.write(lambda unit: unit.conn.execute(tables.return_receipt.delete()))
    clock.pass_by(timedelta(minutes=6))
    return_records.enrol(scene.ledger, [])
    return_records.enrol(scene.ledger, [("demo", "peer")])
    scene.collect()
    clock.pass_by(WITHIN)
    scene.collect()
    assert scene.told() == []
    assert scene.standing(early) is None


def test_who_collects_no_more_awaits_nothing_and_keeps_what_came(scene, clock):
    had, without = scene.deliver("had.csv", b"1"), scene.deliver("without.csv", b"2")
    scene.receipt_of(had, 1)
    scene.collect()
    return_records.enrol(scene.ledger, [])
    assert scene.standing(without) is None
    assert scene.standing(had)["state"] == "matched"


def test_to_enrol_again_forgets_nothing(scene):
    sent = scene.deliver("report.csv")
    scene.receipt_of(sent, 1)
    scene.collect()
    return_records.enrol(scene.ledger, [("demo", "peer")])
    scene.collect()
    assert scene.outcomes() == ["matched accept"]


def test_a_receipt_that_is_there_before_we_know_of_the_delivery_is_matched(scene):
    transfer = claim_one(scene.senders["remote"], scene.drop("report.csv")).id
    scene.receipt_of(transfer, 1)
    scene.collect()
    assert scene.outcomes() == ["matched accept"]
    scene.senders["remote"].advance(transfer)
    standing = scene.standing(transfer)
    assert standing["state"] == "matched"
    assert standing["delivered"] is not None
    scene.collect()
    assert scene.outcomes() == ["matched accept"]


def test_a_file_that_was_sent_twice_has_two_receipts_and_no_third(scene):
    first, second = scene.deliver("report.csv"), scene.deliver("report.csv")
    for index in (1, 2, 3):
        scene.receipt_of(first, index)
    scene.collect()
    assert scene.outcomes() == ["matched accept", "matched accept", "refused repeated"]
    assert [scene.standing(each)["index"] for each in (first, second)] == [1, 2]


def test_a_name_of_another_layout_or_that_was_taken_is_matched_as_it_was_delivered(tmp_path, clock):
    with ReturnScene(tmp_path, clock=clock, layout="flatten") as scene:
        sent = scene.deliver("march/report.csv")
        assert scene.receipt_of(sent, 1).name.startswith("march+report.csv.")
        scene.collect()
        assert scene.outcomes() == ["matched accept"]


def test_a_listing_that_misses_what_was_made_meanwhile_is_made_again(scene, monkeypatch):
    sent = [scene.deliver(f"{number}.csv", b"%d" % number) for number in (1, 2)]
    ahead, misses = ReturnCollector._ahead, [1]

    def missing(collector, remote, position):
        found = list(ahead(collector, remote, position))
        if misses and misses.pop():
            scene.receipt_of(sent[0], 1)
            scene.receipt_of(sent[1], 2)
            found = [one for one in ahead(collector, remote, position) if one.index == 2]
        return iter(found)

    monkeypatch.setattr(ReturnCollector, "_ahead", missing)
    scene.collect()
    assert [scene.standing(each)["index"] for each in sent] == [1, 2]


def test_a_look_takes_a_batch_and_says_that_there_is_more(scene, monkeypatch):
    monkeypatch.setattr(return_collect, "_BATCH", 2)
    for number in range(3):
        scene.receipt_of(scene.deliver(f"{number}.csv", b"%d" % number), number)
    assert scene.returns.collect()
    assert scene.outcomes() == ["matched accept"] * 2
    assert not scene.returns.collect()
    assert scene.outcomes() == ["matched accept"] * 3


def test_an_erased_file_takes_its_receipt_along_and_awaits_none(scene, clock):
    had, without = scene.deliver("had.csv", b"jan"), scene.deliver("without.csv", b"jan")
    other = scene.deliver("other.csv", b"piet")
    for transfer, index in ((had, 1), (other, 2)):
        scene.receipt_of(transfer, index)
    scene.collect()
    return_collect.remove(scene.places["return_receipts"], scene.ledger, [had, without])
    sha256 = hashlib.sha256(b"jan").hexdigest()
    with scene.ledger.read() as conn:
        told = openings.of_hashes(conn, [sha256])
    scene.ledger.write(lambda unit: openings.forget(unit, told, openings.OF_FILES))
    scene.ledger.write(lambda unit: traces.erased(unit, "demo", ("sent", (b"had.csv",)), DIGESTS))

    assert {path.parent.name for path in scene.kept.rglob("*.json")} == {other}
    assert scene.standing(without) is None
    assert scene.standing(had)["verdict"] == "accept", "who had it, and when, names nobody"
    with contextlib.closing(sqlite3.connect(scene.folder / "ledger.db")) as ledger:
        rows = ledger.execute("SELECT * FROM return_receipt").fetchall()
        values = ledger.execute("SELECT value FROM opening").fetchall()
    assert len(rows) == 2
    assert not any(sha256 in str(row) or "had.csv" in str(row) for row in (*rows, *values))
    clock.pass_by(WITHIN)
    scene.receipt_of(other, 3, sha256=sha256, size=3, name="without.csv")
    scene.collect()
    assert scene.outcomes() == ["matched accept"] * 2 + ["refused unknown"]


def test_nothing_is_kept_while_an_erasure_removes(scene):
    sent = scene.deliver("report.csv")
    scene.receipt_of(sent, 1)
    entered = []
    keep = ReturnCollector._keep

    def watched(collector, *args):
        entered.append(scene.alone.locked())
        keep(collector, *args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ReturnCollector, "_keep", watched)
        scene.collect()
    assert entered == [True]


def test_content_is_durable_before_it_is_noted(scene, monkeypatch):
    sent = scene.deliver("report.csv")
    scene.receipt_of(sent, 1)
    steps = []
    fsync, matched = os.fsync, return_records.matched
    monkeypatch.setattr(os, "fsync", lambda fd: (steps.append("sync"), fsync(fd))[1])
    monkeypatch.setattr(return_records, "matched", lambda *args: (steps.append("noted"), matched(*args))[1])
    scene.collect()
    # Two new folders, the signature and the receipt, and the folder of both.
    assert steps == ["sync"] * 5 + ["noted"]


@pytest.mark.parametrize("step", [0, 1])
def test_a_delivery_is_awaited_from_the_transaction_that_records_it(tmp_path, scene, clock, step):
    transfer = claim_one(scene.senders["remote"], scene.drop("report.csv")).id
    with contextlib.suppress(Crash):
        scene.ledger.fuse = Fuse(2 + step)  # the second commit is the one after the file was placed
        scene.senders["remote"].advance(transfer)
    scene.ledger.fuse = Fuse()
    with ReturnScene(tmp_path, clock=clock) as again:
        again.senders["remote"].advance(transfer)
        assert again.standing(transfer)["state"] == "awaited"
        assert again.events()["transfer.delivered"] == 1


def collect_and_die(folder, clock, steps):
    """Collect in a child that dies after `steps`; says whether it did."""
    child = os.fork()
    if child == 0:
        code = 1
        with contextlib.suppress(BaseException):
            scene = ReturnScene(folder, clock=clock)
            die_after(steps, *CHANGES)
            scene.collect()
            code = 0
        os._exit(code)
    status = os.waitpid(child, 0)[1]
    assert os.WIFSIGNALED(status) or os.waitstatus_to_exitcode(status) == 0
    return os.WIFSIGNALED(status)


def test_kill_9_at_every_step_counts_each_receipt_once(tmp_path, clock):
    folder = tmp_path / "due"
    folder.mkdir()
    with ReturnScene(folder, clock=clock) as scene:
        sent = [scene.deliver(f"{number}.csv", b"%d" % number) for number in range(3)]
        for index, transfer in enumerate(sent[:2]):
            scene.receipt_of(transfer, index)
        scene.receipt_of(sent[0], 2, name="never.csv")
        scene.deliver("missed.csv")
    clock.pass_by(WITHIN)
    expected = ["matched accept"] * 2 + ["refused unknown"] + ["missed"] * 2
    killed, steps = True, 0
    while killed:
        copy = shutil.copytree(folder, tmp_path / "copy")
        killed = collect_and_die(copy, clock, steps)
        with ReturnScene(copy, clock=clock) as scene:
            scene.collect()
            scene.collect()
            assert scene.outcomes() == expected
            proofs = sorted(scene.kept.rglob("*.json"))
            assert [proof.parent.name for proof in proofs] == sorted(sent[:2])
            for proof in proofs:
                (there,) = scene.there.rglob(f"*.{proof.stem}.received.json")
                assert proof.read_bytes() == there.read_bytes()
                signature = proof.with_name(f"{proof.name}.sig").read_bytes()
                assert signature == there.with_name(f"{there.name}.sig").read_bytes()
        shutil.rmtree(copy)
        steps += 1
    assert steps >= 15


def test_a_position_that_is_wrong_costs_receipts_of_one_day_at_most(scene, clock):
    """Whoever makes them may say an index that is far ahead."""
    sent = [scene.deliver(f"{number}.csv", b"%d" % number) for number in range(3)]
    scene.receipt_of(sent[0], 10**14)
    scene.collect()
    scene.receipt_of(sent[1], 1)
    scene.collect()
    assert scene.standing(sent[1])["state"] == "awaited"
    clock.pass_by(timedelta(days=1))
    scene.receipt_of(sent[2], 2)
    scene.collect()
    assert scene.standing(sent[2])["state"] == "matched"


def test_a_claim_is_what_a_receiver_would_write(scene):
    """The doubles of these tests say no more than our own receipts do."""
    said = claim(1, received=scene.clock.now(), name="x", size=1, sha256="ab" * 32)
    assert receipt.parse(receipt.content(said), where="x") == said
