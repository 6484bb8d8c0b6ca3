"""Customer and employee numbers as people write them, and what is no number of theirs."""

import io
import json
import zipfile
from collections.abc import Sequence

import openpyxl
import pytest
from fpdf import FPDF

from sftpd.erasure.finder import Why
from sftpd.erasure.formats.detect import detect
from sftpd.erasure.formats.model import Inquiry, UnsearchableError
from sftpd.erasure.identifiers import Identifier, carries, fold, parse_identifier, possible, under
from sftpd.erasure.layouts import Numbers, kinds_by_label
from sftpd.erasure.matches import find_both
from sftpd.erasure.tokenizing import Collector
from sftpd.erasure.tokens import wanted

KEY = b"k" * 32

CUSTOMER = """
klant 1234|klantnr 1234|klantnr.: 1234|klantnummer = 1234|klant nr. 1234|klant-id 1234|KlantID=1234
klant: nr. 1234|klant (nr. 1234)|klant met nummer 1234|klant met het nummer 1234|klantnum 1234|klantno. 1234
kl.nr. 1234|kl.nr 1234|klnr 1234|kl nr 1234|kl. nr. 1234|kl-nr: 1234|Klnr.: 1234|klt.nr. 1234|klnummer 1234
deb.nr. 1234|debnr 1234|deb nr 1234|deb. nummer 1234|debiteurnr 1234|debiteurennummer 1234|debiteur: 1234
relatienummer 1234|relatienr. 1234|relatie-nr 1234|Relatie nummer: 1234|rel.nr. 1234|relnr 1234
cust. no. 1234|cust no 1234|custno 1234|cust_no=1234|CustID: 1234|cust_id=1234|cust# 1234|cust nbr 1234
customer no. 1234|customer #1234|customer num 1234|customer with number 1234|client no 1234|debtor nr 1234
debtor no. 1234|debtor no 1234|debtor: 1234|debtor #1234|DebtorID=1234|debtor_id=1234|debtors number: 1234
deb. no. 1234|deb.code 1234|deb id 1234|relatie-id 1234|RelatieID=1234|relatiecode: 1234|relatie no. 1234
afnemernummer 1234|afnemersnr. 1234|afnemer id 1234|kl. no. 1234|rel.no. 1234|klt.no. 1234|klant n° 1234
customer's no. 1234|client’s number 1234|klantnr.value: 1234|klant.nr.waarde 1234|customerId.value = 1234
"""
EMPLOYEE = """
personeelsnummer 1234|personeelsnr. 1234|personeelnr 1234|personeel nr. 1234|pers.nr. 1234|pers.nr 1234
persnr 1234|pers nr. 1234|Pers. nr.: 1234|pers.nummer 1234|medewerkernr 1234|medewerker met nummer 1234
medew.nr 1234|medew. nr. 1234|medewnr 1234|mdw.nr. 1234|mdwnr 1234|werkn.nr. 1234|werknemersnummer 1234
staff no. 1234|staff #1234|staff id 1234|employee no. 1234|employee with number 1234|employee code: 1234
emp no 1234|emp. no. 1234|empno 1234|EmpID: 1234|emp_id=1234|emp nr 1234|emp. code 1234
personnel no. 1234|personnel number 1234|PersonnelNo=1234|personnel id: 1234|pers. no. 1234|personeel no. 1234
personeel id 1234|medew.id 1234|medewcode 1234|mdw id 1234|mdw-code: 1234|mdwno 1234|werkn.id 1234
employee's number 1234|personeelsnr.value: 1234|mdwnr.waarde 1234
"""
NEITHER = """
nr 1234|postnr 1234|huisnr 1234|kluisnr 1234|ordernr 1234|factuurnr. 1234|klachtnr 1234|snelkl.nr 1234
klantvriendelijk 1234|personeelsdag 1234 mei|klant met 1234 punten|klanten bestelden 1234 stuks
relatie 1234 dagen|rel 1234|deb 1234|debet nr 1234|kl 1234|pers 1234|4 pers. 1234 euro|persoon nr 1234
custom 1234|customs no 1234|template no 1234|temp no 1234|example id 1234|emp 1234|cust 1234|medewerking 1234
debtors 1234|debtor nothing 1234|deb. nota 1234|relatie idee 1234|relatie nodig 1234 dagen|relaties 1234
pers no 1234|pers.code 1234|kl.code 1234|rel id 1234|kl no 1234|afnemer 1234|afnemers 1234|personnel 1234
personeel 1234|personnel notes 1234|customer reference 1234|klantkenmerk 1234|klant.value 1234
klant.waarde 1234|klantnr.valuer 1234|klantnr.datum 1234|customer value 1234|debtor.value: 1234
mdw 1234|aandeb id 1234
klantnummer 12340|klantnr 11234|kl.nr. 12345|pers.nr. 1234,50|klnr 1234-5|expers.nr 1234|klantnr 10001234
"""


