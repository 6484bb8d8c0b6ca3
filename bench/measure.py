"""Servers take turns within each round, so that what the machine does besides meets all of them alike."""

import os
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from bench import clients
from bench.clients import Failed, Offer
from bench.peers import FOR_SESSIONS, Peer
from bench.rows import Material, Row

_PATIENCE = 1800.0


@dataclass(frozen=True)
class Sample:
    """One task done once. `value` is seconds, or bytes for a row of memory."""

    round: int
    value: float
    processor: float


@dataclass
class Outcome:
    """What one server did in one row."""

    samples: list[Sample] = field(default_factory=list)
    failed: str | None = None
    """Why the server did not do it; it is not asked again then."""
    note: str | None = None


Outcomes = dict[tuple[str, str], Outcome]


def offer(peer: Peer, material: Material) -> None:
    """Lay out what clients download: files by the server's own way if it has one, the listing straight."""
    if (peer.offered / "list").exists():
        return
    to = peer.drop or peer.offered
    if peer.drop:
        shutil.copy(material.large, to / "large.bin")
    else:
        os.link(material.large, to / "large.bin")
    shutil.copytree(material.small, to / "small")
    (peer.offered / "list").mkdir(parents=True)
    for name in material.names:
        (peer.offered / "list" / name).touch()
    names = [path.name for path in material.small.iterdir()]
    deadline = time.monotonic() + _PATIENCE
    while not _all_there(peer, names):
        if time.monotonic() > deadline:
            raise RuntimeError(f"{peer.name} did not take over all files it shall offer")
        time.sleep(0.2)


def _all_there(peer: Peer, names: list[str]) -> bool:
    if not (peer.offered / "large.bin").exists() or not (peer.offered / "small").exists():
        return False
    return len(list((peer.offered / "small").iterdir())) == len(names)


def measure(
    peers: list[Peer], rows: dict[str, Row], material: Material, rounds: int
) -> tuple[Outcomes, dict[str, Offer]]:
    """Do every row with every server, in each round beginning with another server."""
    outcomes: Outcomes = {(key, peer.name): Outcome() for key in rows for peer in peers}
    offers = _probe(peers, rows, outcomes)
    for number in range(rounds):
        shift = number % len(peers)
        for key, row in rows.items():
            for peer in peers[shift:] + peers[:shift]:
                outcome = outcomes[key, peer.name]
                if outcome.failed or (peer.name in FOR_SESSIONS and not row.sessions):
                    continue
                if row.needs and row.needs not in offers[peer.name].extensions:
                    outcome.note = f"without {row.needs.partition('@')[0]}"
                material.clear(peer)
                _once(number, peer, row, outcome)
                _say(number, key, peer.name, outcome)
                material.clear(peer)
    return outcomes, offers


def _probe(peers: list[Peer], rows: dict[str, Row], outcomes: Outcomes) -> dict[str, Offer]:
    """A server that does not even let the client in fails every row with what was seen."""
    offers = {}
    for peer in peers:
        try:
            offers[peer.name] = clients.probe(peer)
        except Failed as fault:
            for key in rows:
                outcomes[key, peer.name].failed = f"no session: {fault}"
    return offers


def _once(number: int, peer: Peer, row: Row, outcome: Outcome) -> None:
    before, start = peer.meter.processor_seconds(), time.perf_counter()
    try:
        result = row.work(peer)
        seconds = time.perf_counter() - start
        processor = settled(peer.meter.processor_seconds) - before
        row.check(peer, result)
    except Failed as fault:
        outcome.failed = str(fault)
        return
    value = result if row.memory else seconds
    assert isinstance(value, float)
    outcome.samples.append(Sample(number, value, processor))


def settled(processor: Callable[[], float]) -> float:
    """The account once the server has done what it does after the client is gone, or nearly so."""
    last = processor()
    for _ in range(20):
        time.sleep(0.05)
        now = processor()
        if now - last < 0.002:
            return now
        last = now
    return last


def _say(number: int, key: str, name: str, outcome: Outcome) -> None:
    what = outcome.failed or f"{outcome.samples[-1].value:.3f}"
    print(f"round {number + 1} {key:14} {name:20} {what}", file=sys.stderr)
