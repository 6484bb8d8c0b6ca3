"""Every verb of the instance, bound to it: what the control socket and the offline command line serve."""

from collections.abc import Callable
from functools import partial
from typing import Any

from sftpd import __version__
from sftpd.app.closing import closings
from sftpd.app.ending import left_behind
from sftpd.app.instance import Instance
from sftpd.app.stopped import stopped
from sftpd.app.verbs import (
    audit,
    backups,
    erasure,
    holds,
    host_keys,
    links,
    receipts,
    remotes,
    replays,
    retention,
    retention_papers,
    transfers,
    vault,
)
from sftpd.app.verbs.verb import Arguments
from sftpd.erasure import notices, reminders
from sftpd.exchange import expecting, records, return_records, turn_records
from sftpd.ledger import outbox
from sftpd.retention import left
from sftpd.service.control import Operation
from sftpd.service.schedule import last_runs

Live = Callable[[], dict[str, object]]
"""What only a running daemon can tell."""

_AFTER_REPLAY = frozenset({"retention.run", "vault.get"})
"""What must not be done in a state that was restored until it has lost again what was erased."""

_UNDER_RULES = frozenset({"retention.run", "retention.approval.give", "retention.review.answer"})
"""What rests on retention rules in the version that they have."""

_SUBJECTS = (
    audit.VERBS,
    backups.VERBS,
    erasure.VERBS,
    holds.VERBS,
    host_keys.VERBS,
    links.VERBS,
    receipts.VERBS,
    remotes.VERBS,
    replays.VERBS,
    retention.VERBS,
    retention_papers.VERBS,
    transfers.VERBS,
    vault.VERBS,
)


def operations(instance: Instance, live: Live | None = None) -> dict[str, Operation]:
    """Every verb and what it does; `live` is None where no daemon runs."""
    bound: dict[str, Operation] = {
        verb: partial(work, instance) for verbs in _SUBJECTS for verb, work in verbs.items()
    }
    if live is None:
        bound |= {verb: partial(_after_replay, instance, bound[verb]) for verb in _AFTER_REPLAY}
        bound |= {verb: partial(_using_rules, instance, bound[verb]) for verb in _UNDER_RULES}
    return bound | {"status": partial(_status, instance, live)}


def _after_replay(instance: Instance, operation: Operation, arguments: Arguments) -> Any:
    instance.erasures.require_current()
    return operation(arguments)


def _using_rules(instance: Instance, operation: Operation, arguments: Arguments) -> Any:
    instance.use_rules(instance.config)
    return operation(arguments)


def _status(instance: Instance, live: Live | None, _: Arguments) -> dict[str, Any]:
    instance.ledger.settle()
    with instance.ledger.read() as conn:
        waiting = len(outbox.pending(conn, 10_000))
        jobs = last_runs(conn)
        by_state = records.count_by_state(conn)
        expectations = expecting.standings(conn)
        on_their_way = turn_records.count_waiting(conn)
        receipts_missing = return_records.missing_by_link(conn)
        overdue = notices.overdue_by_link(conn)
        gone = left_behind(conn, instance.register.links)
        terms = reminders.terms(conn, instance.reminders, instance.clock.now())
        retention_left = left.counted(conn)
    return {
        "running": live is not None,
        "version": __version__,
        "instance": instance.name,
        "links": {name: instance.register.standing(name).state for name in sorted(instance.register.links)},
        "links_gone": {
            left.link: {"files": left.files, "transfers": left.transfers, "requests": left.requests}
            for left in gone
        },
        "closing": {one.left.link: one.as_json() for one in closings(instance)},
        "logs": instance.sequencer.sizes(),
        "outbox": waiting,
        "jobs": jobs,
        "transfers": by_state,
        "routes_gone": {
            f"{link}/{route}": count
            for (link, route), count in sorted(on_their_way.items())
            if link in instance.register.links and not instance.register.has_outbound(link, route)
        },
        "expectations": expectations,
        "receipts_missing": receipts_missing,
        "notices_overdue": overdue,
        "deletion_requests": {
            "overdue": sum(terms.overdue.values()),
            "can_go_on": len(instance.erasure.freed()),
        },
        "halted": {str(halt.subject): f"{halt.cause}: {halt.reason}" for halt in instance.halts.standing()},
        "retention_frozen": {
            f"{freeze.scope} {freeze.reason.code}": freeze.reason.text
            for freeze in instance.retention.frozen()
        },
        "retention_left": retention_left,
        "remotes": {
            f"{remote.link}/{remote.name}": instance.guards.of(remote.link, remote.name).standing().state
            for _, link in sorted(instance.register.links.items())
            for remote in link.remotes
        },
        "routes_stopped": stopped(instance),
        **({} if live is None else live()),
    }
