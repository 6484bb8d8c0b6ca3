"""The kinds of value a configuration key can have: each reads one TOML value or says what is allowed."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, time
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated, Literal, TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PlainValidator,
    Strict,
    StringConstraints,
    ValidationInfo,
)
from pydantic_core import PydanticCustomError

from sftpd.civil import Cron, CronError
from sftpd.config import keys
from sftpd.config.address import PORT_MAX, Address, parse_address
from sftpd.config.refusal import fault, not_allowed, show
from sftpd.config.secret import FORM, Secret, SecretError
from sftpd.names import NAME_PATTERN
from sftpd.periods import Period, PeriodError

_FILE = "file:"
_MOST_SECONDS = 3650 * 86400
_MOST_BYTES = 2**63 - 1
_MOST = 1_000_000_000_000
"""The highest of any count: more would not pass through messages and databases."""
_CRON_FORM = 'a duration such as "PT1M", or five cron fields such as "*/5 * * * *"'
_SIZE = re.compile(r"(\d{1,15}) ?(B|KiB|MiB|GiB|TiB)", re.ASCII)
_UNITS: dict[str, int] = {
    unit: 2 ** (10 * power) for power, unit in enumerate(("B", "KiB", "MiB", "GiB", "TiB"))
}
_FALSE_CLAIM = re.compile(r"\bofficial\b|\bsmart[ _-]*fms\b", re.IGNORECASE)


T = TypeVar("T")


def _root(info: ValidationInfo) -> Path | None:
    """The folder of `sftpd.toml`, or None when a model is built without files at hand."""
    return info.context["root"] if info.context else None


def _seconds(raw: object) -> float:
    allowed = 'seconds, as a number or as an ISO 8601 duration such as "PT2M"'
    if isinstance(raw, int | float) and not isinstance(raw, bool) and 0 <= raw < float("inf"):
        seconds = raw
    else:
        try:
            seconds = Period.parse(str(raw)).total_seconds()
        except PeriodError:
            raise not_allowed(raw, allowed) from None
    if seconds > _MOST_SECONDS:
        raise not_allowed(raw, "ten years or less")
    return float(seconds)


def _period(raw: object) -> Period:
    try:
        return Period.parse(str(raw))
    except PeriodError as error:
        raise not_allowed(raw, str(error.expected)) from None


def _size(raw: object) -> int:
    match = _SIZE.fullmatch(str(raw))
    if isinstance(raw, int) and not isinstance(raw, bool) and raw >= 0:
        size = raw
    elif match is not None:
        size = int(match[1]) * _UNITS[match[2]]
    else:
        raise not_allowed(raw, 'bytes, as a number or with a unit: "10 MiB"')
    if size > _MOST_BYTES:
        raise not_allowed(raw, "less than 8388608 TiB")
    return size


def _zone(raw: object) -> ZoneInfo:
    try:
        return ZoneInfo(str(raw))
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise not_allowed(raw, 'an IANA time zone such as "Europe/Amsterdam"') from None


def _time(raw: object) -> time:
    if isinstance(raw, time):
        return raw
    if isinstance(raw, str) and re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d", raw, re.ASCII):
        return time.fromisoformat(raw)
    raise not_allowed(raw, 'a time of day such as "03:15"')


def _date(raw: object) -> date:
    if type(raw) is date:
        return raw
    raise not_allowed(raw, "a date such as 2027-12-31, without quotes")


_MAPPED = IPv6Network("::ffff:0:0/96")
"""The addresses of IPv4 as those of IPv6 (RFC 4291 §2.5.5.2)."""


def _network(raw: object) -> IPv4Network | IPv6Network:
    if isinstance(raw, IPv4Network | IPv6Network):
        return raw
    try:
        network = ip_network(raw if isinstance(raw, str) else "")
    except ValueError:
        raise not_allowed(raw, 'a network such as "192.0.2.0/24" or "2001:db8::/32"') from None
    if isinstance(network, IPv6Network) and network.subnet_of(_MAPPED):
        # Addresses are compared as those of IPv4 that they are.
        plain = IPv4Network((network.network_address.packed[-4:], network.prefixlen - _MAPPED.prefixlen))
        raise fault(f'found "{raw}", in which nobody is, allowed: "{plain}"')
    return network


@dataclass(frozen=True, slots=True)
class Every:
    """How often something is done: each `seconds`, or at the times of `cron` (five fields); one is set."""

    seconds: float | None = None
    cron: Cron | None = None


def _every(raw: object) -> Every:
    if isinstance(raw, str) and len(raw.split()) == 5:
        try:
            return Every(cron=Cron.parse(raw))
        except CronError:
            raise not_allowed(raw, _CRON_FORM) from None
    try:
        seconds = _seconds(raw)
    except PydanticCustomError:
        raise not_allowed(raw, _CRON_FORM) from None
    if seconds < 1:
        raise not_allowed(raw, "one second or more")
    return Every(seconds=seconds)


@dataclass(frozen=True, slots=True)
class Then:
    """What becomes of a file at the remote once it is here; `folder` is where `move` puts it there.

    `create`: the folder, and those in it that a file needs, are made where they are missing.
    """

    action: Literal["leave", "delete", "move"]
    folder: str | None = None
    create: bool = False


def _then(raw: object) -> Then:
    match raw:
        case Then():
            return raw
        case "leave":
            return Then("leave")
        case "delete":
            return Then("delete")
        case {"move": str(folder), "create": bool(create), **rest} if folder and not rest:
            return Then("move", folder, create)
        case {"move": str(folder), **rest} if folder and not rest:
            return Then("move", folder)
    raise not_allowed(raw, '"leave", "delete", { move = "FOLDER" } or { move = "FOLDER", create = true }')


def _remote(raw: object) -> str:
    name = raw.removeprefix("remote:") if isinstance(raw, str) and raw.startswith("remote:") else ""
    if not re.fullmatch(NAME_PATTERN, name):
        raise not_allowed(raw, '"remote:NAME"')
    return name


def _destination(raw: object) -> str | None:
    try:
        return None if raw == "download" else _remote(raw)
    except PydanticCustomError:
        raise not_allowed(raw, '"download" or "remote:NAME"') from None


def _path(raw: object, info: ValidationInfo) -> Path:
    if not isinstance(raw, str | Path) or not str(raw) or "\0" in str(raw):
        raise not_allowed(raw, "a path")
    return in_root(raw, info)


def in_root(path: str | Path, info: ValidationInfo) -> Path:
    """The path, seen from the folder of `sftpd.toml`."""
    return (_root(info) or Path()) / path


def _folder(raw: object) -> str:
    parts = raw.split("/") if isinstance(raw, str) else [""]
    if any(part in ("", ".", "..") or part.startswith(".sftpd") or "\0" in part for part in parts):
        raise not_allowed(raw, "a folder of the link such as \"outbound\", without '..' or a leading '/'")
    return "/".join(parts)


def secret_reference(raw: object, info: ValidationInfo) -> Secret:
    """A reference to a secret, which is there as far as this process can tell."""
    if not isinstance(raw, str):
        raise fault(f"not a reference to a secret, allowed: {FORM}")
    try:
        secret = Secret.parse(raw, _root(info) or Path())
        if _root(info) is not None and secret.known_here:
            secret.reveal()
    except SecretError as error:
        raise _secret_fault(error) from None
    return secret


def _secret_fault(error: SecretError) -> PydanticCustomError:
    allowed = "" if error.expected is None else f", allowed: {error.expected}"
    return fault(error.what + allowed + ("" if error.remedy is None else f"; {error.remedy}"))


def revealed(check: Callable[[bytes], str | None]) -> AfterValidator:
    """A validator that gives the secret's bytes to `check`, which returns what is wrong with them or None."""

    def validate(secret: Secret, info: ValidationInfo) -> Secret:
        if _root(info) is not None and secret.known_here:
            wrong = check(secret.reveal())
            if wrong is not None:
                raise fault(wrong)
        return secret

    return AfterValidator(validate)