def forms(told: str) -> list[str]:
    return [form for line in told.split("\n") for form in line.split("|") if form]


def entries_have(kind: str, *texts: str, label: str = "") -> bool:
    """Whether an index has a token of the number 1234 where these are fields of a table, and of a text."""
    packed: list[bytes] = []
    for name, data in (
        ("a.csv", "\n".join(f"x;{text};y" for text in (label, *texts)).encode()),
        ("a.txt", "\n".join(texts).encode()),
        ("a.json", json.dumps([dict.fromkeys(("a", label), text) for text in texts]).encode()),
        ("a.xml", f"<r>{''.join(f'<a>{text}</a>' for text in texts)}</r>".encode()),
    ):
        collector = Collector(KEY, packed.append)
        collector.detect(name.encode(), data).find(data, collector.inquiry(name.encode()))
        collector.flush()
        if (wanted(parse_identifier(f"{kind}=1234"), KEY) or [b"?"])[0] not in b"".join(packed):
            return False
        packed.clear()
    return True


@pytest.mark.parametrize(
    ("kind", "text"),
    [*(("customer", form) for form in forms(CUSTOMER)), *(("employee", form) for form in forms(EMPLOYEE))],
)
def test_a_number_counts_behind_each_word_for_it(kind: str, text: str) -> None:
    other = {"customer": "employee", "employee": "customer"}[kind]
    for said in (text, f"Geachte heer, uw {text}, van 3 mei", f"({text})", text.upper()):
        assert carries([parse_identifier(f"{kind}=1234")], said)
        assert not carries([parse_identifier(f"{other}=1234")], said)
        assert entries_have(kind, said)
    head = text.removesuffix("1234").rstrip(" =(:")
    assert carries([parse_identifier(f"{kind}=1234")], "1234", head)
    assert entries_have(kind, text, label=head)


@pytest.mark.parametrize("text", forms(NEITHER))
@pytest.mark.parametrize("kind", ["customer", "employee"])
def test_a_number_does_not_count_behind_other_words(kind: str, text: str) -> None:
    known = parse_identifier(f"{kind}=1234")
    assert not carries([known, *possible(known)], text)
    assert not carries([known, *possible(known)], text.upper())


ZEROS = [("1234", "00001234"), ("00001234", "1234"), ("0001234", "01234"), ("7", "007")]


def workbook(*rows: Sequence[str | int]) -> bytes:
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(row)
    held = io.BytesIO()
    book.save(held)
    return held.getvalue()


def files(written: str) -> dict[str, bytes]:
    """One record with the number, beside one with a longer number, in each format."""
    rows = [("naam", "klantnummer"), ("Jan", written), ("Piet", f"{written}0")]
    documents = [{"naam": name, "klantnummer": number} for name, number in rows[1:]]
    table = "".join(f"{name};{number}\n" for name, number in rows).encode()
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("a.csv", table)
    elements = "".join(f"<r><n>{name}</n><klantnr>{number}</klantnr></r>" for name, number in rows[1:])
    made = {
        "a.csv": table,
        "a.zip": packed.getvalue(),
        "a.json": json.dumps(documents).encode(),
        "rows.json": json.dumps(rows).encode(),
        "a.ndjson": "".join(json.dumps(each) + "\n" for each in documents).encode(),
        "a.xml": f"<rs>{elements}</rs>".encode(),
        "a.xlsx": workbook(*rows),
        "a.txt": f"Beste Jan,\nuw kl.nr. is {written}.\n".encode(),
        "odd.csv": table.replace(b";", b"^"),
    }
    if not written.startswith("0"):
        made["n.xlsx"] = workbook(rows[0], ("Jan", int(written)), ("Piet", int(f"{written}0")))
        numbers = [{"naam": "Jan", "klantnummer": int(written)}, {"naam": "Piet", "klantnummer": 5}]
        made["n.json"] = json.dumps(numbers).encode()
    return made


