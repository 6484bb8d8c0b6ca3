"""What a session and the monitor say to each other. The session is not trusted: every field has a bound."""

from typing import Annotated, Literal

from msgspec import Meta

from sftpd.process.messages import Message

Path = Annotated[bytes, Meta(min_length=1, max_length=4097)]
"""A virtual path, absolute, as `bytes(VirtualPath)` gives it."""
Word = Annotated[str, Meta(max_length=255)]
User = Annotated[str, Meta(max_length=1024)]
Key = Annotated[bytes, Meta(max_length=16 * 1024)]
"""A public key as on the wire (RFC 4253 §6.6)."""
SIZE_MAX = 2**63 - 1
Size = Annotated[int, Meta(ge=0, le=SIZE_MAX)]
Rate = Annotated[int, Meta(ge=1)]
Seconds = Annotated[int, Meta(ge=0, le=2**32 - 1)]
Mode = Annotated[int, Meta(ge=0, le=0o777)]
Sha256 = Annotated[bytes, Meta(min_length=32, max_length=32)]
LEASE_MAX = 2**32
Direction = Literal["upload", "download"]
FolderName = Literal["upload", "download", "requests", "receipts", "audit"]


class Serve(Message, frozen=True):
    """Notice to a process that hosts sessions: serve this connection, with this channel to the monitor."""

    asks_for_codes: bool


class Sign(Message, frozen=True):
    """Sign a key exchange with a host key; answered with Signature."""

    data: Annotated[bytes, Meta(max_length=64)]
    algorithm: Word


class ProveHostKey(Message, frozen=True):
    """Prove to this session's client that we hold a host key; answered with Signature."""

    key: Key


class Signature(Message, frozen=True):
    """A signature as on the wire: algorithm and blob."""

    blob: Annotated[bytes, Meta(max_length=16 * 1024)]


class CheckPublicKey(Message, frozen=True):
    """May this key be tried for this user; answered with Allowed."""

    user: User
    algorithm: Word
    key: Key


class Allowed(Message, frozen=True):
    """Whether a key may be tried; says nothing of who holds it."""

    yes: bool
    completes: bool
    """Whether its signature would be the last thing that is asked for."""


class VerifySignature(Message, frozen=True):
    """Did this key sign `signed`; answered with Admitted or Denied."""

    user: User
    algorithm: Word
    key: Key
    signed: Annotated[bytes, Meta(max_length=64 * 1024)]
    signature: Annotated[bytes, Meta(max_length=16 * 1024)]


class CheckPassword(Message, frozen=True):
    """Is this the user's password; answered with Admitted or Denied."""

    user: User
    password: Annotated[str, Meta(max_length=1024)]

    def __repr__(self) -> str:
        return f"CheckPassword(user={self.user!r}, password='***')"


class CheckCode(Message, frozen=True):
    """Is this the user's one-time code now; answered as CheckPassword."""

    user: User
    code: Annotated[str, Meta(max_length=64)]

    def __repr__(self) -> str:
        return f"CheckCode(user={self.user!r}, code='***')"


class Folder(Message, frozen=True):
    """One folder of the partner's view and where it lies on disk; `staging` where it may be written."""

    name: FolderName
    published: Annotated[str, Meta(max_length=4096)]
    staging: Annotated[str, Meta(max_length=4096)] | None
    permissions: Annotated[tuple[Word, ...], Meta(max_length=16)]


class Decision(Message, frozen=True):
    """Whether the user is let in: Admitted, Continue or Denied."""


class Admitted(Decision, frozen=True):
    """The user is who it says: its account, what it may see and what it may do."""

    account: Word
    link: Word
    folders: Annotated[tuple[Folder, ...], Meta(max_length=16)]
    permissions: Annotated[tuple[Word, ...], Meta(max_length=16)]
    denied_requests: Annotated[tuple[Word, ...], Meta(max_length=64)]
    max_handles: Annotated[int, Meta(ge=1, le=65_536)]
    list_entries: Annotated[int, Meta(ge=1)] | None = None
    """In one listing; None: any number."""
    upload_rate: Rate | None = None
    """Bytes a second for all sessions of the account together, as Lease lets them; None: any number."""
    download_rate: Rate | None = None
    rationed: bool = True
    """Whether an upload must Begin: what it may have is limited."""


