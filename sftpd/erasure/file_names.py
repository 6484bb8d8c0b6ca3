"""When the name of a file carries an identifier, also where something was added to it.

What sftpd adds is taken off by the functions beside those that add it. What is left may name somebody else
where another identifier could have been written like that: `march+jan@example.nl` is a mailbox too, and
`1234.1` another customer. Such a name only may be the person's.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache

from sftpd.erasure.finder import Why
from sftpd.erasure.identifiers import RECALLED, Identifier, carries, fold, possible
from sftpd.files.naming import unflatten, without_id, without_number, without_reason

_RECEIPT = re.compile(rb"\.[0-9a-z]{26}\.[0-9]+\.(received|blocked|delivered)\.json(\.sig)?\Z")
"""What the name of a receipt, and of its signature, has behind the name of the file it is of."""

_SUFFIXES = frozenset(
    b"7z asc avi bak bin bmp bz2 cfg csv ctl dat dbf doc docx done edi eml enc file fin fwf gif gpg gz "
    b"htm html jpeg jpg json jsonl key log lz4 md5 mbox mp3 mp4 msg ndjson ods odt ok old p7m p7s part "
    b"pdf pgp png ppt pptx prn ready rtf sem sha256 sig sql svg tab tar tgz tif tiff trg tsv txt wav xls "
    b"xlsm xlsx xml xz yaml yml zip zst".split()
)
"""Suffixes that are known of files: no domain is taken to end with one."""

_NUMBER, _SUFFIX, _FOLDER = 1, 2, 4
"""What makes it doubtful of whom a name is, once that was taken off it."""

_SURE: Mapping[str, int] = {"email": _NUMBER, "address": 0, RECALLED: _NUMBER | _SUFFIX | _FOLDER}
"""What of it is no doubt for a type: a domain does not end with a number (RFC 3696, section 2).

Of what is recalled its label tells that there was none.
"""
_OTHERS = _SUFFIX
"""The same for the other types: no letter behind a dot belongs to them."""

_LABELS = ("", *(f"\0{doubt}" for doubt in range(1, 8)))
"""Under what a reading is looked at, by its doubt: a mark of it is of no field, and of no other reading."""


def name_carries(identifiers: Iterable[Identifier], name: str) -> bool:
    """Whether the name of a part of a file, or of a folder, carries an identifier.

    As that of a file; and whatever its suffix is, for such a name that only may be the person's is not told.
    """
    known = list(identifiers)
    if carries(known, name) or carries(known, name.rpartition(".")[0]):
        return True
    return file_name_carries(known, name.encode("utf-8", "replace"))


def file_name_carries(identifiers: Iterable[Identifier], name: bytes) -> bool:
    """Whether the name of a file carries an identifier for certain."""
    known = [(identifier, _SURE.get(identifier.kind, _OTHERS)) for identifier in identifiers]
    return any(
        identifier.matches_folded(text, _LABELS[doubt])
        for text, doubt in _readings(name)
        for identifier, sure in known
        if not doubt & ~sure
    )


def file_name_may_carry(identifiers: Iterable[Identifier], name: bytes) -> Why | None:
    """Why the name of a file may be the person's, where it is not so for certain; None if it may not be."""
    known = list(identifiers)
    texts = [text for text, _ in _readings(name)]
    if any(_carry(known, text) for text in texts):
        return Why.ADDED
    forms = (form for each in known for form in _forms(each) for text in texts if _carry([form], text))
    return next((Why(form.kind) for form in forms), None)


@lru_cache(maxsize=64)
def _forms(identifier: Identifier) -> Sequence[Identifier]:
    """The possible forms of an identifier, kept for the many names that are looked at in one search."""
    return tuple(possible(identifier))


def _carry(identifiers: Iterable[Identifier], text: str) -> bool:
    return any(identifier.matches_folded(text, "") for identifier in identifiers)


def _readings(name: bytes) -> Iterator[tuple[str, int]]:
    """What a file may have been called before anything was added, folded, and how doubtful each is."""
    readings = [(name, 0)]
    seen = set(readings)
    for written, doubt in readings:
        yield fold(written.decode("utf-8", "replace")), doubt
        for plain, more in _taken_off(written, doubt):
            reading = plain, doubt | more
            if plain != written and reading not in seen:
                seen.add(reading)
                readings.append(reading)


def _taken_off(name: bytes, doubt: int) -> Iterator[tuple[bytes, int]]:
    """The name without one of the things that may have been added, and the doubt that comes with each."""
    for plain in (_RECEIPT.sub(b"", name), without_reason(name), without_id(name)):
        yield plain, 0
    if b"+" in name and not doubt & _FOLDER:
        yield from ((part, _FOLDER) for part in unflatten(name))
    stem, _, suffix = name.rpartition(b".")
    if not stem:
        return
    if suffix.lower() in _SUFFIXES:
        yield stem, 0
    elif suffix.isdigit():
        yield stem, _NUMBER
    elif not doubt & _SUFFIX:
        yield stem, _SUFFIX
        yield without_number(name), _NUMBER | _SUFFIX
