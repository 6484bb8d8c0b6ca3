"""When a text carries an identifier and when it speaks of somebody else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sftpd.erasure.identifiers import carries, fold, parse_identifier
from sftpd.errors import InvalidNameError, UsageError

JAN = "email=Jan@Example.nl"


@pytest.mark.parametrize(
    "text",
    [
        "jan@example.nl",
        "JAN@EXAMPLE.NL",
        "Jan <jan@example.nl>; tel 06",
        "schrijf jan@example.nl.",
        "schrijf...jan@example.nl...of bel",
        "'jan@example.nl'",
        "- jan@example.nl",
        "mailto:jan@example.nl?subject=x",
        "?email=jan@example.nl&x=1",
        "xjan@example.nl jan@example.nl",
        "ｊａｎ@example.nl",
    ],
)
def test_an_email_is_found_where_it_stands_alone(text: str) -> None:
    assert parse_identifier(JAN).matches(text)


@pytest.mark.parametrize(
    "text",
    [
        "xjan@example.nl",
        "x.jan@example.nl",
        "x-jan@example.nl",
        "o'jan@example.nl",
        "jan+x@example.nl",
        "jan@example.nl.com",
        "jan@example.nl-x.com",
        "jan@example.nlx",
        "jan@example.nl@x",
        "jan@example.com",
        "",
    ],
)
def test_an_email_inside_another_is_somebody_else(text: str) -> None:
    assert not parse_identifier(JAN).matches(text)


@pytest.mark.parametrize(
    ("identifier", "text", "label", "found"),
    [
        ("phone=06-12345678", "+31 (0)6 12 34 56 78", "", True),
        ("phone=06-12345678", "0031612345678", "", True),
        ("phone=+31 6 12345678", "tel:06-12345678, thuis", "", True),
        ("phone=06-12345678", "0612345679", "", False),
        ("phone=06-12345678", "106123456780", "", False),
        ("phone=06-12345678", "+32612345678", "", False),
        ("phone=+4930123456", "0049 30 123456", "", True),
        ("phone=+4930123456", "030123456", "", False),
        ("bsn=111222333", "BSN 1112.22.333", "", True),
        ("bsn=010464554", "10464554", "", True),
        ("bsn=010464554", "110464554", "", False),
        ("bsn=111222333", "111222333,50", "", False),
        ("bsn=111222333", "1.111.222.333", "", False),
        ("iban=NL91 ABNA 0417 1643 00", "van nl91abna0417164300", "", True),
        ("iban=NL91ABNA0417164300", "NL91ABNA04171643001", "", False),
        ("name=Jan de Vries", "JAN  DE VRIES", "", True),
        ("name=Jan de Vries", "Jan de Vries-Smit", "", False),
        ("customer=1234", "1234", "KlantNr", True),
        ("customer=1234", "1234", "klant.id", True),
        ("customer=1234", "Klantnummer: 1234", "", True),
        ("customer=1234", "1234", "bedrag", False),
        ("customer=1234", "12345", "klant", False),
        ("employee=P-77", "p-77", "personeelsnummer", True),
    ],
)
def test_other_types_are_found_in_the_forms_people_write(
    identifier: str, text: str, label: str, found: bool
) -> None:
    assert parse_identifier(identifier).matches(text, label) is found


@pytest.mark.parametrize("raw", ["jan@example.nl", "fax=1", "=x", ""])
def test_an_unknown_type_is_a_usage_error_that_lists_the_types(raw: str) -> None:
    with pytest.raises(UsageError, match="bsn, customer, email"):
        parse_identifier(raw)


@pytest.mark.parametrize(
    "raw",
    [
        "email=jan",
        "email=a b@example.nl",
        "bsn=111222334",
        "bsn=000000000",
        "iban=NL91ABNA0417164301",
        "phone=712345678",
        "phone=99",
        "name=",
        "name=ʼʼ",
        "customer=abc",
        "name=" + "x" * 1000,
    ],
)
def test_an_impossible_value_is_refused_without_being_repeated(raw: str) -> None:
    with pytest.raises(InvalidNameError) as refused:
        parse_identifier(raw)
    value = raw.partition("=")[2]
    assert not value or value not in str(refused.value)


def test_repr_hides_the_value_and_digests_depend_on_the_key() -> None:
    jan = parse_identifier(JAN)
    assert "jan" not in repr(jan).lower()
    assert jan.digest(b"a") != jan.digest(b"b")
    assert jan.digest(b"a") == parse_identifier("email=JAN@example.nl").digest(b"a")


@given(st.sampled_from(["email=a.b@c.nl", "phone=0201234567", "bsn=111222333", "name=Ünal", JAN]))
def test_the_plain_form_reads_back_to_the_same_identifier(raw: str) -> None:
    identifier = parse_identifier(raw)
    assert parse_identifier(identifier.plain()) == identifier
    assert identifier.matches(identifier.value)


@given(st.text(), st.text())
def test_no_text_is_too_odd_to_look_at(text: str, label: str) -> None:
    identifiers = [parse_identifier(raw) for raw in (JAN, "phone=0612345678", "customer=12", "bsn=111222333")]
    carries(identifiers, text, label)


@given(
    st.sampled_from(
        [
            *(
                "email=jan@example.nl",
                "phone=+31612345678",
                "phone=+447911123456",
                "bsn=123456782",
                "bsn=010464554",
            ),
            *("iban=NL91ABNA0417164300", "name=Jan de Vries", "customer=1234", "employee=12-ab"),
        ]
    ),
    st.lists(
        st.sampled_from(
            [
                *(
                    "jan@example.nl",
                    "JAN@EXAMPLE.NL",
                    "0612345678",
                    "06-1234 5678",
                    "+31 (0)6 12345678",
                    "0031612345678",
                ),
                *(
                    "+44 7911 123456",
                    "123456782",
                    "1234.56.782",
                    "10464554",
                    "nl91 abna 0417 1643 00",
                    "Jan  de\nVries",
                ),
                *("klantnr 1234", "1234", "12-AB", "x", ";", " ", ".", "-", "1", '"'),
            ]
        ),
        max_size=4,
    ).map("".join),
    st.sampled_from(["", "klantnummer", "medewerker"]),
)
def test_what_carries_an_identifier_may_carry_it(raw: str, text: str, label: str) -> None:
    identifier = parse_identifier(raw)
    if identifier.matches(text, label):
        assert identifier.may_be_in(fold(f"begin;{text};eind"))
