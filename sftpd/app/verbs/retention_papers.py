"""The papers of retention: the schedule, disposition reports and yearly summaries."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from sftpd.app.instance import Instance
from sftpd.app.rules import build_rules
from sftpd.app.verbs.verb import Arguments, Verb
from sftpd.audit import sshsig
from sftpd.audit.checkpoint import parse_checkpoint
from sftpd.audit.published import PublishedLog
from sftpd.errors import NotFoundError
from sftpd.ledger.outbox import Event
from sftpd.ledger.writer import Unit
from sftpd.retention import disposition, rulebook, yearly
from sftpd.retention.disposition import Disposition, Leaf, OpenedPath
from sftpd.retention.report import ReportRow
from sftpd.retention.rulebook import LinkAbout, Rulebook
from sftpd.retention.schedule import short


def _schedule(instance: Instance, arguments: Arguments) -> dict[str, Any]:
    chosen = _links(instance, arguments)
    config = instance.config
    abouts = [
        LinkAbout(
            file.name,
            file.about.counterparty,
            file.about.personal_data,
            file.about.purpose,
            file.about.legal_basis,
        )
        for file in config.links
        if file.name in chosen
    ]
    rules = [rule for rule in build_rules(config) if rule.link in chosen]
    return _builtins(
        Rulebook(
            instance=instance.name,
            time=_now(instance),
            configuration=config.digest,
            links=tuple(abouts),
            rules=rulebook.listed(rules),
        )
    )


def _yearly(instance: Instance, arguments: Arguments) -> dict[str, Any]:
    zones = {name: instance.register.get(name).zone for name in _links(instance, arguments)}
    with instance.ledger.read() as conn:
        found = yearly.summary(conn, arguments["year"], instance.name, zones, instance.clock.now())
    return _builtins(found)


def _disposition(instance: Instance, arguments: Arguments) -> dict[str, Any]:
    """Issue the signed report of a run; with `reason` it is opened, and names the files."""
    plan, reason = arguments["plan"], arguments.get("reason")
    rows = list(instance.retention.report(plan_hash=plan))
    if not rows:
        raise NotFoundError(f"no disposals under the plan {plan}", remedy="see sftpd retention report")
    leaves = disposition.paired(rows, _told(instance, plan, rows))
    opened: dict[str, OpenedPath] = {}
    if reason is not None:
        with instance.ledger.read() as conn:
            opened = disposition.open_paths(conn, [leaf.event for leaf in leaves if leaf])
    entries = tuple(disposition.entry(row, leaf, opened) for row, leaf in zip(rows, leaves, strict=True))
    content = disposition.content(
        Disposition(disposition.FORMAT, instance.name, plan, _now(instance), entries)
    )
    digest = hashlib.sha256(content).hexdigest()

    def work(unit: Unit) -> None:
        public = {"plan": plan, "opened": reason is not None}
        private = {"by": arguments["by"], "sha256": digest, "reason": reason}
        for link in sorted({row.link for row in rows}):
            unit.record(Event("retention.reported", link, public, private))

    instance.ledger.write(work)
    return {
        "plan": plan,
        "sha256": digest,
        "report": content.decode(),
        "signature": sshsig.sign(content, instance.key, disposition.NAMESPACE).decode(),
        "allowed_signers": sshsig.allowed_signer(instance.key.verifier, disposition.NAMESPACE),
    }


def _told(instance: Instance, plan: str, rows: Sequence[ReportRow]) -> dict[str, list[Leaf]]:
    """By file, the leaves that tell what came of it, oldest first."""
    instance.sequencer.drain()
    told: dict[str, list[Leaf]] = {}
    for link in sorted({row.link for row in rows}):
        log = PublishedLog(instance.audit_folder / link / "public")
        size = parse_checkpoint(log.checkpoint()).size
        for file, leaf in disposition.told_of(plan, log.leaves(0, size, size)):
            told.setdefault(file, []).append(leaf)
    return told


def _links(instance: Instance, arguments: Arguments) -> Sequence[str]:
    link = arguments.get("link")
    if link is None:
        return sorted(instance.register.links)
    return [instance.register.get(link).name]


def _now(instance: Instance) -> str:
    return short(instance.clock.now())


def _builtins(document: msgspec.Struct) -> dict[str, Any]:
    made: dict[str, Any] = msgspec.to_builtins(document)
    return made


VERBS: Mapping[str, Verb] = {
    "retention.schedule": _schedule,
    "retention.yearly": _yearly,
    "retention.disposition": _disposition,
}
