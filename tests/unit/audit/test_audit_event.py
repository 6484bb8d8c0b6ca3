import base64
import json
from datetime import UTC, datetime, timedelta, timezone

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from sftpd.audit.canonical import canonical
from sftpd.audit.commitment import Opening, commit, new_opening, opens
from sftpd.audit.event import seal
from sftpd.errors import AuditError

NOW = datetime(2026, 3, 1, 12, 30, 0, 5, tzinfo=UTC)

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner),
    max_leaves=8,
)


def sealed(**changes):
    event = {
        "event_id": "01",
        "type": "transfer.received",
        "time": NOW,
        "link": "demo",
        "source": "urn:sftpd:office",
        "public": {"size": 12},
        "private": {"path": "/upload/jansen-geheim.csv", "account": "p.jansen@example.nl"},
    }
    return seal(**(event | changes))


def test_a_value_nested_too_deeply_has_no_canonical_form():
    nested = []
    for _ in range(5000):
        nested = [nested]
    with pytest.raises(AuditError, match="no canonical JSON"):
        canonical(nested)


def test_a_leaf_is_a_canonical_cloudevent():
    leaf = sealed().leaf
    event = json.loads(leaf)
    assert rfc8785.dumps(event) == leaf
    assert set(event.pop("data")) == {"size", "commitments"}
    assert event == {
        "specversion": "1.0",
        "id": "01",
        "source": "urn:sftpd:office",
        "type": "transfer.received",
        "time": "2026-03-01T12:30:00.000005Z",
        "subject": "demo",
        "datacontenttype": "application/json",
    }


def test_an_event_of_no_link_has_no_subject():
    assert "subject" not in json.loads(sealed(link=None).leaf)


def test_times_are_written_in_utc():
    time = NOW.astimezone(timezone(timedelta(hours=2)))
    assert json.loads(sealed(time=time).leaf)["time"] == "2026-03-01T12:30:00.000005Z"


def test_a_leaf_holds_no_private_value():
    leaf = sealed().leaf
    for word in (b"jansen", b"geheim", b"/upload", b".csv", b"example.nl"):
        assert word not in leaf
        assert base64.b64encode(word).rstrip(b"=")[:-1] not in leaf


def test_the_openings_open_the_commitments_and_nothing_else_does():
    event = sealed()
    commitments = json.loads(event.leaf)["data"]["commitments"]
    assert {opening.field for opening in event.openings} == {"path", "account"} == set(commitments)
    for opening in event.openings:
        commitment = base64.b64decode(commitments[opening.field])
        assert opens(opening, commitment)
        assert not opens(new_opening(opening.field, opening.value), commitment)
        assert not opens(Opening("other", opening.nonce, opening.value), commitment)
        assert not opens(Opening(opening.field, opening.nonce, "other"), commitment)


def test_the_same_value_is_committed_to_differently_each_time():
    assert sealed().leaf != sealed().leaf


def test_a_commitment_is_hmac_over_field_nul_and_canonical_value():
    """Checked against `printf 'path\\0"/a"' | openssl dgst -sha256 -mac HMAC -macopt hexkey:00…00`."""
    assert commit(Opening("path", bytes(32), "/a")).hex() == (
        "0689c1aa529a4aec2356a3b11545b67a99981f53840dd10ebe5919cb9552c0bb"
    )


@given(json_values)
def test_every_json_value_can_be_committed_to_and_opened(value):
    opening = new_opening("field", value)
    assert opens(Opening("field", opening.nonce, json.loads(json.dumps(value))), commit(opening))


def test_an_opening_shows_only_its_field():
    assert repr(new_opening("path", "/secret")) == "Opening(field='path')"


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"public": {"path": "/a"}}, "path: both public and private"),
        ({"public": {"commitments": {}}}, "'commitments' cannot name a field"),
        ({"private": {"a\0b": 1}}, "cannot name a field"),
        ({"type": "Received"}, "not an event type"),
        ({"type": "transfer"}, "not an event type"),
        ({"time": NOW.replace(tzinfo=None)}, "no time zone"),
        ({"public": {"size": 2**53}}, "no canonical JSON"),
        ({"private": {"path": "\udcff"}}, "no canonical JSON"),
        ({"private": {"path": float("nan")}}, "no canonical JSON"),
        ({"public": {"note": "x" * 65_400}}, "event takes"),
    ],
)
def test_events_that_cannot_be_sealed(changes, match):
    with pytest.raises(AuditError, match=match):
        sealed(**changes)


def test_the_longest_leaf():
    empty = len(sealed(public={"note": ""}).leaf)
    assert len(sealed(public={"note": "x" * (65_535 - empty)}).leaf) == 65_535


@given(json_values)
def test_every_value_has_the_bytes_that_rfc_8785_gives_it(value):
    assert canonical(value) == rfc8785.dumps(value)


def test_every_character_is_written_as_rfc_8785_writes_it():
    everything = "".join(map(chr, (*range(0xD800), *range(0xE000, 0x110000))))
    assert canonical(everything) == rfc8785.dumps(everything)


@pytest.mark.parametrize(
    "value", [2**53, -(2**53), "\ud800", {"a": ["\udfff"]}, {"\ud800": 1}, {1: 2}, object()]
)
def test_what_has_no_canonical_form_is_refused(value):
    with pytest.raises(AuditError, match="no canonical JSON"):
        canonical(value)
