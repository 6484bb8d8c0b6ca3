"""The port to a counterparty's SFTP server: what the exchange needs of it and nothing more."""

import os
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol, TypeVar

from sftpd.errors import RemoteError
from sftpd.names import RemoteName

T = TypeVar("T")

Proof = Literal["rename", "sha256", "size", "answer"]
"""How it is known that the bytes arrived: they never moved, their hash is right, or only their size is.

`answer`: the server answered that it wrote them, and then had nothing to look at or let nobody look.
"""

Arrival = Proof | Literal["taken"]
"""What becomes of a file that is uploaded; `taken`: it was not, for a file is where none was to be."""

Outcome = Literal["renamed", "gone", "taken"]
"""What became of a file that was to be published: `gone` if there is none under its temporary name."""


class Published(NamedTuple):
    """The outcome, and the size at the final name: None where nobody looked or there is no file."""

    outcome: Outcome
    size: int | None
    hidden: bool = False
    """The server let nobody look at the final name, and answered that the file has it."""


@dataclass(frozen=True, slots=True)
class Upload:
    """A file to be uploaded: open at `fd`, whose offset does not matter; `path` is where it goes."""

    fd: int
    path: bytes
    size: int
    sha256: str
    unless: bytes | None = None
    """It is not sent if a file is there."""
    ours: bool = False
    """Whether nobody else uses `path`: a part with which no later try could go on is removed there."""


@dataclass(frozen=True, slots=True)
class Publication:
    """A file that was uploaded, to be renamed; to its own name: it is there already."""

    temporary: bytes
    final: bytes


@dataclass(frozen=True, slots=True)
class Download:
    """A file to be fetched: its path, where it is written to, and its size, which is asked for if None."""

    path: bytes
    fd: int
    size: int | None = None
    steady: bool = False
    """It is an error if the file is seen to change while it is read: what came may be of two versions."""


class Downloaded(NamedTuple):
    """The size and the SHA-256 (hex) of what came."""

    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A regular file in a remote listing; `mtime` in seconds since 1970."""

    name: bytes
    """Its path in the directory that was listed; one component unless directories in it are listed too."""
    size: int
    mtime: int


DEPTH_LIMIT = 16
"""Components of the path of a file in a listing."""


@dataclass(frozen=True, slots=True)
class Look:
    """Which files of a directory a listing is to name: the first `limit` of those behind `after`."""

    recursive: bool = False
    """Those in the directories in it too; symbolic links are not followed."""
    oldest_first: bool = False
    """In the order of their times, and of their names where these are equal; else of their names."""
    limit: int = 10_000
    after: RemoteFile | None = None
    folders: bool = False
    """The directories in it by their names, with neither size nor time; none where there is no directory."""


@dataclass(frozen=True, slots=True)
class Listing:
    """The files of a look, in its order."""

    files: tuple[RemoteFile, ...]
    left_out: int
    """How many it does not name: beyond the limit, too deep, or with a name or size that cannot be kept."""


@dataclass(frozen=True, slots=True)
class Share:
    """What the files of a route may take of the line, together."""

    rate: int
    """Bytes a second."""
    take: Callable[[int], float]
    """Takes so many bytes; returns the seconds after which more may be taken."""


def in_directory(directory: str) -> bytes:
    """A remote directory from the configuration as the beginning of paths in it."""
    return os.fsencode(directory).rstrip(b"/") + b"/"


class Remote(Protocol):
    """A logged-in connection to a remote.

    Every method raises RemoteError when trying again may help and RemoteRefusedError when it will not. Those
    that take several files answer for each, in their order; what they raise says of none what became of it.
    Paths are the remote's own.
    """

    def upload(
        self, files: Sequence[Upload], share: Share | None = None, taken: Callable[[], None] | None = None
    ) -> list[Arrival | RemoteError]:
        """Write files, at most TOGETHER, each replacing what is at its path, and prove that they arrived.

        What lies there already is kept if it is proven to be the file's beginning. Creates the directories
        above it. No more is sent than the share lets; None: as it comes. `taken` is called once the remote
        has written a part of those that are not small.
        """
        ...

    def place(self, files: Sequence[Publication], *, make_folders: bool = False) -> list[RemoteError | None]:
        """Rename in one step where the server can, replacing what is at `final`.

        One that is gone, but not its folder, is done with.
        `make_folders`: create the directories above `final` that are missing.
        """
        ...

    def publish(
        self, files: Sequence[Publication], *, folder: bytes, replace: bool, look: bool
    ) -> list[Published | RemoteError]:
        """Rename what was uploaded; may be repeated until there is an answer. `look`: ask for its size after.

        The answer is NotPlacedError for a file that the server refused to rename and that was not renamed
        before.
        Unless `replace`, what is at `final` stays; but a server whose own rename replaces still does so to a
        file that comes at that very moment. It is an error too where neither the file nor `folder`, in which
        it lay, is there: a volume may be missing.
        """
        ...

    def holds(self, path: bytes, *, size: int, sha256: str) -> bool | None:
        """Whether the file at `path` has just this content; None where no more than its size can be told."""
        ...

    def size(self, path: bytes) -> int | None:
        """The size of the file at `path`, None when there is none."""
        ...

    def look(self, path: bytes, look: Look) -> Listing:
        """The regular files in a directory that are looked for."""
        ...

    def download(
        self, files: Sequence[Download], share: Share | None = None
    ) -> list[Downloaded | RemoteError]:
        """Fetch files, at most TOGETHER; each is opened once, and each byte asked for once.

        No more is asked for than the share lets; None: as it comes.
        """
        ...

    def remove(self, paths: Sequence[bytes]) -> list[RemoteError | None]:
        """Delete files, at most TOGETHER. One that is gone, but not its folder, is done with."""
        ...

    def hang_up(self) -> None:
        """End the connection, from any thread: what goes on over it, and whatever follows, fails."""
        ...


class Remotes(Protocol):
    """Where connections come from."""

    def borrow(self, name: RemoteName) -> AbstractContextManager[Remote]:
        """A connection to use for a while; one that failed is not used again, one that refused may be."""
        ...


def only(answers: Sequence[T | RemoteError]) -> T:
    """What was answered for the one file that was asked about; raises its error."""
    (answer,) = answers
    if isinstance(answer, RemoteError):
        raise answer
    return answer
