"""The archive copy of each file that crosses a link: sealed before the transaction that tells of the file."""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
import structlog

from sftpd.errors import SftpdError
from sftpd.exchange.places import Places, is_at
from sftpd.exchange.records import Parts, Transfer, enter_kept, join
from sftpd.files.beneath import Root
from sftpd.files.fingerprint import identity
from sftpd.files.vault import Vault, VaultError
from sftpd.ledger import tables
from sftpd.ledger.writer import Unit
from sftpd.link import vaulted
from sftpd.names import TransferId, new_id

_file = tables.kept_file.c
_log = structlog.get_logger()


class Sealed:
    """What was sealed of one file: a copy that waits to be recorded, or none."""

    def __init__(self, transfer: Transfer, vault: Vault | None, identifier: str | None) -> None:
        """`identifier`: the copy's in the vault, None where the file was not there any more."""
        self._transfer = transfer
        self._vault = vault
        self._identifier = identifier
        self._entered = False

    def enter(self, unit: Unit) -> dict[str, Any]:
        """Take the copy into our care; returns what the file's event says of it openly."""
        if self._identifier is None:
            return {} if self._vault is None else {"vault": None}
        self._entered = True
        transfer, copy = self._transfer, new_id(unit.now)
        path = join(vaulted.place_of(copy, transfer.path))
        place = {"folder": vaulted.FOLDER, "path": path, "source": self._identifier}
        enter_kept(unit, transfer, place | {"id": copy, "transfer": transfer.id})
        return {"vault": copy}

    def drop(self) -> None:
        """Destroy the copy, unless it was entered: even a transaction that failed may have recorded it."""
        if self._vault is not None and self._identifier is not None and not self._entered:
            _drop(self._vault, self._identifier)


class Archive:
    """Seals copies into the vault of a link, where it has one."""

    def __init__(self, vault: Vault | None = None) -> None:
        self._vault = vault

    def seal(self, transfer: Transfer, *places: tuple[Root, Parts]) -> Sealed:
        """A copy of a transfer's file, which lies in one of `places`, to be entered or dropped.

        A file that is in none of them any more has no copy, which is told. Raises VaultError.
        """
        identifier = None if self._vault is None else self._seal(self._vault, transfer, places)
        return Sealed(transfer, self._vault, identifier)

    def seal_all(
        self,
        transfers: Iterable[Transfer],
        source: Root,
        places: Places,
        offered: str | None,
        failed: dict[TransferId, Exception],
    ) -> dict[TransferId, Sealed]:
        """Copies of files that lie in `source`, or in the folder `offered` already, by transfer.

        What kept some from it goes to `failed`.
        """
        copies = {}
        for transfer in transfers:
            there = [] if offered is None else [(places[offered], transfer.final)]
            try:
                copies[transfer.id] = self.seal(transfer, (source, transfer.path), *there)
            except Exception as error:
                failed[transfer.id] = error
        return copies

    @contextmanager
    def sealed(self, transfers: Iterable[Transfer], root: Root) -> Iterator[dict[TransferId, Sealed]]:
        """Copies of files that wait in `root` under their ids, dropped where the block fails."""
        copies: dict[TransferId, Sealed] = {}
        try:
            for transfer in transfers:
                copies[transfer.id] = self.seal(transfer, (root, (transfer.id.encode(),)))
            yield copies
        except Exception:
            for copy in copies.values():
                copy.drop()
            raise

    def _seal(self, vault: Vault, transfer: Transfer, places: tuple[tuple[Root, Parts], ...]) -> str | None:
        found = next(((root, parts) for root, parts in places if is_at(root, parts, transfer.source)), None)
        if found is None:
            _log.error("not_archived", transfer=transfer.id, link=transfer.link, reason="it is not there")
            return None
        root, parts = found
        try:
            fd = root.open(parts, os.O_RDONLY | os.O_NOFOLLOW)
        except OSError as error:
            raise VaultError(f"a file cannot be read: {error.strerror}", where=transfer.id) from error
        try:
            identifier = vault.put(fd)
            if str(identity(fd)) == transfer.source:
                return identifier
        finally:
            os.close(fd)
        _drop(vault, identifier)
        raise VaultError("the file was changed while it was sealed", where=transfer.id)


def _drop(vault: Vault, identifier: str) -> None:
    try:
        vault.destroy(identifier)
    except (OSError, SftpdError) as error:
        _log.error("vault_copy_left", copy=identifier, error=str(error))


def recorded(conn: sa.Connection, link: str) -> set[str]:
    """The ids, in the vault of a link, of the copies in our care."""
    where = (_file.link == link, _file.folder == vaulted.FOLDER, _file.state == "present")
    return set(conn.scalars(sa.select(_file.source).where(*where)))


NO_ARCHIVE = Archive()
"""Of a link without a vault."""
