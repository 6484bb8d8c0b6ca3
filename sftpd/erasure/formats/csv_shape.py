"""The shape of a table: its text with each quoted field as one `"`, which is the same for every delimiter.

There a record is a line, and its fields are as many as the delimiters in it and one more.
"""

import re
from array import array
from functools import cached_property

from sftpd.erasure.formats.lines import each_record
from sftpd.erasure.revealing import quick_bytes

DELIMITERS = (",", ";", "\t", "|")
NO_DELIMITER = "\0"
"""Stands for a delimiter that is not in the text: no text that is read holds a control character."""

_SAYS_DELIMITER = re.compile(r"(?i)sep=[^\"\r\n]")
"""What a first line may be that tells spreadsheets the delimiter, and is no record."""

_FIELD_END, _RECORD_END = "\1", "\2"
"""Stand for what parts quoted fields and records, for the same reason."""
_NO_ENDS = bytes(set(range(256)).difference(f"{_FIELD_END}{_RECORD_END}".encode()))
_NO_SIGNS = {
    delimiter: bytes(set(range(256)).difference(f'"\r\n{delimiter}'.encode())) for delimiter in DELIMITERS
}


class Shape:
    """A block as far as quotes and line ends tell: the same for every delimiter."""

    def __init__(self, text: str, first: int) -> None:
        self.text = text
        self.first = first
        """The number of its first record."""
        self.quoted = '"' in text
        self._repeated = 0

    @cached_property
    def skeleton(self) -> str:
        """The text with each quoted field as one `"`."""
        if not self.quoted:
            return self.text
        parts = self.text.split('"')
        # Between two quotes that stand for one there is nothing: those parts only join a field.
        return '"'.join([parts[0], *filter(None, parts[2:-1:2]), *parts[-1:]])

    @cached_property
    def is_sound(self) -> bool:
        """Whether every quote is closed, and every carriage return is at the end of a record."""
        text = self.skeleton
        return self.text.count('"') % 2 == 0 and text.count("\r") == text.count("\r\n")

    @cached_property
    def lines(self) -> list[str]:
        """The records, with each quoted field as one `"`."""
        lines = self.skeleton.split("\n")
        if not lines[-1]:
            lines.pop()
        return lines

    @property
    def records(self) -> int:
        """How many records there are."""
        return self._repeated or len(self.lines)

    def repeats(self, delimiter: str, columns: int) -> bool:
        """Whether it certainly is strict, with so many fields in each record of which the same are quoted.

        That takes a fraction of the time of `lines`. It is not told of one column, as records may be blank.
        """
        if columns < 2:
            return False
        number = _records_quoted(self.text, delimiter, columns) or _records_alike(
            self.text, delimiter, columns
        )
        self._repeated = number or self._repeated
        return number > 0

    def is_strict(self, delimiter: str) -> bool:
        """Whether it is sound, and every quote begins or ends a field."""
        text = self.skeleton
        return self.is_sound and (not self.quoted or _are_fields(text, delimiter, text.count('"')))

    def is_blank(self, index: int) -> bool:
        """Whether a record is an empty line, or one empty field, or none but says the delimiter."""
        line = self.lines[index].removesuffix("\r")
        return (
            not line
            or self._says_delimiter(index)
            or (line == '"' and self.record(index).rstrip("\r\n") == '""')
        )

    def _says_delimiter(self, index: int) -> bool:
        is_first = self.first + index == 1
        return is_first and _SAYS_DELIMITER.fullmatch(self.lines[0].removesuffix("\r")) is not None

    @property
    def blanks(self) -> int:
        """How many records are blank."""
        if self._repeated:
            return 0
        blank = self.lines.count("") + self.lines.count("\r") + (bool(self.lines) and self._says_delimiter(0))
        if self.quoted and ('"' in self.lines or '"\r' in self.lines):
            blank += sum(
                self.is_blank(index) for index, line in enumerate(self.lines) if line in ('"', '"\r')
            )
        return blank

    def start(self, index: int) -> int:
        """Where a record starts in the text."""
        return self._starts[index]

    def record(self, index: int) -> str:
        """A record as it is written."""
        end = self._starts[index + 1] if index + 1 < len(self._starts) else len(self.text)
        return self.text[self._starts[index] : end]

    @cached_property
    def _starts(self) -> "array[int]":
        return array("Q", (start for start, _ in each_record(self.text)))


def _are_fields(text: str, delimiter: str, quoted: int) -> bool:
    """Whether so many quoted fields, none with the sign of an end in it, begin and end where fields do."""
    opened = text.startswith('"') + text.count('\n"') + text.count(delimiter + '"')
    closed = text.endswith('"') + text.count('"\n') + text.count('"\r\n') + text.count('"' + delimiter)
    return quoted == opened == closed


def _records_quoted(text: str, delimiter: str, columns: int) -> int:
    """How many records there are, if each has so many fields, quoted and without a quote in them; else 0."""
    line_end = '"\r\n' if text.endswith("\r\n") else '"\n'
    if not (text.startswith('"') and text.endswith(line_end)):
        return 0
    inside = text[1 : -len(line_end)].replace(f'"{delimiter}"', _FIELD_END)
    inside = inside.replace(f'{line_end}"', _RECORD_END)
    if '"' in inside:
        return 0
    ends = quick_bytes(inside + _RECORD_END).translate(None, _NO_ENDS)
    number = len(ends) // columns
    return number if ends == (_FIELD_END * (columns - 1) + _RECORD_END).encode() * number else 0


def _records_alike(text: str, delimiter: str, columns: int) -> int:
    """How many records there are, if each has so many fields, the same quoted, no sign in them; else 0."""
    signs = quick_bytes(text).translate(None, _NO_SIGNS[delimiter])
    record = signs[: signs.find(b"\n") + 1]
    line_end = b"\r\n" if record.endswith(b"\r\n") else b"\n"
    fields = record.removesuffix(line_end).split(delimiter.encode())
    number, quoted = len(signs) // max(len(record), 1), fields.count(b'""')
    alike = (
        text.endswith("\n")
        and len(fields) == columns == quoted + fields.count(b"")
        and signs == record * number
        and (line_end == b"\n" or text.count("\r\n") == number)
        and (not quoted or _are_fields(text, delimiter, number * quoted))
    )
    return number if alike else 0
