"""What a partner who logs in to us answers to a notice is recorded with it, or refused with a reason."""

import json

import erasure_scene
import pytest
from erasure_scene import JAN, KEY
from test_erasure_notices import TABLE, Carrier, deliver, go_on, made
from test_erasure_orders import OTHER, THEIRS, Inbox, Later, order

from sftpd.audit import sshsig
from sftpd.erasure.certificate import sign, verify

NOBODY = "0" * 26


class Desk(Inbox):
    """Where a notice lies for somebody who logs in, and answers come in."""

    def __init__(self, scene):
        super().__init__(scene)
        self.receipts.rmdir()
        self.carrier = Carrier(scene.root)
        self.drop.shelf.receipts.reopen(self.receipts)

    def notice(self, name="t1", *, remote=""):
        """Tell of another file, and return the notice as it is then."""
        deliver(self.scene, name, f"{name}.csv", f"{name}\n{TABLE}", remote=remote)
        request = self.scene.approved()
        self.scene.desk.run(request)
        go_on(self.scene, self.carrier)
        (notice,) = made(self.scene, request)
        return notice

    def now(self, notice):
        (found,) = made(self.scene, notice.request)
        return found

    def reply(self, name, document, key=THEIRS, namespace="answer@sftpd"):
        transfer = self.put(name, document)
        self.put(name + sshsig.SUFFIX, sshsig.sign(document, key, namespace))
        return transfer

    def take_in(self, **changed):
        self.orders(answerers=(THEIRS.verifier,), **changed).take_in()

    def refusal(self, transfer):
        return self.answers()[f"{transfer}.refused.json"]


@pytest.fixture
def desk(tmp_path):
    with erasure_scene.scene(tmp_path) as scene:
        made = Desk(scene)
        yield made
        for root in (made.drop.requests, made.drop.shelf.receipts, made.drop.shelf.drafts):
            root.close()


def certificate(desk, notice, key=THEIRS):
    """What an sftpd that erased the person would certify."""
    ours = verify(desk.scene.desk.show(notice.request).certificate.encode(), KEY.verifier)
    return sign(ours, key)


def denial(order):
    return json.dumps({"order": order, "status": "denied"}).encode()


def test_a_certificate_that_is_dropped_acknowledges_its_notice(desk):
    notice = desk.notice()
    document = certificate(desk, notice)
    desk.reply(f"{notice.id}.certificate.json", document)
    for _ in range(2):
        desk.take_in()
    now = desk.now(notice)
    assert (now.state, now.answer, now.document, now.fault) == ("acknowledged", "certificate", document, None)
    (answer,) = desk.answers().values()
    assert (answer["status"], answer["order"]) == ("acknowledged", notice.id)
    assert desk.lying() == []
    assert desk.scene.events().count(b"erasure.notice_acknowledged") == 1
    go_on(desk.scene, desk.carrier)
    assert list((desk.receipts / "notices").iterdir()) == []


def test_a_partner_may_say_that_it_does_not_erase(desk):
    notice = desk.notice()
    desk.reply(f"{notice.id}.denied.json", denial(notice.id))
    desk.take_in()
    assert (desk.now(notice).state, desk.now(notice).answer) == ("acknowledged", "denied")


def test_an_answer_that_goes_further_takes_the_place_of_the_one_before(desk):
    notice = desk.notice()
    for status, document in (
        ("denied", denial(notice.id)),
        ("partial", certificate(desk, notice)),
        ("certificate", certificate(desk, notice)),
    ):
        desk.reply(f"{notice.id}.{status}.json", document)
        desk.take_in()
        assert (desk.now(notice).answer, desk.now(notice).document) == (status, document)
    assert desk.scene.events().count(b"erasure.notice_acknowledged") == 3
    transfer = desk.reply(f"{notice.id}.partial.json", certificate(desk, notice) + b" ")
    desk.take_in()
    assert desk.refusal(transfer)["reason"] == "ANSWER_REPEATED"


