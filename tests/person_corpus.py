"""Files in many formats, nested up to three deep, in which one person stands among others and namesakes.

All is made from a seed. What must be left of a file is described by the rows that stay, and compared with
what the format's reference reader says: the code under test takes no part in it.
"""

import csv
import email
import email.policy
import gzip
import io
import json
import mailbox
import random
import tarfile
import tempfile
import unicodedata
import zipfile
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date, datetime
from email.message import EmailMessage
from pathlib import Path
from typing import NamedTuple

import openpyxl
from faker import Faker
from lxml import etree
from odf.opendocument import OpenDocumentSpreadsheet, load
from odf.table import Table, TableCell, TableRow
from odf.text import P
from person_names import CERTAIN, POSSIBLE, names, namesakes

LOCALES = ("nl_NL", "en_GB")
HER_CITY = "Thuishaven"
COLUMNS = (
    *("nr", "naam", "e-mail", "telefoon", "plaats"),
    *("voornaam", "tussenvoegsel", "achternaam", "geboortedatum"),
    *("adres", "huisnummer", "toevoeging", "postcode"),
)


class Row(NamedTuple):
    """What a record says."""

    nr: str
    name: str
    email: str
    phone: str
    city: str
    given: str = ""
    prefix: str = ""
    surname: str = ""
    born: str = ""
    street: str = ""
    house: str = ""
    addition: str = ""
    postcode: str = ""


@dataclass(frozen=True)
class Leaf:
    """A file of records; `hers` says which are of the person who is looked for."""

    form: str
    rows: tuple[Row, ...]
    hers: tuple[bool, ...]

    def kept(self) -> "Leaf | None":
        """What must be left; None where the file must be gone."""
        rows = tuple(row for row, hers in zip(self.rows, self.hers, strict=True) if not hers)
        return Leaf(self.form, rows, (False,) * len(rows)) if rows or self.form not in WHOLE else None


@dataclass(frozen=True)
class Box:
    """A file of files."""

    form: str
    members: tuple[tuple[str, "Node"], ...]

    def kept(self) -> "Box | None":
        """What must be left; None where the file must be gone."""
        left = tuple((name, kept) for name, node in self.members if (kept := node.kept()) is not None)
        return Box(self.form, left) if left or self.form == "eml" else None


Node = Leaf | Box


@dataclass(frozen=True)
class PersonCorpus:
    """The person's identifiers, each file by its name, and in which form each record of hers is written."""

    identifiers: list[str]
    files: dict[str, Node]
    forms: dict[Row, str] = field(default_factory=dict)

    def write(self, directory: Path) -> None:
        """Write the files."""
        for name, node in self.files.items():
            (directory / name).write_bytes(pack(node))

    def missed(self, directory: Path) -> dict[str, list[str]]:
        """The forms of her records that are left, by file."""
        found = {}
        for path in directory.iterdir():
            rows = left(self.files[path.name], path.read_bytes())
            if forms := [
                self.forms.get(row._replace(nr=""), row.name) for row in rows if row.city == HER_CITY
            ]:
                found[path.name] = forms
        return found

    def check(self, directory: Path, missed: Collection[str] = ()) -> None:
        """Assert that of each file is left what must be, and nothing else, but for files with a miss."""
        present = {path.name for path in directory.iterdir()} - set(missed)
        expected = {
            name: kept
            for name, node in self.files.items()
            if name not in missed and (kept := node.kept()) is not None
        }
        assert present == set(expected)
        for name, kept in expected.items():
            compare(kept, (directory / name).read_bytes(), name)


def generate(files: int, seed: int = 1, persons: int = 500) -> PersonCorpus:
    """Make `files` files about `persons` persons, of whom the first one is looked for."""
    chance = random.Random(seed)
    people = list(people_of(chance, seed, persons))
    subject = people[0]
    others = [*people[1:], *_namesakes(subject)]

    made = files_of(files, chance, lambda _form: _variant(chance, subject), lambda: chance.choice(others))
    phone = subject.phone.replace(" ", "")
    return PersonCorpus([f"email={subject.email}", f"phone={phone}"], made)


