"""`python -m bench.index`: the index of received files by itself: its size, its speed, and a look-up's."""

import argparse
import json
import os
import random
import statistics
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from bench.folder import made
from sftpd.erasure.identifiers import parse_identifier
from sftpd.erasure.index import Entry, Index
from sftpd.erasure.tokenizing import Collector
from sftpd.erasure.tokens import SIZE

TOKENS = 20
"""Tokens of a file."""
_KEY = bytes(32)
_AT_ONCE = 5000
_LOOK_UPS = 2000


@dataclass(frozen=True)
class Amounts:
    """Files in the index, and bytes of each file that is read."""

    files: int
    read: int


SCALES = {
    "tiny": Amounts(200, 200_000),
    "small": Amounts(20_000, 20_000_000),
    "full": Amounts(1_000_000, 50_000_000),
}


@dataclass(frozen=True)
class Figures:
    """What was measured; seconds of processor time, look-ups in milliseconds of time."""

    files: int
    postings: int
    bytes_a_posting: float
    postings_a_second: float
    look_up_median: float
    look_up_p99: float
    look_up_longest: float
    csv_orders: float
    """MB/s: a customer number, an address and an order number in a line of 140 bytes."""
    csv_log: float
    """MB/s: nobody in it."""
    csv_people: float
    """MB/s: an address, a telephone number and a BSN in a line of 85 bytes."""
    csv_homes: float
    """MB/s: a name, a date of birth, a postcode and the number of a house in a line of 75 bytes."""
    ndjson_orders: float
    """MB/s: the orders, an object of 290 bytes each."""


def measure(amounts: Amounts, folder: Path) -> Figures:
    """Fill an index in `folder`, ask it, and read CSV."""
    path = folder / "index.db"
    with Index(path, _KEY) as index:
        began = time.process_time()
        for first in range(0, amounts.files, _AT_ONCE):
            index.put(
                Entry(index.place("inbound", (b"%d" % number,), ""), os.urandom(SIZE * TOKENS))
                for number in range(first, min(first + _AT_ONCE, amounts.files))
            )
        filled = time.process_time() - began
        index.forget([], 0)  # what is in the log beside the file goes into it
        postings = amounts.files * TOKENS
        times = sorted(_look_ups(index))
    return Figures(
        files=amounts.files,
        postings=postings,
        bytes_a_posting=path.stat().st_size / postings,
        postings_a_second=postings / filled,
        look_up_median=statistics.median(times) * 1e3,
        look_up_p99=times[len(times) * 99 // 100] * 1e3,
        look_up_longest=times[-1] * 1e3,
        csv_orders=_read(_orders(), amounts.read),
        csv_log=_read(_log(), amounts.read),
        csv_people=_read(_people(), amounts.read),
        csv_homes=_read(_homes(), amounts.read),
        ndjson_orders=_read(_objects(_orders()), amounts.read, b"a.ndjson"),
    )


def _look_ups(index: Index) -> Iterator[float]:
    """How long each look-up took, of a person known by three identifiers."""
    for number in range(_LOOK_UPS):
        told = (f"email=a{number}@example.nl", f"employee=E-{number}", f"customer=K-{number}")
        person = [parse_identifier(each) for each in told]
        began = time.perf_counter()
        index.lookup(person)
        yield time.perf_counter() - began


def _read(lines: Iterator[str], size: int, name: bytes = b"a.csv") -> float:
    """MB/s at which a file with such lines is indexed."""
    text: list[str] = []
    length = 0
    while length < size:
        text.append(next(lines))
        length += len(text[-1])
    data = "".join(text).encode()
    collector = Collector(_KEY, len)
    began = time.process_time()
    collector.detect(name, data).find(data, collector.inquiry(name))
    collector.flush()
    return len(data) / 1e6 / (time.process_time() - began)


def _orders() -> Iterator[str]:
    chance = random.Random(1)
    yield "order;klantnummer;datum;artikel;omschrijving;aantal;prijs;btw;status;kanaal;e-mail\n"
    while True:
        customer, day = chance.randint(1, 20_000), chance.randint(10, 28)
        yield (
            f"{chance.randint(10**6, 10**7)};K-{customer:06};2024-0{day % 9 + 1}-{day} 12:33:{day};"
            f"ART-{day:03};houten tafel met vier poten en een blad van eiken;{day % 7};"
            f"{day * 3},50;21;geleverd;web;klant{customer}@example.nl\n"
        )


def _log() -> Iterator[str]:
    yield "tijd;kanaal;bericht;duur;code;bron\n"
    for number in range(10**9):
        yield (
            f"2024-0{number % 9 + 1}-1{number % 10}T12:33:{number % 60:02};web;"
            f"pagina bekeken door bezoeker zonder login op de site;{number % 1000};200;server-{number % 7}\n"
        )


def _people() -> Iterator[str]:
    chance = random.Random(2)
    yield "nr;naam;e-mail;telefoon;bsn;plaats;datum\n"
    for number in range(10**9):
        bsn = _bsn(chance.randint(10_000_000, 99_999_999))
        yield (
            f"{number};Jan de Vries {number};jan{chance.randint(0, 10**7)}@example.nl;"
            f"06{chance.randint(10**7, 10**8 - 1)};{bsn};Utrecht;2024-0{number % 9 + 1}-1{number % 10}\n"
        )


def _homes() -> Iterator[str]:
    chance = random.Random(3)
    yield "voornaam;achternaam;geboortedatum;adres;huisnummer;postcode;plaats\n"
    while True:
        day = f"{chance.randint(1, 28)}-{chance.randint(1, 12):02}-{chance.randint(1930, 2010)}"
        house, letters = chance.randint(1, 300), "".join(chance.choices("ABCDEFGHJKLMNPRSTVWXZ", k=2))
        yield (
            f"Jan{chance.randint(0, 999)};de Vries;{day};Kanaalstraat {house};{house};"
            f"{chance.randint(1000, 9999)} {letters};Utrecht\n"
        )


def _objects(lines: Iterator[str]) -> Iterator[str]:
    """The records of CSV as JSON, one a line."""
    labels = next(lines).rstrip("\n").split(";")
    for line in lines:
        yield json.dumps(dict(zip(labels, line.rstrip("\n").split(";"), strict=True))) + "\n"


def _bsn(stem: int) -> str:
    """A number that passes the eleven test, by eight digits of which it has most."""
    while (check := sum(int(digit) * (9 - place) for place, digit in enumerate(str(stem))) % 11) == 10:
        stem += 1
    return f"{stem}{check}"


def main() -> None:
    """Measure, and print the figures as JSON."""
    parser = argparse.ArgumentParser(prog="python -m bench.index", description=__doc__)
    parser.add_argument("--scale", choices=SCALES, default="small", help="how much is indexed")
    parser.add_argument(
        "--folder", type=made, help="where the index goes, on the disk that is to be measured"
    )
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder, prefix="sftpd-bench-") as folder:
        print(json.dumps(asdict(measure(SCALES[arguments.scale], Path(folder))), indent=1))


if __name__ == "__main__":
    main()
