"""What the monitor and a courier say to each other; what a courier says is not trusted."""

from typing import Annotated

import msgspec
from msgspec import Meta

from sftpd.exchange.due import TOGETHER
from sftpd.exchange.remote import Arrival, Outcome
from sftpd.link.model import Handling
from sftpd.process.messages import Message
from sftpd.ssh.messages import LEASE_MAX, Leased

SIZE_LIMIT = 2**63 - 1
NAME_LIMIT = 255
"""Bytes of a file's name that can be stored here too."""

Path = Annotated[bytes, Meta(min_length=1, max_length=8192)]
"""A path as the remote takes it: bytes without a known encoding."""
Key = Annotated[bytes, Meta(max_length=16 * 1024)]
"""A public key as on the wire (RFC 4253 §6.6)."""
RelativePath = Annotated[bytes, Meta(min_length=1, max_length=1024)]
"""The path of a file in a directory that is listed."""
ANNOUNCED_LIMIT = 8
ANNOUNCED_SIZE = 4096
"""How many keys a remote may announce, and bytes of the longest."""
AnnouncedKey = Annotated[bytes, Meta(max_length=ANNOUNCED_SIZE)]
Word = Annotated[str, Meta(max_length=255)]
Text = Annotated[str, Meta(max_length=1024)]
Size = Annotated[int, Meta(ge=0, le=SIZE_LIMIT)]
Count = Annotated[int, Meta(ge=0, le=2**32 - 1)]
Sha256 = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]

Some = Meta(min_length=1, max_length=TOGETHER)
"""As many files as one order is about."""

TEXT_LIMIT = 1024
"""Characters of a fault's text that a courier may send."""

BATCH = 200
"""Files in one part of a listing: with the longest names they still fit a message."""


class Connect(Message, frozen=True):
    """Notice, the first: log in at this remote; answered by the notice LoggedIn or LoginFailed."""

    host: str
    port: int
    user: str
    host_keys: tuple[Key, ...]
    """The pinned host keys."""
    timeout: float
    """Seconds for each step."""
    answer_timeout: float
    """Seconds in which the remote may send nothing while it owes an answer."""
    source_address: str | None
    """The local address to come from, None for any."""
    compat: tuple[str, ...]
    """What is offered besides the usual algorithms."""
    key: Key | None
    """The public key to log in with; its signature is asked for by SignLogin."""
    password: str | None
    idle: float
    """Seconds without a request after which the courier leaves."""
    handling: Handling = Handling()

    def __repr__(self) -> str:
        return f"Connect({self.user!r} at {self.host!r} port {self.port})"


class SignLogin(Message, frozen=True):
    """Sign the request for the login (RFC 4252 §7); answered with LoginSignature."""

    data: Annotated[bytes, Meta(max_length=32 * 1024)]
    algorithm: Word


class LoginSignature(Message, frozen=True):
    """A signature as on the wire: algorithm and blob."""

    signature: bytes


class LoggedIn(Message, frozen=True):
    """Notice: the remote takes requests."""

    legacy: Annotated[tuple[Word, ...], Meta(max_length=8)]
    """The algorithms in use that are no standard."""
    announced: Annotated[tuple[AnnouncedKey, ...], Meta(max_length=ANNOUNCED_LIMIT)]
    """The host keys that the remote says it has and that are not pinned."""


class LoginFailed(Message, frozen=True):
    """Notice: there is no login, and why: the code of an error and its text."""

    code: Word
    message: Text


class Fault(msgspec.Struct, frozen=True, array_like=True, tag="fault"):
    """Why one of several files could not be dealt with: the code of an error and its text."""

    code: Word
    message: Text


class Sending(msgspec.Struct, frozen=True, array_like=True):
    """A file to be uploaded to `path`, which may be `ours` alone, unless one is at `unless`."""

    path: Path
    size: Size
    sha256: Sha256
    unless: Path | None = None
    ours: bool = False


class Upload(Message, frozen=True):
    """Write the files whose descriptors come along; answered with Uploaded."""

    files: Annotated[tuple[Sending, ...], Some]
    rate: int | None = None
    """Bytes a second that may be sent, as Lease lets them; None: any number."""
    follow: bool = False
    """Whether to say Taken."""


class Arrived(msgspec.Struct, frozen=True, array_like=True, tag="arrived"):
    """How it is known that the remote has the bytes of a file, or that its name is taken."""

    proof: Arrival


class Uploaded(Message, frozen=True):
    """What became of each."""

    answers: Annotated[tuple[Arrived | Fault, ...], Some]


class Renaming(msgspec.Struct, frozen=True, array_like=True):
    """A file and its final name; they are one where there is nothing to rename."""

    temporary: Path
    final: Path


class Place(Message, frozen=True):
    """Rename, replacing what is there; answered with Dealt."""

    files: Annotated[tuple[Renaming, ...], Some]
    make_folders: bool = False
    """Whether the directories above `final` are made where they are missing."""


