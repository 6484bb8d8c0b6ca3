"""Both sides, the ledger and the audit log compared: what was lost, doubled, partial or unlogged."""

import os
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any

from faults_crossing import Crossing, Sent
from faults_shore import sha256_of

from sftpd.exchange.transfer import TransferState

DELIVERED, BLOCKED, FAILED, SKIPPED, VANISHED = (
    TransferState.DONE,
    TransferState.QUARANTINED,
    TransferState.FAILED,
    TransferState.SKIPPED,
    TransferState.VANISHED,
)
_EVENTS = {BLOCKED: "transfer.blocked", FAILED: "transfer.failed", SKIPPED: "transfer.skipped"}
_OWN_COPY = {BLOCKED: "quarantine", FAILED: "failed", SKIPPED: "sent"}


@dataclass
class Reckoning:
    """What is not as it should be, one line each; nothing in any of them is well."""

    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    partial: list[str] = field(default_factory=list)
    ledger: list[str] = field(default_factory=list)
    log: list[str] = field(default_factory=list)

    @property
    def faults(self) -> list[str]:
        """All of it."""
        return [f"{kind}: {line}" for kind, lines in vars(self).items() for line in lines]


class Tally:
    """How many cases were gone through, and in how many of them something was amiss, by kind."""

    def __init__(self) -> None:
        self.counts = {"cases": 0, **dict.fromkeys(vars(Reckoning()), 0)}

    def add(self, reckoning: "Reckoning | None") -> None:
        """Count a case; None: what should have gone wrong in it did not."""
        self.counts["cases"] += 1
        kinds = (
            ["not reached"]
            if reckoning is None
            else [kind for kind, lines in vars(reckoning).items() if lines]
        )
        for kind in kinds:
            self.counts[kind] = self.counts.get(kind, 0) + 1


def reckon(
    crossing: Crossing, names: list[str], end: TransferState = DELIVERED, event: str | None = None
) -> Reckoning:
    """Compare all that is known of these files, which have come to `end`; `event`, or its own, tells so."""
    found = Reckoning()
    crossing.shore.look()
    crossing.shore.take_all()
    _whole(crossing, found)
    rows = crossing.rows("SELECT * FROM transfer")
    by_path: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        by_path[row["path"]].append(row)
    events = _events(crossing, end, event)
    kept = {row["id"]: row for row in crossing.rows("SELECT * FROM kept_file")}
    for name in names:
        sent, own = crossing.sent[name], by_path[name]
        if name in crossing.given_up and not own:
            if crossing.shore.taken.get(name) or (crossing.daemon.quarantine / name).exists():
                found.ledger.append(f"{name} came in unrecorded")
            continue
        _arrival(crossing, sent, end, found)
        _recorded(crossing, sent, end, own, kept, found)
        for row in own:
            _logged(row, events, found)
    known = {row["id"] for row in rows if row["state"] == end}
    found.log += [
        f"{transfer} is logged and not in the ledger" for transfer in events if transfer not in known
    ]
    _nothing_left(crossing, found)
    return found


def _whole(crossing: Crossing, found: Reckoning) -> None:
    for name, digests in crossing.shore.seen.items():
        sent = crossing.sent.get(name)
        if sent is None or digests != {sent.sha256}:
            found.partial.append(f"{name} was seen with other content than it set out with")


def _arrival(crossing: Crossing, sent: Sent, end: TransferState, found: Reckoning) -> None:
    taken = crossing.shore.taken.get(sent.name, [])
    wanted = 1 if end is DELIVERED else 0
    if len(taken) < wanted:
        found.lost.append(f"{sent.name} did not arrive")
    if len(taken) > wanted:
        found.doubled.append(f"{sent.name} arrived {len(taken)} times")
    own = _OWN_COPY.get(end) if end is not DELIVERED else crossing.kept
    if own in ("sent", "quarantine", "failed"):
        path = crossing.daemon.link / own / sent.name
        if not path.exists() or sha256_of(path) != sent.sha256:
            found.lost.append(f"{sent.name} is not in {own}")
        if path.with_name(f"{path.stem}.1{path.suffix}").exists():
            found.doubled.append(f"{sent.name} lies in {own} twice")
    if end is FAILED and not (crossing.daemon.failed / f"{sent.name}.reason.txt").exists():
        found.lost.append(f"{sent.name} has no reason in failed")


def _recorded(
    crossing: Crossing,
    sent: Sent,
    end: TransferState,
    own: list[dict[str, Any]],
    kept: dict[str, dict[str, Any]],
    found: Reckoning,
) -> None:
    ended = [row for row in own if row["state"] == end]
    # A file that went before it was claimed was never known.
    if (len(ended) != 1 or len(own) != 1) and not (end is VANISHED and not own):
        found.ledger.append(f"{sent.name} has transfers {[row['state'] for row in own]}")
    for row in ended:
        if (row["size"], row["sha256"], row["direction"]) != (sent.size, sent.sha256, crossing.direction):
            found.ledger.append(f"{sent.name} is recorded with another size, hash or direction")
        folder = _OWN_COPY.get(end) if end is not DELIVERED else crossing.kept
        copy = kept.get(row["id"])
        has = copy and tuple(copy[name] for name in ("folder", "path", "size", "sha256", "state"))
        if has != ((folder, sent.name, sent.size, sent.sha256, "present") if folder else None):
            found.ledger.append(f"{sent.name} is kept as {has}")


def _events(crossing: Crossing, end: TransferState, event: str | None) -> "Counter[str]":
    type_ = event or (crossing.event if end is DELIVERED else _EVENTS.get(end))
    if type_ is None:
        return Counter()
    return Counter(event["data"]["transfer"] for event in crossing.daemon.events_of(type_))


def _logged(row: dict[str, Any], events: "Counter[str]", found: Reckoning) -> None:
    wanted = 0 if row["state"] == VANISHED else 1
    if events[row["id"]] != wanted:
        found.log.append(f"{row['path']} is in the log {events[row['id']]} times")


def _nothing_left(crossing: Crossing, found: Reckoning) -> None:
    """No part, draft or unfinished transfer is left anywhere."""
    found.ledger += [f"{path} is not at its end" for path in crossing.unfinished()]
    own = crossing.daemon.link / ".sftpd"
    places = [own / "screening", own / "staging"]
    if crossing.server is not None:
        places.append(crossing.server.root)
    for place in places:
        for folder, _, files in os.walk(place):
            found.doubled += [f"{folder}/{name} is left" for name in files]
    found.lost += [f"{path} still lies where it was dropped" for path in crossing.left()]
    for folder in ("inbound", "sent"):
        hidden = [p for p in (crossing.daemon.link / folder).rglob(".*") if p.is_file()]
        found.doubled += [f"{path} is left" for path in hidden]