@pytest.mark.parametrize(("known", "written"), ZEROS)
def test_other_leading_zeros_make_a_number_a_possible_one(known: str, written: str) -> None:
    person = parse_identifier(f"customer={known}")
    for name, data in files(written).items():
        findings, may_be = find_both(detect(name.encode(), data), data, Inquiry([person], detect))
        assert (len(findings.locators), [each.why for each in may_be]) == (0, [Why.ZEROS]), name
        packed: list[bytes] = []
        collector = Collector(KEY, packed.append)
        try:
            collector.detect(name.encode(), data).find(data, collector.inquiry(name.encode()))
        except UnsearchableError:
            continue
        collector.flush()
        assert any(each in b"".join(packed) for each in wanted(person, KEY) or ()), name


def test_a_number_as_it_is_known_is_certain_and_no_other_form_of_it() -> None:
    for known in ("1234", "00001234"):
        person = parse_identifier(f"customer={known}")
        for said in (f"klantnr {known}", f"klantnr {known}.0", f"klantnr {known}, nr 5"):
            assert carries([person], said)
            assert not carries(possible(person), said)
    assert carries(possible(parse_identifier("customer=1234")), "klantnr 1234, voorheen klantnr 01234")


@pytest.mark.parametrize("text", ["12340", "0012340", "10001234", "00001234-5", "0001234,50", "x01234"])
def test_other_numbers_with_zeros_are_no_form_of_it(text: str) -> None:
    known = parse_identifier("customer=1234")
    assert not carries([known, *possible(known)], text, "klantnummer")


def test_numbers_with_letters_have_no_form_with_zeros() -> None:
    assert [form.kind for form in possible(parse_identifier("customer=K-0012"))] == [Why.APART]


def test_a_label_that_is_told_by_hand_tells_of_forms_too() -> None:
    known = under(parse_identifier("customer=1234"), kinds_by_label([Numbers("Lid", "customer")]))
    form, _ = possible(known)
    assert form.matches("001234", "Lid")
    assert not form.matches("1234", "Lid")
    assert not form.matches("001234", fold("Led"))


def paper(*pages: str) -> bytes:
    """A PDF with a line for each line."""
    made = FPDF()
    made.set_font("Helvetica", size=10)
    for page in pages:
        made.add_page()
        made.multi_cell(0, text=page)
    return bytes(made.output())


def mail(text: str) -> bytes:
    return f"From: a@example.nl\nSubject: Uw lijst\nContent-Type: text/plain\n\n{text}".encode()


TABLES = [
    (
        "1042",
        "Naam Klantnummer Plaats\nJan 1042 Delft\nPiet de Boer 1043 Ede\n",
    ),
    ("1042", "Klantnr.\n\nNaam\n\n0001042\n\nJan\n"),
    ("01042", "Orders per klant-ID in mei:\n(1042) Jan, (1043) Piet.\n"),
    ("K-1042", "Debiteurnr / bedrag:\n- K-1042 / 12,50\n"),
    ("employee=P.7781", "Pers.nr.  Uren\nP.7781  38\n"),
]


@pytest.mark.parametrize(("known", "table"), TABLES)
def test_a_number_apart_from_what_it_is_called_may_be_hers(known: str, table: str) -> None:
    person = parse_identifier(known if "=" in known else f"customer={known}")
    for name, data in {
        "a.txt": table.encode(),
        "a.pdf": paper(table),
        "of more pages.pdf": paper(*table.partition("\n")[::2]),
        "a.eml": mail(table),
    }.items():
        findings, may_be = find_both(detect(name.encode(), data), data, Inquiry([person], detect))
        assert (findings.locators, [each.why for each in may_be]) == ([], [Why.APART]), name
        packed: list[bytes] = []
        collector = Collector(KEY, packed.append)
        collector.detect(name.encode(), data).find(data, collector.inquiry(name.encode()))
        collector.flush()
        assert any(each in b"".join(packed) for each in wanted(person, KEY) or ()), name