def read_file(reference: str, info: ValidationInfo) -> tuple[Path, str]:
    """The path that `file:PATH` refers to, and the text of that file."""
    path = (_root(info) or Path()) / reference.removeprefix(_FILE)
    try:
        return path, path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not text"
        raise fault(f"cannot read {path}: {reason}") from None


def _public_key(raw: object, info: ValidationInfo) -> keys.PublicKey:
    text = str(raw)
    if text.startswith(_FILE):
        text = read_file(text, info)[1]
    try:
        return keys.parse_public_key(text)
    except ValueError as error:
        raise fault(f"found {show(raw)}, {error}, allowed: {keys.PUBLIC_KEY_FORM}") from None


def _revoked(raw: object, info: ValidationInfo) -> keys.Revoked:
    path, text = read_file(str(raw), info)
    try:
        return keys.parse_revoked(text)
    except ValueError as error:
        raise fault(f"found {path}, {error}, allowed: {keys.REVOKED_FORM}") from None


def _harmless(text: str) -> str:
    claim = _FALSE_CLAIM.search(text)
    if claim is not None:
        raise not_allowed(text, f"a text that does not claim to be {show(claim[0])}")
    return text


def _not_empty(values: tuple[T, ...]) -> tuple[T, ...]:
    if not values:
        raise fault("found an empty list, allowed: one or more")
    return values


def _list_of_one(raw: object) -> object:
    return [raw] if isinstance(raw, str) else raw


def _form(pattern: str, allowed: str) -> StringConstraints:
    """The constraint that a text matches `pattern`, which `allowed` describes in a fault line."""
    PATTERNS[f"^{pattern}$"] = allowed
    return StringConstraints(pattern=f"^{pattern}$")


PATTERNS: dict[str, str] = {}
"""What each pattern of a text allows, in words."""


@dataclass(frozen=True, slots=True)
class Kind:
    """What a value is, in the words of the reference."""

    text: str


@dataclass(frozen=True, slots=True)
class InSample:
    """Marks an optional key that the sample gives, because one of several keys must be given."""