class Publish(Message, frozen=True):
    """Rename temporary files that were uploaded; answered with Published."""

    files: Annotated[tuple[Renaming, ...], Some]
    folder: Path
    """Where they lie, or above that: if it is not there, a file that is gone says nothing."""
    replace: bool
    """Whether a file at `final` gives way."""
    look: bool
    """Whether to ask for the file's size at `final` afterwards."""


class Placed(msgspec.Struct, frozen=True, array_like=True, tag="placed"):
    """What became of a file, and the size that was asked for."""

    outcome: Outcome
    size: Size | None
    hidden: bool = False


class Refused(msgspec.Struct, frozen=True, array_like=True, tag="refused"):
    """The server refused the rename with these words, and none before it has happened."""

    said: Text


class Published(Message, frozen=True):
    """What became of each."""

    answers: Annotated[tuple[Placed | Refused | Fault, ...], Some]


class AskContent(Message, frozen=True):
    """Ask whether a file has this content; answered with Content."""

    path: Path
    size: Size
    sha256: Sha256


class Content(Message, frozen=True):
    """Whether the file has that content, None where that cannot be told."""

    same: bool | None


class AskSize(Message, frozen=True):
    """Ask for the size of a file; answered with FileSize."""

    path: Path


class FileSize(Message, frozen=True):
    """A file's size, None when there is no file."""

    size: Size | None


class ListMore(Message, frozen=True):
    """Ask for the next part of the last listing; answered with Listing."""


class Entry(msgspec.Struct, frozen=True, array_like=True):
    """One regular file; `mtime` in seconds since 1970."""

    name: RelativePath
    size: Size
    mtime: Count


class ListDirectory(Message, frozen=True):
    """Ask for regular files in a directory, as `exchange.remote.Look` says; answered with Listing."""

    path: Path
    recursive: bool
    oldest_first: bool
    limit: Count
    after: Entry | None
    folders: bool = False


class Listing(Message, frozen=True):
    """A part of a listing; `left_out` counts the files that it does not and will not name."""

    files: Annotated[tuple[Entry, ...], Meta(max_length=BATCH)]
    more: bool
    left_out: Count


class Fetching(msgspec.Struct, frozen=True, array_like=True):
    """A file to be fetched."""

    path: Path
    size: Size | None
    """Its size where it is known; the server is asked for it otherwise."""
    steady: bool
    """It must not change while it is read."""


class Download(Message, frozen=True):
    """Write remote files into those whose descriptors come along; answered with Downloaded."""

    files: Annotated[tuple[Fetching, ...], Some]
    rate: int | None = None
    """Bytes a second that may be asked for, as Lease lets them; None: any number."""


class Fetched(msgspec.Struct, frozen=True, array_like=True, tag="fetched"):
    """What was written."""

    size: Size
    sha256: Sha256


class Downloaded(Message, frozen=True):
    """What was written of each."""

    answers: Annotated[tuple[Fetched | Fault, ...], Some]


class Lease(Message, frozen=True):
    """So many bytes of the files that are on their way are moved; answered with Leased."""

    size: Annotated[int, Meta(ge=1, le=LEASE_MAX)]


class Taken(Message, frozen=True):
    """The server has written a part of the files that are being uploaded; answered with Done."""


class Remove(Message, frozen=True):
    """Delete files; answered with Dealt."""

    paths: Annotated[tuple[Path, ...], Some]


class Dealt(Message, frozen=True):
    """What kept each from being dealt with, None where nothing did."""

    answers: Annotated[tuple[Fault | None, ...], Some]


class Examine(Message, frozen=True):
    """Try what the server can do, with files in `folder` whose names hold `mark`; answered with Findings."""

    folder: Path
    mark: Word


class Finding(msgspec.Struct, frozen=True, array_like=True):
    """What came of one step that was tried; `works` is None where it could not be."""

    step: Word
    works: bool | None
    said: Text


class Findings(Message, frozen=True):
    """What the server says of itself, and what came of each step."""

    identification: Word
    extensions: Annotated[tuple[Word, ...], Meta(max_length=100)]
    limits: tuple[Size, Size, Size, Size] | None
    """Longest packet, read and write, and open handles; 0 for what has none (limits@openssh.com)."""
    steps: Annotated[tuple[Finding, ...], Meta(max_length=40)]


class Probe(Message, frozen=True):
    """Ask whether the remote still answers; answered with Done."""


ToCourier = (
    Connect | LoginSignature | Upload | Place | Publish | AskSize | AskContent | ListDirectory | ListMore
    | Download | Leased | Remove | Probe | Examine
)  # fmt: skip
FromCourier = (
    SignLogin
    | LoggedIn
    | LoginFailed
    | Lease
    | Taken
    | Uploaded
    | Published
    | FileSize
    | Content
    | Listing
    | Downloaded
    | Dealt
    | Findings
)
