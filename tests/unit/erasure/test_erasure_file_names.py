"""When the name of a file carries an identifier, also where sftpd or others have added to it."""

from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sftpd.erasure.file_names import file_name_carries, file_name_may_carry, name_carries
from sftpd.erasure.identifiers import noting, parse_identifier, recalled
from sftpd.erasure.marks import Marks
from sftpd.exchange.deliver import other_name
from sftpd.exchange.layout import LAYOUTS
from sftpd.files.naming import apart_from_reasons, numbered, reason_beside
from sftpd.names import TransferId

EMAIL, PHONE, BSN = "email=jan@example.nl", "phone=0612345678", "bsn=123456782"
CUSTOMER, ADDRESS, BORN = "customer=1234", "address=3581 CD 12", "born=Jan de Vries 1980-05-17"
TRANSFER = TransferId("01k5zq8v3n9w6e2r7t4y1a0b3c")
RECEIPT = f".{TRANSFER}.12.delivered.json.sig"


@pytest.mark.parametrize(
    ("identifier", "name"),
    [
        *(
            (EMAIL, f"jan@example.nl{added}")
            for added in (
                *("", ".csv", ".CSV", ".csv.gz", ".tar.gz", ".csv.pgp", ".csv.ok", ".reason.txt"),
                *(
                    ".1.csv",
                    ".2.1.csv",
                    ".csv.12.gz",
                    ".1.csv.gz",
                    ".1",
                    ".csv.reason.txt",
                    ".1.csv.reason.txt",
                ),
                *(".csv.reason.txt.file", ".csv.reason.txt.file.reason.txt", f"-{TRANSFER}.csv"),
                *(f".csv{RECEIPT}", f"-{TRANSFER}.1.csv{RECEIPT}"),
            )
        ),
        (EMAIL, f"jan@example-{TRANSFER}.nl"),
        *(
            (PHONE, f"0612345678{added}")
            for added in ("", ".csv", ".klt", ".csv.gz", ".csv.klt", ".csv.reason.txt")
        ),
        (PHONE, f"0612345678-{TRANSFER}.csv"),
        (CUSTOMER, f"klant 1234-{TRANSFER}.csv"),
        (ADDRESS, "3581CD 12.csv.reason.txt"),
        (BORN, f"Jan de Vries 1980-05-17-{TRANSFER}.pdf"),
        (BSN, "march+123456782.csv"),
    ],
)
def test_what_is_surely_added_to_a_name_hides_nobody(identifier: str, name: str) -> None:
    assert file_name_carries([parse_identifier(identifier)], name.encode())


@pytest.mark.parametrize(
    ("identifier", "name"),
    [
        *(
            (EMAIL, name)
            for name in (
                *("march+jan@example.nl.csv", "2026+march+jan@example.nl.1.csv", "jan+.news@example.nl.csv"),
                *(f"march+jan@example.nl-{TRANSFER}.csv", "march+jan@example.nl.csv.reason.txt"),
                *(
                    "jan@example.1.nl",
                    "jan@example.nl.com",
                    "jan@example.nl.com.csv",
                    "jan@example.nl.csv.klt",
                ),
                *("jan@example.nl.1.klt", "jan@example.nl.csv_done", "jan@example.nl.csv-klaar"),
            )
        ),
        ("email=jan+news@example.nl", "jan+.news@example.nl.csv"),
        ("email=jan+news@example.nl", "march+jan+.news@example.nl.csv"),
        *((PHONE, f"{added}.csv") for added in ("0612345678.1", "march+0612345678")),
        (PHONE, "0612345678.1"),
        (BSN, "123456782.1.csv"),
        (CUSTOMER, "klant 1234.1.csv"),
        (CUSTOMER, "klant 1234.1"),
        (ADDRESS, "3581CD 12.1.csv"),
        (ADDRESS, "3581CD 12.bis"),
        (BORN, "Jan de Vries 1980-05-17.1.csv"),
    ],
)
def test_what_may_be_another_s_name_is_a_possible_match(identifier: str, name: str) -> None:
    known = [parse_identifier(identifier)]
    assert not file_name_carries(known, name.encode())
    assert file_name_may_carry(known, name.encode())


@pytest.mark.parametrize(
    ("identifier", "name"),
    [
        *(
            (EMAIL, name)
            for name in (
                *(
                    "xjan@example.nl.1.csv",
                    "march+xjan@example.nl.csv",
                    "jan@example.nl.com.uk.csv",
                    "jan.csv",
                ),
                *(
                    "jan@example.nl-x.csv",
                    "jan@example.nlx.csv",
                    "march.jan@example.nl.csv",
                    "1.csv",
                    ".1.csv",
                ),
            )
        ),
        ("email=jan@example.nl.1", "jan@example.nl.2.csv"),
        (PHONE, "06123456781.csv"),
        (CUSTOMER, "klant 12345.1.csv"),
        (CUSTOMER, "klant 1.1234.csv"),
        (ADDRESS, "3581CD 121.csv"),
    ],
)
def test_somebody_else_s_name_is_no_match(identifier: str, name: str) -> None:
    known = [parse_identifier(identifier)]
    assert not file_name_carries(known, name.encode())
    assert file_name_may_carry(known, name.encode()) is None


def test_the_longer_of_two_addresses_has_the_file() -> None:
    name = b"jan@example.nl.1.csv"
    assert file_name_carries([parse_identifier("email=jan@example.nl.1")], name)


@given(
    st.sampled_from(["jan@example.nl.csv", "jan@example.nl.pdf", "jan@example.nl.tar.gz"]),
    st.integers(0, 9_999),
    st.booleans(),
    st.booleans(),
)
def test_every_name_that_sftpd_makes_of_hers_is_hers(
    name: str, number: int, other: bool, failed: bool
) -> None:
    made = name.encode()
    if other:
        (made,) = other_name((made,), TRANSFER)
    made = next(islice(numbered(made), number, None))
    if failed:
        made = reason_beside(apart_from_reasons(made))
    assert file_name_carries([parse_identifier(EMAIL)], made)


@given(st.lists(st.sampled_from([b"2026", b"march", b"a+b", b"+", b"x.y"]), max_size=4))
def test_no_folder_hides_her_name(folders: list[bytes]) -> None:
    for name in (b"jan@example.nl.csv", b"jan+news@example.nl.csv"):
        known = [parse_identifier(f"email={name.removesuffix(b'.csv').decode()}")]
        (made,) = LAYOUTS["flatten"]((*folders, name))
        assert file_name_carries(known, made) or file_name_may_carry(known, made)


@given(st.binary(max_size=255))
def test_no_name_is_too_odd_to_look_at(name: bytes) -> None:
    known = [parse_identifier(each) for each in (EMAIL, PHONE, CUSTOMER, ADDRESS, BORN)]
    assert file_name_carries(known, name) in (True, False)
    file_name_may_carry(known, name)


def test_the_name_of_a_part_is_known_again_by_its_mark_and_no_other_is() -> None:
    marks = Marks(bytes(32))
    known = [noting(parse_identifier(plain), marks.note, marks.note_record) for plain in (EMAIL, CUSTOMER)]
    names = ("jan@example.nl.1.csv", "klant 1234.csv", "klant 1234.1.csv", "klant 1234")
    told = [name_carries(known, name) for name in names]
    again = [recalled(Marks(bytes(32), marks.packed()).knows, None)]
    assert [name_carries(again, name) for name in names] == told == [True, True, False, True]
