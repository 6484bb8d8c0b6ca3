"""The configuration of a link: the tables and keys of `links.d/<name>.toml`, and what each is for.

The text below a key is its documentation in `etc/` and `docs/configuration.md`. Times are in seconds, sizes
in bytes.
"""

from datetime import date
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field, model_validator

from sftpd.config.erasure_model import ErasureSection
from sftpd.config.model import Section
from sftpd.config.refusal import fault
from sftpd.config.remote_model import BackoffSection, RemoteSection
from sftpd.config.rules_model import ClassSection, ExpectSection, RetentionSection
from sftpd.config.values import (
    IN_SAMPLE,
    AfterPull,
    ByteCount,
    CalendarPeriod,
    Concurrency,
    Count,
    Day,
    Destination,
    FileType,
    Flag,
    Folder,
    Glob,
    HandleCount,
    ListCount,
    Name,
    Network,
    PasswordHash,
    Priority,
    PublicKey,
    Rate,
    RemoteReference,
    RevokedList,
    Schedule,
    Seconds,
    Sha256,
    Suffix,
    Text,
    Then,
    Timeout,
    TotpSecret,
    Zone,
)
from sftpd.config.vault_model import VaultSection
from sftpd.config.windows import Window
from sftpd.periods import Period

OWN_FOLDERS = ("inbound", "quarantine", "failed", "sent")
"""The folders of a link that sftpd fills; no route sends from them."""


class Permission(StrEnum):
    """What an account may be allowed to do in `/upload` and `/download`."""

    LIST = "list"
    READ = "read"
    WRITE = "write"
    DELETE = "delete"
    RENAME = "rename"
    MKDIR = "mkdir"
    SETSTAT = "setstat"
    SYMLINK = "symlink"
    HARDLINK = "hardlink"


Chain = Literal[
    "publickey", "password", "publickey,password", "password,publickey", "publickey,totp", "password,totp",
    "publickey,password,totp",
]  # fmt: skip
"""Methods of authentication, one after another (RFC 4252 §5.1)."""

USUAL_PERMISSIONS = tuple(p for p in Permission if p not in (Permission.SYMLINK, Permission.HARDLINK))

RequestName = Literal[
    "open", "read", "write", "lstat", "fstat", "setstat", "fsetstat", "opendir", "readdir", "remove", "mkdir",
    "rmdir", "realpath", "stat", "rename", "readlink", "symlink", "posix-rename", "statvfs", "fstatvfs",
    "fsync", "hardlink", "lsetstat", "limits", "expand-path", "copy-data", "home-directory",
    "check-file-handle", "check-file-name", "space-available",
]  # fmt: skip
"""The requests that can be denied, by the names that OpenSSH gives them, or the draft where it has none."""


class TermsSection(Section):
    """The counterparty's terms that apply to this link."""

    document: Text = Field(examples=["Terms of the exchange"])
    """The title of the document."""
    version: Text = Field(examples=["2026-01"])
    """Its version."""
    sha256: Sha256 = Field(examples=["0" * 64])
    """The SHA-256 of the document's file, in hexadecimal."""
    effective: Day = Field(examples=[date(2026, 1, 1)])
    """The day from which it applies."""


class LinkSection(Section):
    """The agreement with the counterparty."""

    name: Name = Field(examples=["example"])
    """The name of the link, which is also the name of this file."""
    counterparty: Text = Field(examples=["Example Partner B.V."])
    """The counterparty, as people call it."""
    time_zone: Zone | None = Field(default=None, examples=["Europe/Amsterdam"])
    """The IANA time zone in which periods of this link end; the instance's if left out."""
    personal_data: Flag = Field(examples=[True])
    """Whether files with personal data cross this link; then `purpose` and `legal_basis` are required."""
    purpose: Annotated[Text | None, IN_SAMPLE] = Field(default=None, examples=["Exchange of work orders"])
    """What the personal data is used for."""
    legal_basis: Annotated[Text | None, IN_SAMPLE] = Field(default=None, examples=["GDPR 6(1)(b), contract"])
    """The ground in law for using it."""
    user_ca: tuple[PublicKey, ...] = Field(default=(), examples=[["file:keys/partner_ca.pub"]])
    """The counterparty's certificate authorities: OpenSSH certificates that they sign log its accounts in."""
    revoked: RevokedList | None = Field(default=None, examples=["file:keys/revoked"])
    """Keys and certificates that log nobody in any more: a list as ssh-keygen's specification of a KRL."""
    storage: ByteCount | None = Field(default=None, examples=["500 GiB"])
    """How many bytes of uploads may lie here, under way, received or in quarantine; no limit if left out."""
    receipts: Flag = True
    """Whether the counterparty finds a signed receipt of each file that crosses in `/receipts`."""
    end_within: CalendarPeriod = Period(days=15)
    """How long after its close all of it is to be returned or deleted; what remains is told of each day."""
    terms: TermsSection | None = None
    """The counterparty's terms that apply to this link."""

    @model_validator(mode="after")
    def _lawful(self) -> "LinkSection":
        absent = [key for key in ("purpose", "legal_basis") if getattr(self, key) is None]
        if self.personal_data and absent:
            raise fault(f"personal_data is true, so {' and '.join(absent)} must be given")
        return self


