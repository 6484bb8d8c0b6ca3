"""Documents as files: the form is told by the suffix of the name."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

from sftpd.cli.common import option
from sftpd.documents import html
from sftpd.documents.model import Document
from sftpd.errors import SftpdError, UsageError

OutputOption = Annotated[Path | None, option("--output", "FILE", "Write it to FILE; its suffix says how.")]
"""`--output FILE`; its default is None."""

Form = Callable[[], str | bytes]
"""Makes the content of a file."""


def paper(document: Document, made: datetime | None = None) -> Mapping[str, Form]:
    """The forms of a document, by suffix; it says that it was `made` then, or now."""
    return {
        ".html": lambda: html.page(document),
        ".pdf": lambda: _pages(document, made or datetime.now(UTC)),
    }


def write(output: Path, forms: Mapping[str, Form]) -> None:
    """Write the form that the suffix of `output` asks for. Raises UsageError for another, and SftpdError."""
    form = forms.get(output.suffix.lower())
    if form is None:
        raise UsageError(
            f"no document has the suffix {output.suffix!r}",
            where=f"--output {output}",
            expected=" or ".join(sorted(forms)),
        )
    put(output, form())


def put(file: Path, content: str | bytes) -> None:
    """Write a file. Raises SftpdError."""
    try:
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
    except OSError as error:
        raise SftpdError(f"cannot write: {error.strerror}", where=str(file)) from None


def _pages(document: Document, made: datetime) -> bytes:
    from sftpd.documents import pdf

    return pdf.pages(document, made)
