"""`python -m bench`: sftpd beside OpenSSH's server, driven by OpenSSH's client.

Servers take turns within each round, on the same file system; a row is the median over the rounds, and the
ratio is OpenSSH's time by ours, so that more than 1 means that we are faster.
"""

import argparse
import contextlib
import os
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

from bench.servers import Server, openssh, ours

_MIB = 1 << 20


def main() -> None:
    arguments = _arguments()
    with _scratch() as scratch, openssh(scratch / "openssh") as peer, ours(scratch / "sftpd") as us:
        tasks = _tasks(scratch, arguments)
        for server in (peer, us):
            _offer(server, arguments)
        seconds: dict[tuple[str, str], list[float]] = defaultdict(list)
        processor: dict[tuple[str, str], list[float]] = defaultdict(list)
        for _ in range(arguments.rounds):
            for name, task in tasks.items():
                for server in (peer, us):
                    before, start = server.processor_seconds(), time.perf_counter()
                    task(server)
                    seconds[name, server.name].append(time.perf_counter() - start)
                    processor[name, server.name].append(server.processor_seconds() - before)
        print(
            "| task | openssh s | sftpd s | ratio | openssh CPU s | sftpd CPU s |\n|---|---|---|---|---|---|"
        )
        for name in tasks:
            theirs, mine = (statistics.median(seconds[name, s.name]) for s in (peer, us))
            cpu = [f"{statistics.median(processor[name, s.name]):.2f}" for s in (peer, us)]
            print(f"| {name} | {theirs:.2f} | {mine:.2f} | {theirs / mine:.2f} | {cpu[0]} | {cpu[1]} |")


def _tasks(scratch: Path, arguments: argparse.Namespace) -> dict[str, Callable[[Server], None]]:
    big, small = scratch / "big.bin", scratch / "small"
    big.write_bytes(os.urandom(_MIB) * arguments.size)
    small.mkdir()
    for number in range(arguments.files):
        (small / f"{number:05}.csv").write_bytes(os.urandom(4096))
    got = scratch / "got"
    got.mkdir()
    return {
        f"put {arguments.size} MiB": lambda s: s.sftp(f"put {big} {s.upload}/big.bin"),
        f"get {arguments.size} MiB": lambda s: s.sftp(f"get {s.download}/big.bin {got}/big.bin"),
        f"put -f {arguments.files} x 4 KiB": lambda s: s.sftp(f"put -f {small}/*.csv {s.upload}/"),
        f"get {arguments.files} x 4 KiB": lambda s: s.sftp(f"get {s.download}/*.csv {got}/"),
        "connect": lambda s: s.sftp("pwd"),
    }


def _offer(server: Server, arguments: argparse.Namespace) -> None:
    (server.offer / "big.bin").write_bytes(os.urandom(_MIB) * arguments.size)
    for number in range(arguments.files):
        (server.offer / f"{number:05}.csv").write_bytes(os.urandom(4096))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description="sftpd beside OpenSSH's server")
    parser.add_argument("--rounds", type=int, default=3, help="rounds, servers taking turns in each")
    parser.add_argument("--size", type=int, default=256, help="size of the large file in MiB")
    parser.add_argument("--files", type=int, default=200, help="number of 4 KiB files")
    return parser.parse_args()


@contextlib.contextmanager
def _scratch() -> Iterator[Path]:
    """A folder in memory where there is one, so that the disk is not what is measured."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(
        dir=memory if memory.is_dir() else None, prefix="sftpd-bench-"
    ) as folder:
        yield Path(folder)


if __name__ == "__main__":
    main()