class FilePolicySection(Section):
    """Which files may cross, as the shipped file-policy hooks judge it; patterns ignore letter case."""

    allow: tuple[Glob, ...] = ("*",)
    """Patterns of the names that may pass."""
    deny: tuple[Glob, ...] = ()
    """Patterns of the names that may not, even if allowed."""
    max_size: ByteCount | None = Field(default=None, examples=["1 GiB"])
    """The largest file that may pass: bytes, or a text with a unit; no limit if left out."""
    types: tuple[FileType, ...] = Field(default=(), examples=[["csv", "json", "pdf"]])
    """The types that may pass, by extension and, where the type has a signature, by content; all if empty."""


class AccountLimitsSection(Section):
    """The most that this account may use, where that is not what `[limits]` of the instance says."""

    sessions: Count | None = Field(default=None, examples=[10])
    """How many sessions it may have at once; `server.max_sessions_per_account` if left out."""
    handles: HandleCount | None = Field(default=None, examples=[256])
    """How many files and directories a session may have open at once."""
    list_entries: Count | None = Field(default=None, examples=[100_000])
    """How many entries the listing of one directory may have."""
    files_per_day: Count | None = Field(default=None, examples=[10_000])
    """How many files it may upload a day, in the link's time zone."""
    bytes_per_day: ByteCount | None = Field(default=None, examples=["100 GiB"])
    """How many bytes these files may have together."""
    upload_rate: Rate | None = Field(default=None, examples=["20 MiB"])
    """How many bytes a second its sessions may send us together."""
    download_rate: Rate | None = Field(default=None, examples=["20 MiB"])
    """How many bytes a second they may fetch together."""


class AccountSection(Section):
    """A login of the counterparty at our server; it needs a key, a certificate or a password."""

    name: Name = Field(examples=["example"])
    """The login name, unique among all links."""
    keys: Annotated[tuple[PublicKey, ...], IN_SAMPLE] = Field(
        default=(), examples=[["file:keys/example.pub"]]
    )
    """The public keys that may log in, as OpenSSH lines or `file:` paths."""
    password: PasswordHash | None = Field(default=None, examples=["file:keys/example.argon2id"])
    """The Argon2id hash of the account's password, by reference."""
    totp: TotpSecret | None = Field(default=None, examples=["file:keys/example.totp"])
    """The secret of the account's one-time codes (TOTP), in base32, by reference."""
    principals: tuple[Text, ...] = ()
    """The names of which a certificate must have one; the account's own if empty."""
    login: tuple[Chain, ...] = Field(default=(), examples=[["publickey,totp", "password,totp"]])
    """What must be proven to log in, in order: one of these. If empty: a key or a password, then any code."""
    permissions: tuple[Permission, ...] = USUAL_PERMISSIONS
    """What the account may do."""
    deny: tuple[RequestName, ...] = ()
    """Requests that are refused whatever the permissions say, by OpenSSH's names for them."""
    networks: tuple[Network, ...] = Field(default=(), examples=[["192.0.2.0/24"]])
    """The networks it may log in from; any if empty."""
    expires: Day | None = Field(default=None, examples=[date(2027, 12, 31)])
    """The last day on which it may log in, in the link's time zone."""
    limits: AccountLimitsSection = AccountLimitsSection()
    """The most that it may use, where that is not what `[limits]` of the instance says."""

    @model_validator(mode="after")
    def _has_what_it_needs(self) -> "AccountSection":
        needed = {method for chain in self.login for method in chain.split(",")}
        for method, has in (("password", self.password is not None), ("totp", self.totp is not None)):
            if method in needed and not has:
                raise fault(f"login names {method}, which the account does not have, allowed: {method} = ...")
        return self