def files_of(
    files: int, chance: random.Random, person: Callable[[str], Row], other: Callable[[], Row]
) -> dict[str, Node]:
    """Files in every format, nested or not, in which a fifth of the records is the person's.

    `person` is told the format that its record is for.
    """

    def rows(least: int, form: str) -> Leaf:
        hers = tuple(chance.random() < 0.2 for _ in range(chance.randint(least, 8)))
        made = [person(form) if mine else other() for mine in hers]
        return Leaf("", tuple(row._replace(nr=str(n)) for n, row in enumerate(made, 1)), hers)

    def leaf() -> tuple[str, Leaf]:
        form = chance.choice(tuple(LEAVES))
        made = rows(2, form)
        if form in ONE:
            made = Leaf(form, made.rows[:1], made.hers[:1])
        return f"{form}.{SUFFIX.get(form, form)}", Leaf(form, made.rows, made.hers)

    def node(depth: int) -> tuple[str, Node]:
        if depth == 3 or chance.random() < 0.6:
            return leaf()
        form = chance.choice(tuple(BOXES))
        if form == "gz":
            name, each = node(depth + 1)
            return f"{name}.gz", Box(form, (("", each),))
        inner = [node(depth + 1) for _ in range(chance.randint(1, 3))]
        named = tuple((f"{number}-{name}", each) for number, (name, each) in enumerate(inner))
        return f"box.{form}", Box(form, named)

    made = {}
    for number in range(files):
        name, each = node(0)
        made[f"{number}-{name}"] = each
    return made


def generate_written(files: int, seed: int = 1, persons: int = 500) -> PersonCorpus:
    """Make files in which one person of several names is written in many forms, and so are namesakes.

    Her records, and no others, are from HER_CITY: that is what a reviewer knows of her.
    """
    chance = random.Random(seed)
    own = names(seed)
    people = list(people_of(chance, seed, persons))
    subject = people[0]._replace(city=HER_CITY)
    others = [row for row in people[1:] if row.name.casefold() not in {name.full.casefold() for name in own}]
    alike = [row._replace(city="Ede", name="") for row in _namesakes(subject)]
    alike += [Row("", text, "", "", "Ede") for name in own for text in namesakes(name)]
    forms: dict[Row, str] = {}

    def hers(_form: str) -> Row:
        if chance.random() < 0.2:
            form, row = "exact identifier", _variant(chance, subject)._replace(name="")
        elif chance.random() < 0.1:
            form, row = _address(chance, subject)
        else:
            form = chance.choice((*CERTAIN, *POSSIBLE))
            text = (CERTAIN | POSSIBLE)[form](chance, chance.choice(own))
            row = Row("", text, "", "", HER_CITY)
        forms[row] = form
        return row

    def other() -> Row:
        return chance.choice(alike if chance.random() < 0.15 else others)

    made = files_of(files, chance, hers, other)
    phone = subject.phone.replace(" ", "")
    known = [f"email={subject.email}", f"phone={phone}", *(f"name={name.full}" for name in own)]
    return PersonCorpus(known, made, forms)


def _address(chance: random.Random, subject: Row) -> tuple[str, Row]:
    local, _, domain = subject.email.partition("@")
    digits = subject.phone.replace(" ", "")
    row = Row("", "", "", "", HER_CITY)
    return chance.choice(
        (
            ("e-mail tag", row._replace(email=f"{local}+nieuws@{domain}")),
            ("number without zero", row._replace(phone=digits[3:])),
            (
                "number with dashes",
                row._replace(phone="–".join((f"0{digits[3:5]}", digits[5:8], digits[8:]))),
            ),
        )
    )


def count(nodes: Iterable[Node]) -> int:
    """How many records of hers there are."""
    return sum(
        sum(node.hers) if isinstance(node, Leaf) else count(each for _, each in node.members)
        for node in nodes
    )


def left(node: Node, data: bytes) -> list[Row]:
    """The records in a file, as the format's reference reader has them."""
    if isinstance(node, Leaf):
        return [Row(*row) for row in LEAVES[node.form][1](data)]
    members = dict(node.members)
    return [row for name, inner in BOXES[node.form][1](data) for row in left(members[name], inner)]


def people_of(chance: random.Random, seed: int, count: int) -> Iterator[Row]:
    makers = [Faker(locale) for locale in LOCALES]
    for number in range(count):
        maker = makers[number % len(makers)]
        maker.seed_instance(seed * 1_000_003 + number)
        country = ("+31 6", "+44 7")[number % len(makers)]
        phone = f"{country}{chance.randint(10_000_000, 99_999_999)}"
        yield Row("", maker.name(), f"{number}.{maker.user_name()}@example.org", phone, maker.city())


def _namesakes(subject: Row) -> Iterator[Row]:
    """Others who are nearly the person: the same name, an address or number that differs a little."""
    local, _, domain = subject.email.partition("@")
    for address in (
        f"x{subject.email}",
        f"{subject.email}.nl",
        f"{local}2@{domain}",
        f"{local}@mail.{domain}",
    ):
        yield subject._replace(
            email=address, phone=f"{subject.phone[:-1]}{(int(subject.phone[-1]) + 1) % 10}"
        )
    yield subject._replace(email="", phone=f"{subject.phone}5")


