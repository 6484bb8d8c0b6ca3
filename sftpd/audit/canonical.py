"""Canonical bytes of JSON values (RFC 8785): what is hashed, signed or committed to."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TypeAlias

import msgspec
import rfc8785

from sftpd.errors import AuditError

JSON: TypeAlias = "bool | int | float | str | Sequence[JSON] | Mapping[str, JSON] | None"
"""A value that JSON can say; sequences are lists or tuples, mappings are dicts."""


_MOST = 2**53 - 1
_SIMPLE = frozenset({str, bool, type(None)})
_plain = msgspec.json.Encoder(order="sorted")


def canonical(value: JSON) -> bytes:
    """Return the one UTF-8 encoding of `value` (RFC 8785).

    Raises AuditError for what has none: integers beyond 2**53 - 1, NaN, infinities, lone surrogates, objects
    that are not JSON, and what is nested too deeply.
    """
    try:
        return _plain.encode(value) if _is_plain(value) else rfc8785.dumps(value)
    except (rfc8785.CanonicalizationError, UnicodeEncodeError, RecursionError) as error:
        raise AuditError(f"value has no canonical JSON: {error}") from error


def _is_plain(value: object) -> bool:
    """Whether an encoder written in C gives the same bytes: so for all but floats and keys beyond ASCII.

    A leaf has nothing else in it, and rfc8785 takes fifteen times as long.
    """
    kind = type(value)
    if kind in _SIMPLE:
        return True
    if kind is int:
        return -_MOST <= value <= _MOST  # type: ignore[operator]  # an int
    if kind is dict:
        for key, item in value.items():  # type: ignore[attr-defined]  # a dict
            if type(key) is not str or not key.isascii():
                return False
            if type(item) not in _SIMPLE and not _is_plain(item):
                return False
        return True
    return (kind is list or kind is tuple) and all(map(_is_plain, value))  # type: ignore[call-overload]


def instant(moment: datetime) -> str:
    """An instant as signed documents have it: RFC 3339, in UTC, to the second."""
    return moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
