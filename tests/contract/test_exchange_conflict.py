"""What becomes of a file whose name is taken at the counterparty, also when the daemon dies at any step."""

import json

import pytest
import sqlalchemy as sa
from exchange_scene import DIGESTS, Scene, claim_one, contents, crash_at_every_step
from receipt_scene import ReceiptScene
from waiting import until

from sftpd.erasure import openings, traces
from sftpd.errors import RemoteError
from sftpd.ledger import tables
from sftpd.link.model import PARTS

THEIRS, OURS = b"theirs\n", b"ours, and longer\n"
ROUTES = ("download", "remote")
POLICIES = ("replace", "fail", "keep-both", "skip")


def place_of(folder, route):
    return folder / ("link/.sftpd/download" if route == "download" else "remote/out")


def take_name(folder, route):
    taken = place_of(folder, route) / "a/report.csv"
    taken.parent.mkdir(parents=True, exist_ok=True)
    taken.write_bytes(THEIRS)


def deliver(scene, route, name="a/report.csv", content=OURS):
    scene.queue.offer(scene.senders[route], scene.drop(name, content))
    scene.run_queue()


def private(scene, field):
    with scene.ledger.read() as conn:
        opening = tables.opening.c
        return [
            json.loads(value)
            for value in conn.scalars(sa.select(opening.value).where(opening.field == field))
        ]


def settled(scene, route, policy):
    """Check where both files are, and what the ledger and the log say of it."""
    (transfer,) = scene.transfers()
    other = f"a/report-{transfer.id}.csv"
    at_place, sent, failed = (
        contents(place) for place in (place_of(scene.folder, route), scene.folders.sent, scene.folders.failed)
    )
    assert contents(scene.outbound) == {}
    expected = {
        "replace": ({"a/report.csv": OURS}, "done", "transfer.delivered"),
        "fail": ({"a/report.csv": THEIRS}, "failed", "transfer.failed"),
        "keep-both": ({"a/report.csv": THEIRS, other: OURS}, "done", "transfer.delivered"),
        "skip": ({"a/report.csv": THEIRS}, "skipped", "transfer.skipped"),
    }
    assert (at_place, str(transfer.state), scene.events()) == (
        *expected[policy][:2],
        {expected[policy][2]: 1},
    )
    ours_here = {"a/report.csv": OURS}
    kept_in_sent = policy == "skip" or (route == "remote" and policy in ("replace", "keep-both"))
    assert sent == (ours_here if kept_in_sent else {})
    assert failed.pop("a/report.csv.reason.txt", b"").startswith(b"a file of that name") == (policy == "fail")
    assert failed == (ours_here if policy == "fail" else {})
    assert (transfer.delivered_as is not None) == (policy == "keep-both")
    assert private(scene, "delivered_as") == ([other] if policy == "keep-both" else [])
    if policy == "keep-both":
        assert transfer.final == tuple(other.encode().split(b"/"))
        where = ("download", transfer.final) if route == "download" else ("sent", (b"a", b"report.csv"))
        assert (transfer.folder, transfer.placed_as) == where
    if policy in ("replace", "keep-both"):
        assert scene.leaves()[0]["data"]["proof"] == ("rename" if route == "download" else "sha256")


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("policy", POLICIES)
def test_a_taken_name_is_settled_as_the_route_says(tmp_path, route, policy):
    with Scene(tmp_path, conflict=policy) as scene:
        take_name(tmp_path, route)
        deliver(scene, route)
        settled(scene, route, policy)
        uploads = scene.remote.calls["upload"]
        assert uploads == (1 if route == "remote" and policy in ("replace", "keep-both") else 0)


@pytest.mark.parametrize("policy", POLICIES[1:])
def test_a_name_that_is_taken_during_the_upload_is_settled_too(tmp_path, policy):
    with Scene(tmp_path, conflict=policy) as scene:
        scene.remote.during_upload = lambda: take_name(tmp_path, "remote")
        deliver(scene, "remote")
        settled(scene, "remote", policy)


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("policy", POLICIES)
def test_a_free_name_is_used_whatever_the_policy(tmp_path, route, policy):
    with Scene(tmp_path, conflict=policy) as scene:
        deliver(scene, route)
        assert contents(place_of(tmp_path, route)) == {"a/report.csv": OURS}
        assert scene.events() == {"transfer.delivered": 1}
        assert private(scene, "delivered_as") == []