def _variant(chance: random.Random, subject: Row) -> Row:
    """The person as people write her: by address or by number, in one of many forms."""
    digits = subject.phone.replace(" ", "")
    national = "0" + digits[3:]
    forms = (
        lambda: subject._replace(phone=""),
        lambda: subject._replace(email=subject.email.upper(), phone=""),
        lambda: subject._replace(email=f"{subject.name} <{subject.email}>"),
        lambda: subject._replace(email="", phone=f"00{digits[1:]}"),
        lambda: subject._replace(email="", phone=f"{national[:2]}-{national[2:6]} {national[6:]}"),
        lambda: subject._replace(email="geen", phone=f"tel. {digits[:3]} (0){digits[3:]}"),
    )
    return chance.choice(forms)()


def pack(node: Node) -> bytes:
    """The bytes of a file."""
    if isinstance(node, Leaf):
        return LEAVES[node.form][0](node.rows)
    return BOXES[node.form][0]([(name, pack(each)) for name, each in node.members])


def compare(node: Node, data: bytes, where: str) -> None:
    """Assert that a file says what it must by its reference reader, and is the same bytes where it can be."""
    if isinstance(node, Box):
        read = BOXES[node.form][1](data)
        assert [name for name, _ in read] == [name for name, _ in node.members], where
        for (name, inner), (_, each) in zip(read, node.members, strict=True):
            compare(each, inner, f"{where}/{name}")
        return
    write, read_rows = LEAVES[node.form]
    assert read_rows(data) == [tuple(row) for row in node.rows], where
    if node.form not in REWRITTEN:
        assert data == write(node.rows), where


def _csv(delimiter: str, encoding: str, quoting: int = csv.QUOTE_MINIMAL, *, trailer: bool = False):
    def write(rows) -> bytes:
        out = io.StringIO(newline="")
        writer = csv.writer(out, delimiter=delimiter, quoting=quoting, lineterminator="\r\n")
        writer.writerows([COLUMNS, *rows])
        if trailer:
            writer.writerow(["EOF", str(len(rows)).zfill(6)])
        if encoding == "cp1252":  # which has letters with accents, and no accents
            return unicodedata.normalize("NFC", out.getvalue()).encode(encoding, "replace")
        return out.getvalue().encode(encoding)

    def read(data: bytes):
        rows = [
            tuple(row)
            for row in csv.reader(io.StringIO(data.decode(encoding), newline=""), delimiter=delimiter)
        ]
        assert rows[0] == COLUMNS
        if trailer:
            assert rows[-1] == ("EOF", str(len(rows) - 2).zfill(6))
        return rows[1 : -1 if trailer else None]

    return write, read


def _object(row) -> str:
    return json.dumps(dict(zip(COLUMNS, row, strict=True)), ensure_ascii=len(row[1]) % 2 == 0)


def _json(rows) -> bytes:
    return ('{"v": 1, "rijen": [' + ", ".join(map(_object, rows)) + "]}\n").encode()


