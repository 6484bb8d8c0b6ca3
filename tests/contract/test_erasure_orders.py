"""Orders of a counterparty over a real ledger, readers and files: what counts, once, and what comes of it."""

import hashlib
import json
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import erasure_scene
import pytest
import sqlalchemy as sa
from erasure_scene import JAN, KEY
from receipt_scene import verifies

from sftpd.audit.checkpoint import SigningKey
from sftpd.clock import SystemClock
from sftpd.erasure.certificate import verify
from sftpd.erasure.order import sign
from sftpd.erasure.orders import Drop, Orders, Tools
from sftpd.erasure.request import State
from sftpd.errors import RefusedError
from sftpd.files.beneath import Root
from sftpd.files.fingerprint import snapshot
from sftpd.ledger import tables
from sftpd.names import new_id

THEIRS, OTHER = SigningKey.generate("acme-privacy"), SigningKey.generate("other")
TABLE = f"naam;mail\nJan;{JAN}\nPiet;x{JAN}\n"


def order(name="2026-0042", *identifiers, **more):
    said = {"order": name, "kind": "erasure", "issued": "2026-03-05T10:00:00Z"}
    return json.dumps({**said, "identifiers": identifiers or [f"email={JAN}"], **more}).encode()


class Later(SystemClock):
    ahead = timedelta()

    def now(self):
        return datetime.now(UTC) + self.ahead


class Inbox:
    """The folders of a link into which a counterparty drops orders, and from which it has the answers."""

    def __init__(self, scene, clock):
        self.scene = scene
        self.clock = clock
        self.folder, self.receipts = scene.root / "requests", scene.root / "receipts"
        self.held = False
        self.without_receipts = []
        for folder in (self.folder, self.receipts):
            folder.mkdir()
        self.drop = Drop(
            "demo",
            (THEIRS.verifier,),
            instructs=False,
            requests=Root.at(self.folder),
            receipts=Root.at(self.receipts),
            withdraw=self._withdraw,
            receiptless=self._receiptless,
        )

    def orders(self, **changed):
        """As they are after a start of the daemon."""
        tools = Tools(self.scene.ledger, self.scene.desk, self.scene.readers, KEY, self.clock)
        return Orders(replace(self.drop, **changed), tools, b"s" * 32)

    def work(self, **changed):
        orders = self.orders(**changed)
        orders.take_in()
        orders.drive()
        orders.take_in()

    def put(self, name, content):
        """Receive a file, in the place of one of that name; returns its transfer."""
        path, transfer, now = self.folder / name, new_id(self.clock.now()), self.clock.now()
        path.write_bytes(content)
        sha256 = hashlib.sha256(content).hexdigest()
        kept = tables.kept_file
        row = {
            "id": transfer, "link": "demo", "folder": "requests", "path": name.encode(), "size": len(content),
            "sha256": sha256, "source": str(snapshot(path.stat())), "state": "present",
            "received_at": now, "changed_at": now,
        }  # fmt: skip

        def work(unit):
            old = kept.update().where(kept.c.path == name.encode(), kept.c.state == "present")
            unit.conn.execute(old.values(state="replaced"))
            unit.conn.execute(kept.insert().values(row))

        self.scene.ledger.write(work)
        return transfer

    def order(self, content, key=THEIRS, name="a"):
        """Receive an order with its signature; returns the transfer of the order."""
        transfer = self.put(f"{name}.order.json", content)
        self.put(f"{name}.order.json.sig", sign(content, key))
        return transfer

    def answers(self):
        """The documents in `/receipts/orders`, each verified as the counterparty does."""
        folder = self.receipts / "orders"
        found = {}
        for path in sorted(folder.glob("*.json")):
            assert verifies(path, folder / "allowed_signers", KEY.name, "answer@sftpd"), path
            found[path.name] = json.loads(path.read_bytes())
        return found

    def lying(self):
        return sorted(path.name for path in self.folder.iterdir())

    def request(self):
        (request,) = self.scene.desk.requests()
        return request

    def _withdraw(self, name, transfer):
        kept = tables.kept_file
        if self.held:
            raise RefusedError("held", reason="HELD")
        (self.folder / name.decode()).unlink()
        gone = kept.update().where(kept.c.id == transfer).values(state="withdrawn")
        self.scene.ledger.write(lambda unit: unit.conn.execute(gone))

    @contextmanager
    def _receiptless(self, transfers):
        self.without_receipts += transfers
        yield


