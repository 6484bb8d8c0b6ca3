"""`python -m bench.redaction`: how fast a person leaves a large file, beside `sed` that drops her lines.

A reader does it as for a deletion request, in its sandbox: it finds the records, writes the rest, and
searches it again. `sed` knows nothing of records and checks nothing. Each file has a hundred records of hers.
"""

import argparse
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench.clients import Failed
from bench.folder import made
from sftpd.erasure.messages import Found, Question, Redact, Search
from sftpd.erasure.readers import READER, Readers
from sftpd.process.pool import Children

_HERS = 100
_EMAIL = "jan.de.vries@example.nl"
_KNOWN = (f"email={_EMAIL}", "phone=+31612345678", "iban=NL91ABNA0417164300", "name=Jan de Vries")
_NAMES = ("Piet Jansen", "Anna Smit", "Renée d'Hondt", "Wim van Dam", "Zoë Müller", "Ko Boer", "Els Mulder")
_BLOCK = 5000
"""Lines that are made at a time."""
_LOOK = 0.01
"""Seconds between two looks at what memory a reader has."""

Line = Callable[[int, str, str], str]


@dataclass(frozen=True)
class Kind:
    """A kind of file: what its name ends with, its first and last line, and how a person is written in it."""

    title: str
    suffix: str
    head: str
    line: Line
    encoding: str = "utf-8"
    tail: str = ""


KINDS = (
    Kind(
        "CSV",
        "csv",
        "nr;naam;e-mail;telefoon;bedrag;omschrijving\n",
        lambda n, name, mail: f"{n};{name};{mail};020-{n % 9999999:07};{n % 997},50;levering week {n % 52}\n",
    ),
    Kind(
        "CSV, all quoted",
        "csv",
        '"nr","naam","e-mail","telefoon","bedrag"\n',
        lambda n, name, mail: f'"{n}","{name}","{mail}","020-{n % 9999999:07}","{n % 997},50"\n',
    ),
    Kind(
        "CSV, Windows-1252",
        "csv",
        "nr;naam;e-mail;telefoon;bedrag\n",
        lambda n, name, mail: f"{n};{name};{mail};020-{n % 9999999:07};{n % 997},50\n",
        "cp1252",
    ),
    Kind(
        "NDJSON",
        "ndjson",
        "",
        lambda n, name, mail: (
            f'{{"nr": {n}, "naam": "{name}", "e-mail": "{mail}", "adres": {{"nr": {n % 99}}}, "x": [1]}}\n'
        ),
    ),
    Kind(
        "JSON",
        "json",
        '{"v": 1, "rijen": [{}\n',
        lambda n, name, mail: (
            f',{{"nr": {n}, "naam": "{name}", "e-mail": "{mail}", "adres": {{"nr": {n % 99}}}, "x": [1]}}\n'
        ),
        tail="]}\n",
    ),
    Kind(
        "XML",
        "xml",
        "<klanten>\n",
        lambda n, name, mail: (
            f'<klant nr="{n}"><naam>{name}</naam><e-mail>{mail}</e-mail>'
            f"<adres><nr>{n % 99}</nr></adres><bedrag>{n % 997},50</bedrag></klant>\n"
        ),
        tail="</klanten>\n",
    ),
)


@dataclass
class Cost:
    """What a task took: seconds, seconds of the processor, and the most private memory at a time in bytes."""

    seconds: list[float] = field(default_factory=list)
    processor: list[float] = field(default_factory=list)
    memory: int = 0

    def speeds(self, size: int) -> tuple[str, str]:
        """Megabytes a second, by the clock and by the processor's account."""
        clock, processor = (size / 1e6 / statistics.median(took) for took in (self.seconds, self.processor))
        return f"{clock:.0f}", f"{processor:.0f}"


def main() -> None:
    """Measure all kinds and print a table."""
    arguments = _arguments()
    lines = [
        "| file | redacted, MB/s | MB per CPU s | of `sed` | memory, MB | searched, MB/s | MB per CPU s |",
        f"|{' --- |' * 7}",
    ]
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder, Children.start([READER]) as children:
        readers = Readers(children)
        for kind in KINDS:
            lines.append(_row(kind, Path(folder), arguments, children, readers))
            print(lines[-1], file=sys.stderr)
        readers.close()
    print("\n".join(lines))


