"""What a counterparty is told of its orders and asked to decide: signed JSON in its folder of receipts.

Each document lies in `orders/` with a detached signature (SSHSIG) beside it, which comes first. The file
`allowed_signers` there says whose signatures count. A document is the same whenever it is made again.
"""

from collections.abc import Iterable
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from typing import Literal, cast

import msgspec

from sftpd.audit import sshsig
from sftpd.audit.canonical import JSON, canonical, instant
from sftpd.audit.checkpoint import SigningKey
from sftpd.erasure.records import Request
from sftpd.files import durable
from sftpd.files.beneath import Root

NAMESPACE = "answer@sftpd"
"""The namespace of the signatures, which keeps them from being taken for any other."""

FOLDER = b"orders"
"""Beneath the folder of receipts."""

_FORMAT = "sftpd answer v1"
_FORWARD_FORMAT = "sftpd forwarded request v1"

Status = Literal["refused", "accepted", "denied", "partial", "certificate", "acknowledged"]
"""What became of an order; for `partial` and `certificate` the document is the certificate itself.

`acknowledged`: it was no order, but the answer to a notice of ours, and it counts.
"""


class Answer(msgspec.Struct, frozen=True, omit_defaults=True):
    """What became of an order; times are RFC 3339."""

    instance: str
    link: str
    status: Status
    at: str
    transfer: str
    """That of the order's file."""
    order: str | None = None
    request: str | None = None
    """Our id for what the order asks."""
    due: str | None = None
    reason: str | None = None
    text: str | None = None
    format: str = _FORMAT


class Forwarded(msgspec.Struct, frozen=True):
    """A request of a person on which its controller is to decide; times are RFC 3339."""

    instance: str
    link: str
    request: str
    received: str
    due: str
    identifiers: tuple[str, ...]
    format: str


def content(answer: Answer) -> bytes:
    """The bytes of an answer: canonical JSON (RFC 8785)."""
    # Its format is a default, and defaults are left out.
    return _canonical(answer, format=answer.format)


def forwarded(request: Request, instance: str) -> bytes:
    """The bytes of a request as its controller gets it; they show who the person is."""
    document = Forwarded(
        instance=instance,
        link=request.link,
        request=request.id,
        received=instant(request.received_at),
        due=instant(request.due_at),
        identifiers=tuple(known.plain() for known in request.identifiers),
        format=_FORWARD_FORMAT,
    )
    return _canonical(document)


def forwarded_name(request_id: str) -> bytes:
    """The name of that document."""
    return f"{request_id}.forwarded.json".encode()


@dataclass(frozen=True, slots=True)
class Shelf:
    """The folder of receipts of a link, and where files are written that are to appear there whole."""

    receipts: Root
    drafts: Root
    alone: AbstractContextManager[object]
    """Held by who writes receipts: they have the folder of drafts to themselves then."""


def post(shelf: Shelf, name: bytes, document: bytes, key: SigningKey) -> None:
    """Put a document at its place, after its signature, durably; it may be repeated. Raises OSError."""
    durable.make_directories(shelf.receipts, (FOLDER, name))
    with shelf.receipts.sub((FOLDER,)) as folder, shelf.alone:
        files = {name + sshsig.SUFFIX.encode(): sshsig.sign(document, key, NAMESPACE), name: document}
        for each, data in (_signers(folder, key) | files).items():
            draft = (b"answer-" + each,)
            with suppress(FileNotFoundError):
                shelf.drafts.unlink(draft)  # a crash left it
            durable.write_new(shelf.drafts, [(draft, data)])
            shelf.drafts.rename(draft, folder, (each,), replace=True)
            folder.sync()


def withdraw(shelf: Shelf, names: Iterable[bytes]) -> None:
    """Remove documents and their signatures durably, where they are there. Raises OSError."""
    with suppress(FileNotFoundError), shelf.receipts.sub((FOLDER,)) as folder:
        for name in names:
            for each in (name, name + sshsig.SUFFIX.encode()):
                with suppress(FileNotFoundError):
                    folder.unlink((each,))
        folder.sync()


def _signers(folder: Root, key: SigningKey) -> dict[bytes, bytes]:
    """The file that says that our signatures count, if it does not say so yet."""
    try:
        known = folder.read((sshsig.SIGNERS,), sshsig.SIGNERS_LIMIT)
    except FileNotFoundError:
        known = b""
    signers = sshsig.allowing(known, key.verifier, NAMESPACE)
    return {} if signers is None else {sshsig.SIGNERS: signers}


def _canonical(document: msgspec.Struct, **more: str) -> bytes:
    return canonical(cast("JSON", {**msgspec.to_builtins(document), **more}))