class RouteSection(Section):
    """One direction of the link."""

    include: tuple[Glob, ...] = ("*",)
    """Patterns of the file names that are taken."""
    exclude: tuple[Glob, ...] = ()
    """Patterns of the file names that are left, even if included."""
    rate: Rate | None = Field(default=None, examples=["10 MiB"])
    """How many bytes a second its files may take together, to or from a remote; no limit if left out."""
    policy: FilePolicySection = FilePolicySection()
    """Which files may cross."""


class OutboundSection(RouteSection):
    """A watched folder whose files go to the counterparty."""

    name: Name = Field(examples=["out"])
    """The name of the route, unique in this link."""
    direction: Literal["outbound"] = Field(examples=["outbound"])
    """`outbound`: files leave us."""
    folder: Folder = "outbound"
    """The watched folder, in the folder of the link."""
    remote: Destination = Field(alias="to", examples=["download"])
    """`download`, where the counterparty fetches files from us, or `remote:NAME`, to which we bring them."""
    remote_path: Text = "."
    """The folder at the remote; a relative path starts where the remote puts us after login."""
    include: tuple[Glob, ...] = ("*",)
    """Patterns of the file names that are taken, or of the paths in the folder if they have a slash."""
    exclude: tuple[Glob, ...] = ()
    """Patterns of those that are left, even if included."""
    recursive: Flag = True
    """Whether files in subfolders are taken too; those in hidden ones never are."""
    layout: Literal["keep", "flatten"] = "keep"
    """Where files of subfolders go: to folders of these names, or to one, as `sub+name`."""
    order: Literal["name", "time"] = "name"
    """In which order files that are ready together are taken: by name, or by time of last change."""
    settle: Seconds = 1.0
    """How long a file must not change before it is taken."""
    minimum_age: Seconds = 0.0
    """How long it must have lain there before it is taken, changed or not."""
    overdue_after: Annotated[Seconds, Field(gt=0)] = 3600.0
    """How long a file may wait to be ready, beyond `settle` and `minimum_age`, before that is told of."""
    done_file: Suffix | None = Field(default=None, examples=[".ok"])
    """The suffix of done-files: a file is taken only when the one with this suffix added is there too."""
    temporary: tuple[Glob, ...] = ("*.part", "*.filepart", "*.partial", "*.tmp", "*~", ".fuse_hidden*")
    """Patterns of unfinished files, which are left, in any letter case; hidden files always are."""
    wait_for_writers: Flag = True
    """Whether a file is left while a process has it open for writing, where the kernel tells us."""
    zero_byte: Literal["send", "hold"] = "send"
    """What happens to empty files: they are sent, or wait until they have content."""
    watch: Literal["auto", "poll"] = "auto"
    """`poll`: the folder is only listed; `auto`: so it is where the kernel does not tell of changes."""
    poll_every: Annotated[Timeout, Field(ge=0.1)] = 2.0
    """How often it is listed then."""
    conflict: Literal["replace", "fail", "keep-both", "skip"] = "replace"
    """What happens where the name is taken: the file there is replaced; or ours goes to `failed/`, is
    delivered under a name with the id of its transfer (`report-ID.csv`), or is put away undelivered."""
    after: Literal["archive", "remove"] = "archive"
    """What happens to the local file once it is delivered: it moves to `sent/`, or is removed."""
    priority: Priority = 0
    """Files of routes with a higher priority go first."""
    first: tuple[Glob, ...] = Field(default=(), examples=[["urgent-*"]])
    """Patterns of the file names that go before the others of this route."""
    strict: Flag = False
    """Whether files go one after another as they settled: none begins before the one before it has ended."""
    concurrency: Concurrency = 4
    """How many files, or groups of small ones, may be on their way at once; with `strict` it is one file."""
    windows: tuple[Window, ...] = Field(default=(), examples=[["Mon-Fri 18:00-06:00", "Sat,Sun 00:00-24:00"]])
    """When files are sent, in the link's time zone; at any time if left out. What has begun is finished."""
    attempts: Count = 1000
    """How often a file is tried, while the remote can be reached; one that still fails goes to `failed/`."""
    backoff: BackoffSection = BackoffSection()
    """How long to wait before the next try of a file."""

    @model_validator(mode="after")
    def _one_order(self) -> "OutboundSection":
        if self.strict and self.first:
            raise fault("first and strict exclude each other, allowed: one of them")
        return self


