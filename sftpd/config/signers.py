"""Who may sign receipts, orders or answers: an `allowed_signers` file (ssh-keygen(1), ALLOWED SIGNERS)."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Annotated

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_ssh_public_key
from pydantic import PlainValidator, ValidationInfo

from sftpd.config.refusal import fault, show
from sftpd.config.values import Kind, read_file

NAMESPACE = "receipt@sftpd"
"""The namespace of the signatures of receipts."""

ORDER_NAMESPACE = "order@sftpd"
"""That of the signatures of orders to erase a person."""

ANSWER_NAMESPACE = "answer@sftpd"
"""That of the signatures of answers to notices that a person was erased."""

_LINE_FORM = 'NAME namespaces="{}" ssh-ed25519 KEY'
_FORMS = {
    NAMESPACE: f"lines as `sftpd audit signer` prints them: {_LINE_FORM.format(NAMESPACE)}",
    ORDER_NAMESPACE: f"lines of the form {_LINE_FORM.format(ORDER_NAMESPACE)}",
    ANSWER_NAMESPACE: f"lines of the form {_LINE_FORM.format(ANSWER_NAMESPACE)}",
}

_LINE = re.compile(
    r"""(?P<names>"[^"]+"|\S+)\s+
        (?:(?P<options>[a-z-]+(?:="[^"]*")?(?:,[a-z-]+(?:="[^"]*")?)*)\s+)?
        (?P<type>(?:ssh|ecdsa|sk)-\S+)\s+(?P<key>\S+)(?:\s.*)?""",
    re.VERBOSE | re.ASCII,
)
_NAME = re.compile(r"[^\s+*?!,\x00-\x1f]+")
_OPTION = re.compile(r'([a-z-]+)(?:="([^"]*)")?')


@dataclass(frozen=True, slots=True)
class Signer:
    """The name of an instance and an Ed25519 key, of 32 bytes, by which it signs."""

    name: str
    public: bytes


def parse_signers(text: str, namespace: str = NAMESPACE) -> tuple[Signer, ...]:
    """Read who may sign in a namespace; lines for other namespaces alone are left out.

    Raises ValueError with what is wrong as a clause.
    """
    found: list[Signer] = []
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip() and not line.lstrip().startswith("#"):
            try:
                found += _signers(line.strip(), namespace)
            except ValueError as error:
                raise ValueError(f"line {number}: {error}") from None
    if not found:
        raise ValueError(f"nobody who may sign in the namespace {namespace}")
    return tuple(found)


def _signers(line: str, namespace: str) -> Iterator[Signer]:
    match = _LINE.fullmatch(line)
    if match is None:
        raise ValueError("not a line of signers")
    for option, value in _OPTION.findall(match["options"] or ""):
        if option != "namespaces":
            # To leave out what it says would let more count than was meant.
            raise ValueError(f"the option {option} is not known here")
        if not any(fnmatchcase(namespace, pattern) for pattern in value.split(",")):
            return
    if match["type"] != "ssh-ed25519":
        raise ValueError(
            f"a key of type {match['type']}, which no {namespace.partition('@')[0]} is signed with"
        )
    key = load_ssh_public_key(f"{match['type']} {match['key']}".encode())
    assert isinstance(key, Ed25519PublicKey)
    for name in match["names"].strip('"').split(","):
        if _NAME.fullmatch(name) is None:
            raise ValueError(f"{name!r}, which is not the name of an instance")
        yield Signer(name, key.public_bytes_raw())


def _reader(namespace: str) -> PlainValidator:
    def read(raw: object, info: ValidationInfo) -> tuple[Signer, ...]:
        text = str(raw)
        where = show(raw)
        if text.startswith("file:"):
            path, text = read_file(text, info)
            where = str(path)
        try:
            return parse_signers(text, namespace)
        except ValueError as error:
            raise fault(
                f"found {where}, {error}, allowed: {_FORMS[namespace]}, or file:PATH of them"
            ) from None

    return PlainValidator(read, json_schema_input_type=str)


_KIND = Kind("`file:` path of an `allowed_signers` file, or its lines")

Signers = Annotated[tuple[Signer, ...], _reader(NAMESPACE), _KIND]
OrderSigners = Annotated[tuple[Signer, ...], _reader(ORDER_NAMESPACE), _KIND]
AnswerSigners = Annotated[tuple[Signer, ...], _reader(ANSWER_NAMESPACE), _KIND]
