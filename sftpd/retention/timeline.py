"""A plan as a timeline and as rows for a spreadsheet (pure)."""

import csv
import io
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import Any

from sftpd.documents.model import Bar, Bars, Block, Document, Heading, Paragraph, Table
from sftpd.documents.text import printable
from sftpd.retention.schedule import short

_COLUMNS = ("link", "path", "action", "due", "reason")
_BARS = 36
_FORMULA = ("=", "+", "-", "@")
_ENDS = {"dispose": "to delete", "review": "to review", "return": "to return", "keep": "not yet due or held"}

Item = Mapping[str, Any]
"""An item of a plan as `sftpd retention plan --json` prints it."""


def spreadsheet(items: Iterable[Item]) -> str:
    """A plan as CSV (RFC 4180): one line a file.

    Partners choose names: a cell that a spreadsheet would take for a formula begins with an apostrophe, and
    what nobody sees is written as on paper.
    """
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(_COLUMNS)
    writer.writerows([_harmless(item[name]) for name in _COLUMNS] for item in items)
    return text.getvalue()


def timeline(items: Iterable[Item]) -> Bars:
    """When files are due, month by month; by years where that makes too many bars."""
    due = [
        (date.fromisoformat(item["due"][:10]), item["action"]) for item in items if item["due"] is not None
    ]
    months = sorted({_month(day) for day, _ in due})
    by_year = bool(months) and months[-1] - months[0] >= _BARS
    counted = Counter((day.year if by_year else _month(day), _ENDS[action]) for day, action in due)
    places = sorted({place for place, _ in counted})
    parts = [text for text in _ENDS.values() if any(part == text for _, part in counted)]
    bars = (
        [
            Bar(_name(place, by_year), [counted[place, part] for part in parts])
            for place in range(places[0], places[-1] + 1)
        ]
        if places
        else []
    )
    return Bars("Files by when they are due", parts, bars)


def document(plan: str, items: Sequence[Item], made: datetime) -> Document:
    """A plan for whoever is to approve it: its hash, the timeline, and what would be done now."""
    counted = Counter(item["action"] for item in items)
    blocks: list[Block] = [
        Table(("action", "files"), [(action, str(counted[action])) for action in sorted(counted)]),
        timeline(items),
        Paragraph(f"{sum(item['due'] is None for item in items)} files have no end."),
    ]
    for action in ("dispose", "review", "return"):
        rows = [
            (item["link"], item["path"], item["due"][:19], item["reason"])
            for item in items
            if item["action"] == action
        ]
        if rows:
            head = _ENDS[action].capitalize()
            blocks += (Heading(head), Table(("link", "file", "due", "reason"), rows))
    return Document("Retention plan", f"{plan}, made {short(made)}", blocks)


def _harmless(value: object) -> str:
    text = printable(value)
    return f"'{text}" if text.startswith(_FORMULA) else text


def _month(day: date) -> int:
    return day.year * 12 + day.month - 1


def _name(place: int, by_year: bool) -> str:
    return str(place) if by_year else f"{place // 12}-{place % 12 + 1:02}"
