"""What counts as an order, what a request of OpenDSR becomes, and whose signature makes one count."""

import json
import subprocess
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_ssh_public_key
from hypothesis import given
from hypothesis import strategies as st

from sftpd.audit.checkpoint import SigningKey, VerifierKey
from sftpd.erasure.order import LIMIT, Kind, NamedFile, Order, read, sign, verify, write
from sftpd.errors import RefusedError

KEY, OTHER = SigningKey.generate("acme"), SigningKey.generate("other")
ISSUED = datetime(2026, 3, 5, 10, tzinfo=UTC)
ORDER: dict[str, Any] = {
    "order": "2026-0042",
    "kind": "erasure",
    "issued": "2026-03-05T10:00:00Z",
    "identifiers": ["email=Jan@Example.nl", "phone=06 12345678"],
    "reason": "asked by the person",
}
FILE = {"transfer": "06h1j46767er5pn13fddevmey0", "name": "out/list.csv", "sha256": "ab" * 32}
DSR: dict[str, Any] = {
    "subject_request_id": "a7551968-d5d6-44b2-9831-815ac9017798",
    "subject_request_type": "erasure",
    "submitted_time": "2026-03-05T11:00:00+01:00",
    "subject_identities": [
        {"identity_type": "email", "identity_value": "jan@example.nl", "identity_format": "raw"},
        {"identity_type": "controller_customer_id", "identity_value": "K-77", "identity_format": "raw"},
    ],
    "api_version": "1.0",
    "status_callback_urls": ["https://example.nl/callback"],
}


def reading(**changed: object) -> Order:
    return read(json.dumps({**ORDER, **changed}).encode())


def refusal(content: bytes) -> RefusedError:
    with pytest.raises(RefusedError) as refused:
        read(content)
    return refused.value


def test_an_order_is_read_whatever_its_layout_and_its_identifiers_are_normalised() -> None:
    expected = Order(
        "2026-0042",
        Kind.ERASURE,
        ISSUED,
        ("email=jan@example.nl", "phone=+31612345678"),
        "asked by the person",
    )
    assert read(json.dumps(ORDER, indent=3).encode()) == expected
    assert read(json.dumps(dict(reversed(ORDER.items()))).encode()) == expected
    assert reading(identifiers=[*ORDER["identifiers"], "email=JAN@example.nl"]) == expected
    assert reading(issued="2026-03-05T11:00:00+01:00") == expected


def test_its_repr_shows_nothing_of_the_person() -> None:
    assert "jan" not in repr(reading()).casefold()


def test_a_notice_names_files_and_nothing_else_does() -> None:
    notice = reading(kind="notice", files=[FILE])
    assert notice.files == (NamedFile(**FILE),)
    assert "only a notice names files" in str(refusal(json.dumps({**ORDER, "files": [FILE]}).encode()))


@pytest.mark.parametrize(
    ("change", "reason", "says"),
    [
        ({"kind": "access"}, "ORDER_FORM", "$.kind"),
        ({"order": "a/b"}, "ORDER_FORM", "$.order"),
        ({"order": "a\n"}, "ORDER_FORM", "$.order"),
        ({"order": ""}, "ORDER_FORM", "$.order"),
        ({"order": "x" * 65}, "ORDER_FORM", "$.order"),
        ({"issued": "2026-03-05T10:00:00"}, "ORDER_FORM", "$.issued"),
        ({"issued": "yesterday"}, "ORDER_FORM", "$.issued"),
        ({"identifiers": []}, "ORDER_FORM", "$.identifiers"),
        ({"identifiers": ["email=jan@example.nl"] * 101}, "ORDER_FORM", "$.identifiers"),
        ({"identifiers": ["email=jan@example.nl", "bsn=111222334"]}, "ORDER_IDENTIFIER", "number 2"),
        ({"identifiers": ["shoe=44"]}, "ORDER_IDENTIFIER", "a TYPE among"),
        ({"extra": 1}, "ORDER_FORM", "extra"),
        ({"kind": "notice", "files": [{**FILE, "sha256": "AB" * 32}]}, "ORDER_FORM", "$.files[0].sha256"),
    ],
)
def test_what_is_no_order_is_refused_with_the_place(
    change: dict[str, object], reason: str, says: str
) -> None:
    refused = refusal(json.dumps({**ORDER, **change}).encode())
    assert refused.reason == reason
    assert says in str(refused)
    assert "111222334" not in str(refused)


@pytest.mark.parametrize(
    "content",
    [b"", b"[]", b"null", b"\xff\xfe{}", b'{"order": "a"', b"[" * 60_000, b'{"order": ' * 5000, b"{}"],
)
def test_what_is_not_even_json_is_refused(content: bytes) -> None:
    assert refusal(content).reason == "ORDER_FORM"


def test_an_order_that_is_too_large_is_refused_unread() -> None:
    content = json.dumps(ORDER).encode()
    assert read(content.ljust(LIMIT)).order == "2026-0042"
    assert refusal(content.ljust(LIMIT + 1)).reason == "ORDER_SIZE"


def test_a_request_of_opendsr_becomes_an_order() -> None:
    assert read(json.dumps(DSR).encode()) == Order(
        DSR["subject_request_id"], Kind.ERASURE, ISSUED, ("email=jan@example.nl", "customer=k-77")
    )


NAMED = {
    "email": {"value": "Jan@example.nl", "encoding": "raw"},
    "controller_customer_id": {"value": "K-77", "encoding": "raw"},
}


