"""Tables and lines of JSON that hold a person: whatever comes is redacted as if it had been read whole."""

import json
from collections.abc import Callable, Iterable

from fuzz_oracle import INPUT_LIMIT, Run, Source, Target, always
from whole_text import compare

from sftpd.erasure.formats.csv import Csv
from sftpd.erasure.formats.model import Format
from sftpd.erasure.formats.ndjson import Ndjson
from sftpd.erasure.identifiers import parse_identifier

_KNOWN = [parse_identifier(raw) for raw in ("email=j@x.nl", "customer=12", "name=Zoë B")]
_SMALLEST = 50
"""Bytes of a piece at least: below that it takes long."""


def _redacted(form: Format) -> Run:
    """The size of the pieces, `uint8`, and a file."""

    def run(data: bytes) -> None:
        source = Source(data)
        piece = _SMALLEST + source.number(1)
        compare(form, source.take(INPUT_LIMIT), _KNOWN, piece)

    return run


def _seeds(texts: Callable[[], Iterable[str]]) -> Callable[[], Iterable[bytes]]:
    def made() -> Iterable[bytes]:
        for text in texts():
            for encoding in ("utf-8", "cp1252", "utf-16"):
                for piece in (0, 255):
                    yield bytes((piece,)) + text.encode(encoding)

    return made


def _tables() -> Iterable[str]:
    yield "klantnr;b\n12;1\n7;12\nEOF;2;x\n"
    yield 'a,b\r\n"j@x.nl",1\r\n\r\n"x ""y"" ; |",2\r\n"Aantal: 3",\r\n'
    yield 'a\n"j@x.nl"\n""\n"x\n\ny"\n"EOF"\n'
    yield 'a\tb|c;d,e\nj@x.nl\n1;"2'
    yield 'klantnr;b\n12;1\n"'
    yield 'a,b\n"j@x.nl",1\n\rx\n' + "x\n" * 200 + '"\n1;2\n'
    yield 'naam\n"Zoë\r\nB"\nx\r'
    yield 'j@x.nl;"' + "x\n" * 50 + '"\n' + "1;2\n" * 50 + "TOTAL;0052\n\n"


def _lines() -> Iterable[str]:
    person = {"klant": {"id": 12}, "m": ["j@x.nl", 'Zoë "B"', None, 1e5, -0.5, True]}
    yield "\n".join([json.dumps(person), "", " \t\r", '"j\\u0040x.nl"', json.dumps("Zoë\tB"), "[1, 2]"])
    yield '"j@x.nl"\n[1,\n2]\n1 2\n'
    yield '"j@x.nl"\n"\\ud834" \n"\\ud834\\udd1e"\n{"a" : {}, "b":[ ]}\r\n1e999'
    yield '"j@x.nl"\n' + "[" * 300 + "{" * 300
    yield '"j@x.nl"\n' + "[" * 513 + "]" * 513
    yield from (
        f'{{"m": "j@x.nl"}}\n{odd}\n1' for odd in ("01", "NaN", "-", "1.", '"\\x"', "tru", "[1,]", "\x0c")
    )


TARGETS = (
    Target("erasure-csv", always(_redacted(Csv())), _seeds(_tables), 64 << 20),
    Target("erasure-ndjson", always(_redacted(Ndjson())), _seeds(_lines), 64 << 20),
)
