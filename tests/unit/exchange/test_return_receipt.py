"""Which receipts of a remote are new, and what one shows."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from return_scene import THEIRS, claim

from sftpd.audit import sshsig
from sftpd.audit.checkpoint import SigningKey
from sftpd.exchange import receipt
from sftpd.exchange.return_receipt import (
    Delivery,
    Filed,
    Match,
    Position,
    Reason,
    Refusal,
    days,
    examine,
    filed,
    folders,
    judge,
)

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
TODAY = date(2026, 3, 1)
FILE = {"name": "a/report.csv", "size": 5, "sha256": "cd" * 32}
SENT = Delivery("ours", "/upload", "a/report.csv", 5, "cd" * 32)


def said(index=7, **changes):
    return claim(index, received=NOW, **FILE | changes)


def placed(said, **changes):
    values = (TODAY, said.audit.index, said.transfer, "received", b"2026-03-01/0", b"x.json", 500, 300)
    return replace(Filed(*values), **changes)


def examined(
    said, *, key=THEIRS, content=None, namespace=receipt.NAMESPACE, signers=(THEIRS.verifier,), **at
):
    content = receipt.content(said) if content is None else content
    return examine(placed(said, **at), content, sshsig.sign(content, key, namespace), signers)


class TestWhatIsNew:
    def test_days_are_folders_of_that_name_that_have_come(self):
        names = [b"2026-03-02", b"2026-02-28", b"2026-03-03", b"9999-12-31", b"2026-02-30", b"x", b"2026-3-1"]
        assert days([*names, b"allowed_signers"], NOW) == [date(2026, 2, 28), date(2026, 3, 2)]

    def test_folders_before_the_position_are_not_looked_into(self):
        names = [b"10", b"9", b"8", b"x", b"", b"-1", b"\xd9\xa3"]
        position = Position(TODAY, 9_500)
        assert folders(names, TODAY, position) == [b"9", b"10"]
        assert folders(names, TODAY + timedelta(days=1), position) == [b"8", b"9", b"10"]

    def test_a_file_counts_by_its_name_and_in_its_folder(self):
        good = {b"a.b.csv.06h1.1234.received.json": 9, b"\xff\n.06h1.1235.blocked.json": 9}
        bad = {
            b"csv.06h1.1236.received.json.sig": 9,
            b"csv.06h1.999.received.json": 9,
            b"csv.06h1.1237.gone.json": 9,
            b"csv.06h1.x.received.json": 9,
            b".06h1.1238.received.json": 9,
            b"csv.0/h1.1239.received.json": 9,
            b"csv.06h1." + b"1" * 400 + b".received.json": 9,
        }
        found = filed(TODAY, b"1", good | bad, Position(TODAY, 0))
        assert [one.index for one in found] == [1234, 1235]
        assert found[0].folder == b"2026-03-01/1"
        assert [one.signature for one in found] == [None, None]

    def test_the_signature_is_the_file_beside_it(self):
        sizes = {b"csv.06h1.5.received.json": 9, b"csv.06h1.5.received.json.sig": 3}
        (found,) = filed(TODAY, b"0", sizes, Position(TODAY, 0))
        assert (found.size, found.signature) == (9, 3)

    def test_what_was_gone_over_is_not_ahead_and_a_log_that_begins_anew_is(self):
        position = Position(TODAY, 0).behind(placed(said(41)))
        assert position == Position(TODAY, 42)
        assert not position.is_ahead(TODAY, 41)
        assert position.is_ahead(TODAY, 42)
        assert position.is_ahead(TODAY - timedelta(days=1), 42), "their clock was set back"
        assert not position.is_ahead(TODAY - timedelta(days=2), 42)
        assert position.is_ahead(TODAY + timedelta(days=1), 0)

    @given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), max_size=40))
    def test_each_receipt_of_a_growing_log_is_ahead_once_however_often_one_looks(self, steps):
        """Each step is a number of days and of receipts that come before the next look."""
        position, day, made, taken = Position(TODAY, 0), TODAY, [], []
        for more_days, more in steps:
            day += timedelta(days=more_days)
            made += [placed(said(len(made) + number), day=day) for number in range(more)]
            ahead = sorted(one for one in made if position.is_ahead(one.day, one.index))
            for one in ahead:
                position = position.behind(one)
            taken += ahead
        assert taken == made


class TestWhoSaysSo:
    def test_a_receipt_that_holds_says_what_it_says(self):
        assert examined(said()) == said()

    @pytest.mark.parametrize(
        ("changes", "reason"),
        [
            ({"key": SigningKey.generate(THEIRS.name)}, Reason.SIGNATURE),
            ({"namespace": "file"}, Reason.SIGNATURE),
            ({"signers": ()}, Reason.SIGNATURE),
            ({"index": 8}, Reason.MISPLACED),
            ({"transfer": "06h1"}, Reason.MISPLACED),
            ({"content": b""}, Reason.MALFORMED),
            ({"content": b"{}"}, Reason.MALFORMED),
            ({"content": b"\xff"}, Reason.MALFORMED),
            ({"content": b"[" * 60_000}, Reason.MALFORMED),
        ],
    )
    def test_one_that_does_not_shows_nothing(self, changes, reason):
        assert examined(said(), **changes) == Refusal(reason)

    def test_changed_bytes_are_not_what_was_signed(self):
        content = receipt.content(said())
        signature = sshsig.sign(content, THEIRS, receipt.NAMESPACE)
        other = content.replace(b"report", b"repost")
        assert examine(placed(said()), other, signature, [THEIRS.verifier]) == Refusal(Reason.SIGNATURE)

    def test_a_key_counts_under_its_own_name_alone(self):
        other = SigningKey.generate("other.example")
        signers = (THEIRS.verifier, other.verifier)
        assert examined(said(), key=other, signers=signers) == Refusal(Reason.SIGNATURE)
        assert isinstance(
            examined(said(instance="other.example"), key=other, signers=signers), receipt.Receipt
        )

    @pytest.mark.parametrize(
        "changes",
        [
            {"format": "sftpd receipt v2"},
            {"direction": "outbound"},
            {"received": None},
            {"received": "yesterday"},
            {"received": "2026-03-01T12:00:00"},
            {"received": "0001-01-01T00:00:00+14:00"},
            {"verdict": None},
            {"verdict": "maybe"},
            {"sha256": "CD" * 32},
            {"size": -1},
            {"size": 1 << 63},
            {"name": ""},
            {"name": "x" * 20_000},
            {"instance": "a b"},
        ],
    )
    def test_what_no_receiver_of_a_file_says_is_malformed(self, changes):
        content = msgspec.json.encode(msgspec.structs.asdict(said()) | changes)
        assert examined(said(), content=content) == Refusal(Reason.MALFORMED)

    @given(st.binary(max_size=400), st.binary(max_size=400))
    def test_any_bytes_are_refused_and_nothing_else_happens(self, content, signature):
        assert examine(placed(said()), content, signature, [THEIRS.verifier]) == Refusal(Reason.SIGNATURE)

    @given(
        st.recursive(st.none() | st.integers() | st.text(), lambda inner: st.dictionaries(st.text(), inner))
    )
    def test_so_is_any_document_that_is_signed(self, document):
        content = msgspec.json.encode(document)
        assert examined(said(), content=content) == Refusal(Reason.MALFORMED)


class TestWhatItShows:
    def test_a_delivery_of_that_name_and_content(self):
        assert judge(said(), [SENT]) == Match("ours", said(), NOW)

    @pytest.mark.parametrize(
        ("directory", "path", "route", "name", "fits"),
        [
            ("/upload", "a.csv", "upload", "a.csv", True),
            ("/upload/", "a.csv", "upload", "a.csv", True),
            ("/upload/sub", "a.csv", "upload", "sub/a.csv", True),
            ("/upload/x/../sub/.", "a.csv", "upload", "sub/a.csv", True),
            ("/upload", "caf\\xe9", "upload", "caf\\xe9", True),
            (".", "a.csv", "upload", "a.csv", True),
            ("sub", "a.csv", "upload", "deep/sub/a.csv", True),
            ("/upload", "a.csv", "requests", "a.csv", False),
            ("/upload", "a.csv", "upload", "sub/a.csv", False),
            ("/upload", "sub/a.csv", "upload", "a.csv", False),
            ("sub", "a.csv", "upload", "resub/a.csv", False),
            (".", "a.csv", "upload", "xa.csv", False),
        ],
    )
    def test_it_was_sent_as_route_and_name(self, directory, path, route, name, fits):
        sent = replace(SENT, directory=directory, path=path)
        assert isinstance(judge(said(route=route, name=name), [sent]), Match) == fits

    def test_none_that_was_not_made(self):
        assert judge(said(), []) == Refusal(Reason.UNKNOWN, None, NOW)
        assert judge(said(name="other.csv"), [SENT]) == Refusal(Reason.UNKNOWN, None, NOW)

    def test_what_differs_is_told_with_the_delivery_that_it_differs_from(self):
        later = replace(SENT, transfer="later")
        assert judge(said(sha256="ef" * 32), [SENT, later]) == Refusal(Reason.SHA256, "later", NOW)
        assert judge(said(size=6), [SENT]) == Refusal(Reason.SIZE, "ours", NOW)

    def test_the_same_receipt_again_is_known(self):
        had = replace(SENT, theirs=said().transfer, position=7)
        assert judge(said(), [had]) == Match("ours", said(), NOW, again=True)

    def test_a_later_one_of_the_same_transfer_tells_of_a_later_verdict(self):
        had = replace(SENT, theirs=said().transfer, position=7)
        blocked = said(8, transfer=said().transfer, verdict="quarantine")
        assert judge(blocked, [had]) == Match("ours", blocked, NOW)

    def test_one_more_than_was_delivered_is_told_of(self):
        had = replace(SENT, theirs="another", position=3)
        assert judge(said(), [had]) == Refusal(Reason.REPEATED, "ours", NOW)

    def test_a_file_that_was_rejected_may_be_brought_again(self):
        rejected = replace(SENT, theirs="another", position=3, rejected=True)
        assert judge(said(), [rejected]) == Match("ours", said(), NOW)
        later = replace(SENT, transfer="later")
        assert judge(said(), [rejected, later]).transfer == "later", "the first may have been given up"

    @given(st.permutations(range(6)), st.integers(1, 6))
    def test_equal_files_have_one_receipt_each_in_whatever_order_they_come(self, order, sent):
        deliveries = [replace(SENT, transfer=f"ours {number}") for number in range(sent)]
        refused = 0
        for index in (*order, *order):
            outcome = judge(said(index), deliveries)
            if isinstance(outcome, Refusal):
                assert outcome.reason is Reason.REPEATED
                refused += 1
                continue
            deliveries = [
                replace(one, theirs=outcome.claim.transfer, position=index)
                if one.transfer == outcome.transfer
                else one
                for one in deliveries
            ]
        assert len({one.theirs for one in deliveries}) == sent
        assert all(one.theirs for one in deliveries)
        assert refused == 2 * (6 - sent)