class InboundSection(RouteSection):
    """A folder at a remote whose files are fetched."""

    name: Name = Field(examples=["in"])
    """The name of the route, unique in this link."""
    direction: Literal["inbound"] = Field(examples=["inbound"])
    """`inbound`: files come to us."""
    remote: RemoteReference = Field(alias="from", examples=["remote:partner"])
    """`remote:NAME`, the remote that files are fetched from."""
    remote_path: Text = "."
    """The folder at the remote; a relative path starts where the remote puts us after login."""
    every: Schedule = Field(examples=["PT1M"])
    """How often the remote is looked at: a duration, or five cron fields in the link's time zone."""
    then: AfterPull = Then("leave")
    """What becomes of a file there once it is safe here; `create = true` makes the folder it moves to."""
    settle: Seconds = 2.0
    """How long a file must not change at the remote before it is fetched; listings tell times in seconds."""
    overdue_after: Annotated[Seconds, Field(gt=0)] = 3600.0
    """How long a file may wait to be ready, beyond `settle`, before that is told of."""
    order: Literal["oldest", "name"] = "oldest"
    """Which files come first: those longest unchanged, or by name; strictly so with a `concurrency` of 1."""
    list_limit: ListCount = 100_000
    """How many files one look takes in; the next one begins behind the last of them."""
    batch: ListCount = 100_000
    """How many files are fetched at one time; the log tells what is left for the next."""
    recursive: Flag = False
    """Whether files in folders of the folder are fetched too, into the same folders of `inbound/`."""
    concurrency: Concurrency = 4
    """How many files, or groups of small ones, are fetched at once, each over a connection of its own."""
    read_once: Flag = False
    """Whether the remote gives a file only once: a file whose fetch fails is reported and not tried again."""

    @model_validator(mode="after")
    def _moves_into_folders(self) -> "InboundSection":
        if self.recursive and self.then.action == "move" and not self.then.create:
            raise fault(
                'recursive is true, so then needs folders, allowed: { move = "FOLDER", create = true }'
            )
        return self


class HoldsSection(Section):
    """Legal holds on this link."""

    require_second_person: Flag = False
    """Whether a hold must be released by another person than the one who placed it."""
    partner_removal: Literal["refused", "shadowed"] = "refused"
    """What happens when the counterparty removes or replaces a held file: permission is denied, or it is told
    that it is done, and the file is kept out of its sight until no hold covers it."""


Route = Annotated[OutboundSection | InboundSection, Field(discriminator="direction")]


class LinkFile(Section):
    """A link's file, `links.d/<name>.toml`."""

    about: LinkSection = Field(alias="link")
    policy: FilePolicySection = FilePolicySection()
    """Which files the counterparty may upload."""
    accounts: tuple[AccountSection, ...] = Field(default=(), alias="account")
    remotes: tuple[RemoteSection, ...] = Field(default=(), alias="remote")
    routes: tuple[Route, ...] = Field(default=(), alias="route")
    expectations: tuple[ExpectSection, ...] = Field(default=(), alias="expect")
    classes: tuple[ClassSection, ...] = Field(default=(), alias="class")
    retention: tuple[RetentionSection, ...] = ()
    holds: HoldsSection = HoldsSection()
    erasure: ErasureSection = ErasureSection()
    vault: VaultSection | None = None
    """An encrypted archive copy of each file that crosses this link."""

    @property
    def name(self) -> str:
        """The name of the link."""
        return self.about.name

    @property
    def outbound(self) -> tuple[OutboundSection, ...]:
        """The routes by which files leave us."""
        return tuple(route for route in self.routes if isinstance(route, OutboundSection))

    @property
    def inbound(self) -> tuple[InboundSection, ...]:
        """The routes by which files are fetched."""
        return tuple(route for route in self.routes if isinstance(route, InboundSection))
