"""Orders of a counterparty over a real ledger, readers and files: what counts, once, and what comes of it."""

import hashlib
import json
import os
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa
from erasure_scene import JAN, KEY, Scene
from receipt_scene import verifies

from sftpd.audit.checkpoint import SigningKey
from sftpd.clock import SystemClock
from sftpd.erasure import order_records
from sftpd.erasure.answers import Shelf
from sftpd.erasure.certificate import verify
from sftpd.erasure.order import sign
from sftpd.erasure.orders import Drop, Orders, Tools
from sftpd.erasure.readers import READER
from sftpd.erasure.request import State
from sftpd.errors import RefusedError
from sftpd.files.beneath import Root
from sftpd.files.fingerprint import snapshot
from sftpd.ledger import tables
from sftpd.names import new_id

CHILDREN = [READER]

THEIRS, OTHER = SigningKey.generate("acme-privacy"), SigningKey.generate("other")
TABLE = f"naam;mail\nJan;{JAN}\nPiet;x{JAN}\n"


def order(name="2026-0042", *identifiers, **more):
    said = {"order": name, "kind": "erasure", "issued": "2026-03-05T10:00:00Z"}
    return json.dumps({**said, "identifiers": identifiers or [f"email={JAN}"], **more}).encode()


class Later(SystemClock):
    """A clock that is ahead."""

    def __init__(self, by):
        self._by = by

    def now(self):
        return super().now() + self._by


