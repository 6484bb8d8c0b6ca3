"""The copies in the vaults."""

import hashlib
import os
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from sftpd.app.instance import Instance
from sftpd.app.verbs.verb import Arguments, Verb, as_text
from sftpd.errors import NotFoundError, UsageError
from sftpd.files.durable import write_all
from sftpd.files.sealed import SealError
from sftpd.ledger import tables
from sftpd.ledger.outbox import Event
from sftpd.link import vaulted

_file, _transfer = tables.kept_file.c, tables.transfer.c


def _list(instance: Instance, arguments: Arguments) -> list[dict[str, Any]]:
    link = arguments.get("link")
    where = () if link is None else (_file.link == instance.register.get(link).name,)
    with instance.ledger.read() as conn:
        return [_copy(row) for row in conn.execute(_copies(*where))]


def _get(instance: Instance, arguments: Arguments) -> dict[str, Any]:
    """Write the content of a copy to the open file `output`, durably; that it is read is told before."""
    copy, reason, by, output = (arguments[name] for name in ("id", "reason", "by", "output"))
    if not reason.strip():
        raise UsageError("a copy is read for a reason", where="reason")
    with instance.ledger.read() as conn:
        row = conn.execute(_copies(_file.id == copy)).first()
    if row is None:
        raise NotFoundError(f"no copy {copy!r} is in a vault", remedy="see sftpd vault list")
    vault = instance.vaults.of(row.link)
    if vault is None:
        raise NotFoundError("its configuration has no [vault]", where=f"link {row.link}")
    with vault.open(row.source) as sealed:
        public = {"copy": row.id, "transfer": row.transfer, "size": row.size}
        private = {"by": by, "reason": reason, "path": _path(row), "sha256": row.sha256}
        instance.ledger.write(lambda unit: unit.record(Event("vault.read", row.link, public, private)))
        digest = hashlib.sha256()
        for chunk in sealed.chunks():
            digest.update(chunk)
            write_all(output, chunk)
        os.fsync(output)
    if digest.hexdigest() != row.sha256:
        raise SealError("the copy is not what crossed the link", where=row.id)
    return _copy(row)


def _copies(*where: sa.ColumnElement[bool]) -> sa.Select[Any]:
    in_vault = (_file.folder == vaulted.FOLDER, _file.state == "present")
    columns = (*tables.kept_file.columns, _transfer.direction, _transfer.route, _transfer.peer)
    query = sa.select(*columns).outerjoin_from(
        tables.kept_file, tables.transfer, _transfer.id == _file.transfer
    )
    return query.where(*in_vault, *where).order_by(_file.id)


def _copy(row: Any) -> dict[str, Any]:
    return {
        "id": row.id,
        "link": row.link,
        "transfer": row.transfer,
        "direction": row.direction,
        "route": row.route,
        "peer": row.peer,
        "path": _path(row),
        "size": row.size,
        "sha256": row.sha256,
        "received": row.received_at.isoformat(),
    }


def _path(row: Any) -> str:
    return as_text(vaulted.origin(row.path))


VERBS: Mapping[str, Verb] = {"vault.list": _list, "vault.get": _get}
