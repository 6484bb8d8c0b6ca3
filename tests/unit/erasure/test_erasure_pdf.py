"""PDF: a document about her goes whole; what cannot be read of one is told."""

import io
import subprocess
import zlib

import pypdf
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sftpd.erasure.formats.detect import detect
from sftpd.erasure.formats.model import Inquiry, UnsearchableError
from sftpd.erasure.identifiers import parse_identifier

JAN = parse_identifier("email=jan@example.nl")


def find(data: bytes):
    return detect(b"a.pdf", data).find(data, Inquiry([JAN], detect, name=b"a.pdf"))


def pdf(*pages: str, extra: str = "", info: str = "", packed: bool = True) -> bytes:
    """A document with a line of text a page, none for an empty one, which draws a box instead."""
    kids = " ".join(f"{4 + 2 * number} 0 R" for number in range(len(pages)))
    objects = [
        f"<< /Type /Catalog /Pages 2 0 R {extra} >>".encode(),
        f"<< /Type /Pages /Count {len(pages)} /Kids [{kids}] >>".encode(),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>",
    ]
    for number, text in enumerate(pages):
        shown = f"BT /F1 12 Tf 72 700 Td ({text}) Tj ET" if text else "0 0 10 10 re f"
        content = zlib.compress(shown.encode("cp1252")) if packed else shown.encode("cp1252")
        filtered = "/Filter /FlateDecode" if packed else ""
        page = "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 600 800] /Resources << /Font << /F1 3 0 R >> >>"
        objects.append(f"{page} /Contents {5 + 2 * number} 0 R >>".encode())
        head = f"<< /Length {len(content)} {filtered} >>\nstream\n".encode()
        objects.append(head + content + b"\nendstream")
    objects.append(f"<< {info} >>".encode())
    out = io.BytesIO(b"%PDF-1.7\n")
    out.seek(0, io.SEEK_END)
    places = []
    for number, body in enumerate(objects, 1):
        places.append(out.tell())
        out.write(b"%d 0 obj\n%b\nendobj\n" % (number, body))
    start = out.tell()
    out.write(b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1))
    out.write(b"".join(b"%010d 00000 n \n" % place for place in places))
    trailer = b"trailer\n<< /Size %d /Root 1 0 R /Info %d 0 R >>\nstartxref\n%d\n%%%%EOF\n"
    out.write(trailer % (len(objects) + 1, len(objects), start))
    return out.getvalue()


def written(data: bytes, change) -> bytes:
    """The document after a change by pypdf."""
    writer = pypdf.PdfWriter(clone_from=io.BytesIO(data))
    change(writer)
    out = io.BytesIO()
    writer.write(out)
    return out.getvalue()


@pytest.mark.parametrize("text", ["Zoë schrijft aan jan@example.nl.", "Zoë schrijft aan xjan@example.nl."])
def test_a_document_is_found_by_the_text_that_pdftotext_reads(tmp_path, text) -> None:
    path = tmp_path / "a.pdf"
    path.write_bytes(pdf("voorblad", text))
    read = subprocess.run(["pdftotext", path, "-"], capture_output=True, check=True).stdout.decode()
    assert text in read
    findings = find(path.read_bytes())
    assert findings.whole == (" jan@" in text)
    assert list(findings.locators) == (["page 2"] if findings.whole else [])
    assert list(findings.unsearched) == []


def test_properties_remarks_links_fields_and_attachments_are_searched() -> None:
    plain = pdf("tekst")
    assert not find(plain).locators
    annotation = "[<< /Type /Annot /Subtype /Link /A << /S /URI /URI (mailto:jan@example.nl) >> >>]"
    hers = [
        pdf("tekst", info="/Author (jan@example.nl)"),
        pdf("tekst", info=f"/Author <{b'jan@example.nl'.hex()}>"),
        pdf("tekst", info=f"/Author <9f20{b'jan@example.nl'.hex()}>"),
        pdf("tekst", extra=f"/Outlines << /Title <feff{'jan@example.nl'.encode('utf-16-be').hex()}> >>"),
        pdf("tekst", extra=f"/Annots {annotation}"),
        written(plain, lambda writer: writer.add_attachment("a.csv", b"a;b\njan@example.nl;1\nx;2\n")),
        written(plain, lambda writer: writer.add_attachment("jan@example.nl.txt", b"x")),
    ]
    for data in hers:
        assert find(data).whole
    attached = written(plain, lambda writer: writer.add_attachment("a.bin", b"\0\1"))
    assert "part 1: it holds control characters" in find(attached).unsearched[0]


def test_pages_without_text_and_earlier_revisions_are_told() -> None:
    assert find(pdf("tekst", "", "")).unsearched == [
        "page 2: it has no text, as pictures have",
        "page 3: it has no text, as pictures have",
    ]
    twice = pdf("tekst")
    start = twice.rindex(b"startxref")
    assert find(twice + twice[start:]).unsearched == ["earlier revisions that the file keeps"]


def test_an_encrypted_document_is_unsearchable_unless_anyone_may_read_it() -> None:
    shut = written(pdf("jan@example.nl"), lambda writer: writer.encrypt("geheim", algorithm="AES-256"))
    with pytest.raises(UnsearchableError, match="encrypted"):
        find(shut)
    open_to_all = written(
        pdf("jan@example.nl"), lambda writer: writer.encrypt("", owner_password="x", algorithm="AES-256")
    )
    assert find(open_to_all).whole


DEEP = pdf("tekst", extra="/X " + "[" * 100 + "]" * 100)
LOOP = pdf("tekst").replace(b"/Kids [4 0 R]", b"/Kids [2 0 R]")


@pytest.mark.parametrize(
    "data",
    [b"%PDF-1.7\n", pdf("tekst")[:300], b"%PDF-1.7\n%%EOF", DEEP, LOOP],
    ids=["bare", "cut", "empty", "deep", "loop"],
)
def test_damaged_documents_are_unsearchable(data: bytes) -> None:
    with pytest.raises(UnsearchableError):
        find(data)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2000), st.binary(min_size=1, max_size=6)), min_size=1, max_size=4))
def test_no_bytes_raise_anything_else(writes) -> None:
    data = pdf("tekst", "jan@example.nl", packed=False)
    for position, new in writes:
        place = 5 + position % len(data)
        data = data[:place] + new + data[place + len(new) :]
    try:
        find(data)
    except UnsearchableError:
        return
