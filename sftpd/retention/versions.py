"""What each version of a rule was when it was first used, so that a version never means two things."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import fields, is_dataclass
from datetime import date
from zoneinfo import ZoneInfo

import sqlalchemy as sa

from sftpd.audit.canonical import JSON, canonical
from sftpd.ledger import tables
from sftpd.ledger.writer import Unit
from sftpd.namedates import DatePattern
from sftpd.periods import Period, YearEnd
from sftpd.retention.rule import Rule

_AS_TEXT = (Period, YearEnd, DatePattern, ZoneInfo, date)
_KEY = ("link", "id", "version")
_used = tables.rule


def digest(rule: Rule) -> str:
    """SHA-256, in hexadecimal, of all that a rule says.

    What has its default is left out: a rule stays the same in a version of sftpd that knows more keys.
    """
    said = {name: value for name, value in _said(rule).items() if name not in _KEY}
    return hashlib.sha256(canonical(said)).hexdigest()


def changed(conn: sa.Connection, rules: Sequence[Rule]) -> list[tuple[Rule, int | None]]:
    """The rules that are others than when their version was first used, and to what to raise each version.

    None where a later version of the rule stands beside it, so that it can only be put back.
    """
    known = {(row.link, row.rule, row.version): row.digest for row in conn.execute(sa.select(_used))}
    newest = _newest((link, rule, version) for link, rule, version in map(_key, rules))
    ever = _newest([*known, *map(_key, rules)])
    return [
        (rule, ever[rule.link, rule.id] + 1 if newest[rule.link, rule.id] == rule.version else None)
        for rule in rules
        if known.get(_key(rule), digest(rule)) != digest(rule)
    ]


def enter(unit: Unit, rules: Sequence[Rule]) -> None:
    """Have the rules count as used from now on; what is known of a version stays as it is."""
    keys = unit.conn.execute(sa.select(_used.c.link, _used.c.rule, _used.c.version))
    known = {tuple(key) for key in keys}
    rows = [
        {"link": rule.link, "rule": rule.id, "version": rule.version, "digest": digest(rule)}
        for rule in rules
        if _key(rule) not in known
    ]
    if rows:
        unit.conn.execute(_used.insert().values(since=unit.now), rows)


def _newest(keys: Iterable[tuple[str, str, int]]) -> dict[tuple[str, str], int]:
    """The highest version of each rule, by link and name."""
    return {(link, rule): version for link, rule, version in sorted(keys)}


def _key(rule: Rule) -> tuple[str, str, int]:
    return rule.link, rule.id, rule.version


def _said(value: object) -> dict[str, JSON]:
    """The fields of a value that are not as they are by default, and of what kind it is."""
    assert is_dataclass(value)
    given = {field.name: getattr(value, field.name) for field in fields(value)}
    told = {
        field.name: _plain(given[field.name]) for field in fields(value) if given[field.name] != field.default
    }
    return {"kind": type(value).__name__, **told}


def _plain(value: object) -> JSON:
    if value is None or isinstance(value, str | int):
        return value
    if isinstance(value, _AS_TEXT):
        return str(value)
    return [_plain(item) for item in value] if isinstance(value, tuple) else _said(value)
