"""Random rule sets, files, holds and clocks, with a liking for the days on which calendars go wrong."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from hypothesis import strategies as st

from sftpd.namedates import DatePattern
from sftpd.periods import Period, YearEnd
from sftpd.retention.hold import Hold
from sftpd.retention.rule import (
    BusinessDate,
    FileClass,
    Kept,
    LastAccess,
    Limit,
    LinkClosed,
    Received,
    Rule,
    Term,
)
from sftpd.retention.scope import OfAccount, OfFile, OfFolder, OfLink, OfQuery, OfSubject, OfTransfer

ZONES = [
    ZoneInfo(name)
    for name in (
        "Europe/Amsterdam",
        "America/Sao_Paulo",
        "America/Havana",
        "Australia/Lord_Howe",
        "Asia/Kathmandu",
        "Pacific/Apia",
        "Africa/Cairo",
        "UTC",
    )
]
DAYS = [
    date(2024, 2, 29), date(2023, 2, 28), date(2024, 2, 28), date(2000, 2, 29), date(2026, 3, 28),
    date(2026, 3, 29),
    date(2026, 10, 24), date(2026, 10, 25), date(2018, 11, 3), date(2018, 11, 4), date(2018, 2, 17),
    date(2011, 12, 29), date(2026, 1, 31), date(2026, 12, 31), date(2027, 1, 1), date(2038, 1, 18),
    date(2038, 1, 19), date(2037, 12, 31), date(2026, 4, 30), date(2024, 4, 26), date(2024, 10, 31),
    date(2026, 6, 30), date(2099, 12, 31), date(1970, 1, 1),
]  # fmt: skip
CLOCKS = [
    timedelta(0), timedelta(microseconds=1), timedelta(hours=1), timedelta(hours=1, minutes=30),
    timedelta(hours=2, minutes=30), timedelta(hours=12), timedelta(hours=22), timedelta(hours=22, minutes=59),
    timedelta(hours=23, minutes=59, seconds=59, microseconds=999999),
]  # fmt: skip
PERIODS = [
    Period.parse(text)
    for text in (
        "PT0S", "PT5S", "PT24H", "P1D", "P2D", "P1W", "P30D", "P1M", "P2M", "P11M", "P1Y", "P1Y1M1D", "P4Y",
        "P7Y", "P12Y", "P1DT1H", "P1MT0.5S", "P20Y",
    )
]  # fmt: skip
YEAR_ENDS = [YearEnd.parse(text) for text in ("12-31", "06-30", "02-29", "01-01", "03-29")]
PATTERNS = [DatePattern.parse(text) for text in ("%Y-%m-%d", "%Y%m%d", "inv-%d.%m.%Y")]
GLOBS = ["*", "*.csv", "a*", "?.csv", "in/*", "*-2024*", "[ab]*", "inv*"]
CLASSES = [FileClass("a", ("a*", "b*")), FileClass("csv", ("*.csv",)), FileClass("deep", ("in/*",))]
PATHS = [
    b"a.csv", b"b.csv", b"in/a.csv", b"inv-29.02.2024.xml", b"a-2024-02-29.csv", b"a-2023-02-29.csv",
    b"b-20380119.csv", b"b-120380119.csv", b"in/a-1970-01-01-2026-03-29.csv", b"a-2100-01-01.txt",
    b"inv-31.12.2026", b"a-2026-10-25",
]  # fmt: skip
ACTIONS = ["dispose", "review", "return"]
_PICKS = 400
"""More than most cases take."""


def drawn(data):
    """A `pick` that hypothesis makes, of one drawing: as many as there are picks take most of the time."""
    places = iter(data.draw(st.binary(min_size=_PICKS, max_size=_PICKS)))
    return lambda options: options[next(places, 0) % len(options)]


def moment(pick):
    day = pick(DAYS) + timedelta(days=pick([0, 0, -1, 1, 365]))
    return datetime(day.year, day.month, day.day, tzinfo=UTC) + pick(CLOCKS)


def maybe(pick, options):
    return pick(options) if pick([False, False, True]) else None


def term(pick):
    least, most = maybe(pick, PERIODS), maybe(pick, PERIODS)
    if most is not None and pick([False, False, True]):
        return Limit(most, least)
    trigger = pick([Received(), Received(), LastAccess(), BusinessDate(pick(PATTERNS)), LinkClosed()])
    return Term(pick(PERIODS), trigger, maybe(pick, YEAR_ENDS), least, most)


def rule_set(pick):
    """Up to five rules of two links, of which some are versions of one."""
    zones = {"one": pick(ZONES), "two": pick(ZONES)}
    made = []
    for name in ("r1", "r2", "r3", "r4", "r5")[: pick([1, 2, 3, 5])]:
        link = pick(["one"] * 7 + ["two"])
        days = sorted({pick(DAYS) for _ in range(pick([1, 1, 1, 2]))})
        effective = [maybe(pick, [days[0]]), *days[1:]]
        for version, day in enumerate(effective, 1):
            made.append(
                Rule(
                    id=name,
                    version=version,
                    link=link,
                    folder=pick(["inbound"] * 8 + ["sent", None]),
                    glob=pick(["*"] * len(GLOBS) + GLOBS),
                    term=term(pick),
                    action=pick(ACTIONS),
                    mandate="agreement",
                    zone=zones[link],
                    account=maybe(pick, [None, "anna"]),
                    file_class=maybe(pick, [None, *CLASSES]),
                    effective=day,
                )
            )
    return made


def kept(pick):
    received = moment(pick)
    accessed = maybe(pick, [received + timedelta(days=days) for days in (-1, 0, 40, 900)])
    return Kept(
        "f1", "one", pick(["inbound"] * 5 + ["sent"]), pick(PATHS), "1:2:3", received, accessed,
        pick(["anna", "anna", "bert", ""]),
    )  # fmt: skip


def hold(pick, name="h1"):
    placed = moment(pick)
    return Hold(
        name, pick(["one"] * 5 + ["two"]), scope(pick), "court case", "jan", placed,
        maybe(pick, [placed + timedelta(days=400)]), None, maybe(pick, [placed]),
    )  # fmt: skip


def scope(pick):
    folder, peer, glob = pick(["inbound", "sent"]), pick(["anna", "bert", "carl"]), pick(GLOBS)
    places = frozenset((folder, path) for path in (*PATHS, b"", b"in", b"i") if pick([False] * 4 + [True]))
    query = OfQuery(
        maybe(pick, [folder]), maybe(pick, [glob]), maybe(pick, [peer]),
        maybe(pick, [moment(pick)]), maybe(pick, [moment(pick)]),
    )  # fmt: skip
    return pick([
        OfLink(), OfFile(pick(["f1", "f2"]), "inbound/x"), OfTransfer(pick(["f1", "f2"])), OfFolder(folder),
        OfAccount(peer), OfSubject(("email",), ("00",), maybe(pick, [moment(pick)]), places), query, query,
    ])  # fmt: skip


def case(pick):
    """(file, rules, holds, now, closings)."""
    holds = [hold(pick)] if pick([False, False, False, True]) else []
    closings = {"one": moment(pick)} if pick([False, True]) else {}
    return kept(pick), rule_set(pick), holds, moment(pick), closings


def row_of(file):
    """A file as a plan reads it from the ledger."""
    accessed = None if file.accessed_at is None else microseconds(file.accessed_at)
    return (file.id, file.link, file.folder, file.path, microseconds(file.received_at), accessed, file.peer)


def microseconds(moment):
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
