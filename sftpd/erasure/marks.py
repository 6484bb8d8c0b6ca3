"""Marks: keyed digests of the texts that carried a person, by which the same records are found again.

Whether a text carries a person depends on that text and its label alone. So the texts that did are all that
is needed to take the same decisions in the same content again, without knowing whom they are about.
"""

import hashlib
from collections.abc import Iterable

SIZE = 16
"""Bytes of a mark."""
MOST = 65_536
"""Marks of one file; beyond that none are kept."""


class Marks:
    """The marks in one content, which `key` (32 bytes) belongs to."""

    def __init__(self, key: bytes, known: bytes = b"") -> None:
        """`known`: marks one after another."""
        self._key = key
        self._known = {known[start : start + SIZE] for start in range(0, len(known), SIZE)}

    def note(self, text: str, label: str) -> None:
        """Add the mark of a text."""
        if len(self._known) <= MOST:
            self._known.add(self._mark(text, label))

    def knows(self, text: str, label: str) -> bool:
        """Whether the mark of a text is among them."""
        return self._mark(text, label) in self._known

    def packed(self) -> bytes:
        """All of them one after another, in order; nothing where they are too many."""
        return b"".join(_most(sorted(self._known)))

    def _mark(self, text: str, label: str) -> bytes:
        told = f"{label}\0{text}".encode("utf-8", "surrogatepass")
        return hashlib.blake2b(told, key=self._key, digest_size=SIZE).digest()


def _most(marks: list[bytes]) -> Iterable[bytes]:
    return marks if len(marks) <= MOST else ()
