"""The kinds of value that only rules for files have: what a period begins with, and periods with a source."""

import re
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import PlainValidator

from sftpd.config.presets import PRESETS, Preset
from sftpd.config.refusal import fault, not_allowed, show
from sftpd.config.values import Kind
from sftpd.namedates import DatePattern, DatePatternError
from sftpd.names import NAME_PATTERN
from sftpd.periods import Period, PeriodError, YearEnd

_EVENT = "link closed"
_TRIGGERS = f'"received", "last_access", {{ business_date = "PATTERN" }} or {{ event = "{_EVENT}" }}'
_PRESETS = ", ".join(PRESETS)


@dataclass(frozen=True, slots=True)
class Trigger:
    """What a period begins with; `pattern` is that of a business date."""

    kind: Literal["received", "last_access", "business_date", "link closed"]
    pattern: DatePattern | None = None


def _trigger(raw: object) -> Trigger:
    match raw:
        case Trigger():
            return raw
        case "received":
            return Trigger("received")
        case "last_access":
            return Trigger("last_access")
        case {"business_date": str(pattern), **rest} if not rest:
            try:
                return Trigger("business_date", DatePattern.parse(pattern))
            except DatePatternError as error:
                raise not_allowed(pattern, str(error.expected)) from None
        case {"event": event, **rest} if not rest:
            if event != _EVENT:
                raise not_allowed(event, f'"{_EVENT}"')
            return Trigger("link closed")
    raise fault(f"found {show(raw)}, allowed: {_TRIGGERS}")


def _period(raw: object) -> Period | Preset:
    if isinstance(raw, str) and raw in PRESETS:
        return PRESETS[raw]
    try:
        return Period.parse(str(raw))
    except PeriodError as error:
        raise not_allowed(raw, f"{error.expected}, or a preset: {_PRESETS}") from None


def _year_end(raw: object) -> YearEnd:
    try:
        return YearEnd.parse(raw if isinstance(raw, str) else "")
    except PeriodError as error:
        raise not_allowed(raw, str(error.expected)) from None


def _way_back(raw: object) -> str | None:
    if raw == "download":
        return None
    name = raw.removeprefix("route:") if isinstance(raw, str) and raw.startswith("route:") else ""
    if not re.fullmatch(NAME_PATTERN, name):
        raise not_allowed(raw, '"download" or "route:NAME"')
    return name


TriggerChoice = Annotated[
    Trigger,
    PlainValidator(_trigger, json_schema_input_type=str | dict[str, str]),
    Kind('`"received"`, `"last_access"`, `{ business_date = "%Y-%m-%d" }` or `{ event = "link closed" }`'),
]
RetentionPeriod = Annotated[
    Period | Preset,
    PlainValidator(_period, json_schema_input_type=str),
    Kind("ISO 8601 period, or " + ", ".join(f'`"{name}"`' for name in PRESETS)),
]
WayBack = Annotated[
    str | None,
    PlainValidator(_way_back, json_schema_input_type=str),
    Kind('`"download"` or `"route:NAME"`'),
]
LastOfYear = Annotated[YearEnd, PlainValidator(_year_end, json_schema_input_type=str), Kind("month and day")]
