"""The instance's configuration: the tables and keys of `sftpd.toml`, and what each is for.

The text below a key is its documentation in `etc/` and `docs/configuration.md`. Times are in seconds, sizes
in bytes.
"""

import re
from collections.abc import Iterator
from datetime import time
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated, Any, Literal, get_args
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo, model_validator

from sftpd.config.address import Address
from sftpd.config.refusal import fault
from sftpd.config.values import (
    AnySecret,
    ByteCount,
    ConfigPath,
    Count,
    Flag,
    HandleCount,
    HarmlessText,
    Kind,
    Listen,
    Network,
    NotEmpty,
    OneAsList,
    Origin,
    Percent,
    PrivateKey,
    Rate,
    Seconds,
    SigningKey,
    TimeOfDay,
    Timeout,
    Zone,
    in_root,
)
from sftpd.config.whereabouts import SOCKET_NAME, STATE_FOLDER


class Section(BaseModel):
    """A table of the configuration: it cannot change, and a key it does not know is a fault."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        validate_default=True,
        hide_input_in_errors=True,
    )


def _ledger_url(url: str, info: ValidationInfo) -> str:
    scheme, _, rest = url.partition("://")
    user, at, _ = rest.rpartition("@")
    if (at and ":" in user) or "password=" in rest:
        raise fault("a password in the URL, allowed: the URL without it, and ledger_password")
    if scheme == "sqlite" and re.fullmatch(r"/[^:?#][^?#]*", rest):
        return f"sqlite:///{in_root(rest[1:], info)}"
    if scheme != "postgresql+psycopg" or not rest or not _has_port(url):
        raise fault("not a ledger URL, allowed: sqlite:///PATH or postgresql+psycopg://USER@HOST/DATABASE")
    return url


def _has_port(url: str) -> bool:
    """Whether the port of a URL is one, or left out."""
    try:
        return urlsplit(url).port != 0
    except ValueError:
        return False


def sections_in(annotation: Any) -> Iterator[type[Section]]:
    """The sections that a value annotated so can be or hold."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        yield annotation
    for argument in get_args(annotation):
        yield from sections_in(argument)


class InstanceSection(Section):
    """Who this instance is and where it keeps its files."""

    name: Origin = Field(examples=["sftp.example.org"])
    """The name of this instance, which its audit logs carry as their origin: a host name, lower case."""
    time_zone: Zone = ZoneInfo("Europe/Amsterdam")
    """The IANA time zone of schedules, and of links that name none."""
    state: ConfigPath = Path(STATE_FOLDER)
    """The folder of the ledger and the audit logs; relative paths start at the folder of this file."""
    links: ConfigPath = Path("links")
    """The folder with one folder a link, for the exchanged files."""
    hooks: ConfigPath | None = Field(default=None, examples=["hooks"])
    """The folder with hooks, `pre-receive.d/` and so on; the hooks shipped with sftpd if left out."""
    ledger: Annotated[str, AfterValidator(_ledger_url), Kind("URL")] | None = Field(
        default=None, examples=["postgresql+psycopg://sftpd@db.example.org/sftpd"]
    )
    """The ledger's database, without a password, for one daemon; an SQLite file in `state` if left out."""
    ledger_password: AnySecret | None = Field(default=None, examples=["credential:ledger"])
    """The password for the ledger's database."""


class ServerSection(Section):
    """The SFTP server that partners log in to."""

    listen: Annotated[tuple[Listen, ...], OneAsList, NotEmpty] = (Address("127.0.0.1", 2222),)
    """The addresses to listen on: `HOST:PORT`, or a list of them."""
    host_keys: Annotated[tuple[PrivateKey, ...], NotEmpty] = Field(examples=[["file:keys/host_ed25519"]])
    """The private keys by which partners know this server."""
    host_keys_to_come: tuple[PrivateKey, ...] = Field(default=(), examples=[["file:keys/host_next"]])
    """Keys that clients learn of when they log in, and that are not used yet: the next `host_keys`."""
    compat_listen: Annotated[tuple[Listen, ...], OneAsList] = ()
    """Further addresses, for old clients: what `compat` names is offered there too, and nowhere else."""
    compat: tuple[Literal["aes-ctr", "dh-group14", "dh-group16", "ecdh-nist"], ...] = ()
    """What is offered there besides the standard algorithms; each login that uses it is logged."""
    banner: HarmlessText = ""
    """A text shown to partners before they log in; it must not claim another party's name."""
    login_grace: Timeout = 120.0
    """How long a connection may take to log in."""
    idle_timeout: Annotated[Seconds, Field(gt=0)] = 900.0
    """How long a session may be silent."""
    sessions_per_process: Count = 1
    """How many sessions share a process: more than 1 save memory, and a crash ends them together."""
    max_sessions: Count = 200
    """How many sessions there may be at once."""
    max_sessions_per_account: Count = 10
    """How many sessions one account may have at once."""
    unauthenticated_per_address: Count = 32
    """How many connections of one address, or IPv6 /64, may be there without a login; more are refused."""
    unauthenticated_per_network: Count = 64
    """The same for an IPv4 /24 or IPv6 /48."""
    unauthenticated_total: Count = 100
    """The same in all, at most half of `max_sessions`; one more ends one of the most crowded source."""
    starts_per_network: Count = 50
    """How many connections an IPv4 /24 or IPv6 /48 may start a second; each costs us a key exchange."""
    penalties: Flag = True
    """Whether an address with many failed logins, or connections without one, is refused for a time."""
    penalty_exempt: tuple[Network, ...] = (IPv4Network("127.0.0.0/8"), IPv6Network("::1/128"))
    """The networks without penalties and `starts_per_network`; behind a proxy everybody comes from one."""


