"""Verifying evidence from files alone: by which key, and which logs lie where."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sftpd.cli.common import option, print_json
from sftpd.errors import AuditError, SftpdError, UsageError

if TYPE_CHECKING:
    from sftpd.audit.checkpoint import VerifierKey

KeyOption = Annotated[
    str | None,
    option(
        "--key", "KEY", "The verifier key, NAME+ID+BASE64; the public half of the configured key if left out."
    ),
]
"""`--key KEY`; its default is None."""


_MOST = 64 << 20
"""Bytes of a file of evidence that are read."""


@dataclass(frozen=True, slots=True)
class LogFiles:
    """A log to verify: its origin, its public folder, and our journal if it is ours."""

    origin: str
    public: Path
    journal: Path | None = None

    @property
    def name(self) -> str:
        """The link, or `system`."""
        return self.origin.rpartition("/")[2]


@contextmanager
def told_in_json(as_json: bool) -> Iterator[None]:
    """Where what is verified in the context does not hold, exit with 1, and say so `as_json` if wanted."""
    try:
        yield
    except AuditError as fault:
        if not as_json:
            raise
        print_json({"valid": False, "fault": str(fault)})
        raise typer.Exit(1) from None


def read_file(file: Path) -> bytes:
    """The content of a file of evidence, which may come from anybody. Raises SftpdError."""
    try:
        with file.open("rb") as opened:
            content = opened.read(_MOST + 1)
    except OSError as error:
        raise SftpdError(f"cannot read: {error.strerror}", where=str(file)) from None
    if len(content) > _MOST:
        raise SftpdError("is too long", where=str(file), expected=f"at most {_MOST} bytes")
    return content


def verifier_key(text: str | None, config: Path) -> "VerifierKey":
    """The key `text` says, or that of the configuration.

    Raises UsageError for a text of another form, ConfigError and SecretError.
    """
    from sftpd.audit.checkpoint import VerifierKey

    if text is None:
        from sftpd.app.keys import signing_key
        from sftpd.config.load import load

        return signing_key(load(config)).verifier
    try:
        return VerifierKey.parse(text)
    except AuditError as error:
        raise UsageError(error.what, where="--key", expected=error.expected) from None


def own_logs(config: Path, link: str | None) -> list[LogFiles]:
    """The log of one link, or each log that the instance has or should have.

    Raises ConfigError, and UsageError for a link that has none.
    """
    from sftpd.config.load import load
    from sftpd.ledger.outbox import SYSTEM_LOG

    loaded = load(config)
    about = loaded.instance.about
    folder = about.state / "audit"
    # A log whose folder is gone must be missed; one whose link is gone is still evidence.
    names = {SYSTEM_LOG, *(file.name for file in loaded.links), *_folders(folder)}
    if link is not None and link not in names:
        raise UsageError(f"no log of {link!r}", where="--link", expected=f"one of {', '.join(sorted(names))}")
    chosen = sorted(names) if link is None else [link]
    return [
        LogFiles(f"{about.name}/{name}", folder / name / "public", folder / name / "journal")
        for name in chosen
    ]


def _folders(folder: Path) -> Iterator[str]:
    return (path.name for path in folder.glob("*") if path.is_dir())