@pytest.mark.parametrize(
    "text",
    [
        "Klantnummer  Plaats\n11042  Delft\n1042-5 1042,50 1042.5\n",
        "Beste klant,\nuw order 1042 is onderweg.\n",
        "Ordernr  Plaats\n1042  Delft\n",
        "Pers.nr.  Uren\n1042  38\n",
        "klantnummers en klantideeën: 104 2\n",
    ],
)
def test_what_is_apart_from_other_words_or_another_number_is_not(text: str) -> None:
    person = parse_identifier("customer=1042")
    for name, data in {"a.txt": text.encode(), "a.pdf": paper(text), "a.eml": mail(text)}.items():
        findings, may_be = find_both(detect(name.encode(), data), data, Inquiry([person], detect))
        assert (findings.locators, may_be) == ([], []), name


def test_a_short_number_stands_for_too_much_by_itself() -> None:
    text = b"Klantnummer  Aantal\n104  12\n"
    person = parse_identifier("customer=104")
    assert find_both(detect(b"a.txt", text), text, Inquiry([person], detect))[1] == []


@pytest.mark.parametrize("inner", ["value", "waarde", "val", "#text", "$", "_", "Value"])
@pytest.mark.parametrize("label", ["klantnr", "KlantID", "cust_no", "relatiecode", "debtor no"])
def test_a_number_counts_as_the_value_of_a_member_that_is_an_object(label: str, inner: str) -> None:
    known = parse_identifier("customer=1234")
    records = json.dumps([{"n": "Jan", label: {inner: 1234, "@t": "x"}}, {"n": "Piet", label: {inner: 5}}])
    tag, said = label.replace(" ", ""), inner.strip("#$") or "value"
    elements = "".join(f"<r><n>x</n><{tag}><{said}>{n}</{said}></{tag}></r>" for n in ("1234", "5"))
    told = {"a.json": (records, "/0"), "a.xml": (f"<rs>{elements}</rs>", "/rs[1]/r[1]")}
    for name, (text, place) in told.items():
        assert found_in(text, name, known) == [place]
        packed: list[bytes] = []
        collector = Collector(KEY, packed.append)
        collector.detect(name.encode(), text.encode()).find(text.encode(), collector.inquiry(name.encode()))
        collector.flush()
        assert any(each in b"".join(packed) for each in wanted(known, KEY) or ())


@pytest.mark.parametrize(
    ("label", "inner"), [("klantnr", "datum"), ("klant", "value"), ("klantnr", "valuta")]
)
def test_a_number_does_not_count_as_another_member_of_an_object(label: str, inner: str) -> None:
    known = parse_identifier("customer=1234")
    assert found_in(json.dumps([{label: {inner: 1234}}, {}]), "a.json", known) == []
    assert found_in(f"<rs><r><{label}><{inner}>1234</{inner}></{label}></r><r/></rs>", "a.xml", known) == []


def found_in(text: str, name: str, known: Identifier) -> list[str]:
    data = text.encode()
    return list(detect(name.encode(), data).find(data, Inquiry([known], detect)).locators)


@pytest.mark.parametrize(
    ("page", "whole"),
    [
        ("<table><tr><th>Klantnr</th></tr><tr><td><b>1234</b></td></tr></table>", True),
        ("<table><tr><th><p>Klantnr</p></th><td><div><b>12</b><i>34</i></div></td></tr></table>", True),
        ("<table><tr><th>Ordernr</th></tr><tr><td><b>1234</b></td></tr></table>", False),
        (
            "<table><tr><th>Klantnr</th><th>Order</th></tr><tr><td><b>5</b></td><td><b>1234</b></td></tr></table>",
            False,
        ),
        ("<input name='klantnr' value='1234'>", True),
        ("<INPUT TYPE=text ID=klant-nr VALUE=1234 />", True),
        ('<meta content="1234" name="klant&shy;nummer">', True),
        ('<input name="klantnr" value="12345"><input name="ordernr" value="1234">', False),
        ('<input name="klantnr" maxlength="1234"><input value="1234">', False),
        ('<input name="klantnr" value=""><p>1234</p>', False),
    ],
)
def test_a_number_counts_in_a_cell_and_an_attribute_of_a_page(page: str, *, whole: bool) -> None:
    known = parse_identifier("customer=1234")
    text = f"<html><body>{page}</body></html>"
    assert bool(found_in(text, "a.html", known)) == whole
    if whole:
        packed: list[bytes] = []
        collector = Collector(KEY, packed.append)
        collector.detect(b"a.html", text.encode()).find(text.encode(), collector.inquiry(b"a.html"))
        collector.flush()
        assert any(each in b"".join(packed) for each in wanted(known, KEY) or ())