IN_SAMPLE = InSample()

Name = Annotated[
    str, _form(NAME_PATTERN, "1 to 63 of a-z, 0-9, '-' and '_', a letter or digit first"), Kind("name")
]
Text = Annotated[str, _form(r"[^\x00-\x1f\x7f]{1,1000}", "one line of 1 to 1000 characters"), Kind("text")]
Suffix = Annotated[
    str, _form(r"[^/\x00-\x1f\x7f]{1,32}", "a suffix of 1 to 32 characters, without a slash"), Kind("suffix")
]
Glob = Annotated[Text, Kind("pattern")]
HarmlessText = Annotated[
    str, StringConstraints(max_length=4000), AfterValidator(_harmless), Kind("text, may have several lines")
]
Origin = Annotated[
    str,
    _form(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?", "a host name in lower case"),
    AfterValidator(_harmless),
    Kind("host name"),
]
Sha256 = Annotated[str, _form(r"[0-9a-f]{64}", "64 hexadecimal digits in lower case"), Kind("hexadecimal")]
FileType = Annotated[str, _form(r"[a-z0-9]{1,16}", 'an extension such as "csv"'), Kind("extension")]
Flag = Annotated[bool, Strict(), Kind("true or false")]
Count = Annotated[int, Strict(), Field(ge=1, le=_MOST), Kind("whole number from 1")]
Priority = Annotated[int, Strict(), Field(ge=-100, le=100), Kind("whole number from -100 to 100")]
Concurrency = Annotated[Count, Field(le=32), Kind("whole number from 1 to 32")]
Percent = Annotated[Count, Field(le=100), Kind("whole number from 1 to 100")]
Port = Annotated[int, Strict(), Field(ge=1, le=PORT_MAX), Kind("port")]
Seconds = Annotated[
    float, PlainValidator(_seconds, json_schema_input_type=float | str), Kind("seconds, or ISO 8601 duration")
]
Timeout = Annotated[Seconds, Field(gt=0, le=86400)]
"""How long somebody is waited for: what systems count in milliseconds ends at 24 days."""
ByteCount = Annotated[
    int, PlainValidator(_size, json_schema_input_type=int | str), Kind('bytes, or size such as "10 MiB"')
]
Rate = Annotated[ByteCount, Field(ge=1024), Kind('bytes a second from 1024, or size such as "10 MiB"')]
ListCount = Annotated[Count, Field(le=1_000_000), Kind("whole number from 1 to 1000000")]
HandleCount = Annotated[Count, Field(le=4096), Kind("whole number from 1 to 4096")]
CalendarPeriod = Annotated[
    Period, PlainValidator(_period, json_schema_input_type=str), Kind("ISO 8601 period")
]
Zone = Annotated[ZoneInfo, PlainValidator(_zone, json_schema_input_type=str), Kind("time zone")]
TimeOfDay = Annotated[time, PlainValidator(_time, json_schema_input_type=str), Kind("time of day")]
Day = Annotated[date, PlainValidator(_date, json_schema_input_type=str), Kind("date")]
Network = Annotated[
    IPv4Network | IPv6Network, PlainValidator(_network, json_schema_input_type=str), Kind("network")
]
Listen = Annotated[Address, PlainValidator(parse_address, json_schema_input_type=str), Kind("address")]
Schedule = Annotated[
    Every, PlainValidator(_every, json_schema_input_type=float | str), Kind("duration, or cron line")
]
AfterPull = Annotated[
    Then,
    PlainValidator(_then, json_schema_input_type=str | dict[str, str | bool]),
    Kind('`"leave"`, `"delete"` or `{ move = "FOLDER", create = false }`'),
]
RemoteReference = Annotated[str, PlainValidator(_remote, json_schema_input_type=str), Kind('`"remote:NAME"`')]
Destination = Annotated[
    str | None,
    PlainValidator(_destination, json_schema_input_type=str),
    Kind('`"download"` or `"remote:NAME"`'),
]
ConfigPath = Annotated[Path, PlainValidator(_path, json_schema_input_type=str), Kind("path")]
Folder = Annotated[str, PlainValidator(_folder, json_schema_input_type=str), Kind("folder of the link")]
PublicKey = Annotated[
    keys.PublicKey, PlainValidator(_public_key, json_schema_input_type=str), Kind("public key")
]
RevokedList = Annotated[
    keys.Revoked, PlainValidator(_revoked, json_schema_input_type=str), Kind("`file:` path of a list")
]
AnySecret = Annotated[Secret, PlainValidator(secret_reference, json_schema_input_type=str), Kind("secret")]
PrivateKey = Annotated[AnySecret, revealed(keys.private_key_fault)]
SigningKey = Annotated[AnySecret, revealed(keys.signing_key_fault)]
PasswordHash = Annotated[AnySecret, revealed(keys.password_hash_fault)]
TotpSecret = Annotated[AnySecret, revealed(keys.totp_fault)]
NotEmpty = AfterValidator(_not_empty)
OneAsList = BeforeValidator(_list_of_one)