@pytest.mark.parametrize(
    ("route", "during"), [("download", "before"), ("remote", "before"), ("remote", "upload")]
)
@pytest.mark.parametrize("policy", POLICIES)
def test_it_is_settled_the_same_wherever_it_is_cut_off(tmp_path, monkeypatch, route, policy, during):
    def act(scene):
        if during == "before":
            take_name(scene.folder, route)
        else:
            scene.remote.during_upload = lambda: take_name(scene.folder, route)
        transfer = claim_one(scene.senders[route], scene.drop("a/report.csv", OURS)).id
        scene.senders[route].advance(transfer)

    def check(folder, crashed):
        with Scene(folder, conflict=policy) as scene:
            taken = (place_of(folder, route) / "a/report.csv").exists()
            if not taken:  # it died before the other came
                take_name(folder, route)
            scene.recover(route)
            settled(scene, route, policy)

    assert crash_at_every_step(tmp_path, monkeypatch, act, check, conflict=policy) >= 7


@pytest.mark.parametrize("policy", ["fail", "keep-both", "skip"])
def test_a_remote_that_died_within_its_rename_has_the_file_once(tmp_path, policy):
    """OpenSSH links the new name and then removes the old one: between the two it has both."""
    with Scene(tmp_path, conflict=policy) as scene:

        def half_a_rename():
            out = scene.remote.folder / "out/a"
            (part,) = out.iterdir()
            (out / "report.csv").hardlink_to(part)

        scene.remote.during_upload = half_a_rename
        deliver(scene, "remote")
        assert contents(scene.remote.folder / "out") == {"a/report.csv": OURS}
        assert scene.events() == {"transfer.delivered": 1}


def test_a_name_of_the_same_length_with_other_bytes_is_not_taken_for_ours(tmp_path):
    with Scene(tmp_path, conflict="fail") as scene:

        def take():
            take_name(tmp_path, "remote")
            (place_of(tmp_path, "remote") / "a/report.csv").write_bytes(OURS[::-1])

        scene.remote.during_upload = take
        deliver(scene, "remote")
        assert scene.states() == ["failed"]
        assert contents(scene.remote.folder / "out") == {"a/report.csv": OURS[::-1]}


def test_a_folder_where_the_file_should_be_counts_as_taken_in_download(tmp_path):
    with Scene(tmp_path, conflict="keep-both") as scene:
        (scene.folders.download / "report.csv").mkdir()
        deliver(scene, "download", "report.csv")
        (transfer,) = scene.transfers()
        assert contents(scene.folders.download) == {f"report-{transfer.id}.csv": OURS}


def test_a_file_where_a_folder_should_be_goes_to_quarantine_under_every_policy(tmp_path):
    with Scene(tmp_path, conflict="skip") as scene:
        (scene.folders.download / "a").write_bytes(THEIRS)
        deliver(scene, "download")
        assert scene.states() == ["quarantined"]


def test_a_transfer_goes_on_under_the_temporary_name_it_began_with(tmp_path, monkeypatch):
    """A configuration that changed in between must not make a part that still lies there look renamed."""

    def act(scene):
        transfer = claim_one(scene.senders["remote"], scene.drop("a/report.csv", OURS)).id
        scene.senders["remote"].advance(transfer)

    def check(folder, crashed):
        with Scene(folder, temporary=PARTS["suffix"]) as scene:
            scene.recover("remote")
            assert contents(folder / "remote/out") == {"a/report.csv": OURS}
            assert scene.events() == {"transfer.delivered": 1}

    assert crash_at_every_step(tmp_path, monkeypatch, act, check) >= 7


def test_without_temporary_names_a_file_arrives_once_wherever_it_is_cut_off(tmp_path, monkeypatch):
    def act(scene):
        transfer = claim_one(scene.senders["remote"], scene.drop("a/report.csv", OURS)).id
        scene.senders["remote"].advance(transfer)

    def check(folder, crashed):
        with Scene(folder, temporary=None) as scene:
            scene.recover("remote")
            assert contents(folder / "remote/out") == {"a/report.csv": OURS}
            assert scene.events() == {"transfer.delivered": 1}
            assert scene.remote.calls["publish"] == 0

    assert crash_at_every_step(tmp_path, monkeypatch, act, check, temporary=None) >= 6


def test_the_event_says_whether_the_file_was_seen(tmp_path):
    with Scene(tmp_path) as scene:
        deliver(scene, "remote")
        assert scene.leaves()[0]["data"]["seen"] is True
        folder = scene.remote.folder / "out"

        def take_away(*args, publish=scene.remote.publish, **options):
            done = publish(*args, **options)
            for file in (folder / "b").iterdir():
                file.unlink()
            return [one._replace(size=None) for one in done]

        scene.remote.publish = take_away
        deliver(scene, "remote", "b/report.csv")
        assert scene.leaves()[1]["data"]["seen"] is False
        assert scene.states() == ["done", "done"]


