"""Secrets by reference: the configuration says where a secret is, never what it is."""

import os
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Self

from sftpd.errors import SftpdError

FORM = "file:PATH, credential:NAME or env:NAME"
_LIMIT = 64 * 1024


class SecretError(SftpdError):
    """A secret cannot be read, or others than its owner can read it."""

    code = "SECRET"
    exit_code = 2


@dataclass(frozen=True, slots=True)
class Secret:
    """A reference to a password, key or token; what it refers to appears in no repr, log or error.

    `file:` is a path, readable by its owner alone; `credential:` a name in systemd's
    `$CREDENTIALS_DIRECTORY`; `env:` an environment variable.
    """

    scheme: Literal["file", "credential", "env"] = field(repr=False)
    target: str = field(repr=False)

    @classmethod
    def parse(cls, reference: str, root: Path = Path()) -> Self:
        """Read a reference; a relative `file:` path starts at `root`.

        Raises SecretError, which does not repeat the text: it may be the secret itself.
        """
        scheme, _, target = reference.partition(":")
        if scheme == "file" and target:
            return cls("file", str(root / target))
        if scheme == "credential" and target and "/" not in target and target not in (".", ".."):
            return cls("credential", target)
        if scheme == "env" and target.isidentifier():
            return cls("env", target)
        raise SecretError("not a reference to a secret", expected=FORM)

    @property
    def known_here(self) -> bool:
        """Whether this process can tell if the secret exists: credentials exist inside the service only."""
        return self.scheme != "credential" or "CREDENTIALS_DIRECTORY" in os.environ

    def reveal(self) -> bytes:
        """The secret itself.

        Raises SecretError if it is missing, empty, larger than 64 KiB or readable by others.
        """
        if self.scheme == "env":
            content = os.environb.get(os.fsencode(self.target), b"")
        elif self.scheme == "credential":
            directory = os.environ.get("CREDENTIALS_DIRECTORY")
            if directory is None:
                raise SecretError(
                    f"credential {self.target} is out of reach",
                    expected="$CREDENTIALS_DIRECTORY, which systemd sets for a unit with LoadCredential=",
                    remedy="outside the unit set it to the folder that the unit loads credentials from",
                )
            content = _read(Path(directory) / self.target, private=False)
        else:
            content = _read(Path(self.target), private=True)
        if not content:
            raise SecretError(f"{self.scheme}:{self.target} is empty or not set")
        return content

    def text(self) -> str:
        """The secret as text, without the line end that editors add.

        Raises SecretError as `reveal` does, and if it is not UTF-8.
        """
        try:
            return self.reveal().decode().rstrip("\r\n")
        except UnicodeDecodeError:
            raise SecretError(f"{self.scheme}:{self.target} is not UTF-8 text") from None

    def __repr__(self) -> str:
        return "Secret(***)"

    __str__ = __repr__


def _open_at_once(path: str, flags: int) -> int:
    """Open without waiting for the other end, should it be a pipe."""
    return os.open(path, flags | os.O_NONBLOCK)


def _read(path: Path, *, private: bool) -> bytes:
    """The content of a regular file of at most 64 KiB; `private`: refuse one open to others."""
    try:
        with open(path, "rb", opener=_open_at_once) as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise SecretError(f"{path} is not a regular file")
            if private and status.st_mode & 0o077:
                raise SecretError(
                    f"{path} has mode {stat.S_IMODE(status.st_mode):04o}: others than its owner have access",
                    expected="mode 0600",
                    remedy=f"run chmod 600 {path}",
                )
            content = file.read(_LIMIT + 1)
    except OSError as error:
        raise SecretError(f"cannot read {path}: {error.strerror}") from None
    if len(content) > _LIMIT:
        raise SecretError(f"{path} is larger than {_LIMIT} bytes")
    return content
