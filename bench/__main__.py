"""`python -m bench`: sftpd beside its peers, driven by the clients people use."""

import argparse
import contextlib
import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from bench import report
from bench.measure import measure, offer
from bench.peers import BASE, PEERS, Ground
from bench.rows import Material, rows
from bench.scale import SCALES

_HERE = Path(__file__).parent
_DOCUMENT = _HERE.parent / "docs" / "performance.md"


def main() -> None:
    # Servers are stopped on the way out, however that comes.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    arguments = _arguments()
    scale = SCALES[arguments.scale]
    rounds = arguments.rounds or scale.rounds
    with _scratch() as scratch, contextlib.ExitStack() as running:
        material = Material.make(scratch / "material", scale)
        ground = Ground.make(scratch / "ground")
        peers = [running.enter_context(PEERS[name](scratch / name, ground)) for name in arguments.peers]
        for peer in peers:
            offer(peer, material)
        chosen = {
            key: row
            for key, row in rows(material, scale).items()
            if not arguments.rows or key in arguments.rows
        }
        outcomes, offers = measure(peers, chosen, material, rounds)
        accounts = {peer.meter.source for peer in peers}
    cells = report.figures(chosen, outcomes, arguments.peers)
    about = report.machine(arguments.scale, rounds, accounts)
    table = report.write(arguments.output, cells, about, offers, outcomes)
    print(table)
    if not arguments.no_plot:
        from bench.plot import plot  # matplotlib is for `make bench` alone

        plot(arguments.output / "figures.png", cells)
    if arguments.document:
        report.fill(_DOCUMENT, table)


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
