"""Marks: keyed digests of the texts that carried a person, by which the same records are found again.

Whether a text carries a person depends on that text and its label alone, and whether fields do between them
on these fields. So the texts and records that did are all that is needed to take the same decisions in the
same content again, without knowing whom they are about.
"""

import hashlib
import json
import os
import secrets
from collections.abc import Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from sftpd.erasure.finder import Field

SIZE = 16
"""Bytes of a mark."""
MOST = 65_536
"""Marks of one file; beyond that none are kept."""
_NONCE = 12


class Marks:
    """The marks in one content, which `key` (32 bytes) belongs to."""

    def __init__(self, key: bytes, known: bytes = b"") -> None:
        """`known`: marks one after another."""
        self._key = key
        self._known = {known[start : start + SIZE] for start in range(0, len(known), SIZE)}

    def note(self, text: str, label: str) -> None:
        """Add the mark of a text."""
        self._add(self._mark(text, label))

    def note_record(self, fields: Sequence[Field]) -> None:
        """Add the mark of a record that carried the person between its fields."""
        self._add(self._mark_of_any())
        self._add(self._mark_of(fields))

    @property
    def has_records(self) -> bool:
        """Whether there are marks of records: these say so by one of their own."""
        return self._mark_of_any() in self._known

    def knows(self, text: str, label: str) -> bool:
        """Whether the mark of a text is among them."""
        return self._mark(text, label) in self._known

    def knows_record(self, fields: Sequence[Field]) -> bool:
        """Whether the mark of a record is among them."""
        return self._mark_of(fields) in self._known

    def packed(self) -> bytes:
        """All of them one after another, in order; of too many more than MOST."""
        return b"".join(sorted(self._known))

    def _add(self, mark: bytes) -> None:
        if len(self._known) <= MOST:
            self._known.add(mark)

    def _mark_of_any(self) -> bytes:
        return hashlib.blake2b(key=self._key, digest_size=SIZE, person=b"records").digest()

    def _mark_of(self, fields: Sequence[Field]) -> bytes:
        told = json.dumps(fields).encode()
        return hashlib.blake2b(told, key=self._key, digest_size=SIZE, person=b"record").digest()

    def _mark(self, text: str, label: str) -> bytes:
        told = f"{label}\0{text}".encode("utf-8", "surrogatepass")
        return hashlib.blake2b(told, key=self._key, digest_size=SIZE).digest()


def seal_places(key: bytes, places: Sequence[str]) -> bytes:
    """Places in a content, which may name what is in it, for who has that content and so its key alone."""
    nonce = secrets.token_bytes(_NONCE)
    return nonce + AESGCM(_sealing(key)).encrypt(nonce, json.dumps(places).encode(), None)


def unseal_places(key: bytes, sealed: bytes) -> tuple[str, ...]:
    """The places again. Raises ValueError where they were sealed with another key."""
    try:
        plain = AESGCM(_sealing(key)).decrypt(sealed[:_NONCE], sealed[_NONCE:], None)
    except InvalidTag as fault:
        raise ValueError("sealed with another key") from fault
    return tuple(json.loads(plain))


def _sealing(key: bytes) -> bytes:
    return hashlib.blake2b(b"places", key=key, digest_size=32).digest()


def noted(fd: int) -> bytes | None:
    """The marks that a reader left in a file; None where they were too many."""
    packed = os.pread(fd, MOST * SIZE + 1, 0)
    return packed if len(packed) <= MOST * SIZE else None