@pytest.fixture
def inbox(tmp_path):
    clock = Later()
    with erasure_scene.scene(tmp_path, clock=clock) as scene:
        made = Inbox(scene, clock)
        yield made
        made.drop.requests.close()
        made.drop.receipts.close()


def test_an_order_runs_to_a_certificate_with_nobody_but_the_approver(inbox):
    inbox.scene.put("inbound/list.csv", TABLE)
    transfer = inbox.order(order(reason=f"{JAN} asked us"))
    inbox.work()
    request = inbox.request()
    assert (request.state, request.opened_by) == (State.REVIEW, "order 2026-0042 by acme-privacy")
    accepted = inbox.answers()["2026-0042.accepted.json"]
    assert (accepted["status"], accepted["transfer"], accepted["request"]) == (
        "accepted",
        transfer,
        request.id,
    )
    assert inbox.lying() == []
    inbox.scene.desk.approve(request.id, "officer")
    inbox.work()
    assert (inbox.scene.root / "inbound/list.csv").read_text() == f"naam;mail\nPiet;x{JAN}\n"
    assert set(inbox.answers()) == {"2026-0042.accepted.json", "2026-0042.certificate.json"}
    certificate = (inbox.receipts / "orders/2026-0042.certificate.json").read_bytes()
    assert verify(certificate, KEY.verifier).request == request.id
    inbox.scene.ledger.compact()
    left = [path for path in inbox.scene.root.rglob("*") if path.is_file() and path.name != "list.csv"]
    assert [path.name for path in left if JAN.encode() in path.read_bytes()] == []
    with inbox.scene.ledger.read() as conn:
        values = list(conn.scalars(sa.select(tables.opening.c.value)))
    assert [value for value in values if "jan" in value] == []
    assert transfer in inbox.without_receipts
    rows = inbox.scene.rows(tables.kept_file)
    assert {(row["path"], row["sha256"]) for row in rows} == {(b"", "")}


def test_an_order_that_is_dropped_again_has_no_second_effect(inbox):
    for name in ("a", "a", "b"):
        inbox.order(order(), name=name)
        inbox.work()
        assert inbox.request().state is State.REVIEW
    inbox.scene.desk.deny(inbox.request().id, "officer", "not entitled")
    inbox.work()
    inbox.order(order())
    inbox.work()
    assert inbox.request().state is State.DENIED
    assert set(inbox.answers()) == {"2026-0042.accepted.json", "2026-0042.denied.json"}
    assert "not entitled" not in str(inbox.answers())
    assert inbox.lying() == []


def test_other_content_under_the_name_of_an_order_is_refused(inbox):
    inbox.order(order())
    inbox.work()
    transfer = inbox.order(order("2026-0042", "email=piet@example.nl"), name="b")
    inbox.work()
    assert inbox.answers()[f"{transfer}.refused.json"]["reason"] == "ORDER_REPEATED"
    assert len(inbox.scene.desk.requests()) == 1


@pytest.mark.parametrize(
    ("content", "key", "reason"),
    [
        (order(), OTHER, "ORDER_SIGNATURE"),
        (order(extra=1), THEIRS, "ORDER_FORM"),
        (b"{" * 60_000, THEIRS, "ORDER_FORM"),
        (order("x", "bsn=1"), THEIRS, "ORDER_IDENTIFIER"),
        (order().ljust(70_000), THEIRS, "ORDER_SIZE"),
    ],
)
def test_what_does_not_count_is_refused_once_and_opens_nothing(inbox, content, key, reason):
    transfer = inbox.order(content, key)
    for _ in range(2):
        inbox.work()
    (answer,) = inbox.answers().values()
    assert (answer["status"], answer["reason"], answer["transfer"]) == ("refused", reason, transfer)
    assert "acme" not in str(answer)
    assert inbox.scene.desk.requests() == []
    assert inbox.scene.events().count(b"order.refused") == 1
    assert inbox.lying() == ["a.order.json", "a.order.json.sig"]


