"""Canonical bytes of JSON values (RFC 8785): what is hashed, signed or committed to."""

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import rfc8785

from sftpd.errors import AuditError

JSON: TypeAlias = "bool | int | float | str | Sequence[JSON] | Mapping[str, JSON] | None"
"""A value that JSON can say; sequences are lists or tuples, mappings are dicts."""


def canonical(value: JSON) -> bytes:
    """Return the one UTF-8 encoding of `value` (RFC 8785).

    Raises AuditError for what has none: integers beyond 2**53 - 1, NaN, infinities, lone surrogates and
    objects that are not JSON.
    """
    try:
        return rfc8785.dumps(value)
    except rfc8785.CanonicalizationError as error:
        raise AuditError(f"value has no canonical JSON: {error}") from error
