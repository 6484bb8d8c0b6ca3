"""What belongs to a link, as the rest of sftpd sees it: plain values, read from the configuration once."""

from dataclasses import dataclass, field, replace
from datetime import date, datetime, time, timedelta
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Any, Literal
from zoneinfo import ZoneInfo

from sftpd.civil import Cron
from sftpd.link.folders import Folders
from sftpd.link.return_receipts import ReturnReceipts
from sftpd.names import AccountName, LinkName, RemoteName, RouteName
from sftpd.timewindows import TimeWindow


@dataclass(frozen=True, slots=True)
class Revocations:
    """Keys by fingerprint, and certificates by serial number and id, that count no more."""

    fingerprints: frozenset[str] = frozenset()
    serials: tuple[tuple[int, int], ...] = ()
    """Ranges, both ends included."""
    ids: frozenset[str] = frozenset()

    def covers(self, fingerprint: str, serial: int | None, identity: str | None) -> bool:
        """Whether a key, or a certificate by serial number or id, is among them."""
        if fingerprint in self.fingerprints or identity in self.ids:
            return True
        return serial is not None and any(first <= serial <= last for first, last in self.serials)


@dataclass(frozen=True, slots=True)
class Limits:
    """The most that an account may use; None: no limit."""

    sessions: int = 10
    """At once."""
    handles: int = 256
    """In a session, at once."""
    list_entries: int | None = None
    """In the listing of one directory."""
    files_per_day: int | None = None
    """Uploaded, from midnight in the link's time zone."""
    bytes_per_day: int | None = None
    upload_rate: int | None = None
    """Bytes a second in all sessions together."""
    download_rate: int | None = None


@dataclass(frozen=True, slots=True)
class Account:
    """A login of the counterparty at our server; names are unique in the whole instance."""

    name: AccountName
    link: LinkName
    keys: frozenset[bytes]
    """Public keys in SSH wire form (RFC 4253 §6.6)."""
    password_hash: str | None
    """An Argon2id hash in PHC form."""
    permissions: frozenset[str]
    denied: frozenset[str]
    """Names of SFTP requests that are refused whatever the permissions say."""
    networks: tuple[IPv4Network | IPv6Network, ...]
    """Where it may come from; empty means anywhere."""
    expires: datetime | None
    chains: tuple[tuple[str, ...], ...] = (("publickey",), ("password",))
    """What must be proven to log in: all methods of one of these, in order."""
    totp: bytes | None = None
    """The secret of its one-time codes."""
    authorities: frozenset[bytes] = frozenset()
    """Public keys in wire form whose certificates count."""
    principals: frozenset[str] = frozenset()
    """The names of which a certificate must have one."""
    revoked: Revocations = Revocations()
    limits: Limits = Limits()

    def has_expired(self, now: datetime) -> bool:
        """Whether its last day is over."""
        return self.expires is not None and now >= self.expires

    def __repr__(self) -> str:
        return f"Account({self.name})"


Conflict = Literal["replace", "fail", "keep-both", "skip"]
"""What becomes of an outbound file whose name is taken at the counterparty."""

Confirm = Literal["hash", "hash-required", "size"]
"""How it is made sure that a remote has the bytes: by hash where that is possible, by hash alone, by size."""

Ask = Literal["offered", "always", "never"]
"""When a server is asked for what not every server can do; some can and do not say so."""

PARTS = {"prefix": ".sftpd-{id}.part", "suffix": "{name}.sftpd-{id}.part"}
"""Patterns of temporary names by what the configuration calls them."""


@dataclass(frozen=True, slots=True)
class Handling:
    """How files are brought to a remote: the steps that some servers do differently, or cannot do."""

    temporary: str | None = PARTS["prefix"]
    """A name with `{id}`, the transfer's, and maybe `{name}`, the final one; None: the final name itself."""
    resume: bool = True
    resume_limit: int = 1 << 30
    """Bytes of a part up to which it is read again where the server tells no hash."""
    check_file: Ask = "offered"
    """Whether the server is asked for hashes."""
    confirm: Confirm = "hash"
    confirm_limit: int = 1 << 20
    """Bytes of a file up to which it is read again where the server tells no hash."""
    fsync: bool = True
    preserve_times: bool = False
    mode: int | None = None
    """Permission bits to set."""
    posix_rename: bool = True
    confirm_placed: bool = True
    """Whether the file is looked for under its final name."""


