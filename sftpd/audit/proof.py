"""Inclusion proofs that stand alone: the text of c2sp.org/tlog-proof@v1."""

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass

from sftpd.audit.checkpoint import (
    Checkpoint,
    VerifierKey,
    decode_any_base64,
    decode_base64,
    first_origin,
    parse_checkpoint,
    verify_checkpoint,
)
from sftpd.audit.merkle import HASH_SIZE, inclusion_proof, leaf_hash, verify_inclusion
from sftpd.audit.published import PublishedLog
from sftpd.errors import AuditError, NotFoundError

_HEADER = "c2sp.org/tlog-proof@v1"
_INDEX = re.compile(r"index (0|[1-9][0-9]{0,18})")
_PATH_LIMIT = 64


@dataclass(frozen=True, slots=True)
class InclusionProof:
    """That the leaf at `index` is in the tree of a signed `checkpoint`, by the hashes of `path`."""

    index: int
    path: tuple[bytes, ...]
    checkpoint: bytes
    leaf: bytes = b""
    """The leaf itself, as the extra data of the proof, so that nothing else is needed; empty if left out."""

    def __bytes__(self) -> bytes:
        extra = [f"extra {base64.b64encode(self.leaf).decode()}"] if self.leaf else []
        hashes = [base64.b64encode(node).decode() for node in self.path]
        return "\n".join([_HEADER, *extra, f"index {self.index}", *hashes, "", ""]).encode() + self.checkpoint


def prove(log: PublishedLog, index: int) -> InclusionProof:
    """The proof that the leaf at `index` is under the log's latest checkpoint.

    Raises NotFoundError if there is no such leaf, AuditError if a file that is needed cannot be read.
    """
    raw = log.checkpoint()
    size = parse_checkpoint(raw).size
    if not 0 <= index < size:
        raise NotFoundError(f"no leaf {index}", where=str(log.public), expected=f"0 to {size - 1}")
    leaf = next(log.leaves(index, index + 1, size))
    return InclusionProof(index, tuple(inclusion_proof(log.nodes(size), index, size)), raw, leaf)


def parse_proof(raw: bytes) -> InclusionProof:
    """Read a proof; its extra data is the leaf only if `verify_proof` says so.

    Raises AuditError, naming the line, for text of another form.
    """
    head, _, checkpoint = raw.partition(b"\n\n")
    lines = head.decode("ascii", "replace").split("\n")
    if lines[0] != _HEADER:
        raise AuditError("not an inclusion proof", where="proof line 1", expected=_HEADER)
    first, leaf = 1, b""
    if len(lines) > 1 and lines[1].startswith("extra "):
        first, leaf = 2, decode_any_base64(lines[1].removeprefix("extra "), where="proof line 2")
    index = _INDEX.fullmatch(lines[first]) if first < len(lines) else None
    if index is None:
        raise AuditError("no leaf index", where=f"proof line {first + 1}", expected="index and a number")
    hashes = lines[first + 1 :]
    if len(hashes) > _PATH_LIMIT:
        raise AuditError(f"{len(hashes)} hashes", where="proof", expected=f"at most {_PATH_LIMIT}")
    path = tuple(
        decode_base64(line, HASH_SIZE, where=f"proof line {number}")
        for number, line in enumerate(hashes, start=first + 2)
    )
    return InclusionProof(int(index[1]), path, checkpoint, leaf)


def verify_proof(
    raw: bytes, leaf: bytes, keys: Sequence[VerifierKey], *, origin: str | None = None
) -> Checkpoint:
    """Verify that `leaf` is in the log of `origin`, and return the checkpoint that the proof rests on.

    Without an `origin` it is in the one that the checkpoint names. Raises AuditError if the
    text, the checkpoint's signature or the path does not hold.
    """
    proof = parse_proof(raw)
    if origin is None:
        origin = first_origin(parse_checkpoint(proof.checkpoint, where="proof checkpoint").origin)
    checkpoint = verify_checkpoint(proof.checkpoint, keys, origin=origin, where="proof checkpoint")
    if not verify_inclusion(leaf_hash(leaf), proof.index, checkpoint.size, proof.path, checkpoint.root):
        raise AuditError(f"the path does not lead from this leaf at {proof.index} to the root", where="proof")
    return checkpoint
