"""Commitments to private values: a leaf proves one later without showing it now.

A commitment is `HMAC-SHA256(nonce, field || 0x00 || canonical JSON of value)`. Whoever holds the opening
(field, nonce, value) can prove the value; once the nonce is deleted nobody can, nor test a guess.
"""

import dataclasses
import hmac
import secrets

from sftpd.audit.canonical import JSON, canonical

NONCE_SIZE = 32
"""Bytes of randomness in each commitment."""


@dataclasses.dataclass(frozen=True, slots=True)
class Opening:
    """What opens one commitment: personal data until it is deleted, so its repr shows the field alone."""

    field: str
    nonce: bytes = dataclasses.field(repr=False)
    value: JSON = dataclasses.field(repr=False)


def new_opening(name: str, value: JSON) -> Opening:
    """Return an opening for `value` under the field `name`, with a fresh nonce."""
    return Opening(name, secrets.token_bytes(NONCE_SIZE), value)


def commit(opening: Opening) -> bytes:
    """Return the 32 bytes that commit to the opening's value.

    Raises AuditError if the value has no canonical JSON.
    """
    message = opening.field.encode() + b"\0" + canonical(opening.value)
    return hmac.digest(opening.nonce, message, "sha256")


def opens(opening: Opening, commitment: bytes) -> bool:
    """Whether `opening` is what `commitment` committed to, in constant time."""
    return hmac.compare_digest(commit(opening), commitment)
