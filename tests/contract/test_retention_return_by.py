"""Files that go back by a route to a remote: once each, and kept here until they are delivered."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from exchange_scene import DIGESTS, Scene, contents, crash_at_every_step
from retention_scene import MANY, ZONE, Later

from sftpd.erasure import traces
from sftpd.errors import NotFoundError, RemoteAwayError, RemoteRefusedError
from sftpd.exchange.bring import Way
from sftpd.exchange.desk import Order, TransferDesk
from sftpd.exchange.returning import Returns
from sftpd.exchange.send import Sender
from sftpd.files.beneath import Root
from sftpd.files.path_locks import PathLocks
from sftpd.ledger import tables
from sftpd.link.model import Link
from sftpd.periods import Period
from sftpd.retention import holds
from sftpd.retention.desk import RetentionDesk
from sftpd.retention.holds import HoldRequest
from sftpd.retention.roots import Roots
from sftpd.retention.rule import Rule, Term
from sftpd.retention.scope import OfQuery
from sftpd.retention.sweep import Reach
from sftpd.retention.timekeeper import Timekeeper

CONTENT = b"name;amount\n"
ORDER = Order("Ina", "they can take it now")
NO = RemoteRefusedError("it answers PERMISSION_DENIED")
BACK = Rule(
    "back", 1, "demo", None, "*", Term(Period.parse("PT5S")), "return", "agreement", ZONE, return_by="remote"
)


class ReturnBy(Scene):
    """A link whose due files go back by its route `remote`; another one in the same folder is a restart."""

    def __init__(self, folder: Path, *, clock=None, layout="keep", rule=BACK, **options) -> None:
        super().__init__(folder, clock=clock or Later(), layout=layout, attempts=2, **options)
        route = self.senders["remote"].route.returning(self.folders.root)
        way = Way("/out", replace=False, returns=True, layout=layout)
        delivery = self.bring(way)
        self.all_of_it = Root.at(self.folders.root)
        self.senders[route.name] = Sender(route, self.places, self.all_of_it, delivery, self.tools)
        of = Link("demo", "ACME", ZONE, self.folders, folder, None, (), (), (), (), {}, returns=(route,))
        by_name = self.folders.by_name()
        self.retention = RetentionDesk(
            self.ledger,
            [rule],
            Roots(self.ledger, lambda link, name: by_name[name], PathLocks()),
            Timekeeper(self.ledger, self.clock),
            self.clock,
            MANY,
            Reach(returns=Returns([of], self.clock)),
        )

    def close(self) -> None:
        super().close()
        self.all_of_it.close()

    def receive(self, name: str = "a.csv", content: bytes = CONTENT) -> None:
        self.upload(f"upload/{name}", content)
        self.clock.ahead += timedelta(seconds=6)

    def run(self) -> list[str]:
        """Plan and run; returns the results."""
        results = self.retention.run(self.retention.plan().hash)
        return sorted(result.value for result in results.values())

    def deliver(self) -> None:
        """Let the queue take on what waits."""
        self.bell.ring()
        self.recovery.run(self.queue, self.senders)
        self.run_queue()

    def decision(self, path: bytes = b"a.csv", folder: str = "inbound"):
        return self.retention.explain("demo", folder, path).item.decision

    def there(self) -> dict[str, bytes]:
        return contents(self.folder / "remote/out")

    def here(self) -> dict[str, bytes]:
        return contents(self.folders.inbound)


@pytest.fixture
def scene(tmp_path):
    with ReturnBy(tmp_path) as scene:
        yield scene


def test_a_due_file_is_delivered_and_only_then_disposed_of(scene):
    scene.receive("deep/a.csv")
    assert scene.run() == ["queued"]
    kept = scene.decision(b"deep/a.csv")
    assert (kept.action, kept.reason.endswith("returning")) == ("keep", True)
    assert scene.run() == []

    scene.deliver()
    assert scene.there() == {"returned/deep/a.csv": CONTENT}
    assert scene.here() == {"deep/a.csv": CONTENT}
    decided = scene.decision(b"deep/a.csv")
    assert decided.action == "dispose"
    assert "delivered" in decided.reason

    assert scene.run() == ["disposed"]
    assert (scene.here(), list(scene.retention.items())) == ({}, [])
    assert contents(scene.folders.sent) == {}
    (transfer,) = [one for one in scene.transfers() if one.direction == "outbound"]
    assert (transfer.route, transfer.state, transfer.proof) == ("remote:return", "done", "sha256")
    assert scene.events() == {
        "transfer.received": 1,
        "retention.intended": 2,
        "transfer.returning": 1,
        "retention.done": 2,
        "transfer.delivered": 1,
    }
    queued, _ = [leaf["data"] for leaf in scene.leaves() if leaf["type"] == "retention.done"]
    assert (queued["result"], queued["transfer"]) == ("queued", transfer.id)
    rows = [row.as_json() for row in scene.retention.report()]
    said = ("action", "return_by", "result", "transfer", "transfer_state")
    assert [tuple(row[key] for key in said) for row in rows] == [
        ("return", "remote", "queued", transfer.id, "done"),
        ("dispose", None, "disposed", None, None),
    ]


def test_what_the_partner_put_into_requests_goes_back_too(scene):
    scene.receive()
    scene.upload("requests/a.csv", b"an order\n")
    scene.clock.ahead += timedelta(seconds=6)
    assert scene.run() == ["queued", "queued"]
    scene.deliver()
    assert scene.there() == {"returned/a.csv": CONTENT, "returned/requests/a.csv": b"an order\n"}
    assert scene.run() == ["disposed", "disposed"]
    assert contents(scene.folders.requests) == {}


def test_the_layout_of_the_route_counts(tmp_path):
    with ReturnBy(tmp_path, layout="flatten") as scene:
        scene.receive("deep/a.csv")
        scene.run()
        scene.deliver()
        assert scene.there() == {"returned+deep+a.csv": CONTENT}


def test_nothing_that_is_there_is_replaced(scene):
    scene.receive()
    scene.run()
    scene.deliver()
    scene.run()
    scene.receive(content=b"the next month\n")
    scene.run()
    scene.deliver()
    last = scene.transfers()[-1]
    assert scene.there() == {"returned/a.csv": CONTENT, f"returned/a-{last.id}.csv": b"the next month\n"}
    assert scene.run() == ["disposed"]


def test_a_remote_that_is_away_keeps_the_file_here(scene):
    scene.receive()
    scene.run()
    scene.remote.down = RemoteAwayError("no answer", tried=True)
    scene.recovery.run(scene.queue, scene.senders)
    scene.queue.start()
    (transfer,) = [one for one in scene.transfers() if one.direction == "outbound"]
    scene.clock.ahead += timedelta(days=400)
    assert scene.run() == []
    assert scene.decision().action == "keep"
    assert scene.here() == {"a.csv": CONTENT}
    assert transfer.state not in ("failed", "done")


def test_a_file_that_failed_stays_until_somebody_retries_it(scene):
    scene.receive()
    scene.run()
    scene.remote.faults["upload"] = [NO] * 2
    scene.deliver()
    failed = scene.transfers()[-1]
    assert (failed.state, failed.folder, failed.reason) == ("failed", None, str(NO))
    assert scene.here() == {"a.csv": CONTENT}
    assert contents(scene.folders.failed) == {}
    assert scene.events()["transfer.failed"] == 1
    kept = scene.decision()
    assert (kept.action, kept.reason.endswith("failed")) == ("keep", True)
    (row,) = scene.retention.report()
    assert (row.result, row.transfer, row.transfer_state) == ("queued", failed.id, "failed")
    assert scene.run() == []

    TransferDesk(scene.ledger, scene.clock, lambda *_: None).retry(failed.id, ORDER)
    scene.deliver()
    assert scene.there() == {"returned/a.csv": CONTENT}
    assert scene.run() == ["disposed"]


def test_what_a_gate_held_back_is_tried_again_by_the_next_run(scene):
    scene.receive()
    scene.hook("pre-send", "echo no >&2; exit 1")
    scene.run()
    scene.deliver()
    assert scene.transfers()[-1].state == "quarantined"
    assert (scene.here(), scene.there()) == ({"a.csv": CONTENT}, {})
    assert contents(scene.folders.quarantine) == {}
    (scene.hooks / "pre-send.d/10-test").unlink()
    assert scene.run() == ["queued"]
    scene.deliver()
    assert scene.there() == {"returned/a.csv": CONTENT}
    assert scene.run() == ["disposed"]


def test_a_cancelled_return_keeps_the_file_and_no_other_follows(scene):
    scene.receive()
    scene.run()
    transfer = scene.transfers()[-1]
    scene.remote.down = RemoteAwayError("no answer", tried=True)
    scene.senders["remote:return"].advance(transfer.id)
    TransferDesk(scene.ledger, scene.clock, lambda *_: None).cancel(transfer.id, ORDER)
    scene.remote.down = None
    scene.deliver()
    assert scene.transfers()[-1].state == "failed"
    assert scene.run() == []
    assert (scene.here(), scene.there()) == ({"a.csv": CONTENT}, {})


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_hold_keeps_the_file(scene, when):
    scene.receive()
    if when == "after":
        assert scene.run() == ["queued"]
        scene.deliver()
    holds.place(scene.ledger, HoldRequest("demo", OfQuery("inbound", "a.csv"), "court case", "jan"))
    assert scene.decision().action == "keep"
    assert scene.run() == []
    scene.deliver()
    assert scene.here() == {"a.csv": CONTENT}
    assert (len(scene.there()) == 1) == (when == "after")


def test_a_file_that_was_changed_or_taken_is_not_sent(scene):
    scene.receive("a.csv")
    scene.receive("b.csv")
    plan = scene.retention.plan().hash
    (scene.folders.inbound / "a.csv").write_bytes(b"somebody's own, by now\n")
    (scene.folders.inbound / "b.csv").unlink()
    results = scene.retention.run(plan)
    assert sorted(result.value for result in results.values()) == ["absent", "changed"]
    assert [one for one in scene.transfers() if one.direction == "outbound"] == []


def test_a_file_that_was_redacted_on_its_way_goes_back_as_it_is_then(scene):
    """What a deletion request left of it is another content: the first transfer comes to nothing."""
    scene.receive()
    scene.run()
    path = scene.folders.inbound / "a.csv"
    path.write_bytes(b"name\n")
    status = path.stat()
    seen = f"{status.st_ino}:{status.st_size}:{status.st_mtime_ns}"
    digest = "0aab1c1e" * 8
    row = tables.kept_file.update().values(source=seen, size=5, sha256=digest)
    scene.ledger.write(lambda unit: unit.conn.execute(row))
    scene.deliver()
    assert scene.transfers()[-1].state == "vanished"
    assert scene.run() == ["queued"]
    scene.deliver()
    assert scene.there() == {"returned/a.csv": b"name\n"}
    assert scene.run() == ["disposed"]


@pytest.mark.parametrize("delivered", [False, True])
def test_a_file_that_is_erased_is_known_by_no_transfer_any_more(scene, delivered):
    scene.receive("jan@example.org.csv")
    scene.run()
    if delivered:
        scene.deliver()
    (scene.folders.inbound / "jan@example.org.csv").unlink()
    place = ("inbound", (b"jan@example.org.csv",))
    scene.ledger.write(lambda unit: traces.erased(unit, "demo", place, DIGESTS))
    scene.deliver()
    assert scene.transfers()[-1].state == ("done" if delivered else "vanished")
    with scene.ledger.read() as conn:
        paths = [
            *conn.scalars(sa.select(tables.transfer.c.path).where(tables.transfer.c.direction == "outbound"))
        ]
    assert paths == [b"erased"]


def test_a_rule_whose_route_is_gone_fails_and_keeps_the_file(tmp_path):
    with ReturnBy(tmp_path, rule=replace(BACK, return_by="gone")) as scene:
        scene.receive()
        assert scene.run() == ["failed"]
        assert scene.here() == {"a.csv": CONTENT}


def test_a_transfer_that_is_no_return_any_more_cannot_be_retried(scene):
    scene.receive()
    scene.run()
    transfer = scene.transfers()[-1]
    ended = tables.transfer.update().where(tables.transfer.c.id == transfer.id).values(state="failed")
    gone = tables.kept_file.update().values(state="disposed")
    scene.ledger.write(lambda unit: (unit.conn.execute(ended), unit.conn.execute(gone)))
    with pytest.raises(NotFoundError, match="never was in failed/"):
        TransferDesk(scene.ledger, scene.clock, lambda *_: None).retry(transfer.id, ORDER)


def test_a_file_is_delivered_and_disposed_of_once_wherever_it_is_cut_off(tmp_path, monkeypatch):
    def act(scene):
        scene.receive()
        scene.run()
        scene.senders["remote:return"].advance(scene.transfers()[-1].id)
        scene.run()

    def check(folder, crashed):
        with ReturnBy(folder) as scene:
            scene.clock.ahead += timedelta(minutes=1)
            scene.retention.recover()
            for _ in range(2):
                scene.deliver()
                scene.run()
            if scene.received(state="disposed"):
                assert (scene.here(), scene.there()) == ({}, {"returned/a.csv": CONTENT})
                assert scene.remote.placed in ([], ["a.csv"])
                assert scene.events()["transfer.delivered"] == 1
                results = [
                    leaf["data"]["result"] for leaf in scene.leaves() if leaf["type"] == "retention.done"
                ]
                assert results in (["queued", "disposed"], ["queued", "gone"])
                outcomes.append(crashed)
            else:  # killed before it was received
                assert scene.received() == []

    outcomes = []
    steps = crash_at_every_step(tmp_path, monkeypatch, act, check, kind=ReturnBy)
    assert steps > 20
    assert len(outcomes) > 15


def test_to_put_what_was_delivered_away_once_more_does_no_harm(scene):
    scene.receive()
    assert scene.run() == ["queued"]
    scene.deliver()
    (sent,) = [one for one in scene.transfers() if one.direction == "outbound"]
    assert sent.state == "done"
    before = scene.decision().reason

    assert scene.senders["remote:return"]._away.put_away([sent]) == {}
    scene.ledger.settle()
    assert scene.decision().reason == before
