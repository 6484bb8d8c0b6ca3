"""Lines of a fixed width lose the person's whole lines, and their trailer counts fewer."""

from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sftpd.erasure.formats import model
from sftpd.erasure.formats.detect import detect
from sftpd.erasure.formats.fixed_width import FixedLines
from sftpd.erasure.formats.model import Inquiry, UnsearchableError
from sftpd.erasure.identifiers import parse_identifier
from sftpd.erasure.layouts import Column, FixedWidth

COLUMNS = (Column("naam", 1, 12), Column("klantnummer", 13, 4), Column("telefoon", 17, 10))
LAYOUT = FixedWidth("loon-*", COLUMNS, header=1, trailer=1, count=Column("aantal", 3, 5))
KNOWN = [parse_identifier(raw) for raw in ("customer=1234", "phone=0612345678", "email=jan@example.nl")]

HERS = "Jan de Vries12340612345678   10,50"
OTHER = "Piet Jansen 99990687654321   12,34"
NUMBERS_OF_OTHERS = "Els 1234    00010201234567 1234,00"
BEYOND = "Ko Boer     00020201234567   jan@example.nl"
SHORT = "Zoë Müller  5"


def redacted(text: str, layout: FixedWidth = LAYOUT, encoding: str = "utf-8") -> str:
    findings = FixedLines(layout).find(text.encode(encoding), Inquiry(KNOWN, detect))
    return b"".join(findings.rest()).decode(encoding)


ROWS = st.lists(st.sampled_from([HERS, OTHER, NUMBERS_OF_OTHERS, BEYOND, SHORT, ""]), max_size=8)
COUNTS = st.sampled_from(["{:05}", "{:>5}", "{:<5}"])


@given(ROWS, COUNTS, st.booleans(), st.sampled_from(["\n", "\r\n"]), st.sampled_from([1, 7, 64, 1 << 20]))
def test_her_lines_go_and_the_trailer_counts_the_others(
    rows: list[str], count: str, with_all: bool, end: str, piece: int
) -> None:
    def written(rows: list[str]) -> str:
        number = sum(map(bool, rows)) + 2 * with_all
        return end.join(["LOON 2026", *rows, f"TR{count.format(number)}EUR", ""])

    kept = [row for row in rows if row not in (HERS, BEYOND)]
    for encoding in ("utf-8", "cp1252", "utf-16"):
        with patch.object(model, "_PIECE", piece):
            assert redacted(written(rows), encoding=encoding) == written(kept)


def test_columns_part_what_stands_together() -> None:
    bare = FixedWidth("*", COLUMNS)
    assert redacted(f"{OTHER}\n{HERS}\n{SHORT}", bare) == f"{OTHER}\n{SHORT}"
    # Without its column a number that others touch is nobody's.
    assert redacted("Jan de Vries12340612345678", FixedWidth("*", (Column("regel", 1, 80),))) != ""


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (f"LOON\n{HERS}\nTR00007", "its last line does not count its 1 records"),
        (f"LOON\n{HERS}\nTR1,5  ", "its last line does not count its 1 records"),
        (f"LOON jan@example.nl\n{OTHER}\nTR00001", "line 1 is in its header or trailer"),
        (f"LOON\n{OTHER}\nTR00001 jan@example.nl", "line 3 is in its header or trailer"),
        ("jan@example.nl", "it has fewer lines than its header and trailer"),
    ],
)
def test_what_is_not_of_its_layout_is_unsearchable(text: str, reason: str) -> None:
    with pytest.raises(UnsearchableError, match=reason):
        redacted(text)


def test_what_certainly_does_not_hold_her_is_not_read_further() -> None:
    assert redacted("anything") == "anything"


def test_a_layout_is_for_text_whose_name_fits() -> None:
    for name, data, expected in (
        (b"map/loon-1.csv", b"a;b\n", "fixed width"),
        (b"loon-1.gz", b"\x1f\x8b\x08", "gzip"),
        (b"x-loon-1.csv", b"a;b\n", "csv"),
    ):
        assert detect(name, data, [LAYOUT]).name == expected
