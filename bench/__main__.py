"""`python -m bench`: sftpd beside its peers, driven by the clients people use."""

import argparse
import contextlib
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

from bench import movers, report
from bench.clients import Offer
from bench.measure import Outcomes, measure, offer
from bench.peers import BASE, PEERS, Ground
from bench.report import Figure
from bench.rows import Material, rows
from bench.scale import MIB, SCALES, Scale

_HERE = Path(__file__).parent
_DOCUMENT = _HERE.parent / "docs" / "performance.md"


def main() -> None:
    # Servers are stopped on the way out, however that comes.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    arguments = _arguments()
    scale = SCALES[arguments.scale]
    rounds = arguments.rounds or scale.rounds
    with _scratch() as scratch:
        cells, outcomes, offers, accounts = _servers(arguments, scale, rounds, scratch / "servers")
        moved, moved_outcomes = _movers(arguments, scale, rounds, scratch / "movers")
    about = report.machine(arguments.scale, rounds, accounts)
    table = report.write(arguments.output, cells, moved, about, offers, outcomes | moved_outcomes)
    print(table)
    if not arguments.no_plot:
        from bench.plot import plot  # matplotlib is for `make bench` alone

        plot(arguments.output / "figures.png", cells)
    if arguments.document:
        report.fill(_DOCUMENT, table)


def _servers(
    arguments: argparse.Namespace, scale: Scale, rounds: int, folder: Path
) -> tuple[list[Figure], Outcomes, dict[str, Offer], set[str]]:
    if arguments.rows and movers.KEYS.issuperset(arguments.rows):
        return [], {}, {}, set()
    material = Material.make(folder / "material", scale)
    chosen = _chosen(rows(material, scale), arguments)
    ground = Ground.make(folder / "ground")
    with contextlib.ExitStack() as running:
        peers = [running.enter_context(PEERS[name](folder / name, ground)) for name in arguments.peers]
        for peer in peers:
            offer(peer, material)
        outcomes, offers = measure(peers, chosen, material, rounds)
        accounts = {peer.meter.source for peer in peers}
    shutil.rmtree(folder)
    return report.figures(chosen, outcomes, arguments.peers), outcomes, offers, accounts


def _movers(
    arguments: argparse.Namespace, scale: Scale, rounds: int, folder: Path
) -> tuple[list[Figure], Outcomes]:
    if arguments.rows and movers.KEYS.isdisjoint(arguments.rows):
        return [], {}
    chosen = _chosen(movers.tasks(folder, scale), arguments)
    _touch_memory(folder, 2 * scale.moved)
    with movers.movers(folder, Ground.make(folder / "ground")) as (all_, places):
        outcomes = movers.measure(all_, places, chosen, rounds)
    chosen_rows = {key: task.row for key, task in chosen.items()}
    names = [mover.name for mover in all_]
    return report.figures(chosen_rows, outcomes, names, movers.best_of_others), outcomes


def _touch_memory(folder: Path, size: int) -> None:
    """Use as much memory as a task will, once: a virtual machine is slow where it has used none before.

    Whoever comes first would pay for that.
    """
    scratch = folder / "scratch"
    with scratch.open("wb") as file:
        for _ in range(0, size, MIB):
            file.write(bytes(MIB))
    scratch.unlink()


T = TypeVar("T")


def _chosen(all_: dict[str, T], arguments: argparse.Namespace) -> dict[str, T]:
    return {key: row for key, row in all_.items() if not arguments.rows or key in arguments.rows}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description="sftpd beside its peers")
    parser.add_argument("--scale", choices=SCALES, default="full", help="how much is moved")
    parser.add_argument("--rounds", type=int, help="rounds, servers taking turns in each")
    parser.add_argument("--rows", type=_names, default=[], help="rows to measure, by key, with commas")
    parser.add_argument("--peers", type=_names, default=list(PEERS), help="servers, with commas")
    parser.add_argument("--output", type=Path, default=_HERE / "results", help="where the results go")
    parser.add_argument("--no-plot", action="store_true", help="leave out the picture")
    parser.add_argument("--document", action="store_true", help="put the table into docs/performance.md")
    arguments = parser.parse_args()
    if unknown := set(arguments.peers) - set(PEERS):
        parser.error(f"unknown servers {sorted(unknown)}; there are {list(PEERS)}")
    if BASE not in arguments.peers:
        parser.error(f"{BASE} must be among the servers, for the ratios")
    return arguments


def _names(text: str) -> list[str]:
    return text.split(",")


@contextlib.contextmanager
def _scratch() -> Iterator[Path]:
    """A folder in memory where there is one, so that the disk is not what is measured."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(
        dir=memory if memory.is_dir() else None, prefix="sftpd-bench-"
    ) as folder:
        os.chmod(folder, 0o755)  # noqa: PTH101 - servers that change their user walk through it
        yield Path(folder)


if __name__ == "__main__":
    main()
