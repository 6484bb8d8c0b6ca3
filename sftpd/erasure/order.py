"""Signed orders: a file by which a counterparty asks to erase a person, or tells where the person is. Pure.

An order is UTF-8 JSON in a file `NAME.order.json`, with a detached signature (SSHSIG, Ed25519) over its bytes
in `NAME.order.json.sig`, as `ssh-keygen -Y sign -n order@sftpd` makes it. How its JSON is laid out is free:

    {"order": "2026-0042", "kind": "erasure", "issued": "2026-03-05T10:00:00Z",
     "identifiers": ["email=jan@example.nl"], "reason": null}

`kind` is `erasure`, or `notice`: the sender has erased the person and tells (GDPR 19) in which of the `files`
that it delivered to us the person was. A request of OpenDSR, also called OpenGDPR, is read as an order too.
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any, Literal, TypeVar, cast

import msgspec
from msgspec import Meta

from sftpd.audit import sshsig
from sftpd.audit.canonical import JSON, canonical
from sftpd.audit.checkpoint import SigningKey, VerifierKey
from sftpd.erasure.identifiers import parse_identifier
from sftpd.errors import AuditError, RefusedError, SftpdError

NAMESPACE = "order@sftpd"
"""The namespace of the signatures, which keeps them from being taken for any other."""

SUFFIX = b".order.json"
"""What the name of an order's file ends with; its signature has `sshsig.SUFFIX` behind it."""

LIMIT = 64 * 1024
"""Bytes of an order."""

SIGNATURE_LIMIT = 4 * 1024
"""Bytes of a signature by an Ed25519 key, with room."""

TEXT_LIMIT = 1000
"""Characters of a text in an order, and of what is told of one that is refused."""

_KINDS_OF_IDENTITY = {
    "email": "email",
    "phone": "phone",
    "phone_number": "phone",
    "controller_customer_id": "customer",
}
"""The types of identity of OpenDSR that are read, and what we call them."""

_OPENDSR_KEY = "subject_request_id"
"""No order has this key, and every request of OpenDSR does."""

_Id = Annotated[str, Meta(pattern=r"^[A-Za-z0-9._-]{1,64}\Z")]
_Text = Annotated[str, Meta(min_length=1, max_length=TEXT_LIMIT)]
_Instant = Annotated[datetime, Meta(tz=True)]
_Sha256 = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]
F = TypeVar("F")


class Kind(StrEnum):
    """What an order is for."""

    ERASURE = "erasure"
    NOTICE = "notice"


class NamedFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    r"""A file that was delivered to us, as its sender knows it; bytes that are not UTF-8 read `\xNN`."""

    transfer: Annotated[str, Meta(pattern=r"^[0-9A-Za-z]{1,64}\Z")]
    name: Annotated[str, Meta(min_length=1, max_length=16 * 1024)]
    sha256: _Sha256


