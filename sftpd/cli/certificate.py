"""The certificate of a deletion request: `sftpd erasure certificate`, `render` and `verify`."""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sftpd.cli.ask import ask
from sftpd.cli.common import (
    DEFAULT_CONFIG,
    ConfigOption,
    IdArgument,
    JsonOption,
    argument,
    option,
    print_json,
)
from sftpd.cli.evidence import KeyOption, read_file, verifier_key
from sftpd.cli.papers import Form, OutputOption, paper, put, write
from sftpd.erasure.certificate_text import Language
from sftpd.errors import AuditError

if TYPE_CHECKING:
    from sftpd.audit.checkpoint import VerifierKey
    from sftpd.erasure.certificate import Certificate

LanguageOption = Annotated[Language, typer.Option("--language", help="The language of .html and .pdf.")]
"""`--language LANGUAGE`; its default is English."""

FileArgument = Annotated[Path, argument("FILE", "A signed certificate.")]


def certificate(
    request: IdArgument,
    output: OutputOption = None,
    language: LanguageOption = Language.EN,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Print the signed certificate of a request that has run. As a document of one page: .html or .pdf."""
    from sftpd.audit.checkpoint import VerifierKey

    issued = ask(config, "erasure.certificate", id=request)
    if output is not None:
        document = issued["certificate"].encode()
        if output.suffix:
            write(output, _forms(document, VerifierKey.parse(issued["key"]), language))
        else:
            put(output, document)
    if as_json:
        print_json(issued)
    elif output is None:
        print(issued["certificate"])


def render(
    file: FileArgument,
    output: Annotated[Path, option("--output", "FILE", "Write it to FILE: .html or .pdf.")],
    language: LanguageOption = Language.EN,
    key: KeyOption = None,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Make a document of one page from a signed certificate, which must hold."""
    write(output, _forms(_read(file), verifier_key(key, config), language))
    if as_json:
        print_json({"file": output})


def verify(
    file: FileArgument,
    folder: Annotated[
        Path | None,
        option("--folder", "DIR", "A copy of /audit of the link: it must tell of the certificate."),
    ] = None,
    key: KeyOption = None,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Verify a certificate, which needs its file and the key alone."""
    from sftpd.erasure import certificate as certificates

    document = _read(file)
    verifier = verifier_key(key, config)
    try:
        signed = certificates.verify(document, verifier)
        index = None if folder is None else _index(document, signed, verifier, folder)
    except AuditError as error:
        if not as_json:
            raise
        print_json({"valid": False, "fault": str(error)})
        raise typer.Exit(1) from None
    told = {"request": signed.request, "link": signed.link, "issued": signed.issued, "index": index}
    if as_json:
        print_json({"valid": True, **told})
    else:
        where = "" if index is None else f", event {index} of the log"
        print(f"valid: request {signed.request} of link {signed.link}, issued {signed.issued}{where}")


def _read(file: Path) -> bytes:
    return read_file(file).removesuffix(b"\n")


def _forms(document: bytes, key: "VerifierKey", language: Language) -> Mapping[str, Form]:
    """What a signed certificate can be written as. Raises AuditError where it does not hold."""
    import hashlib

    from sftpd.erasure import certificate as certificates
    from sftpd.erasure import certificate_paper

    signed = certificates.verify(document, key)
    digest = hashlib.sha256(document).hexdigest()
    made = certificate_paper.document(signed, digest, str(key), language)
    return {".json": lambda: document, **paper(made, datetime.fromisoformat(signed.issued))}


def _index(document: bytes, signed: "Certificate", key: "VerifierKey", folder: Path) -> int:
    """Where in a copied log the event stands that tells of the certificate; the log is verified first.

    Raises AuditError.
    """
    import hashlib
    import json

    from sftpd.audit.published import PublishedLog
    from sftpd.audit.verify import verify_log

    size = verify_log(folder, [key], origin=f"{key.name}/{signed.link}").size
    digest = hashlib.sha256(document).hexdigest()
    for index, leaf in enumerate(PublishedLog(folder).leaves(0, size, size)):
        if digest.encode() in leaf and json.loads(leaf)["data"].get("certificate_sha256") == digest:
            return index
    raise AuditError("no event of the log tells of this certificate", where=str(folder))