@dataclass(frozen=True, slots=True)
class Remote:
    """The counterparty's SFTP server, to which we log in."""

    name: RemoteName
    link: LinkName
    host: str
    port: int
    user: str
    host_keys: tuple[str, ...]
    """Pinned public keys in OpenSSH form; any other ends the connection."""
    connect_timeout: float
    """Seconds, for each step until the login is done."""
    backoff: "Backoff"
    answer_timeout: float = 60.0
    """Seconds in which it may send nothing while it owes an answer."""
    source_address: str | None = None
    """The local address that we come from, None for the system's choice."""
    compat: tuple[str, ...] = ()
    """What it is offered besides the usual algorithms (ssh.algorithms.REMOTE_COMPAT)."""
    handling: Handling = Handling()
    receipts: ReturnReceipts | None = None
    """None: they are not collected."""
    requests: str | None = None
    """Its folder for signed orders; None: it takes none."""


@dataclass(frozen=True, slots=True)
class Backoff:
    """When to try again, and how often."""

    base: timedelta
    cap: timedelta
    attempts: int | None = None
    """None: without end."""

    def wait(self, attempts: int, jitter: float) -> timedelta:
        """How long to wait after so many failed tries; `jitter`, 0 to 1, spreads it over its upper half."""
        doubled: timedelta = self.base * 2 ** min(attempts - 1, 32)
        return min(doubled, self.cap) * (1 + jitter) / 2


@dataclass(frozen=True, slots=True)
class Readiness:
    """When a file in a watched folder is taken to be complete."""

    settle: float
    """Seconds for which size and times must stand still."""
    zero_byte: Literal["send", "hold"]
    include: tuple[str, ...]
    exclude: tuple[str, ...]
    rescan: float
    """Seconds between full looks, which catch what events miss."""
    recursive: bool = True
    order: Literal["name", "time"] = "name"
    minimum_age: float = 0.0
    """Seconds for which it must have been there."""
    done_file: str | None = None
    """The suffix of the file that says that another is whole."""
    overdue_after: float = 3600.0
    """Seconds for which it may wait beyond these, before that is told of."""
    temporary: tuple[str, ...] = ()
    """Patterns of unfinished files."""
    wait_for_writers: bool = True
    polled: bool = False
    """Whether events are not asked for."""
    poll: float = 2.0
    """Seconds between full looks where there are no events."""

    @property
    def overdue(self) -> float:
        """Seconds after which a file that waits is told of: none that only does as it is configured."""
        return max(self.settle, self.minimum_age) + self.overdue_after


@dataclass(frozen=True, slots=True)
class Turns:
    """When the files of an outbound route have their turn."""

    priority: int = 0
    """Routes with a higher one go first."""
    first: tuple[str, ...] = ()
    """Patterns of the names that go before the rest of the route."""
    strict: bool = False
    """One file after another, in the order in which they settled."""
    concurrency: int = 4
    """Files, or groups of small ones, on their way at once, each group over one connection."""
    windows: tuple[TimeWindow, ...] = ()
    """When files are sent; empty: at any time."""
    zone: ZoneInfo = field(default_factory=lambda: ZoneInfo("UTC"))
    """That of the windows."""