def test_an_order_waits_for_its_signature_whichever_comes_first(inbox):
    content = order()
    inbox.put("a.order.json.sig", sign(content, THEIRS))
    inbox.put("b.order.json", content)
    inbox.work()
    assert (inbox.scene.desk.requests(), inbox.answers()) == ([], {})
    inbox.put("a.order.json", content)
    inbox.work()
    assert inbox.request().state is State.REVIEW


def test_a_new_file_beside_a_refused_one_waits_for_the_other(inbox):
    inbox.order(order(), OTHER)
    inbox.work()
    content = order("second")
    inbox.put("a.order.json", content)
    inbox.work()
    inbox.put("a.order.json.sig", sign(content, THEIRS))
    inbox.work()
    assert inbox.request().state is State.REVIEW
    assert len([name for name in inbox.answers() if "refused" in name]) == 1
    inbox.put("b.order.json", order("third"))
    inbox.put("b.order.json.sig", sign(content, THEIRS))
    inbox.work()
    inbox.put("b.order.json.sig", sign(content, OTHER))
    inbox.work()
    assert len([name for name in inbox.answers() if "refused" in name]) == 2
    inbox.clock.ahead = timedelta(minutes=1)
    inbox.work()
    assert inbox.scene.events().count(b"order.refused") == 3


def test_an_order_for_what_is_asked_already_is_answered_with_that(inbox):
    inbox.scene.put("inbound/list.csv", TABLE)
    first = inbox.scene.approved()
    inbox.order(order())
    inbox.work()
    assert [request.state for request in inbox.scene.desk.requests()][-1] is State.DUPLICATE
    assert inbox.answers()["2026-0042.accepted.json"]["request"] == first
    inbox.scene.desk.run(first)
    inbox.work()
    assert inbox.answers()["2026-0042.certificate.json"]["certificate"]["request"] == first


def test_an_order_of_the_controller_is_its_instruction(inbox):
    inbox.scene.links.controller = False
    inbox.order(order())
    inbox.work(instructs=True)
    inbox.scene.desk.approve(inbox.request().id, "officer")
    inbox.order(order("other", "email=piet@example.nl"), name="b")
    inbox.work(instructs=False)
    with pytest.raises(RefusedError) as refused:
        inbox.scene.desk.approve(inbox.scene.desk.requests()[-1].id, "officer")
    assert refused.value.reason == "NO_INSTRUCTION"


def test_the_second_person_of_a_link_is_not_the_order(inbox):
    inbox.scene.links.second_person = True
    inbox.order(order())
    inbox.work()
    with pytest.raises(RefusedError):
        inbox.scene.desk.approve(inbox.request().id, "order 2026-0042 by acme-privacy")
    inbox.scene.desk.approve(inbox.request().id, "officer")


def test_an_approval_is_not_undone_by_a_search_that_comes_late(inbox):
    inbox.order(order())
    inbox.work()
    inbox.scene.desk.approve(inbox.request().id, "officer")
    inbox.scene.desk.find_first(inbox.request().id)
    assert inbox.request().state is State.APPROVED


def test_a_held_order_stays_and_is_carried_out_all_the_same(inbox):
    inbox.held = True
    inbox.order(order())
    inbox.work()
    assert inbox.request().state is State.REVIEW
    assert len(inbox.lying()) == 2
    inbox.held = False
    inbox.work()
    assert inbox.lying() == []


def test_orders_go_on_after_a_stop_at_any_step(inbox):
    inbox.scene.put("inbound/list.csv", TABLE)
    inbox.order(order())
    broken = inbox.orders(withdraw=lambda name, transfer: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        broken.take_in()
    inbox.work()
    inbox.scene.desk.approve(inbox.request().id, "officer")
    inbox.orders().drive()
    (inbox.receipts / "orders/2026-0042.accepted.json").unlink()
    for _ in range(2):
        inbox.work()
    assert set(inbox.answers()) == {"2026-0042.certificate.json"}
    assert inbox.scene.events().count(b"order.accepted") == 1
