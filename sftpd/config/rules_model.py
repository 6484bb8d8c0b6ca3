"""The configuration of rules for a link's files: by when they must come, and how long they are kept."""

from datetime import date
from typing import Annotated, Literal, get_args

from pydantic import Field

from sftpd.config.model import Section
from sftpd.config.values import CalendarPeriod, Count, Day, Glob, Name, NotEmpty, Seconds, Text, TimeOfDay

Weekday = Literal["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]
WEEKDAYS: tuple[Weekday, ...] = get_args(Weekday)


class ExpectSection(Section):
    """A file that must come by a time of day; where it does not, that is told before and at the deadline."""

    name: Name = Field(examples=["orders"])
    """The name of the expectation, unique in this link."""
    source: Name = Field(default="upload", alias="from", examples=["in"])
    """The inbound route by which it comes, or `upload`."""
    glob: Glob = Field(examples=["orders-*.csv"])
    """The pattern of its name, or of its path if it has a slash."""
    by: TimeOfDay = Field(examples=["06:00"])
    """When it must be here, in the link's time zone."""
    days: Annotated[tuple[Weekday, ...], NotEmpty] = WEEKDAYS
    """The days of the week on which it must."""
    holidays: tuple[Day, ...] = Field(default=(), examples=[[date(2026, 12, 25), date(2026, 12, 26)]])
    """Days on which it need not."""
    warn: Annotated[Seconds, Field(le=86400)] = 0.0
    """How long before the deadline it is told that the file may be late; 0: not at all."""


class RetentionSection(Section):
    """A rule for how long files are kept after their receipt."""

    name: Name = Field(examples=["inbound-90-days"])
    """The name of the rule, unique in this link."""
    version: Count = 1
    """Its version, to be raised with each change; the audit log names it."""
    folder: Literal["inbound", "quarantine", "sent", "failed"] = Field(examples=["inbound"])
    """The folder whose files it governs."""
    glob: Glob = "*"
    """The pattern of the file names it governs, or of their paths in the folder if it has a slash."""
    period: CalendarPeriod = Field(examples=["P90D"])
    """How long files are kept, as an ISO 8601 period; days, months and years end with the last civil day."""
    action: Literal["delete"] = "delete"
    """What happens when the period has passed."""
    mandate: Text = Field(examples=["Agreement with the counterparty, article 5"])
    """What the rule is based on."""