def _xml(rows) -> bytes:
    out = ['<?xml version="1.0" encoding="utf-8"?>\n<p:lijst xmlns:p="urn:p"><datum>x</datum><personen>']
    for row in rows:
        nr, *texts = (text.replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;") for text in row)
        cells = "".join(
            f"<p:{label}>{text}</p:{label}>" for label, text in zip(COLUMNS[1:], texts, strict=True)
        )
        out.append(f'\n  <persoon nr="{nr}">{cells}</persoon>')
    return "".join([*out, "\n</personen></p:lijst>\n"]).encode()


def _read_xml(data: bytes):
    people = etree.fromstring(data).find("personen")
    return [(each.get("nr"), *(value.text or "" for value in each)) for each in people]


def _xlsx(rows) -> bytes:
    book = openpyxl.Workbook()
    for row in (COLUMNS, *rows):
        book.active.append([_as_date(text) or text for text in row])
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


def _read_xlsx(data: bytes):
    rows = openpyxl.load_workbook(io.BytesIO(data)).active.iter_rows(
        min_row=2, max_col=len(COLUMNS), values_only=True
    )
    return [tuple(_as_text(value) for value in row) for row in rows if any(row)]


def _as_date(text: str) -> date | None:
    """The date that a spreadsheet makes of a text that is one."""
    return date.fromisoformat(text) if len(text) == 10 and text[4:8:3] == "--" else None


def _as_text(value: object) -> str:
    return str(value.date()) if isinstance(value, datetime) else str(value or "")


def _ods(rows) -> bytes:
    document = OpenDocumentSpreadsheet()
    table = Table(name="Blad1")
    for fields in (COLUMNS, *rows):
        row = TableRow()
        for each in fields:
            cell = TableCell(valuetype="string")
            cell.addElement(P(text=each))
            row.addElement(cell)
        table.addElement(row)
    document.spreadsheet.addElement(table)
    out = io.BytesIO()
    document.write(out)
    return out.getvalue()


def _read_ods(data: bytes):
    rows = [
        tuple(map(str, row.getElementsByType(TableCell)))
        for row in load(io.BytesIO(data)).spreadsheet.getElementsByType(TableRow)
    ]
    return [row for row in rows[1:] if any(row)]


def _letter(rows) -> bytes:
    return "".join(f"Beste {'|'.join(row)},\n\ntot ziens.\n" for row in rows).encode()


def _read_letter(data: bytes):
    return [tuple(line[6:-1].split("|")) for line in data.decode().splitlines() if line.startswith("Beste ")]


def _mbox(rows) -> bytes:
    out = []
    for row in rows:
        message = EmailMessage()
        message["Subject"], message["From"] = "bericht", "balie@example.com"
        message.set_content("|".join(row) + "\n", cte="quoted-printable")
        out.append(b"From balie Thu Jan  1 00:00:00 2026\n" + message.as_bytes() + b"\n")
    return b"".join(out)


def _read_mbox(data: bytes):
    with tempfile.NamedTemporaryFile() as file:
        file.write(data)
        file.flush()
        return [
            tuple(each.get_payload(decode=True).decode().strip("\n").split("|"))
            for each in mailbox.mbox(file.name, create=False)
        ]


def _zip(members) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return out.getvalue()


def _read_zip(data: bytes):
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.testzip() is None
        return [(name, archive.read(name)) for name in archive.namelist()]


def _tar(mode: str):
    def write(members) -> bytes:
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode=f"w:{mode}") as archive:
            for name, content in members:
                info = tarfile.TarInfo(name)
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
        return out.getvalue()

    def read(data: bytes):
        with tarfile.open(fileobj=io.BytesIO(data), mode=f"r:{mode}") as archive:
            return [(member.name, archive.extractfile(member).read()) for member in archive]

    return write, read


def _gzip(members) -> bytes:
    ((_, content),) = members
    return gzip.compress(content, mtime=1)


def _read_gzip(data: bytes):
    return [("", gzip.decompress(data))]


def _eml(members) -> bytes:
    message = EmailMessage(policy=email.policy.SMTP)
    message["Subject"], message["From"] = "Bijlagen", "balie@example.com"
    message.set_content("Zie de bijlagen.")
    for name, content in members:
        message.add_attachment(content, maintype="application", subtype="octet-stream", filename=name)
    return message.as_bytes()


def _read_eml(data: bytes):
    message = email.message_from_bytes(data, policy=email.policy.default)
    return [(part.get_filename(), part.get_payload(decode=True)) for part in message.iter_attachments()]


Writer = Callable[..., bytes]
LEAVES: dict[str, tuple[Writer, Callable[[bytes], list[tuple[str, ...]]]]] = {
    "semicolon": _csv(";", "utf-8-sig"),
    "comma": _csv(",", "utf-16", csv.QUOTE_ALL),
    "tab": _csv("\t", "cp1252"),
    "trailer": _csv("|", "utf-8", trailer=True),
    "json": (_json, lambda data: [tuple(row.values()) for row in json.loads(data)["rijen"]]),
    "ndjson": (
        lambda rows: "".join(_object(row) + "\n" for row in rows).encode(),
        lambda data: [tuple(json.loads(line).values()) for line in data.splitlines()],
    ),
    "xml": (_xml, _read_xml),
    "xlsx": (_xlsx, _read_xlsx),
    "ods": (_ods, _read_ods),
    "letter": (_letter, _read_letter),
    "mbox": (_mbox, _read_mbox),
}
BOXES: dict[str, tuple[Writer, Callable[[bytes], list[tuple[str, bytes]]]]] = {
    "zip": (_zip, _read_zip),
    "tar": _tar(""),
    "tgz": _tar("gz"),
    "gz": (_gzip, _read_gzip),
    "eml": (_eml, _read_eml),
}
SUFFIX = {"semicolon": "csv", "comma": "csv", "tab": "tsv", "trailer": "csv", "letter": "txt"}
WHOLE = {"letter", "mbox"}
"""Formats of which nothing is left without a record that stays."""
ONE = {"letter"}
REWRITTEN = {"xlsx", "ods"}
"""Formats whose writers make other bytes for the same cells each time."""