def test_a_folder_that_is_not_there_does_not_make_a_file_look_delivered(tmp_path):
    with Scene(tmp_path, attempts=3) as scene:
        assert claim_one(scene.senders["remote"], scene.drop("report.csv", OURS)) is not None
        out, away = scene.remote.folder / "out", scene.remote.folder / "away"
        scene.remote.during_upload = lambda: out.rename(away)
        scene.queue.serve(scene.senders["remote"])
        scene.queue.start()
        until(lambda: scene.remote.calls["publish"] >= 5)
        assert scene.states() == ["placing"]
        away.rename(out)
        scene.run_queue()
        assert contents(out) == {"report.csv": OURS}
        assert scene.events() == {"transfer.delivered": 1}


@pytest.mark.parametrize("theirs", [THEIRS, OURS.upper()], ids=["another size", "the same size"])
def test_a_file_that_is_gone_was_not_placed_where_another_has_its_name(tmp_path, theirs):
    with Scene(tmp_path) as scene:
        publish, out = scene.remote.publish, scene.remote.folder / "out"

        def lose(*args, **options):
            scene.remote.publish = publish
            (part,) = out.iterdir()
            part.rename(out / "report.csv")
            (out / "report.csv").write_bytes(theirs)
            raise RemoteError("connection lost")

        scene.remote.publish = lose
        deliver(scene, "remote", "report.csv")
        assert contents(out) == {"report.csv": OURS}
        assert scene.remote.calls["upload"] == 2
        assert scene.events() == {"transfer.delivered": 1}


@pytest.mark.parametrize("route", ROUTES)
def test_a_receipt_names_the_file_as_the_partner_finds_it(tmp_path, route):
    with ReceiptScene(tmp_path, conflict="keep-both") as scene:
        take_name(tmp_path, route)
        deliver(scene, route)
        (transfer,) = scene.transfers()
        scene.write()
        assert set(scene.found()) == {("delivered", f"a/report-{transfer.id}.csv")}


def test_an_erased_file_leaves_none_of_its_names(tmp_path):
    with Scene(tmp_path, conflict="keep-both", temporary=PARTS["suffix"]) as scene:
        take_name(tmp_path, "remote")
        deliver(scene, "remote")
        place = ("sent", (b"a", b"report.csv"))
        with scene.ledger.read() as conn:
            told = openings.of_hashes(conn, [scene.transfers()[0].sha256])
        scene.ledger.write(lambda unit: openings.forget(unit, told, openings.OF_FILES))
        scene.ledger.write(lambda unit: traces.erased(unit, "demo", place, DIGESTS))
        with scene.ledger.read() as conn:
            (row,) = conn.execute(tables.transfer.select())
        assert (row.path, row.temporary, row.delivered_as) == (b"", None, None)
        assert private(scene, "delivered_as") == private(scene, "path") == []


@pytest.mark.parametrize("route", ROUTES)
def test_both_names_are_flat_where_the_layout_is(tmp_path, route):
    with Scene(tmp_path, conflict="keep-both", layout="flatten") as scene:
        for content in (THEIRS, OURS):
            deliver(scene, route, content=content)
        first, second = scene.transfers()
        other = f"a+report-{second.id}.csv"
        assert contents(place_of(tmp_path, route)) == {"a+report.csv": THEIRS, other: OURS}
        assert (first.final, second.final) == ((b"a+report.csv",), (other.encode(),))
        assert set(private(scene, "delivered_as")) == {"a+report.csv", other}


def test_in_download_a_held_file_is_replaced_by_no_newer_one(tmp_path):
    take_name(tmp_path, "download")
    with Scene(tmp_path) as scene:
        scene.held.add(b"a/report.csv")
        deliver(scene, "download")
        deliver(scene, "download", "b.csv")
        assert contents(place_of(tmp_path, "download")) == {"a/report.csv": THEIRS, "b.csv": OURS}
        assert contents(scene.folders.failed)["a/report.csv"] == OURS
        assert any("kept for a legal reason" in reason for reason in private(scene, "reason"))


def test_what_was_sent_and_would_be_removed_is_archived_under_a_hold(tmp_path):
    with Scene(tmp_path, after="remove") as scene:
        scene.held.add(b"held.csv")
        deliver(scene, "remote", "held.csv")
        deliver(scene, "remote", "free.csv")
        assert contents(place_of(tmp_path, "remote")) == {"held.csv": OURS, "free.csv": OURS}
        assert contents(scene.outbound) == {}
        assert contents(scene.folders.sent) == {"held.csv": OURS}