class LimitsSection(Section):
    """The most that each account may use; `[account.limits]` of a link says otherwise for one."""

    handles: HandleCount = 256
    """How many files and directories a session may have open at once."""
    list_entries: Count | None = Field(default=None, examples=[100_000])
    """How many entries the listing of one directory may have; no limit if left out."""
    files_per_day: Count | None = Field(default=None, examples=[10_000])
    """How many files an account may upload a day, in the link's time zone; no limit if left out."""
    bytes_per_day: ByteCount | None = Field(default=None, examples=["100 GiB"])
    """How many bytes these files may have together; no limit if left out."""
    upload_rate: Rate | None = Field(default=None, examples=["20 MiB"])
    """How many bytes a second an account's sessions may send us together; no limit if left out."""
    download_rate: Rate | None = Field(default=None, examples=["20 MiB"])
    """How many bytes a second they may fetch together; no limit if left out."""


class AuditSection(Section):
    """The audit log."""

    key: SigningKey = Field(examples=["file:keys/audit_ed25519"])
    """The Ed25519 private key that signs checkpoints and certificates."""


class ScreeningSection(Section):
    """The gate hooks that look at each file before it moves."""

    deadline: Annotated[Seconds, Field(gt=0)] = 60.0
    """How long the gate hooks may take for one file; after that it does not pass."""
    acknowledge_within: Seconds = 10.0
    """How long a partner waits for the verdict; a slower file is acknowledged before it is screened."""

    @model_validator(mode="after")
    def _acknowledged_in_time(self) -> "ScreeningSection":
        if self.acknowledge_within > self.deadline:
            raise fault(f"acknowledge_within is longer than the deadline, {self.deadline:g} seconds")
        return self


class LogSection(Section):
    """The operators' log on standard error or in the journal."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """The least severe event that is logged."""
    format: Literal["console", "json"] = "console"
    """Lines for people, or one JSON object a line."""


class ErasureLedgerSection(Section):
    """The memory of what was erased, by which a restored backup loses it again; see `docs/backup.md`."""

    ledger: ConfigPath | None = Field(default=None, examples=["/srv/erasures/ledger.jsonl"])
    """The erasure ledger: a file best kept on other storage, that no backup of `state` and `links` holds;
    `erasures/ledger.jsonl` beside the state folder if left out."""


class SchedulerSection(Section):
    """What is done regularly; times of day are in the instance's time zone."""

    retention_at: TimeOfDay = time(3, 15)
    """When due files are disposed of, each day."""
    rescan_every: Annotated[Timeout, Field(ge=1)] = 30.0
    """How often watched folders are listed in full, because a file system may not tell of every change."""


class RetentionGuardSection(Section):
    """What a disposal needs no confirmation for; more than three times the usual run of a link needs one."""

    unremarkable: Count = 100
    """Runs that dispose of so many files of a link or fewer, also when no run has been before."""
    percent: Percent = 50
    """Runs up to this part of all files of a link in our care, unless the usual run takes more."""
    standing_approval: Flag = False
    """Whether scheduled runs of a link need a standing approval: `sftpd retention approval give`."""


class ControlSection(Section):
    """The socket by which the command line speaks to the running daemon."""

    socket: ConfigPath | None = Field(default=None, examples=["state/control.sock"])
    """The path of the socket; `control.sock` in `state` if left out."""


class MetricsSection(Section):
    """Figures for Prometheus, over HTTP at `/metrics`; nobody is asked who they are."""

    listen: Listen | None = Field(default=None, examples=["127.0.0.1:9464"])
    """The address to tell them at, `HOST:PORT`; they are not told if left out."""


class InstanceFile(Section):
    """The instance file, `sftpd.toml`."""

    about: InstanceSection = Field(alias="instance")
    server: ServerSection
    audit: AuditSection
    screening: ScreeningSection = ScreeningSection()
    log: LogSection = LogSection()
    scheduler: SchedulerSection = SchedulerSection()
    retention: RetentionGuardSection = RetentionGuardSection()
    erasure: ErasureLedgerSection = ErasureLedgerSection()
    control: ControlSection = ControlSection()
    limits: LimitsSection = LimitsSection()
    metrics: MetricsSection = MetricsSection()

    @property
    def erasure_ledger(self) -> Path:
        """The path of the erasure ledger."""
        return self.erasure.ledger or self.about.state.parent / "erasures" / "ledger.jsonl"

    @property
    def control_socket(self) -> Path:
        """The path of the control socket."""
        return self.control.socket or self.about.state / SOCKET_NAME
