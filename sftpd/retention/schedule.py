"""What is to become of each kept file, and why (pure)."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import rfc8785

from sftpd.retention.rule import Hold, Kept, Rule, covers

_WILDCARDS = str.maketrans("", "", "*?[]")


@dataclass(frozen=True, slots=True)
class Decision:
    """What is to become of a file; `reason` is the chain of facts that led there."""

    action: Literal["keep", "dispose", "review"]
    due: datetime | None
    rule: Rule | None
    reason: str


@dataclass(frozen=True, slots=True)
class Item:
    """A file with the decision on it."""

    file: Kept
    decision: Decision

    def as_json(self) -> dict[str, Any]:
        """The item as `sftpd retention plan --json` prints it."""
        due = self.decision.due
        return {
            "link": self.file.link,
            "path": self.file.place,
            "action": self.decision.action,
            "reason": self.decision.reason,
            "due": None if due is None else due.isoformat(),
        }


@dataclass(frozen=True, slots=True)
class Plan:
    """The decisions on a set of files, in a stable order, and the hash of the disposals among them.

    The hash says what would be done to which files under which rules, not when it was asked: the same
    disposals planned a day later have the same hash, and any other set has another.
    """

    items: tuple[Item, ...]
    hash: str

    @property
    def disposals(self) -> tuple[Item, ...]:
        """The items to dispose of."""
        return _disposals(self.items)

    def as_json(self) -> dict[str, Any]:
        """The plan as `sftpd retention plan --json` prints it."""
        return {"plan": self.hash, "items": [item.as_json() for item in self.items]}


def decide(file: Kept, rules: Iterable[Rule], holds: Iterable[Hold], now: datetime) -> Decision:
    """The decision on one file.

    The most specific rule governs: one for a folder before one for all, then the pattern with more literal
    characters. Among equals the longest period does, and review before disposal. A hold beats every rule.
    """
    rule = _governing(file, rules)
    if rule is None:
        return Decision("keep", None, None, "no rule")
    due = rule.period.due(file.received_at, rule.zone)
    reason = f"{rule}: received {_short(file.received_at)}, {rule.period} ends {_short(due)}"
    hold = min((h for h in holds if h.stands(now) and covers(h, file)), key=_id_of, default=None)
    if hold is not None:
        return Decision("keep", due, rule, f"{reason}; hold {hold.id}: {hold.reason}")
    if now < due:
        return Decision("keep", due, rule, f"{reason}; not yet due")
    return Decision(rule.action, due, rule, f"{reason}; due")


def plan(files: Iterable[Kept], rules: Sequence[Rule], holds: Sequence[Hold], now: datetime) -> Plan:
    """The decisions on all `files`."""
    ordered = sorted(files, key=lambda file: (file.link, file.folder, file.path, file.id))
    items = tuple(Item(file, decide(file, rules, holds, now)) for file in ordered)
    canonical = rfc8785.dumps([_hashed(item) for item in _disposals(items)])
    return Plan(items, hashlib.sha256(canonical).hexdigest())


def _governing(file: Kept, rules: Iterable[Rule]) -> Rule | None:
    def precedence(rule: Rule) -> tuple[bool, int, datetime, bool, str]:
        literal = len(rule.glob.translate(_WILDCARDS))
        due = rule.period.due(file.received_at, rule.zone)
        return rule.folder is not None, literal, due, rule.action == "review", rule.id

    return max((rule for rule in rules if covers(rule, file)), key=precedence, default=None)


def _disposals(items: Iterable[Item]) -> tuple[Item, ...]:
    return tuple(item for item in items if item.decision.action == "dispose")


def _hashed(item: Item) -> dict[str, Any]:
    rule, due = item.decision.rule, item.decision.due
    assert rule is not None
    assert due is not None
    return {
        "file": item.file.id,
        "path": item.file.place,
        "action": item.decision.action,
        "due": due.isoformat(),
        "rule": rule.id,
        "version": rule.version,
    }


def _short(instant: datetime) -> str:
    return instant.isoformat(timespec="seconds")


def _id_of(hold: Hold) -> str:
    return hold.id