class Order(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An order; `repr` shows nothing of the person. Raises ValueError for files in what is not a notice."""

    order: _Id
    """The sender's name for it: the same one twice is the same order."""
    kind: Kind
    issued: _Instant
    identifiers: Annotated[tuple[_Text, ...], Meta(min_length=1, max_length=100)]
    """What the person is known by, `TYPE=VALUE` each; normalised, and each once, where `read` made it."""
    reason: _Text | None = None
    files: tuple[NamedFile, ...] = ()

    def __post_init__(self) -> None:
        if self.files and self.kind is not Kind.NOTICE:
            raise ValueError("only a notice names files")

    def __repr__(self) -> str:
        return f"Order({self.order}, {self.kind})"


class _Identity(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    identity_type: _Text
    identity_value: _Text
    identity_format: str


class _Encoded(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    value: _Text
    encoding: str


class _OpenDsr(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A request of OpenGDPR 1.0, or of OpenDSR 2.0 or 3.0, which names identities by their types.

    What it says besides the person, and whom to call back, is not used.
    """

    subject_request_id: _Id
    subject_request_type: str
    submitted_time: _Instant
    subject_identities: (
        Annotated[tuple[_Identity, ...], Meta(min_length=1, max_length=100)]
        | Annotated[dict[str, _Encoded], Meta(min_length=1, max_length=100)]
    )
    regulation: str | None = None
    api_version: str | None = None
    status_callback_urls: tuple[str, ...] = ()
    extensions: dict[str, Any] | None = None
    group_id: str | None = None
    skip_waiting_period: bool | None = None


Fault = Literal[
    "ORDER_SIZE", "ORDER_FORM", "ORDER_TYPE", "ORDER_IDENTIFIER", "ORDER_SIGNATURE", "ORDER_REPEATED"
]  # fmt: skip
"""Why a file is no order that counts."""


def refused(what: str, reason: Fault, *, where: str | None = None) -> RefusedError:
    """The error of what is no order; its text may be told to whoever sent it, and repeats no identifier."""
    return RefusedError(what, reason=reason, where=where)


def read(content: bytes) -> Order:
    """Read an order, or a request of OpenDSR as one.

    Raises RefusedError with one of the reasons in `Fault`; it names the place and repeats no identifier.
    """
    if len(content) > LIMIT:
        raise refused(f"an order has at most {LIMIT} bytes", "ORDER_SIZE")
    found = _decoded(content, dict[str, Any])
    order = _imported(content) if _OPENDSR_KEY in found else _decoded(content, Order)
    return msgspec.structs.replace(order, identifiers=_normalised(order.identifiers))


def write(order: Order) -> bytes:
    """The bytes of an order: canonical JSON (RFC 8785). Raises RefusedError `ORDER_SIZE` above LIMIT."""
    plain = msgspec.to_builtins(order)
    plain["issued"] = order.issued.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if order.kind is not Kind.NOTICE:
        del plain["files"]
    content = canonical(cast("JSON", plain))
    if len(content) > LIMIT:
        raise refused(f"an order has at most {LIMIT} bytes", "ORDER_SIZE")
    return content


def sign(content: bytes, key: SigningKey) -> bytes:
    """The detached signature of an order's bytes."""
    return sshsig.sign(content, key, NAMESPACE)


def verify(content: bytes, signature: bytes, signers: Iterable[VerifierKey]) -> VerifierKey:
    """Whose order it is, of those who may sign orders.

    Raises RefusedError `ORDER_SIGNATURE` where it is nobody's.
    """
    try:
        signer = sshsig.signer(signature, signers, where="signature")
        sshsig.verify(signature, content, signer, NAMESPACE, where="signature")
    except AuditError as fault:
        # Which keys we know is nobody's business who has none of them.
        raise refused("no valid signature by a key that may sign orders", "ORDER_SIGNATURE") from fault
    return signer


def _imported(content: bytes) -> Order:
    request = _decoded(content, _OpenDsr)
    if request.subject_request_type != Kind.ERASURE:
        raise refused("only requests of the type erasure are carried out", "ORDER_TYPE")
    named = request.subject_identities
    if isinstance(named, dict):
        named = tuple(_Identity(kind, one.value, one.encoding) for kind, one in named.items())
    identifiers = tuple(_identifier(number, one) for number, one in enumerate(named, 1))
    return Order(request.subject_request_id, Kind.ERASURE, request.submitted_time, identifiers)


def _identifier(number: int, identity: _Identity) -> str:
    """What we call an identity. One that is left out would leave the person where it is: none is."""
    where = f"subject_identities, number {number}"
    if identity.identity_format != "raw":
        raise refused("an identity must have the format raw", "ORDER_IDENTIFIER", where=where)
    kind = _KINDS_OF_IDENTITY.get(identity.identity_type)
    if kind is None:
        known = ", ".join(_KINDS_OF_IDENTITY)
        raise refused(f"an identity of a type that is not among {known}", "ORDER_IDENTIFIER", where=where)
    return f"{kind}={identity.identity_value}"


def _normalised(identifiers: Iterable[str]) -> tuple[str, ...]:
    found = []
    for number, plain in enumerate(identifiers, 1):
        try:
            found.append(parse_identifier(plain).plain())
        except SftpdError as fault:
            text = f"{fault.what}, expected {fault.expected}"
            raise refused(text, "ORDER_IDENTIFIER", where=f"identifiers, number {number}") from None
    return tuple(dict.fromkeys(found))


def _decoded(content: bytes, form: type[F]) -> F:
    try:
        return msgspec.json.decode(content, type=form)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as fault:
        raise refused(f"not an order: {_clause(fault)}", "ORDER_FORM") from None


def _clause(fault: Exception) -> str:
    return str(fault) if isinstance(fault, msgspec.ValidationError) else "not well-formed JSON in UTF-8"
