"""Readers: sandboxed, expendable, and asked again when one dies."""

import io
import os
import tarfile
import zipfile

import pypdf
import pytest

from sftpd.erasure import readers as readers_module
from sftpd.erasure.messages import Found, Redact, Search, Unsearchable
from sftpd.erasure.readers import READER, Readers
from sftpd.process.pool import Children

JAN = ("email=jan@example.nl",)


@pytest.fixture
def children():
    with Children.start([READER]) as started:
        yield started


@pytest.fixture
def readers(children):
    made = Readers(children)
    yield made
    made.close()


def ask(readers, path, question=None):
    fd = os.open(path, os.O_RDONLY)
    try:
        return readers.ask(question or Search(b"a.csv", JAN), [fd])
    finally:
        os.close(fd)


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes(b"a;b\r\nx;jan@example.nl\r\n")
    return path


def test_a_reader_finds_and_redacts(readers, table):
    assert ask(readers, table) == Found("csv", 1, ("record 2",))
    draft = table.with_name("draft")
    with table.open("rb") as source, draft.open("w+b") as out:
        answer = readers.ask(Redact(b"a.csv", JAN), [source.fileno(), out.fileno()])
    assert answer == Found("csv", 1, ("record 2",))
    assert draft.read_bytes() == b"a;b\r\n"


def test_a_reader_reads_and_writes_archives_and_xml_inside_its_sandbox(readers, tmp_path):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("é.xml", '<?xml version="1.0" encoding="cp1252"?><a><p>jan@example.nl</p><p/></a>')
        archive.writestr("o.txt", "Beste piet@example.nl")
        archive.writestr("x.bin", b"\0")
    bundle = io.BytesIO()
    with tarfile.open(fileobj=bundle, mode="w:gz") as archive:
        member = tarfile.TarInfo("in.zip")
        member.size = len(out.getvalue())
        archive.addfile(member, io.BytesIO(out.getvalue()))
    path, draft = tmp_path / "a.tar.gz", tmp_path / "draft"
    path.write_bytes(bundle.getvalue())
    with path.open("rb") as source, draft.open("w+b") as new:
        answer = readers.ask(Redact(b"a.tar.gz", JAN), [source.fileno(), new.fileno()])
    assert answer == Found(
        "gzip",
        1,
        ("content.tar: in.zip: é.xml: /a[1]/p[1]",),
        unsearched=("part 1, part 1, part 3: it holds control characters, as binary files do",),
    )
    with tarfile.open(draft) as archive:
        left = zipfile.ZipFile(io.BytesIO(archive.extractfile("in.zip").read()))
    assert left.read("é.xml").endswith(b"<a><p/></a>")


def test_a_reader_reads_an_encrypted_pdf_that_anyone_may_read(readers, tmp_path):
    writer = pypdf.PdfWriter()
    writer.add_blank_page(100, 100)
    writer.add_metadata({"/Author": "Jan <jan@example.nl>"})
    writer.encrypt("", owner_password="x", algorithm="AES-256")
    path = tmp_path / "a.pdf"
    writer.write(path)
    answer = ask(readers, path, Search(b"a.pdf", JAN))
    assert answer == Found("pdf", 1, ("properties, remarks or fields",), whole=True)


def test_long_names_in_a_file_do_not_make_an_answer_too_long(readers, tmp_path):
    path = tmp_path / "a.xml"
    name = "n" * 10_000
    path.write_text(f"<{name}>" + f"<{name}>jan@example.nl</{name}>" * 200 + f"<{name}/></{name}>")
    answer = ask(readers, path, Search(b"a.xml", JAN))
    assert isinstance(answer, Found)
    assert answer.records == 200
    assert (len(answer.locators), max(map(len, answer.locators))) == (100, 200)


def test_readers_are_kept_and_a_dead_one_is_replaced(readers, children, table):
    ask(readers, table)
    (first,) = children.running()
    ask(readers, table)
    assert children.running() == (first,)
    first.kill()
    assert ask(readers, table) == Found("csv", 1, ("record 2",))


def test_a_file_that_no_reader_survives_is_unsearchable_and_the_next_is_read(
    children, table, tmp_path, monkeypatch
):
    monkeypatch.setattr(readers_module, "_CPU_LIMIT", 1)
    slow = tmp_path / "slow.csv"
    slow.write_bytes(b"a;b\n" + b"jan@example.nl;jan@example.nl.com\n" * 2_000_000)
    readers = Readers(children)
    answer = ask(readers, slow)
    assert isinstance(answer, Unsearchable)
    assert "SIGXCPU" in answer.reason or "SIGKILL" in answer.reason
    assert ask(readers, table) == Found("csv", 1, ("record 2",))
    readers.close()


def test_memory_is_limited(children, tmp_path, monkeypatch):
    monkeypatch.setattr(readers_module, "_MEMORY_LIMIT", 64 << 20)
    big = tmp_path / "big.csv"
    big.write_bytes(b'{"a": "jan@example.nl", "b": "' + b"x" * (60 << 20) + b'"}')
    readers = Readers(children)
    answer = ask(readers, big, Search(b"a.json", JAN))
    readers.close()
    assert answer == Unsearchable("it takes more memory than a reader has")


def test_lines_of_any_number_are_redacted_in_little_memory(children, tmp_path, monkeypatch):
    monkeypatch.setattr(readers_module, "_MEMORY_LIMIT", 64 << 20)
    readers = Readers(children)
    for name, others, hers in (
        (b"a.csv", b'xjan@example.com;"naam"\r\n', b"jan@example.nl;naam\r\n"),
        (b"a.ndjson", b'{"mail": "xjan@example.com"}\n', b'{"mail": "jan@example.nl"}\n'),
    ):
        block = others * ((1 << 20) // len(others))
        huge, draft = tmp_path / "huge", tmp_path / "draft"
        with huge.open("wb") as file:
            for number in range(32):
                file.write(block + (hers if number % 31 == 0 else b""))
        with huge.open("rb") as source, draft.open("w+b") as out:
            answer = readers.ask(Redact(name, JAN), [source.fileno(), out.fileno()])
        assert isinstance(answer, Found), answer
        assert answer.records == 2
        assert draft.read_bytes() == block * 32
    readers.close()


def test_a_reader_that_takes_too_long_is_ended(children, tmp_path):
    slow = tmp_path / "slow.csv"
    slow.write_bytes(b"a;b\n" + b"x;jan@example.nl.com\n" * 2_000_000)
    readers = Readers(children, patience=0.05)
    answer = ask(readers, slow)
    readers.close()
    assert isinstance(answer, Unsearchable)
    assert "0.05 seconds" in answer.reason
    assert children.running() == ()


def test_a_reader_loads_every_encoding_it_needs_inside_its_sandbox(readers, tmp_path):
    for encoding in ("utf-8", "utf-8-sig", "cp1252", "utf-16"):
        path = tmp_path / f"{encoding}.csv"
        path.write_bytes("naam;mail\nZoë;jan@example.nl\n".encode(encoding))
        assert ask(readers, path) == Found("csv", 1, ("record 2",)), encoding
