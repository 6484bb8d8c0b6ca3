"""Verifying that one event is in a log, from the proof and what was disclosed of it alone."""

from typing import TYPE_CHECKING, Any, NamedTuple

from sftpd.errors import AuditError

if TYPE_CHECKING:
    from sftpd.audit.checkpoint import VerifierKey
    from sftpd.audit.commitment import Opening


class Piece(NamedTuple):
    """A file of evidence, which may come from anybody."""

    name: str
    content: bytes


def proven_event(proof: Piece, event: Piece | None, key: "VerifierKey", origin: str | None) -> dict[str, Any]:
    """The event that is proven to be in a log of `origin`, the log's origin, and its size at that time.

    Private values are those that `event` discloses. Raises AuditError if something does not hold.
    """
    from sftpd.audit.event import disclosed
    from sftpd.audit.proof import parse_proof, verify_proof

    found = parse_proof(proof.content)
    shown, openings = (b"", []) if event is None else _openings(event)
    leaf = found.leaf or shown
    if not leaf:
        raise AuditError("the proof has no leaf with it", where=proof.name, remedy="give it by --event")
    if event is not None and shown not in (b"", leaf):
        raise AuditError("is of another leaf than the proof", where=event.name)
    head = verify_proof(proof.content, leaf, [key], origin=origin)
    proven = {"index": found.index, **disclosed(leaf, openings)}
    return {"origin": head.origin, "size": head.size, "event": proven}


def _openings(file: Piece) -> "tuple[bytes, list[Opening]]":
    """The leaf and what opens it, of what `audit show --json` printed; what was taken out of it stays shut.

    Raises AuditError.
    """
    import msgspec

    from sftpd.audit.checkpoint import decode_base64
    from sftpd.audit.commitment import NONCE_SIZE, Opening

    class Shown(msgspec.Struct):
        private: dict[str, msgspec.Raw] = {}
        nonces: dict[str, str] = {}
        leaf: str = ""

    try:
        shown = msgspec.json.decode(file.content, type=Shown)
        values = {name: msgspec.json.decode(value) for name, value in shown.private.items()}
        leaf = shown.leaf.encode()
    except (msgspec.DecodeError, UnicodeError, RecursionError) as fault:
        raise AuditError(f"is not what `audit show --json` prints: {fault}", where=file.name) from None
    unproven = sorted(values.keys() - shown.nonces.keys())
    if unproven:
        raise AuditError(f"no nonce proves {', '.join(unproven)}", where=file.name, remedy="leave it out")
    nonces = {
        name: decode_base64(shown.nonces[name], NONCE_SIZE, where=f"{file.name} {name}") for name in values
    }
    return leaf, [Opening(name, nonces[name], value) for name, value in values.items()]