def _row(
    kind: Kind, folder: Path, arguments: argparse.Namespace, children: Children, readers: Readers
) -> str:
    path = folder / f"people.{kind.suffix}"
    hers, size = make(path, kind, arguments.mib << 20), path.stat().st_size
    redacted, dropped, searched = Cost(), Cost(), Cost()
    for _ in range(arguments.rounds):
        _ask(readers, children, Redact(os.fsencode(path.name), _KNOWN), path, redacted, hers)
        nobody = ("email=niemand@example.nl", "phone=+31687654321", "name=Nie Mand")
        _ask(readers, children, Search(os.fsencode(path.name), nobody), path, searched, 0)
        _sed(path, dropped)
    path.unlink()
    ratio = statistics.median(t / o for t, o in zip(dropped.processor, redacted.processor, strict=True))
    cells = (
        f"{kind.title}, {size >> 20} MiB",
        *redacted.speeds(size),
        f"{ratio:.2f}",
        f"{redacted.memory / 1e6:.0f}",
        *searched.speeds(size),
    )
    return f"| {' | '.join(cells)} |"


def make(path: Path, kind: Kind, size: int) -> int:
    """Make a file of about a size with her records spread over it; returns how many there are."""
    chance = random.Random(1)
    block = "".join(kind.line(n, chance.choice(_NAMES), f"klant{n}@example.nl") for n in range(_BLOCK))
    raw = block.encode(kind.encoding)
    blocks = max(1, size // len(raw))
    every = max(1, blocks // _HERS)
    hers = 0
    with path.open("wb") as file:
        file.write(kind.head.encode(kind.encoding))
        for number in range(blocks):
            file.write(raw)
            if number % every == 0 and hers < _HERS:
                file.write(kind.line(number, "Jan de Vries", _EMAIL).encode(kind.encoding))
                hers += 1
        file.write(kind.tail.encode(kind.encoding))
    return hers


def _ask(
    readers: Readers, children: Children, question: Question, path: Path, cost: Cost, expected: int
) -> None:
    """Have a reader at work, and see that it did what it should. Raises Failed."""
    draft = path.with_suffix(".draft")
    with path.open("rb") as source, draft.open("w+b") as out:
        # That a reader starts is none of the work.
        readers.ask(Search(b"x.txt", question.identifiers), [out.fileno()])
        with _memory(children, cost):
            before, start = _processor(children), time.perf_counter()
            answer = readers.ask(question, [source.fileno(), out.fileno()])
            cost.seconds.append(time.perf_counter() - start)
            cost.processor.append(_processor(children) - before)
    left = draft.read_bytes() if draft.stat().st_size < 1 << 20 else b""
    draft.unlink()
    if not isinstance(answer, Found) or answer.records != expected or _EMAIL.encode() in left:
        raise Failed(f"{answer} where {expected} records are hers")


def _sed(path: Path, cost: Cost) -> None:
    """The bare removal of the lines, to a file as well."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    draft = path.with_suffix(".draft")
    with draft.open("wb") as out:
        subprocess.run(["sed", f"/{_EMAIL}/d", str(path)], stdout=out, check=True, env={"LC_ALL": "C"})
    cost.seconds.append(time.perf_counter() - start)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cost.processor.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    draft.unlink()


@contextmanager
def _memory(children: Children, cost: Cost) -> Iterator[None]:
    """Look at the readers' private memory all the while: mapped pages of the file are not theirs."""
    done = threading.Event()

    def look() -> None:
        while not done.wait(_LOOK):
            for child in children.running():
                status = Path(f"/proc/{child.pid}/status").read_text()
                anonymous = next(line for line in status.splitlines() if line.startswith("RssAnon"))
                cost.memory = max(cost.memory, int(anonymous.split()[1]) * 1024)

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()


def _processor(children: Children) -> float:
    """Seconds of the readers, which have one thread each, to the nanosecond."""
    accounts = [Path(f"/proc/{child.pid}/schedstat").read_text() for child in children.running()]
    return sum(int(account.split()[0]) for account in accounts) / 1e9


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.redaction", description="how fast a person leaves a file"
    )
    parser.add_argument("--mib", type=int, default=64, help="size of each file")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--folder", type=made, help="where the files go; the default is the temporary folder")
    return parser.parse_args()


if __name__ == "__main__":
    main()