def test_the_same_answer_again_has_no_effect_and_another_one_is_refused(desk):
    notice = desk.notice()
    document = certificate(desk, notice)
    for _ in range(2):
        desk.reply(f"{notice.id}.certificate.json", document)
        desk.take_in()
    transfer = desk.reply(f"{notice.id}.denied.json", denial(notice.id))
    desk.take_in()
    assert desk.refusal(transfer)["reason"] == "ANSWER_REPEATED"
    assert desk.now(notice).document == document
    assert desk.lying() == []


@pytest.mark.parametrize(
    ("status", "document", "signed", "reason"),
    [
        ("denied", lambda desk, notice: denial(notice.id), (OTHER, "answer@sftpd"), "ANSWER_SIGNATURE"),
        ("denied", lambda desk, notice: denial(notice.id), (THEIRS, "order@sftpd"), "ANSWER_SIGNATURE"),
        ("denied", lambda desk, notice: denial("2026-0042"), (THEIRS, "answer@sftpd"), "ANSWER_FORM"),
        ("denied", lambda desk, notice: b"[" * 100_000, (THEIRS, "answer@sftpd"), "ANSWER_FORM"),
        ("certificate", lambda desk, notice: b"{}", (THEIRS, "answer@sftpd"), "ANSWER_FORM"),
        (
            "certificate",
            lambda desk, notice: certificate(desk, notice, OTHER),
            (THEIRS, "answer@sftpd"),
            "ANSWER_FORM",
        ),
        ("partial", lambda desk, notice: b" " * ((8 << 20) + 1), (THEIRS, "answer@sftpd"), "ANSWER_SIZE"),
    ],
)
def test_what_is_no_answer_is_refused_with_a_reason_and_the_notice_stays_open(
    desk, status, document, signed, reason
):
    notice = desk.notice()
    transfer = desk.reply(f"{notice.id}.{status}.json", document(desk, notice), *signed)
    for _ in range(2):
        desk.take_in()
    refusal = desk.refusal(transfer)
    assert (refusal["status"], refusal["reason"]) == ("refused", reason)
    assert desk.now(notice).state == "delivered"
    assert desk.scene.events().count(b"order.refused") == 1
    assert desk.lying() == []
    desk.reply(f"{notice.id}.certificate.json", certificate(desk, notice))
    desk.take_in()
    assert desk.now(notice).state == "acknowledged"


def test_a_notice_to_somebody_else_is_as_unknown_as_one_that_is_not_there(desk):
    notice = desk.notice(remote="far")
    others = desk.reply(f"{notice.id}.denied.json", denial(notice.id))
    nobodys = desk.reply(f"{NOBODY}.denied.json", denial(NOBODY))
    desk.take_in()
    refusals = [desk.refusal(transfer) for transfer in (others, nobodys)]
    assert [one["reason"] for one in refusals] == ["ANSWER_UNKNOWN"] * 2
    assert refusals[0]["text"] == refusals[1]["text"]
    assert desk.now(notice).answer is None


def test_an_answer_whose_signature_never_comes_is_refused(desk):
    notice = desk.notice()
    transfer = desk.put(f"{notice.id}.denied.json", denial(notice.id))
    desk.take_in()
    assert desk.answers() == {}
    desk.clock = Later(2 * desk.drop.signature_within)
    desk.take_in()
    assert desk.refusal(transfer)["reason"] == "ANSWER_SIGNATURE"
    assert desk.lying() == []


def test_answers_and_orders_each_need_keys_of_their_own(desk):
    notice = desk.notice()
    desk.reply(f"{notice.id}.denied.json", denial(notice.id))
    desk.orders().take_in()
    assert len(desk.lying()) == 2
    desk.order(order("x", f"email={JAN}"))
    desk.take_in(signers=())
    assert desk.lying() == ["a.order.json", "a.order.json.sig"]
    assert desk.now(notice).answer == "denied"
