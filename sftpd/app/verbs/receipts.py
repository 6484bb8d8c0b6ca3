"""The receipts of transfers."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from sftpd.app.instance import Instance
from sftpd.app.verbs.verb import Arguments, Verb, as_text
from sftpd.audit import sshsig
from sftpd.audit.checkpoint import parse_checkpoint
from sftpd.audit.merkle import leaf_hash
from sftpd.audit.published import PublishedLog
from sftpd.errors import AuditError, NotFoundError, SftpdError
from sftpd.exchange import receipt, receipts, records
from sftpd.files.beneath import Root

_SUFFIX = receipt.SUFFIX.encode()


def _receipt(instance: Instance, arguments: Arguments) -> list[dict[str, Any]]:
    with instance.ledger.read() as conn:
        transfer = records.get(conn, arguments["id"])
    folder = instance.folder(transfer.link, "receipts")
    with Root.at(folder) as root:
        found = list(receipts.find(root, receipts.spans(instance.ledger, [transfer.id])))
    files = [folder / os.fsdecode(b"/".join(place)) for place in found if place[-1].endswith(_SUFFIX)]
    if not files:
        raise NotFoundError(
            f"no receipt of transfer {transfer.id}",
            where=str(folder),
            expected="one soon after the file was received or delivered, while `link.receipts` is true",
        )
    log = PublishedLog(instance.register.get(transfer.link).audit)
    return [_shown(instance, folder, file, log, verify=bool(arguments.get("verify"))) for file in files]


def _shown(
    instance: Instance, folder: Path, file: Path, log: PublishedLog, *, verify: bool
) -> dict[str, Any]:
    try:
        content = file.read_bytes()
        signature = file.with_name(file.name + sshsig.SUFFIX).read_bytes()
    except OSError as error:
        raise SftpdError(f"cannot be read: {error.strerror}", where=error.filename) from None
    fault = None
    if verify:
        try:
            sshsig.verify(signature, content, instance.key.verifier, receipt.NAMESPACE, where=str(file))
            _verify_position(content, log, str(file))
        except AuditError as error:
            fault = str(error)
    shown = "/receipts/" + as_text(bytes(file.relative_to(folder)))
    return {
        "path": shown,
        "file": str(file),
        "content": content.decode(errors="backslashreplace"),
        "signature": signature.decode(errors="backslashreplace"),
        "fault": fault,
    }


def _verify_position(content: bytes, log: PublishedLog, where: str) -> None:
    """Pass if the receipt's event stands in the log where the receipt says. Raises AuditError."""
    position = msgspec.json.decode(content, type=receipt.Receipt).audit
    head = parse_checkpoint(log.checkpoint())
    known = position.log == head.origin and position.index < head.size
    leaf = next(log.leaves(position.index, position.index + 1, head.size)) if known else b""
    if leaf_hash(leaf).hex() != position.leaf:
        raise AuditError(
            f"leaf {position.index} of {position.log} is not the one the receipt tells of", where=where
        )


VERBS: Mapping[str, Verb] = {"transfer.receipt": _receipt}