def test_identities_by_their_types_are_those_of_a_list() -> None:
    request = {**DSR, "subject_identities": NAMED, "api_version": "3.0", "skip_waiting_period": True}
    assert read(json.dumps(request).encode()) == read(json.dumps(DSR).encode())


@pytest.mark.parametrize(
    ("identities", "reason"),
    [
        ({}, "ORDER_FORM"),
        ({"email": "jan@example.nl"}, "ORDER_FORM"),
        ({"email": {"value": "jan@example.nl"}}, "ORDER_FORM"),
        ({**NAMED, "email": {"value": "ab" * 32, "encoding": "sha256"}}, "ORDER_IDENTIFIER"),
        ({**NAMED, "android_id": {"value": "x", "encoding": "raw"}}, "ORDER_IDENTIFIER"),
    ],
)
def test_identities_by_their_types_are_refused_as_those_of_a_list(identities: object, reason: str) -> None:
    assert refusal(json.dumps({**DSR, "subject_identities": identities}).encode()).reason == reason


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"subject_request_type": "access"}, "ORDER_TYPE"),
        ({"subject_request_type": "portability"}, "ORDER_TYPE"),
        ({"subject_identities": []}, "ORDER_FORM"),
        ({"subject_request_id": "a b"}, "ORDER_FORM"),
        ({"files": []}, "ORDER_FORM"),
    ],
)
def test_other_requests_of_opendsr_are_refused(change: dict[str, object], reason: str) -> None:
    assert refusal(json.dumps({**DSR, **change}).encode()).reason == reason


@pytest.mark.parametrize(
    ("identity_type", "identity_format"), [("email", "sha256"), ("android_advertising_id", "raw")]
)
def test_an_identity_that_cannot_be_searched_for_refuses_the_whole_request(
    identity_type: str, identity_format: str
) -> None:
    identity = {
        "identity_type": identity_type,
        "identity_value": "x@y.nl",
        "identity_format": identity_format,
    }
    identities = [*DSR["subject_identities"], identity]
    refused = refusal(json.dumps({**DSR, "subject_identities": identities}).encode())
    assert refused.reason == "ORDER_IDENTIFIER"
    assert "number 3" in str(refused)
    assert "x@y.nl" not in str(refused)


@given(
    order=st.from_regex(r"\A[A-Za-z0-9._-]{1,64}\Z"),
    kind=st.sampled_from(Kind),
    issued=st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
    numbers=st.lists(st.integers(0, 10**6), min_size=1, max_size=5, unique=True),
    reason=st.none() | st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=50),
    names=st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=50), max_size=3),
)
def test_what_is_written_reads_back(
    order: str, kind: Kind, issued: datetime, numbers: list[int], reason: str | None, names: list[str]
) -> None:
    files = [NamedFile("t1", name, "00" * 32) for name in names if kind is Kind.NOTICE]
    identifiers = tuple(f"customer={number}" for number in numbers)
    made = Order(order, kind, issued, identifiers, reason, tuple(files))
    assert read(write(made)) == made


@given(
    st.binary(max_size=300)
    | st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.text(max_size=5)
        | st.sampled_from(list(ORDER.values())),
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*ORDER, *DSR, "x"]), inner)
        ),
    ).map(lambda document: json.dumps(document).encode())
)
def test_any_bytes_are_an_order_or_refused(content: bytes) -> None:
    with suppress(RefusedError):
        assert read(content).identifiers


def test_an_order_that_would_be_too_large_is_not_written() -> None:
    files = tuple(NamedFile("t1", "x" * 100, "00" * 32) for _ in range(400))
    with pytest.raises(RefusedError) as refused:
        write(Order("a", Kind.NOTICE, ISSUED, ("email=jan@example.nl",), files=files))
    assert refused.value.reason == "ORDER_SIZE"


def test_an_order_counts_by_the_signature_of_one_who_may_sign() -> None:
    content = json.dumps(ORDER).encode()
    assert verify(content, sign(content, KEY), [OTHER.verifier, KEY.verifier]) == KEY.verifier
    for signature, signers in [
        (sign(content, OTHER), [KEY.verifier]),
        (sign(content + b" ", KEY), [KEY.verifier]),
        (sign(content, KEY), []),
        (b"", [KEY.verifier]),
        (content, [KEY.verifier]),
    ]:
        with pytest.raises(RefusedError) as refused:
            verify(content, signature, signers)
        assert refused.value.reason == "ORDER_SIGNATURE"
        assert KEY.name not in str(refused.value)


@pytest.mark.parametrize(("namespace", "counts"), [("order@sftpd", True), ("receipt@sftpd", False)])
def test_a_signature_by_ssh_keygen_counts_in_its_namespace(
    tmp_path: Path, namespace: str, counts: bool
) -> None:
    key, file = tmp_path / "key", tmp_path / "a.order.json"
    file.write_text(json.dumps(ORDER))
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    command = ["ssh-keygen", "-q", "-Y", "sign", "-f", key, "-n", namespace, file]
    subprocess.run(command, check=True, capture_output=True)
    public = load_ssh_public_key(key.with_suffix(".pub").read_bytes())
    assert isinstance(public, Ed25519PublicKey)
    signer = VerifierKey("acme", public.public_bytes_raw())
    signed = file.read_bytes(), Path(f"{file}.sig").read_bytes(), [signer]
    if counts:
        assert verify(*signed) == signer
    else:
        with pytest.raises(RefusedError):
            verify(*signed)
