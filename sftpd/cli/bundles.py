"""Bundles of evidence: a ZIP archive of proofs, and of what verifies them without sftpd."""

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sftpd.cli.common import create_file
from sftpd.cli.proven import Piece, proven_event
from sftpd.errors import AuditError

if TYPE_CHECKING:
    from zipfile import ZipFile, ZipInfo

    from sftpd.audit.checkpoint import VerifierKey

_EVENTS = "events"
_PROOF, _SHOWN = ".proof", ".json"
_MOST_EVENTS, _MOST = 100_000, 1 << 20
"""Events of a bundle, and bytes of each of its files, that are read."""
_README = """\
Events of the audit log of {origin}, with the proof of each that it is there.

    python3 verify.py KEY

verifies them with Python and openssl alone. KEY is the verifier key of whoever keeps the log. Have them tell
it to you over another channel: the file `key` has it too, but shows nothing by itself. Read verify.py before
you trust it, or use `sftpd audit verify-bundle`.

events/*.proof   the event, its path to the root of the log and the signed root (c2sp.org/tlog-proof@v1)
events/*.json    private values that are disclosed, with the nonces that prove them
"""


def write(output: Path, proofs: Sequence[Mapping[str, Any]], shown: Sequence[Mapping[str, Any]]) -> None:
    """Write the proofs that `audit prove` printed, and what `audit show` did of events that are disclosed.

    Raises SftpdError where there is a file already, OSError.
    """
    from zipfile import ZIP_DEFLATED, ZipFile

    from sftpd.audit import standalone
    from sftpd.audit.checkpoint import parse_checkpoint
    from sftpd.audit.proof import parse_proof

    checkpoint = parse_checkpoint(parse_proof(proofs[0]["proof"].encode()).checkpoint)
    with os.fdopen(create_file(output), "r+b") as file:
        try:
            with ZipFile(file, "w", ZIP_DEFLATED) as archive:
                archive.writestr("README.txt", _README.format(origin=checkpoint.origin))
                archive.writestr("key", f"{proofs[0]['key']}\n")
                archive.writestr("verify.py", Path(standalone.__file__).read_bytes())
                for proof in proofs:
                    archive.writestr(_name(proof["index"], _PROOF), proof["proof"])
                for event in shown:
                    archive.writestr(_name(event["index"], _SHOWN), json.dumps(event, ensure_ascii=False))
            file.flush()
            os.fsync(file.fileno())
        except BaseException:
            output.unlink()
            raise


def proven(file: Path, key: "VerifierKey", origin: str | None) -> list[dict[str, Any]]:
    """What `proven_event` says of each event of a bundle.

    Raises AuditError if one does not hold, or the file is no bundle or cannot be read.
    """
    import zlib
    from zipfile import BadZipFile, ZipFile

    try:
        with file.open("rb") as opened, ZipFile(opened) as archive:
            return [
                proven_event(*pieces, key, origin)
                for pieces in _pieces(archive, lambda name: f"{file} {name}")
            ]
    except OSError as fault:
        raise AuditError(f"cannot be read: {fault.strerror}", where=str(file)) from None
    except (BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, UnicodeError) as fault:
        raise AuditError(f"is no bundle: {fault}", where=str(file)) from None


def _name(index: int, suffix: str) -> str:
    return f"{_EVENTS}/{index:010}{suffix}"


def _pieces(archive: "ZipFile", where: Callable[[str], str]) -> Iterator[tuple[Piece, Piece | None]]:
    """The proof of each event in a bundle, and what is disclosed of it."""
    members = {member.filename: member for member in archive.infolist()}
    proofs = sorted(name for name in members if name.startswith(f"{_EVENTS}/") and name.endswith(_PROOF))
    if not 0 < len(proofs) <= _MOST_EVENTS:
        expected = f"1 to {_MOST_EVENTS}, as audit bundle writes them"
        raise AuditError(f"has {len(proofs)} proofs in it", where=where(_EVENTS), expected=expected)
    for proof in proofs:
        shown = f"{proof.removesuffix(_PROOF)}{_SHOWN}"
        yield (
            Piece(where(proof), _content(archive, members[proof], where)),
            Piece(where(shown), _content(archive, members[shown], where)) if shown in members else None,
        )


def _content(archive: "ZipFile", member: "ZipInfo", where: Callable[[str], str]) -> bytes:
    with archive.open(member) as opened:
        content = opened.read(_MOST + 1)
    if len(content) > _MOST:
        raise AuditError("is too long", where=where(member.filename), expected=f"at most {_MOST} bytes")
    return content
