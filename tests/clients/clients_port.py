"""What the suite asks of an SFTP client: one method an operation, the same for programs and libraries."""

import abc
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, NamedTuple

import pytest
from daemon import PATIENCE, Daemon

ODD_NAMES: Mapping[str, bytes] = {
    "spaces": b" two  blanks and one at the end ",
    "dash": b"-rf",
    "tilde": b"~root",
    "hash": b"#1;%41&co",
    "utf-8": "Größe ☃".encode(),
    "not utf-8": b"caf\xe9",
    "quotes": b'it\'s "so"',
    "backslash": b"back\\slash",
    "wildcards": b"[a-z]*?{b,c}",
    "newline": b"two\nlines",
}
"""Names that a file may well have, by what is odd about them."""

BEYOND_COPYING = (
    "resume_put",
    "resume_get",
    "rename",
    "replace",
    "mkdir",
    "rmdir",
    "stat",
    "chmod",
    "utime",
    "remove",
)
"""The operations of a Client that a program for copying and listing does not have."""


class ClientError(Exception):
    """The client says that an operation did not succeed."""


class Seen(NamedTuple):
    """What a client tells of a file; None is what it does not tell."""

    size: int
    mode: int | None
    mtime: int | None


class Client(abc.ABC):
    """One client, connected or connecting on demand. Methods raise ClientError; remote paths are bytes."""

    name: ClassVar[str]
    version: ClassVar[str]
    """A pattern of what `about` says: that this is the client it is taken for."""
    old: ClassVar[bool] = False
    """Whether it is from before authenticated encryption, so that its address must allow what is older."""
    lacks: ClassVar[Mapping[str, str]] = {}
    """Operations that it does not have, by the name of their method, each with the reason."""
    unsayable: ClassVar[Mapping[str, str]] = {}
    """Odd names that its user cannot give it, or it cannot show, each with the reason."""

    blinding: ClassVar[frozenset[str]] = frozenset()
    """Odd names for which it shows nothing of a directory at all."""

    def __init__(self, daemon: Daemon) -> None:
        self.daemon = daemon
        self.home = b"/upload/" + self.name.encode()
        """The folder that it works in; `inbound` is the same when published, and `staged` until then."""
        self.inbound = daemon.inbound / self.name
        self.staged = daemon.staging / daemon.user / "upload" / self.name
        self.inbound.mkdir()

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:  # noqa: B027  # programs hold nothing
        """Let go of what it holds."""

    def path(self, name: str) -> bytes:
        """Where it finds a file of this name."""
        return self.home + b"/" + name.encode()

    def needs(self, *operations: str) -> None:
        """Skip the test, with the reason, where the client does not have all of them."""
        for operation in operations:
            if operation in self.lacks:
                pytest.skip(f"{operation}: {self.lacks[operation]}")

    @abc.abstractmethod
    def about(self) -> str:
        """Its name and version, as it tells them."""

    @abc.abstractmethod
    def put(self, local: Path, remote: bytes) -> None:
        """Upload a file, over what is there."""

    @abc.abstractmethod
    def get(self, remote: bytes, local: Path) -> None:
        """Download a file."""

    @abc.abstractmethod
    def names(self, remote: bytes) -> set[bytes]:
        """The entries of a directory without `.` and `..`."""

    def resume_put(self, local: Path, remote: bytes) -> None:
        """Go on with an upload of which a part is there."""
        raise NotImplementedError

    def resume_get(self, remote: bytes, local: Path) -> None:
        """Go on with a download of which a part is here."""
        raise NotImplementedError

    def rename(self, old: bytes, new: bytes) -> None:
        """Give a file another name, where nothing is."""
        raise NotImplementedError

    def replace(self, old: bytes, new: bytes) -> None:
        """Give a file the name of another one, which it replaces."""
        raise NotImplementedError

    def mkdir(self, remote: bytes) -> None:
        """Make a directory."""
        raise NotImplementedError

    def rmdir(self, remote: bytes) -> None:
        """Remove an empty directory."""
        raise NotImplementedError

    def stat(self, remote: bytes) -> Seen:
        """What is known of a file."""
        raise NotImplementedError

    def chmod(self, remote: bytes, mode: int) -> None:
        """Set permission bits."""
        raise NotImplementedError

    def utime(self, remote: bytes, seconds: int) -> None:
        """Set the time of modification."""
        raise NotImplementedError

    def remove(self, remote: bytes) -> None:
        """Remove a file."""
        raise NotImplementedError


class Program(Client):
    """A client that is a command; each operation runs it once."""

    def run(self, *argv: "bytes | str | Path", stdin: bytes = b"", **variables: str) -> bytes:
        """Run a command in the desk and return what it printed. Raises ClientError unless it ends with 0."""
        home = {"HOME": str(self.daemon.desk), "LC_ALL": "C.UTF-8", **variables}
        done = subprocess.run(
            argv,
            input=stdin,
            capture_output=True,
            cwd=self.daemon.desk,
            env=os.environ | home,
            timeout=2 * PATIENCE,
        )
        if done.returncode != 0:
            raise ClientError(f"{done.returncode}: {(done.stdout + done.stderr).decode(errors='replace')}")
        return done.stdout + done.stderr
