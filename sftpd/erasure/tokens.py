"""Tokens: what stands in an index for an identifier.

Whenever an identifier or a written variant of it matches a text, one of its tokens is among those of the
entries of that text. There may be others: who finds a token reads the text again.
"""

from collections.abc import Callable, Iterable, Mapping
from hashlib import blake2b

from sftpd.erasure.addresses import postcode_of
from sftpd.erasure.births import date_of_birth
from sftpd.erasure.dates import keys_of
from sftpd.erasure.digits import is_national
from sftpd.erasure.identifiers import LONGEST, Identifier
from sftpd.erasure.number_words import NUMBER_WORDS, is_padded, number_key
from sftpd.erasure.variants import mailbox

SIZE = 16
"""Bytes of a token."""

LIMIT = 4_000_000
"""Tokens of one file; a file with more is not indexed."""

KINDS = frozenset({"bsn", "email", "iban", "phone", *NUMBER_WORDS})
"""The types of identifiers that have tokens, of telephone numbers the Dutch; others have many variants."""

_PARTS: Mapping[str, Callable[[str], Iterable[str]]] = {
    "address": lambda value: [f"postcode\0{postcode_of(value)}"],
    "born": lambda value: [f"date\0{key}" for key in keys_of(date_of_birth(value))],
}
"""The entries of which a text has one wherever one of these types is found: those of a part of it.

A part stands in one text, whatever the record around it is, and has one token however often it occurs. What
goes with it, a number of a house or a name, has too many forms.
"""


def wanted(identifier: Identifier, key: bytes) -> list[bytes] | None:
    """The tokens of which a text has one where it carries an identifier, or a written variant of it.

    `key` has 16 to 64 bytes. None for an identifier that has none.
    """
    if identifier.kind in _PARTS:
        return [tokens([entry], key) for entry in _PARTS[identifier.kind](identifier.value)]
    if identifier.kind in NUMBER_WORDS:
        return [tokens([f"{identifier.kind}\0{number_key(identifier.value)}"], key)]
    first = token(identifier, key)
    if first is None or identifier.kind != "email":
        return None if first is None else [first]
    box = mailbox(identifier.value)
    entries = dict.fromkeys([f"email\0{identifier.value}", f"email\0{box}", f"mailbox\0{box}"])
    return [tokens([entry], key) for entry in entries]


def token(identifier: Identifier, key: bytes) -> bytes | None:
    """The token of an identifier itself under `key`; None for one that has none, or shares it with others."""
    kind, value = identifier.kind, identifier.value
    if kind not in KINDS or len(value) > LONGEST or (kind == "phone" and not is_national(value)):
        return None
    if kind in NUMBER_WORDS and is_padded(value):
        return None
    return tokens([f"{kind}\0{value}"], key)


def tokens(entries: Iterable[str], key: bytes) -> bytes:
    """The tokens of entries, one after another."""
    keyed = blake2b(digest_size=SIZE, key=key)
    packed = []
    for entry in entries:
        mine = keyed.copy()
        # Half a character, which JSON may name, is none in UTF-8.
        mine.update(entry.encode() if entry.isascii() else entry.encode("utf-8", "surrogatepass"))
        packed.append(mine.digest())
    return b"".join(packed)