class Continue(Decision, frozen=True):
    """What was told is right, and one of these methods must follow."""

    methods: Annotated[tuple[Word, ...], Meta(max_length=8)]


class Denied(Decision, frozen=True):
    """The user is not let in; why is not said."""


class Begin(Message, frozen=True):
    """May an upload to `path` begin; answered with Begun or a failure. `size_hint` in bytes.

    Asked by sessions that are rationed; the others learn it when their upload is complete.
    """

    path: Path
    size_hint: Size | None


class Begun(Message, frozen=True):
    """The upload may begin and is this transfer."""

    transfer_id: Word
    granted: Size | None = None
    """Bytes to which it may grow before it must Extend; None: any number."""


class Extend(Message, frozen=True):
    """May the upload grow to `size` bytes; answered with Begun or a failure."""

    transfer_id: Word
    path: Path
    size: Size


class AskRoom(Message, frozen=True):
    """How many bytes may the account still bring; answered with Room."""


class Room(Message, frozen=True):
    """So many it may bring; None: no limit says how many."""

    size: Size | None


class Complete(Message, frozen=True):
    """The staged file at `path` is whole, durable and closed; answered with Completed or a failure."""

    transfer_id: Word | None
    """None for an upload that did not have to Begin."""
    path: Path
    size: Size
    sha256: Sha256 | None
    inode: int | None = None
    """That of the file that was hashed: another session may give its own the name meanwhile."""


class Completed(Message, frozen=True):
    """The file is recorded and where its verdict sends it."""

    verdict: Literal["published", "quarantined", "screening"]


class Remove(Message, frozen=True):
    """Remove a published file; answered with Done or a failure, as are the next four."""

    path: Path


class Rename(Message, frozen=True):
    """Rename a published file or directory."""

    old: Path
    new: Path
    replace: bool


class MakeDirectory(Message, frozen=True):
    """Make a published directory."""

    path: Path


class RemoveDirectory(Message, frozen=True):
    """Remove an empty published directory."""

    path: Path


class SetAttributes(Message, frozen=True):
    """Change a published file's mode or times; None leaves them. Times in seconds since 1970."""

    path: Path
    mode: Mode | None
    mtime: Seconds | None
    atime: Seconds | None


class Fetched(Message, frozen=True):
    """Notice: a published file was read."""

    path: Path
    size: Size
    read: Annotated[tuple[tuple[Size, Size], ...], Meta(max_length=64)]
    """The stretches between which there are gaps, in order."""
    version: Word
    """What the file was: another content has another."""


class Abandoned(Message, frozen=True):
    """Notice: the session ends with this upload open; its part of `size` bytes stays for resume."""

    path: Path
    size: Size


class GivenUp(Message, frozen=True):
    """Notice: the transfer that was begun will not be completed; its part may be, as another."""

    transfer_id: Word


class Lease(Message, frozen=True):
    """So many bytes are moved for the account; answered with Leased."""

    direction: Direction
    size: Annotated[int, Meta(ge=1, le=LEASE_MAX)]


class Leased(Message, frozen=True):
    """They may be moved, and the next ones after so many seconds."""

    wait: Annotated[float, Meta(ge=0)]


class LimitReached(Message, frozen=True):
    """Notice: the session has refused something for a limit that it keeps itself."""

    limit: Literal["HANDLES", "LIST_ENTRIES"]


class Farewell(Message, frozen=True):
    """Notice: the session ends because its connection has, or was asked to."""


ToMonitor = (
    Sign
    | CheckPublicKey
    | VerifySignature
    | CheckPassword
    | CheckCode
    | Begin
    | Extend
    | AskRoom
    | Complete
    | Remove
    | Rename
    | MakeDirectory
    | RemoveDirectory
    | SetAttributes
    | Fetched
    | Abandoned
    | GivenUp
    | ProveHostKey
    | Lease
    | LimitReached
    | Farewell
)
ToSession = Signature | Allowed | Admitted | Continue | Denied | Begun | Room | Completed | Leased
