"""What a receipt says, and where it lies."""

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sftpd.audit.event import seal
from sftpd.audit.merkle import leaf_hash
from sftpd.exchange import receipt

NOW = datetime(2026, 3, 1, 23, 59, 59, 250_000, tzinfo=UTC)
ID = "06h1j46767er5pn13fddevmey0"
PRIVATE = {"path": "a/report.csv", "sha256": "ab" * 32, "peer": "alice"}


def leaf(type, **public):
    sealed = seal(
        event_id="e1",
        type=type,
        time=NOW,
        link="demo",
        source="sftpd://office",
        public={"transfer": ID, "route": "upload", "size": 5, **public},
        private=PRIVATE,
    )
    return sealed.leaf


def made(leaf, index=1234, **private):
    told = receipt.read(index, leaf)
    return receipt.make(told, PRIVATE | private, instance="office", log="office/demo")


def test_it_says_all_of_the_event_and_where_that_stands():
    received = leaf("transfer.received", direction="inbound", folder="inbound")
    assert json.loads(receipt.content(made(received))) == {
        "format": "sftpd receipt v1",
        "instance": "office",
        "link": "demo",
        "transfer": ID,
        "direction": "inbound",
        "route": "upload",
        "peer": "alice",
        "name": "a/report.csv",
        "size": 5,
        "sha256": "ab" * 32,
        "received": "2026-03-01T23:59:59.250000Z",
        "verdict": "accept",
        "audit": {"log": "office/demo", "index": 1234, "leaf": leaf_hash(received).hex()},
    }


@pytest.mark.parametrize(
    ("type", "public", "kind", "says"),
    [
        ("transfer.received", {"direction": "inbound"}, "received", {"verdict": "accept"}),
        (
            "transfer.received",
            {"direction": "inbound", "acknowledged": "before_verdict"},
            "received",
            {"verdict": "accept", "acknowledged": "before_verdict"},
        ),
        (
            "transfer.blocked",
            {"direction": "inbound", "verdict": "quarantine"},
            "blocked",
            {"verdict": "quarantine"},
        ),
        ("transfer.blocked", {"direction": "inbound", "verdict": "reject"}, "blocked", {"verdict": "reject"}),
        ("transfer.blocked", {"direction": "inbound", "ruling": "reject"}, "blocked", {"verdict": "reject"}),
        ("transfer.delivered", {"direction": "outbound", "proof": "size"}, "delivered", {"proof": "size"}),
    ],
)
def test_each_event_of_a_crossing_has_its_kind(type, public, kind, says):
    event = leaf(type, **public)
    assert receipt.read(0, event).kind == kind
    told = json.loads(receipt.content(made(event)))
    optional = ("verdict", "acknowledged", "proof")
    assert {name: told[name] for name in optional if name in told} == says
    assert ("received" in told, "delivered" in told) == (kind != "delivered", kind == "delivered")


@pytest.mark.parametrize(
    ("type", "public"),
    [
        ("transfer.blocked", {"direction": "outbound", "verdict": "reject"}),
        ("transfer.failed", {"direction": "outbound"}),
        ("transfer.interrupted", {}),
        ("file.fetched", {"direction": "outbound"}),
        ("link.moved", {"state": "active"}),
    ],
)
def test_what_did_not_cross_has_none(type, public):
    assert receipt.read(0, leaf(type, **public)) is None


def test_it_lies_by_day_and_by_thousands_under_its_name_and_transfer():
    told = receipt.read(1234, leaf("transfer.received", direction="inbound"))
    assert receipt.place(told, "a/report.csv") == (
        b"2026-03-01",
        b"1",
        b"report.csv." + ID.encode() + b".1234.received.json",
    )


@given(
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0/"), min_size=1, max_size=255),
    st.integers(0, 10**12 - 1),
)
def test_any_name_makes_a_name_that_a_file_and_its_signature_can_have(name, index):
    told = receipt.read(index, leaf("transfer.delivered", direction="outbound"))
    _, folder, file = receipt.place(told, f"a/{name}")
    assert len(file + b".sig") <= 255
    assert b"/" not in file
    assert file.decode().startswith(name[:40])
    assert folder == str(index // 1000).encode()
    assert receipt.transfer_of(file) == receipt.transfer_of(file + b".sig") == ID


@pytest.mark.parametrize("name", [b"allowed_signers", b"", b".tmp", b"a.b.c"])
def test_other_files_are_of_no_transfer(name):
    assert receipt.transfer_of(name) is None


def test_the_content_is_canonical_and_the_same_each_time():
    event = leaf("transfer.received", direction="inbound")
    content = receipt.content(made(event, path="b/ünïcode\n.csv"))
    assert content == receipt.content(made(event, path="b/ünïcode\n.csv"))
    assert list(json.loads(content)) == sorted(json.loads(content))
    assert '"name":"b/ünïcode\\n.csv"'.encode() in content
