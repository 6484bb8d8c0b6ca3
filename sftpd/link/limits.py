"""What an account may still bring: pure, told what it has brought and what lies here."""

from collections.abc import Iterator
from dataclasses import dataclass

from sftpd.errors import LimitError
from sftpd.link.model import Limits

_MOST_AHEAD = 64 * 1024 * 1024
_LEAST_AHEAD = 64 * 1024
_SHARE = 8
"""An upload may grow by this part of what is left before it asks again: others get some too."""


@dataclass(frozen=True, slots=True)
class Use:
    """What counts against the limits, apart from the upload in question."""

    files: int
    """Brought today by the account."""
    size: int
    """Bytes of them, and those promised to its uploads under way."""
    stored: int
    """Bytes that lie here for the link, and those promised to its uploads under way."""


def grant(limits: Limits, storage: int | None, use: Use, size: int) -> int | None:
    """To how many bytes an upload that is to have `size` may grow before it asks again; None: to any.

    Raises LimitError when it may not have that many.
    """
    if limits.files_per_day is not None and use.files >= limits.files_per_day:
        raise LimitError(f"limit of {limits.files_per_day} files a day reached", reason="FILES_PER_DAY")
    most: int | None = None
    for reason, limit, used, text in _sizes(limits, storage, use):
        room = max(limit - used, 0)
        if max(size, 1) > room:
            raise LimitError(text, reason=reason)
        ahead = min(max(room // _SHARE, _LEAST_AHEAD), _MOST_AHEAD)
        granted = min(room, size + ahead)
        most = granted if most is None else min(granted, most)
    return most


def room(limits: Limits, storage: int | None, use: Use) -> int | None:
    """How many bytes may still be brought; None: any number."""
    if limits.files_per_day is not None and use.files >= limits.files_per_day:
        return 0
    return min((max(limit - used, 0) for _, limit, used, _ in _sizes(limits, storage, use)), default=None)


def _sizes(limits: Limits, storage: int | None, use: Use) -> Iterator[tuple[str, int, int, str]]:
    """Each limit of bytes that there is: its reason, itself, what is used of it, what a partner is told."""
    if limits.bytes_per_day is not None:
        text = f"limit of {limits.bytes_per_day} bytes a day reached"
        yield "BYTES_PER_DAY", limits.bytes_per_day, use.size, text
    if storage is not None:
        yield "STORAGE", storage, use.stored, f"limit of {storage} bytes stored here reached"
