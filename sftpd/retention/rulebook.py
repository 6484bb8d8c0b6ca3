"""The retention schedule: every rule with what it covers, how long, what then and on what grounds (pure)."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import msgspec

from sftpd.documents.model import Block, Document, Heading, Paragraph, Table
from sftpd.retention.precedence import PRECEDENCE, SPECIFICITY, Book
from sftpd.retention.rule import BusinessDate, LastAccess, LinkClosed, Received, Rule, Term

_TRIGGERS: Mapping[type, Callable[[Any], str]] = MappingProxyType(
    {
        Received: lambda _: "receipt",
        LastAccess: lambda _: "last access through sftpd, else receipt",
        BusinessDate: lambda trigger: f"the date {trigger.pattern} in the name, else receipt",
        LinkClosed: lambda _: "closing of the link",
    }
)
_ACTIONS = {"dispose": "delete", "return": "return", "review": "review"}


class ListedRule(msgspec.Struct, frozen=True):
    """A rule as the schedule lists it; days are ISO 8601 and civil in `time_zone`, periods ISO 8601."""

    link: str
    rule: str
    version: int
    effective: str | None
    """The first day of receipt of the files it governs; None: it has always been in force."""
    until: str | None
    """The first day on which a later version is in force."""
    folder: str | None
    account: str | None
    file_class: str | None
    glob: str
    trigger: str | None
    """What the period begins with; None where there is no period."""
    period: str | None
    min_keep: str | None
    max_keep: str | None
    action: str
    mandate: str
    time_zone: str


class LinkAbout(msgspec.Struct, frozen=True):
    """What the schedule says of a link before its rules; None: the configuration does not say it."""

    link: str
    counterparty: str
    personal_data: bool
    purpose: str | None
    legal_basis: str | None


class Rulebook(msgspec.Struct, frozen=True):
    """The retention schedule of an instance, or of one link, as it stood at `time`."""

    instance: str
    time: str
    configuration: str
    """The digest of the configuration that it was made from, in hexadecimal."""
    links: tuple[LinkAbout, ...]
    rules: tuple[ListedRule, ...]


def listed(rules: Iterable[Rule]) -> tuple[ListedRule, ...]:
    """The rules by link, the most specific first."""
    book = Book(rules := list(rules))
    links = sorted({rule.link for rule in rules})
    return tuple(_listed(entry.rule, entry.until) for link in links for entry in book.of(link))


def document(book: Rulebook) -> Document:
    """The schedule for whoever has to approve it, and for auditors."""
    blocks: list[Block] = []
    for link in book.links:
        rules = [rule for rule in book.rules if rule.link == link.link]
        blocks += (Heading(f"Link {link.link}"), Paragraph(_about(link)), _table(rules))
    blocks += (
        Heading("How a decision is made"),
        Paragraph("Every file goes through these steps in this order."),
        Table(("step", "what it says"), PRECEDENCE),
        Paragraph("These make a rule more specific, the weightiest first."),
        Table(("trait", "more specific is"), [(trait.name, trait.meaning) for trait in SPECIFICITY]),
    )
    about = f"{book.instance}, as configured at {book.time}; digest of the configuration {book.configuration}"
    return Document("Retention schedule", about, blocks)


def _listed(rule: Rule, until: object) -> ListedRule:
    term = rule.term
    period = None
    if isinstance(term, Term):
        year_end = "" if term.year_end is None else f" from the end of the financial year, {term.year_end}"
        period = f"{term.period}{year_end}"
    return ListedRule(
        link=rule.link,
        rule=rule.id,
        version=rule.version,
        effective=_text(rule.effective),
        until=_text(until),
        folder=rule.folder,
        account=rule.account,
        file_class=None if rule.file_class is None else rule.file_class.name,
        glob=rule.glob,
        trigger=_TRIGGERS[type(term.trigger)](term.trigger) if isinstance(term, Term) else None,
        period=period,
        min_keep=_text(term.at_least),
        max_keep=_text(term.at_most),
        action=_ACTIONS[rule.action],
        mandate=rule.mandate,
        time_zone=str(rule.zone),
    )


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _about(link: LinkAbout) -> str:
    data = "personal data may cross it" if link.personal_data else "no personal data may cross it"
    grounds = [f"{name}: {text}" for name, text in _grounds(link) if text is not None]
    return "; ".join([f"With {link.counterparty}: {data}", *grounds])


def _grounds(link: LinkAbout) -> Sequence[tuple[str, str | None]]:
    return (("purpose", link.purpose), ("legal basis", link.legal_basis))


def _table(rules: Sequence[ListedRule]) -> Table:
    columns = ("rule", "covers", "begins with", "kept for", "then", "on the grounds of")
    empty = "No rule: its files are kept."
    return Table(columns, [_row(rule) for rule in rules], empty)


def _row(rule: ListedRule) -> tuple[str, ...]:
    scope = (
        ("folder", rule.folder),
        ("account", rule.account),
        ("class", rule.file_class),
        ("names", None if rule.glob == "*" else rule.glob),
    )
    covers = ", ".join(f"{name} {text}" for name, text in scope if text is not None) or "every file"
    in_force = (("from", rule.effective), ("before", rule.until))
    since = " ".join(f"{word} {day}" for word, day in in_force if day is not None)
    bounds = (("", rule.period), ("at least ", rule.min_keep), ("at most ", rule.max_keep))
    kept = "; ".join(f"{words}{period}" for words, period in bounds if period is not None)
    return (
        f"{rule.rule} v{rule.version}",
        f"{covers}; received {since}" if since else covers,
        rule.trigger or "receipt",
        f"{kept} ({rule.time_zone})",
        rule.action,
        rule.mandate,
    )