@dataclass(frozen=True, slots=True)
class Outbound:
    """A watched local folder whose files go to the counterparty."""

    name: RouteName
    link: LinkName
    folder: Path
    remote: RemoteName | None
    """None: to `/download`, where the counterparty fetches them."""
    remote_path: str
    after: Literal["archive", "remove"]
    readiness: Readiness
    backoff: Backoff
    policy: dict[str, Any]
    """What the gate hooks are told; they alone understand it."""
    layout: Literal["keep", "flatten"] = "keep"
    """Whether files of subfolders keep their folders at the destination."""
    turns: Turns = field(default_factory=Turns)
    conflict: Conflict = "replace"
    rate: int | None = None
    """Bytes a second that its files may take together."""
    return_of: RouteName | None = None
    """The route over which it brings received files back; None: it is a route itself."""

    @property
    def configured(self) -> RouteName:
        """The name that the configuration and operators know it by."""
        return self.return_of or self.name

    def returning(self, root: Path) -> "Outbound":
        """The way by which received files go back over this route; they lie in the link's folder, `root`.

        What the counterparty has is never replaced: it may be a file that was returned before.
        """
        name = RouteName(f"{self.name}:return")
        return replace(self, name=name, folder=root, conflict="keep-both", return_of=self.name)


@dataclass(frozen=True, slots=True)
class Inbound:
    """Files that we fetch from a remote on a schedule."""

    name: RouteName
    link: LinkName
    remote: RemoteName
    remote_path: str
    schedule: timedelta | Cron
    """An interval, or a cron line in the link's time zone."""
    then: Literal["leave", "delete", "move"]
    move_to: str | None
    include: tuple[str, ...]
    exclude: tuple[str, ...]
    policy: dict[str, Any]
    make_folders: bool = False
    """Whether `move_to`, and what is needed in it, is made."""
    settle: timedelta = timedelta(seconds=2)
    """For how long a file must not change at the remote before it is fetched."""
    overdue_after: timedelta = timedelta(hours=1)
    """For how long it may wait for that, before that is told of."""
    order: Literal["oldest", "name"] = "oldest"
    """Which of the files come first: those longest unchanged, or the first by name."""
    list_limit: int = 100_000
    """How many files one look takes in."""
    batch: int = 100_000
    """How many files one run fetches."""
    recursive: bool = False
    concurrency: int = 1
    """How many files, or groups of small ones, are fetched at once."""
    read_once: bool = False
    """Whether the remote lets a file be read only once."""
    rate: int | None = None
    """Bytes a second that its files may take together."""


@dataclass(frozen=True, slots=True)
class Expectation:
    """A file that must come by a time of day."""

    name: str
    link: LinkName
    source: str
    """The inbound route that brings it, or `upload`."""
    glob: str
    by: time
    zone: ZoneInfo
    weekdays: frozenset[int] = frozenset(range(7))
    """On which it must, as `date.weekday` numbers them; one or more."""
    holidays: frozenset[date] = frozenset()
    """On which it need not."""
    warn: timedelta = timedelta()
    """How long before the deadline it counts as at risk; none: never."""


@dataclass(frozen=True, slots=True)
class Terms:
    """A document that must be accepted before the link may be used."""

    document: str
    version: str
    sha256: str
    effective: date


@dataclass(frozen=True, slots=True)
class Link:
    """The agreement with one counterparty and all that belongs to it."""

    name: LinkName
    counterparty: str
    zone: ZoneInfo
    folders: Folders
    audit: Path
    """The public part of its audit log, which the partner sees as `/audit`."""
    terms: Terms | None
    accounts: tuple[Account, ...]
    remotes: tuple[Remote, ...]
    outbound: tuple[Outbound, ...]
    inbound: tuple[Inbound, ...]
    upload_policy: dict[str, Any]
    """What the pre-receive hooks are told of files that accounts upload."""
    expectations: tuple[Expectation, ...] = ()
    storage: int | None = None
    """Bytes that may lie here of what accounts have uploaded and are uploading; None: no limit."""
    receipts: bool = True
    """Whether the partner gets a receipt of each file."""
    returns: tuple[Outbound, ...] = ()
    """The ways by which retention has received files brought back."""

    @property
    def leaving(self) -> tuple[Outbound, ...]:
        """All that the outbound queue works on."""
        return self.outbound + self.returns
