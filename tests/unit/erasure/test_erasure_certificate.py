"""A certificate holds as it was signed, and in no other form."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sftpd.audit.checkpoint import SigningKey
from sftpd.erasure.certificate import (
    Certificate,
    FileEntry,
    FolderCount,
    IdentifierDigest,
    SecondSearch,
    sign,
    verify,
)
from sftpd.errors import AuditError

KEY = SigningKey.generate("example.nl/demo")
CERTIFICATE = Certificate(
    request="r1",
    link="demo",
    received="2026-01-31T10:00:00Z",
    due="2026-03-02T22:59:59Z",
    issued="2026-02-03T10:00:00Z",
    identifiers=(IdentifierDigest("email", "00ff"),),
    searched=(FolderCount("inbound", 200),),
    removed=(FileEntry("t1", "inbound", "redact", "csv", 2, None),),
    held=(),
    unsearchable=(FileEntry("f00", "inbound", "unsearchable", None, 0, "binär"),),
    remains_until=None,
    second_search=SecondSearch("2026-02-03T10:00:00Z", (FolderCount("inbound", 200),), 0, 0),
)
DOCUMENT = sign(CERTIFICATE, KEY)


def test_a_certificate_verifies_and_reads_back() -> None:
    assert verify(DOCUMENT, KEY.verifier) == CERTIFICATE


@given(st.integers(0, len(DOCUMENT) - 1), st.integers(1, 255))
def test_any_changed_byte_fails(place: int, change: int) -> None:
    changed = bytearray(DOCUMENT)
    changed[place] ^= change
    with pytest.raises(AuditError):
        verify(bytes(changed), KEY.verifier)


@pytest.mark.parametrize("document", [b"", b"{}", b"[]", DOCUMENT + b"\n", b" " + DOCUMENT, DOCUMENT[:-1]])
def test_any_other_document_fails(document: bytes) -> None:
    with pytest.raises(AuditError):
        verify(document, KEY.verifier)


def test_another_key_fails() -> None:
    for name in ("example.nl/demo", "example.nl/other"):
        with pytest.raises(AuditError, match="another key"):
            verify(DOCUMENT, SigningKey.generate(name).verifier)
