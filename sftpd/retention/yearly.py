"""A year of retention for auditors: what was disposed of and when, how late, and what stood against it."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from statistics import median_high
from zoneinfo import ZoneInfo

import msgspec
import sqlalchemy as sa

from sftpd.documents.model import Bar, Bars, Document, Heading, Paragraph, Table
from sftpd.ledger import tables
from sftpd.retention.disposal import Result, hash_of
from sftpd.retention.schedule import short

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_WIDEST_OFFSET = timedelta(hours=14)
_UNFINISHED = "unfinished"
_REMOVED = frozenset(result.value for result in (Result.DISPOSED, Result.LINKED, Result.GONE))
"""The results after which we have disposed of a file."""


class Group(msgspec.Struct, frozen=True):
    """How many disposals of one link, rule, version and month had one result."""

    link: str
    rule: str
    version: int
    month: int
    result: str
    files: int


class Lateness(msgspec.Struct, frozen=True):
    """How long after they were due the files of a link were disposed of, in seconds."""

    link: str
    files: int
    median: int
    longest: int


class Held(msgspec.Struct, frozen=True):
    """A legal hold that stood in the year."""

    link: str
    hold: str
    placed: str
    ended: str | None
    """None: it stood when the summary was made."""


class Kept(msgspec.Struct, frozen=True):
    """How many files of a link were in our care when the summary was made, and the oldest's receipt."""

    link: str
    files: int
    oldest: str


class Summary(msgspec.Struct, frozen=True):
    """The summary of a year; months are civil, in the time zone of each link."""

    instance: str
    year: int
    issued: str
    runs: int
    """Plans of which a disposal was carried out or tried."""
    groups: tuple[Group, ...]
    lateness: tuple[Lateness, ...]
    holds: tuple[Held, ...]
    kept: tuple[Kept, ...]


def summary(
    conn: sa.Connection, year: int, instance: str, zones: Mapping[str, ZoneInfo], now: datetime
) -> Summary:
    """The summary of the links that `zones` names, in which it gives the time zone of each."""
    begin = datetime(year, 1, 1, tzinfo=UTC)
    end = datetime(year + 1, 1, 1, tzinfo=UTC)
    disposal = tables.disposal.c
    query = sa.select(
        disposal.plan,
        disposal.link,
        disposal.rule,
        disposal.rule_version,
        disposal.due,
        disposal.intended_at,
        disposal.done_at,
        disposal.result,
    ).where(
        disposal.intended_at >= begin - _WIDEST_OFFSET,
        disposal.intended_at < end + _WIDEST_OFFSET,
        disposal.link.in_(list(zones)),
    )
    plans: set[str] = set()
    groups: Counter[tuple[str, str, int, int, str]] = Counter()
    late: dict[str, list[int]] = {}
    for plan, link, rule, version, due, intended, done, result in conn.execute(query):
        local = intended.astimezone(zones[link])
        if local.year != year:
            continue
        plans.add(hash_of(plan))
        groups[link, rule, version, local.month, result or _UNFINISHED] += 1
        if result in _REMOVED:
            late.setdefault(link, []).append(round((done - due).total_seconds()))
    return Summary(
        instance=instance,
        year=year,
        issued=short(now),
        runs=len(plans),
        groups=tuple(Group(*key, count) for key, count in sorted(groups.items())),
        lateness=tuple(
            Lateness(link, len(times), median_high(times), max(times)) for link, times in sorted(late.items())
        ),
        holds=tuple(_holds(conn, year, zones, now)),
        kept=tuple(_kept(conn, list(zones))),
    )


def document(found: Summary) -> Document:
    """The summary for auditors, with a chart of the months."""
    per_rule: Counter[tuple[str, str, int, str]] = Counter()
    for group in found.groups:
        per_rule[group.link, group.rule, group.version, group.result] += group.files
    rules = [
        (link, f"{rule} v{version}", result, str(count))
        for (link, rule, version, result), count in sorted(per_rule.items())
    ]
    lateness = [(one.link, str(one.files), _span(one.median), _span(one.longest)) for one in found.lateness]
    holds = [(one.link, one.hold, one.placed, one.ended or "stands") for one in found.holds]
    kept = [(one.link, str(one.files), one.oldest) for one in found.kept]
    return Document(
        f"Retention in {found.year}",
        f"{found.instance}, issued {found.issued}",
        (
            Paragraph(_in_all(found)),
            _chart(found.groups),
            Heading("By rule"),
            Table(("link", "rule", "result", "files"), rows=rules),
            Heading("From due to done"),
            Table(("link", "files", "median", "longest"), rows=lateness),
            Heading("Legal holds that stood in the year"),
            Table(("link", "hold", "placed", "ended"), rows=holds),
            Heading("In our care when this was made"),
            Table(("link", "files", "oldest received"), rows=kept),
        ),
    )


def _in_all(found: Summary) -> str:
    files = sum(group.files for group in found.groups)
    removed = sum(group.files for group in found.groups if group.result in _REMOVED)
    return f"Runs: {found.runs}, over {files} files, of which {removed} were disposed of."


def _holds(conn: sa.Connection, year: int, zones: Mapping[str, ZoneInfo], now: datetime) -> Iterator[Held]:
    hold = tables.hold.c
    query = sa.select(hold.link, hold.id, hold.placed_at, hold.released_at, hold.until)
    for row in conn.execute(query.where(hold.link.in_(list(zones))).order_by(hold.id)):
        begin, end = (datetime(at, 1, 1, tzinfo=zones[row.link]) for at in (year, year + 1))
        # Whatever came first: one that has run out can still be released.
        ended = min((at for at in (row.released_at, row.until) if at is not None and at <= now), default=None)
        if row.placed_at < end and (ended is None or ended >= begin):
            yield Held(row.link, row.id, short(row.placed_at), None if ended is None else short(ended))


def _kept(conn: sa.Connection, links: Sequence[str]) -> list[Kept]:
    file = tables.kept_file.c
    query = (
        sa.select(file.link, sa.func.count(), sa.func.min(file.received_at))
        .where(file.state == "present", file.link.in_(links))
        .group_by(file.link)
        .order_by(file.link)
    )
    return [Kept(link, count, short(oldest)) for link, count, oldest in conn.execute(query)]


def _chart(groups: Sequence[Group]) -> Bars:
    results = sorted({group.result for group in groups})
    amounts = Counter[tuple[int, str]]()
    for group in groups:
        amounts[group.month, group.result] += group.files
    bars = [
        Bar(name, [amounts[month, result] for result in results]) for month, name in enumerate(_MONTHS, 1)
    ]
    return Bars("Disposals a month, by result", results, bars)


def _span(seconds: int) -> str:
    return str(timedelta(seconds=seconds))