class Inbox:
    """The folders of a link into which a counterparty drops orders, and from which it has the answers."""

    def __init__(self, scene, clock=None):
        self.scene = scene
        self.folder, self.receipts = scene.root / "requests", scene.root / "receipts"
        self.held = False
        self.clock = clock or SystemClock()
        self.without_receipts = []
        self.drafts = scene.root / "drafts"
        for folder in (self.folder, self.receipts, self.drafts):
            folder.mkdir()
        self.drop = Drop(
            "demo",
            (THEIRS.verifier,),
            answerers=(),
            signature_within=timedelta(hours=1),
            instructs=False,
            requests=Root.at(self.folder),
            shelf=Shelf(Root.at(self.receipts), Root.at(self.drafts), nullcontext()),
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
        now = datetime.now(UTC)
        path, transfer = self.folder / name, new_id(now)
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
def inbox(tmp_path, children):
    scene = Scene(tmp_path, children)
    made = Inbox(scene)
    yield made
    made.drop.requests.close()
    made.drop.shelf.receipts.close()
    made.drop.shelf.drafts.close()
    scene.close()


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


def test_an_order_that_is_dropped_again_when_its_certificate_is_gone_is_still_known(inbox):
    inbox.order(order())
    run_to_the_end(inbox)
    request = tables.erasure_request.update().values(certificate=None)
    inbox.scene.ledger.write(lambda unit: unit.conn.execute(request))
    inbox.order(order())
    inbox.work()
    assert inbox.request().state is State.CLOSED
    assert set(inbox.answers()) == {"2026-0042.accepted.json", "2026-0042.certificate.json"}
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
    assert inbox.lying() == []


def test_an_order_waits_for_its_signature_whichever_comes_first(inbox):
    content = order()
    inbox.put("a.order.json.sig", sign(content, THEIRS))
    inbox.put("b.order.json", content)
    inbox.work()
    assert (inbox.scene.desk.requests(), inbox.answers()) == ([], {})
    inbox.put("a.order.json", content)
    inbox.work()
    assert inbox.request().state is State.REVIEW


def test_an_order_whose_signature_never_comes_is_refused_in_the_end(inbox):
    content = order()
    transfer = inbox.put("a.order.json", content)
    inbox.work()
    assert (inbox.answers(), inbox.lying()) == ({}, ["a.order.json"])
    inbox.clock = Later(timedelta(hours=2))
    for _ in range(2):
        inbox.work()
    (answer,) = inbox.answers().values()
    assert (answer["transfer"], answer["reason"]) == (transfer, "ORDER_SIGNATURE")
    assert "within 3600 seconds" in answer["text"]
    assert inbox.lying() == []
    inbox.order(content)
    inbox.work()
    assert inbox.request().state is State.REVIEW


def test_a_held_order_counts_when_its_signature_comes_after_the_refusal(inbox):
    inbox.held, inbox.clock = True, Later(timedelta(hours=2))
    inbox.put("a.order.json", order())
    inbox.work()
    inbox.put("a.order.json.sig", sign(order(), THEIRS))
    inbox.work()
    assert inbox.request().state is State.REVIEW


def test_without_keys_for_orders_no_file_is_one(inbox):
    inbox.order(order())
    inbox.clock = Later(timedelta(hours=2))
    inbox.work(signers=())
    assert (inbox.answers(), len(inbox.lying())) == ({}, 2)


def test_a_refused_order_is_sent_again_under_its_name(inbox):
    inbox.order(order(), OTHER)
    inbox.work()
    inbox.put("a.order.json", order())
    inbox.work()
    assert len(inbox.lying()) == 1
    inbox.put("a.order.json.sig", sign(order(), THEIRS))
    inbox.work()
    assert inbox.request().state is State.REVIEW
    assert len([name for name in inbox.answers() if "refused" in name]) == 1


def test_many_orders_are_taken_in_by_parts(inbox, monkeypatch):
    monkeypatch.setattr(order_records, "BATCH", 2)
    for number in range(3):
        inbox.order(order(str(number), f"email=x{number}@example.nl"), name=str(number))
    orders = inbox.orders()
    assert [orders.take_in(), orders.take_in(), orders.take_in()] == [True, False, False]
    assert len(inbox.scene.desk.requests()) == 3


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
    refused = inbox.order(order("x", "bsn=1"), name="b")
    for _ in range(2):
        inbox.work()
    assert inbox.request().state is State.REVIEW
    assert set(inbox.answers()) == {"2026-0042.accepted.json", f"{refused}.refused.json"}
    assert len(inbox.lying()) == 4
    inbox.held = False
    inbox.work()
    assert inbox.lying() == []


def test_what_a_hold_keeps_is_certified_and_certified_again_once_it_is_released(inbox):
    held = inbox.scene.put("inbound/held.csv", TABLE)
    inbox.scene.links.holds["inbound", b"held.csv"] = "case 7"
    inbox.order(order())
    inbox.work()
    request = inbox.request().id
    inbox.scene.desk.approve(request, "officer")
    inbox.work()
    assert inbox.answers()["2026-0042.partial.json"]["certificate"]["remains_until"] is not None
    inbox.scene.links.holds.clear()
    inbox.work()
    assert inbox.request().state is State.PARTIAL
    inbox.scene.desk.find(request)
    inbox.scene.desk.approve(request, "officer")
    inbox.work()
    assert inbox.answers()["2026-0042.certificate.json"]["certificate"]["remains_until"] is None
    assert JAN not in held.read_text().replace(f"x{JAN}", "")


class Stop(BaseException):
    """The end of the process, as far as what is on disk goes."""


def test_orders_go_on_after_a_stop_at_any_step(inbox, monkeypatch):
    """Each write of the ledger and each change of a name may be the last thing that happens."""
    steps = stops = 0

    def step(function, stop_at):
        def counted(*words, **more):
            nonlocal steps
            steps += 1
            if steps > stop_at:
                raise Stop
            return function(*words, **more)

        return counted

    for stop_at in range(60):
        name = f"{stop_at}"
        person = f"p{stop_at}@example.nl"
        file = inbox.scene.put(f"inbound/{name}.csv", f"naam;mail\nJan;{person}\nPiet;x{person}\n")
        inbox.order(order(name, f"email={person}"), name=name)
        steps = 0

        with monkeypatch.context() as patch, suppress(Stop):
            for where, what in ((inbox.scene.ledger, "write"), (os, "rename"), (os, "unlink")):
                patch.setattr(where, what, step(getattr(where, what), stop_at))
            run_to_the_end(inbox)
        stopped = steps > stop_at
        stops += stopped
        run_to_the_end(inbox)
        assert file.read_text() == f"naam;mail\nPiet;x{person}\n"
        assert (inbox.receipts / f"orders/{name}.certificate.json").exists()
        assert inbox.lying() == []
        file.unlink()
        if not stopped:
            break
    assert stops == steps > 10
    assert inbox.scene.events().count(b"order.accepted") == stops + 1
    assert inbox.scene.events().count(b'"erasure.closed"') == stops + 1
    assert list(inbox.drafts.iterdir()) == []


def run_to_the_end(inbox):
    """Until nothing is left to do for the order, with the approver at hand."""
    for _ in range(2):
        inbox.work()
        for request in inbox.scene.desk.requests():
            if request.state is State.REVIEW:
                inbox.scene.desk.approve(request.id, "officer")
    inbox.work()
