"""The receipts of transfers: ours, and those that a remote's owner made of what we delivered."""

import os
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from sftpd.app.instance import Instance
from sftpd.app.verbs.verb import Arguments, Verb, as_text
from sftpd.audit import sshsig
from sftpd.audit.checkpoint import first_origin, parse_checkpoint
from sftpd.audit.merkle import leaf_hash
from sftpd.audit.published import PublishedLog
from sftpd.errors import AuditError, NotFoundError, SftpdError
from sftpd.exchange import receipt, receipts, records, return_collect
from sftpd.exchange.records import Transfer
from sftpd.files.beneath import Parts, Root

_SUFFIX = receipt.SUFFIX.encode()

Check = Callable[[bytes, bytes, str], None]
"""Passes if a receipt, its signature and the file named hold. Raises AuditError."""


def _receipt(instance: Instance, arguments: Arguments) -> list[dict[str, Any]]:
    with instance.ledger.read() as conn:
        transfer = records.get(conn, arguments["id"])
    find = _theirs if arguments.get("theirs") else _ours
    folder, places, check, shown = find(instance, transfer)
    verify = check if arguments.get("verify") else None
    return [
        _shown(folder / os.fsdecode(b"/".join(at)), shown + as_text(b"/".join(at)), verify) for at in places
    ]


def _ours(instance: Instance, transfer: Transfer) -> tuple[Path, list[Parts], Check, str]:
    folder = instance.folder(transfer.link, "receipts")
    with Root.at(folder) as root:
        found = list(receipts.find(root, receipts.spans(instance.ledger, [transfer.id])))
    places = [place for place in found if place[-1].endswith(_SUFFIX)]
    if not places:
        raise NotFoundError(
            f"no receipt of transfer {transfer.id}",
            where=str(folder),
            expected="one soon after the file was received or delivered, while `link.receipts` is true",
        )
    log = PublishedLog(instance.register.get(transfer.link).audit)
    return folder, places, partial(_verify, instance, log), "/receipts/"


def _theirs(instance: Instance, transfer: Transfer) -> tuple[Path, list[Parts], Check, str]:
    folder = instance.folder(transfer.link, return_collect.FOLDER)
    with Root.at(folder) as root:
        places = return_collect.kept(root, instance.ledger, transfer.id)
    if not places:
        raise NotFoundError(
            f"no receipt of the counterparty's for transfer {transfer.id}",
            where=str(folder),
            expected="one after the delivery to a remote with a table `receipts`",
        )
    return folder, places, partial(_verify_theirs, instance, transfer), ""


def _shown(file: Path, path: str, check: Check | None) -> dict[str, Any]:
    try:
        content = file.read_bytes()
        signature = file.with_name(file.name + sshsig.SUFFIX).read_bytes()
    except OSError as error:
        raise SftpdError(f"cannot be read: {error.strerror}", where=error.filename) from None
    fault = None
    if check is not None:
        try:
            check(content, signature, str(file))
        except AuditError as error:
            fault = str(error)
    return {
        "path": path,
        "file": str(file),
        "content": content.decode(errors="backslashreplace"),
        "signature": signature.decode(errors="backslashreplace"),
        "fault": fault,
    }


def _verify(instance: Instance, log: PublishedLog, content: bytes, signature: bytes, where: str) -> None:
    """Pass if we signed it, and its event stands in our log where it says."""
    sshsig.verify(signature, content, instance.key.verifier, receipt.NAMESPACE, where=where)
    position = receipt.parse(content, where=where).audit
    head = parse_checkpoint(log.checkpoint())
    known = first_origin(position.log) == first_origin(head.origin) and position.index < head.size
    leaf = next(log.leaves(position.index, position.index + 1, head.size)) if known else b""
    if leaf_hash(leaf).hex() != position.leaf:
        raise AuditError(
            f"leaf {position.index} of {position.log} is not the one the receipt tells of", where=where
        )


def _verify_theirs(
    instance: Instance, transfer: Transfer, content: bytes, signature: bytes, where: str
) -> None:
    """Pass if it is signed as the configuration says by now, and of what was delivered."""
    remotes = instance.register.get(transfer.link).remotes
    wanted = next((remote.receipts for remote in remotes if remote.name == transfer.peer), None)
    signer = sshsig.signer(signature, () if wanted is None else wanted.signers, where=where)
    sshsig.verify(signature, content, signer, receipt.NAMESPACE, where=where)
    said = receipt.parse(content, where=where)
    if (said.sha256, said.size) != (transfer.sha256, transfer.size):
        raise AuditError("it is of another file than was delivered", where=where)


VERBS: Mapping[str, Verb] = {"transfer.receipt": _receipt}
