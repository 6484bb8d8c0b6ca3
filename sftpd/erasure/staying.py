"""Possible matches that stay by decision: they need no other one where we change the rest of their file."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from sftpd.erasure.messages import Found, Show, Shown
from sftpd.erasure.plan import Place
from sftpd.erasure.readers import Readers
from sftpd.erasure.records import Item, Request
from sftpd.erasure.search import NAME_PLACE, look_into


class Staying(NamedTuple):
    """Where in the next content of a file, by its mark, the records are that stay."""

    mark: str
    places: Sequence[str]


def of_files(items: Iterable[Item]) -> Mapping[Place, list[Item]]:
    """The possible matches that stay, by the file that they are in."""
    files: dict[Place, list[Item]] = {}
    for item in items:
        if item.state == "kept" and item.step.possible is not None and not item.step.is_unread:
            files.setdefault((item.step.folder, item.step.path), []).append(item)
    return files


def carried_over(
    readers: Readers, request: Request, kept: Sequence[Item], old: int, new: int
) -> Staying | None:
    """Where those that are kept of a file are in its next content; None where they are not told apart there.

    `old` and `new` are descriptors of the two contents. They are the same if there are as many, and these say
    the same in the same order: a record that nobody has looked at is never among them. Raises ProcessError.
    """
    if not kept:
        return None
    name, mark = kept[0].step.path[-1], kept[0].step.mark
    found = look_into(new, name, request.identifiers, readers)
    if not isinstance(found, Found):
        return None
    before = {item.step.possible.place for item in kept if item.step.possible is not None}
    after = {possible.place for possible in found.possible}
    by_name = before & after & {NAME_PLACE}
    before, after = before - {NAME_PLACE}, after - {NAME_PLACE}

    def said(fd: int, places: set[str]) -> Shown | None:
        plain = tuple(known.plain() for known in request.identifiers)
        shown = readers.show(Show(name, plain, tuple(sorted(places))), fd)
        return shown if isinstance(shown, Shown) else None

    same: set[str] = set()
    if before and len(before) == len(after):
        then, now = said(old, before), said(new, after)
        if then is not None and now is not None and (then.mark, then.digest) == (mark, now.digest):
            same = after
    return Staying(found.mark, sorted(by_name | same)) if by_name | same else None
