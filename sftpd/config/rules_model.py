"""The configuration of rules for a link's files: by when they must come, and how long they are kept."""

from dataclasses import replace
from datetime import date
from typing import Annotated, Literal, get_args

from pydantic import Field, model_validator

from sftpd.config.model import Section
from sftpd.config.presets import Preset
from sftpd.config.refusal import fault
from sftpd.config.rules_values import LastOfYear, RetentionPeriod, Trigger, TriggerChoice, WayBack
from sftpd.config.values import (
    IN_SAMPLE,
    CalendarPeriod,
    Count,
    Day,
    Glob,
    Name,
    NotEmpty,
    Seconds,
    Text,
    TimeOfDay,
)
from sftpd.periods import Period

KeptFolder = Literal["inbound", "quarantine", "requests", "sent", "failed", "download", "staging", "vault"]
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


class ClassSection(Section):
    """Files that belong together by their names, such as invoices: a retention rule may be for a class."""

    name: Name = Field(examples=["invoices"])
    """The name by which retention rules refer to it."""
    globs: Annotated[tuple[Glob, ...], NotEmpty] = Field(alias="glob", examples=[["invoice-*", "*.ubl.xml"]])
    """The patterns of the file names that are in it, or of their paths in the folder if they have a slash."""


class RetentionSection(Section):
    """A rule for how long files are kept. Which of several decides is in `docs/retention.md`."""

    name: Name = Field(examples=["inbound-90-days"])
    """The name of the rule, unique in this link; each further version is `effective` from a later day on."""
    version: Count = 1
    """Its version, to be raised with each change; the audit log names it."""
    effective: Day | None = Field(default=None, examples=[date(2026, 1, 1)])
    """From which day on files are received that this version governs; it always did if left out."""
    folder: KeptFolder | None = Field(default=None, examples=["inbound"])
    """The folder whose files it governs, `staging` for unfinished uploads; every one if left out."""
    account: Name | None = Field(default=None, examples=["example"])
    """The account, or the remote, that its files came from or went to; any if left out."""
    file_class: Name | None = Field(default=None, alias="class", examples=["invoices"])
    """The class of files it governs; any if left out."""
    glob: Glob = "*"
    """The pattern of the file names it governs, or of their paths in the folder if it has a slash."""
    trigger: TriggerChoice = Trigger("received")
    """What the period begins with: the receipt, the last time that an account read the file from us, the day
    in the file's name, or the end of the link."""
    period: Annotated[RetentionPeriod | None, IN_SAMPLE] = Field(default=None, examples=["P90D"])
    """How long files are kept, as an ISO 8601 period; days, months and years end with the last civil day. A
    preset also has the source it rests on."""
    year_end: LastOfYear | None = Field(default=None, examples=["12-31"])
    """The last day of the financial year, if the period begins at the end of that year."""
    min_keep: CalendarPeriod | None = Field(default=None, examples=["P30D"])
    """How long files are kept after their receipt at least, whatever the trigger."""
    max_keep: CalendarPeriod | None = Field(default=None, examples=["P1Y"])
    """How long files are kept after their receipt at most; alone, it keeps nothing and only sets an end."""
    action: Literal["delete", "review", "return"] = "delete"
    """What happens then: the file is deleted, waits to be reviewed, or goes back to the partner."""
    returned_for: CalendarPeriod = Period(days=30)
    """How long a returned file is offered before it is deleted, if nobody fetches it."""
    return_by: WayBack = "download"
    """`download`, where returned files are offered, or `route:NAME`, the outbound route by which they go to a
    remote; a file that goes back so is deleted once it is delivered."""
    mandate: Annotated[Text | None, IN_SAMPLE] = Field(
        default=None, examples=["Agreement with the counterparty, article 5"]
    )
    """What the rule is based on; a preset has a source of its own."""

    @model_validator(mode="after")
    def _is_a_rule(self) -> "RetentionSection":
        if self.period is None:
            if self.max_keep is None:
                raise fault("neither period nor max_keep is given, allowed: one of them, or both")
            for key, given in (("trigger", self.trigger.kind != "received"), ("year_end", self.year_end)):
                if given:
                    raise fault(f"{key} is what a period begins with, allowed: {key} with period")
        if self.mandate is None and not isinstance(self.period, Preset):
            raise fault('required key "mandate" is missing, allowed without it: a preset as period')
        self._returns_one_way()
        self._ends_in_order()
        return self

    def _returns_one_way(self) -> None:
        """Refuse a way back that no file takes."""
        if self.return_by is None:
            if self.action == "return" and self.trigger.kind == "link closed":
                raise fault(
                    'action is "return" once the link is closed, when nobody may log in to fetch from '
                    '/download, allowed: return_by = "route:NAME"'
                )
            return
        if self.action != "return":
            raise fault(
                f'action is "{self.action}", so that nothing goes back, allowed: return_by with "return"'
            )
        if "returned_for" in self.model_fields_set:
            raise fault('returned_for is how long files are offered, allowed: returned_for with "download"')

    def _ends_in_order(self) -> None:
        """Refuse what asks for files to be kept for longer than they may be."""
        if self.max_keep is None:
            return
        least = [("min_keep", self.min_keep)]
        if isinstance(self.period, Preset):
            least.append((f'period "{self.period}"', self.longest_of(self.period)))
        for key, period in least:
            day = None if period is None else period.may_outlast(self.max_keep)
            if day is not None:
                later = f"for a file received on {day} it ends later than max_keep"
                raise fault(f"{key} is {period}; {later}, allowed: at most max_keep, {self.max_keep}")

    def longest_of(self, preset: Preset) -> Period:
        """The longest that a preset's period can be, counted from the receipt."""
        whole_year = 0 if preset.year_end is None else 1
        return replace(preset.period, years=preset.period.years + whole_year)
