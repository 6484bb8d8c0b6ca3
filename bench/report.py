"""From samples to a table: medians, ratios within a round, processor time for what was moved."""

import json
import os
import platform
import re
import statistics
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from bench.clients import Offer
from bench.measure import Outcome, Outcomes
from bench.peers import BASE
from bench.rows import GIB, Row

START, END = "<!-- bench: begin -->", "<!-- bench: end -->"


@dataclass(frozen=True)
class Figure:
    """One cell of the table: a server in a row."""

    row: str
    title: str
    unit: str
    peer: str
    value: float | None
    """Median in `unit`."""
    ratio: float | None
    """How much better than what it is compared with: the median of the ratios within a round."""
    processor_per_gib: float | None
    processor: float | None
    rounds: int
    failed: str | None
    note: str | None


def figures(
    rows: dict[str, Row],
    outcomes: Outcomes,
    names: list[str],
    base: Callable[[Outcomes, str], Outcome] = lambda outcomes, key: outcomes.get((key, BASE), Outcome()),
) -> list[Figure]:
    """All cells, row by row; ratios are to what `base` did in the row of that key."""
    return [
        _figure(key, row, name, outcomes[key, name], base(outcomes, key))
        for key, row in rows.items()
        for name in names
    ]


def _figure(key: str, row: Row, name: str, outcome: Outcome, base: Outcome) -> Figure:
    if outcome.failed or not outcome.samples:
        failed = outcome.failed
        return Figure(key, row.title, row.unit, name, None, None, None, None, 0, failed, outcome.note)
    value = statistics.median(sample.value for sample in outcome.samples)
    theirs = {sample.round: sample.value for sample in base.samples}
    ratios = [theirs[s.round] / s.value for s in outcome.samples if s.round in theirs and s.value > 0]
    processor = statistics.median(sample.processor for sample in outcome.samples)
    return Figure(
        key,
        row.title,
        row.unit,
        name,
        value / 1024 if row.memory else row.amount / value,
        statistics.median(ratios) if ratios else None,
        processor * GIB / row.size if row.size else None,
        None if row.memory else processor,
        len(outcome.samples),
        None,
        outcome.note,
    )


def machine(scale: str, rounds: int, accounts: set[str]) -> dict[str, object]:
    """What one must know of the run to judge it."""
    version = subprocess.run(["ssh", "-V"], capture_output=True, text=True).stderr.strip()
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "scale": scale,
        "rounds": rounds,
        "processors": len(os.sched_getaffinity(0)),
        "load": round(os.getloadavg()[1], 2),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "openssh": version,
        "processor_time_from": sorted(accounts),
    }


def markdown(
    cells: list[Figure], about: dict[str, object], offers: dict[str, Offer], moved: Sequence[Figure] = ()
) -> str:
    """The tables as people read them: of servers, and of what moves files."""
    lines = ["; ".join(f"{key.replace('_', ' ')}: {_plain(value)}" for key, value in about.items()) + "."]
    if cells:
        base = f"how many times better than {BASE} in the same round"
        offered = [
            [name, offer.cipher, "yes" if "fsync@openssh.com" in offer.extensions else "no"]
            for name, offer in offers.items()
        ]
        lines += [*_tables(cells, base, "Server"), "", *_grid(["server", "default cipher", "fsync"], offered)]
    if moved:
        base = "how many times better than the best of the others in the same round"
        lines += [
            "",
            "Files brought to one OpenSSH server, and fetched there.",
            *_tables(moved, base, "Mover"),
        ]
    faults = [f"- {cell.peer}, {cell.title}: {cell.failed}" for cell in (*cells, *moved) if cell.failed]
    return "\n".join([*lines, *(["", "Not done:", "", *faults] if faults else []), ""])


def _tables(cells: Sequence[Figure], base: str, whose: str) -> list[str]:
    names = list(dict.fromkeys(cell.peer for cell in cells))
    by_place = {(cell.row, cell.peer): cell for cell in cells}
    rows = list(dict.fromkeys((cell.row, cell.title, cell.unit) for cell in cells))
    return [
        "",
        f"Each cell: the median, and in brackets {base}.",
        "",
        *_grid(
            ["task", "unit", *names], [[t, u, *(_speed(by_place[k, n]) for n in names)] for k, t, u in rows]
        ),
        "",
        f"{whose} CPU seconds per GiB; per task, in italics, where no volume is moved.",
        "",
        *_grid(
            ["task", *names],
            [
                [title, *(_processor(by_place[key, name]) for name in names)]
                for key, title, unit in rows
                if unit != "KiB"
            ],
        ),
    ]


def write(
    folder: Path,
    cells: list[Figure],
    moved: list[Figure],
    about: dict[str, object],
    offers: dict[str, Offer],
    outcomes: Outcomes,
) -> str:
    """Write table.md and figures.json with all samples; returns the tables."""
    folder.mkdir(parents=True, exist_ok=True)
    table = markdown(cells, about, offers, moved)
    (folder / "table.md").write_text(table)
    samples = {
        f"{row}/{name}": [asdict(sample) for sample in outcome.samples]
        for (row, name), outcome in outcomes.items()
    }
    offered = {name: asdict(offer) for name, offer in offers.items()}
    content = {
        "about": about,
        "offers": offered,
        "figures": [asdict(cell) for cell in (*cells, *moved)],
        "samples": samples,
    }
    (folder / "figures.json").write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n")
    return table


def fill(document: Path, table: str) -> None:
    """Put the table between the markers of a document. Raises ValueError without them."""
    text = document.read_text()
    new, found = re.subn(
        rf"{re.escape(START)}.*?{re.escape(END)}",
        lambda _: f"{START}\n\n{table}\n{END}",
        text,
        flags=re.DOTALL,
    )
    if not found:
        raise ValueError(f"{document} has no lines {START} and {END}")
    document.write_text(new)


def _speed(cell: Figure) -> str:
    if cell.value is None:
        return "not done" if cell.failed else "–"
    number = f"{cell.value:,.0f}" if cell.value >= 100 else f"{cell.value:.3g}"
    ratio = "" if cell.ratio is None else f" ({cell.ratio:.2f})"
    return f"{number}{ratio}" + (f", {cell.note}" if cell.note else "")


def _processor(cell: Figure) -> str:
    if cell.processor_per_gib is not None:
        return f"{cell.processor_per_gib:.2f}"
    return "–" if cell.processor is None else f"*{cell.processor:.2f}*"


def _plain(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _grid(head: list[str], body: list[list[str]]) -> list[str]:
    rule = ["---"] * len(head)
    return ["| " + " | ".join(cells) + " |" for cells in (head, rule, *body)]
