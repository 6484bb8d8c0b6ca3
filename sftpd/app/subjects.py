"""Legal holds on one person: what the erasure desk finds of the person becomes the scope of the hold."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import msgspec

from sftpd.app.keys import token_key
from sftpd.erasure.identifiers import Identifier, parse_identifier
from sftpd.errors import RefusedError
from sftpd.files.beneath import Parts
from sftpd.link import aside
from sftpd.link.model import Link
from sftpd.retention import holds
from sftpd.retention.scope import OfSubject

if TYPE_CHECKING:
    from sftpd.app.instance import Instance


def scope(instance: "Instance", link: Link, identifiers: Sequence[str]) -> OfSubject:
    """The scope that is the person known by `TYPE=VALUE`…, before any search: every file may be theirs.

    Raises UsageError and InvalidNameError for an identifier.
    """
    return _unsearched(instance, link.name, _parsed(identifiers))


def search(instance: "Instance", hold_id: str, identifiers: Sequence[str], by: str) -> None:
    """Look for the person of a hold in every file of its link, and hold those that may carry them.

    The identifiers must be given anew, for the hold knows them by keyed tokens alone. Raises NotFoundError,
    RefusedError where they are not those that the hold was placed with, and as ErasureDesk.look_for does.
    """
    with instance.ledger.read() as conn:
        hold = holds.get(conn, hold_id)
    known = _parsed(identifiers)
    wanted = _unsearched(instance, hold.link, known)
    if not isinstance(hold.scope, OfSubject):
        raise RefusedError(f"hold {hold_id} is on {hold.scope}, not on a person", reason="NOT_A_SUBJECT")
    if hold.released_at is not None:
        raise RefusedError(f"hold {hold_id} was released before", reason="HOLD_RELEASED")
    if set(hold.scope.tokens) != set(wanted.tokens):
        raise RefusedError(
            "these are not the identifiers that the hold was placed with",
            reason="OTHER_SUBJECT",
            where=f"hold {hold_id}",
            remedy="give all of them and no other, or place another hold",
        )
    searched_at = instance.clock.now()
    searched = instance.erasure.look_for(hold.link, known)
    places = {_place(file.folder, file.path) for file in searched.findings if file.records}
    places |= {_place(left.folder, left.path) for left in searched.unsearched}
    found = msgspec.structs.replace(wanted, searched_at=searched_at, places=frozenset(places))
    holds.search_again(instance.ledger, hold_id, found, by)


def _unsearched(instance: "Instance", link: str, known: Iterable[Identifier]) -> OfSubject:
    key = token_key(instance.key, f"hold/{link}")
    ordered = sorted(known, key=lambda identifier: (identifier.kind, identifier.digest(key)))
    types = tuple(dict.fromkeys(identifier.kind for identifier in ordered))
    return OfSubject(types, tuple(identifier.digest(key) for identifier in ordered))


def _place(folder: str, parts: Parts) -> tuple[str, bytes]:
    """Where a file lies; of one that was put aside, where it lay before."""
    path = b"/".join(parts)
    return (folder == aside.FOLDER and aside.origin(path)) or (folder, path)


def _parsed(identifiers: Sequence[str]) -> tuple[Identifier, ...]:
    return tuple(dict.fromkeys(map(parse_identifier, identifiers)))
