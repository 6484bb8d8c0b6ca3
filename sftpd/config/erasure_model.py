"""The configuration of a link's deletion requests; the text below a key is its documentation."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from sftpd.config.model import Section
from sftpd.config.refusal import fault
from sftpd.config.requests_model import RequestsSection
from sftpd.config.values import CalendarPeriod, ConfigPath, Count, Flag, Glob, Kind, NotEmpty, Text
from sftpd.periods import Period

LineCount = Annotated[int, Field(strict=True, ge=0, le=1000), Kind("whole number from 0 to 1000")]

DigitCount = Annotated[int, Field(strict=True, ge=1, le=20), Kind("whole number from 1 to 20")]


class ColumnSection(Section):
    """A column of files with columns of a fixed width."""

    name: Text = Field(examples=["klantnummer"])
    """What it holds, as a CSV file would call it."""
    start: Count = Field(examples=[1])
    """Its first character, counted from 1."""
    width: Count = Field(examples=[10])
    """How many characters it has."""


class FixedWidthSection(Section):
    """Files whose lines have columns of a fixed width; a deletion request removes whole lines."""

    glob: Glob = Field(examples=["loon-*.txt"])
    """The pattern of their names, folders aside."""
    header: LineCount = 0
    """How many lines stand before the records; blank ones are not counted."""
    trailer: LineCount = Field(default=0, examples=[1])
    """How many lines stand after them."""
    count_start: Count | None = Field(default=None, examples=[3])
    """Where the last line of the trailer counts the records: the first character, counted from 1."""
    count_width: DigitCount = 10
    """How many characters the count has, with blanks or zeros."""
    columns: Annotated[tuple[ColumnSection, ...], NotEmpty] = Field(alias="column")

    @model_validator(mode="after")
    def _counted_in_a_trailer(self) -> Self:
        if self.count_start is not None and not self.trailer:
            raise fault("count_start is where a trailer counts, allowed: count_start with trailer")
        return self


class NumbersSection(Section):
    """A column or key of customer or employee numbers whose name does not say so."""

    column: Text = Field(examples=["relatienr"])
    """Its name, in any case: of a column, a key, an element or a header."""
    of: Literal["customer", "employee"] = "customer"
    """Whose numbers these are."""


class ErasureSection(RequestsSection):
    """Deletion requests on this link."""

    require_second_person: Flag = False
    """Whether a request must be approved by another person than the one who opened it."""
    also_search: tuple[ConfigPath, ...] = Field(default=(), examples=[["/srv/reports"]])
    """Further folders with copies of received files, which are searched too."""
    index: Flag = True
    """Whether received files are indexed in the background, so that a search need not read all of them."""
    fixed_width: tuple[FixedWidthSection, ...] = ()
    numbers: tuple[NumbersSection, ...] = ()
    acknowledge_within: CalendarPeriod = Period(months=1)
    """How long the recipient of a notice may take to acknowledge it; then it is told that it is overdue."""
    keep_certificates: CalendarPeriod = Period(years=5)
    """How long the certificate, and what is left of a request, is kept after its answer."""
