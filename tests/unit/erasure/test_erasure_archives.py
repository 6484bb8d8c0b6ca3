"""ZIP, TAR and GZIP: members lose her records, hers go whole, the others stay as they were."""

import gzip
import io
import itertools
import os
import random
import struct
import subprocess
import tarfile
import zipfile
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from quines import gzip_quine, zip_quine

from sftpd.erasure.formats import model
from sftpd.erasure.formats.detect import detect
from sftpd.erasure.formats.model import Inquiry, UnsearchableError
from sftpd.erasure.identifiers import parse_identifier

JAN = parse_identifier("email=jan@example.nl")
TABLE = b"nr;mail\r\n1;jan@example.nl\r\n2;piet@example.nl\r\n"
TABLE_AFTER = b"nr;mail\r\n2;piet@example.nl\r\n"
LETTER = b"Beste jan@example.nl,\n"
OTHER = b"Beste piet@example.nl,\n"


def find(name: str, data: bytes):
    inquiry = Inquiry([JAN], detect, name=name.encode())
    return detect(name.encode(), data).find(data, inquiry)


def redacted(name: str, data: bytes) -> bytes:
    findings = find(name, data)
    after = b"".join(findings.rest())
    assert find(name, after).locators == [] or findings.whole
    return after


def zipped(members, **options) -> bytes:
    """A ZIP of (name, content) pairs."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(name, content, **options)
    return out.getvalue()


def tarred(members, form=tarfile.PAX_FORMAT, **values) -> bytes:
    """A TAR of (name, content) pairs."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as archive:
        for name, content in members:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            for key, value in values.items():
                setattr(member, key, value)
            archive.addfile(member, io.BytesIO(content))
    return out.getvalue()


def unzipped(data: bytes):
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.testzip() is None
        return [(info.filename, archive.read(info)) for info in archive.infolist()]


def untarred(data: bytes):
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        return [(member.name, archive.extractfile(member).read()) for member in archive if member.isreg()]


CONTENTS = [
    ("a.csv", TABLE, TABLE_AFTER),
    ("b.csv", TABLE_AFTER, TABLE_AFTER),
    ("brief.txt", LETTER, None),
    ("ander.txt", OTHER, OTHER),
    ("foto.png", b"\x89PNG\x00\x01", b"\x89PNG\x00\x01"),
    ("p/jan@example.nl.txt", OTHER, None),
    ("jan@example.nl/1.txt", OTHER, None),
    ("z/" + "lang" * 20 + "/" + "x" * 60 + ".csv", TABLE, TABLE_AFTER),
    ("leeg.csv", b"", b""),
]


@given(st.lists(st.sampled_from(CONTENTS), max_size=8), st.randoms(use_true_random=False))
def test_zip_members_lose_her_alone(members, chance) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for number, (name, before, _) in enumerate(members):
            info = zipfile.ZipInfo(f"{number}/{name}", (1990 + number, 1, 2, 3, 4, 6))
            info.external_attr = chance.getrandbits(32)
            info.comment = b"remark"
            info.compress_type = chance.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))
            archive.writestr(info, before)
        archive.comment = chance.choice((b"", b"backup"))
    before = out.getvalue()
    after = redacted("a.zip", before)
    kept = [(f"{number}/{name}", left) for number, (name, _, left) in enumerate(members) if left is not None]
    if not kept and members:
        assert find("a.zip", before).whole
        return
    assert unzipped(after) == kept
    assert find("a.zip", before).locators or after == before
    old = {info.filename: info for info in zipfile.ZipFile(io.BytesIO(before)).infolist()}
    with zipfile.ZipFile(io.BytesIO(after)) as archive:
        assert archive.comment == zipfile.ZipFile(io.BytesIO(before)).comment
        for info in archive.infolist():
            was = old[info.filename]
            for value in ("date_time", "external_attr", "comment", "create_system", "compress_type"):
                assert getattr(info, value) == getattr(was, value)


@given(
    st.lists(st.sampled_from(CONTENTS), max_size=8),
    st.sampled_from([tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]),
)
def test_tar_members_lose_her_alone(members, form) -> None:
    values = {"mtime": 1234567890, "mode": 0o640, "uname": "beheer"}
    before = tarred(
        [(f"{n}/{name}", content) for n, (name, content, _) in enumerate(members)], form, **values
    )
    after = redacted("a.tar", before)
    kept = [(f"{n}/{name}", left) for n, (name, _, left) in enumerate(members) if left is not None]
    if not kept and members:
        assert find("a.tar", before).whole
        return
    expected = tarred(kept, form, **values)
    zeros = max(len(after), len(expected))
    assert after.ljust(zeros, b"\0") == expected.ljust(zeros, b"\0")


def test_gzip_keeps_its_header_and_loses_her() -> None:
    out = io.BytesIO()
    with gzip.GzipFile("klanten.csv", "wb", fileobj=out, mtime=42) as packed:
        packed.write(TABLE)
    after = redacted("x.gz", out.getvalue())
    assert gzip.decompress(after) == TABLE_AFTER
    assert after[4:8] == struct.pack("<L", 42)
    assert b"klanten.csv\0" in after
    two = gzip.compress(TABLE[:20]) + gzip.compress(TABLE[20:]) + b"\0" * 100
    assert gzip.decompress(redacted("a.csv.gz", two)) == TABLE_AFTER
    assert find("brief.txt.gz", gzip.compress(LETTER)).whole


def test_a_name_in_a_gzip_header_goes_and_the_content_stays() -> None:
    out = io.BytesIO()
    with gzip.GzipFile("jan@example.nl.txt", "wb", fileobj=out) as packed:
        packed.write(OTHER)
    after = redacted("a.gz", out.getvalue())
    assert gzip.decompress(after) == OTHER
    assert b"jan" not in after


def test_nested_archives_are_rewritten_inside_out() -> None:
    inner = zipped([("a.csv", TABLE), ("o.txt", OTHER)])
    bundle = gzip.compress(tarred([("in.zip", inner), ("brief.txt", LETTER), ("o.txt", OTHER)]))
    outer = zipped([("b.tgz", bundle), ("x.csv", TABLE)])
    findings = find("a.zip", outer)
    assert findings.locators[0].startswith("b.tgz: content.tar: in.zip: a.csv: record 2")
    assert len(findings.locators) == 3
    after = dict(unzipped(redacted("a.zip", outer)))
    assert after["x.csv"] == TABLE_AFTER
    tar = dict(untarred(gzip.decompress(after["b.tgz"])))
    assert unzipped(tar["in.zip"]) == [("a.csv", TABLE_AFTER), ("o.txt", OTHER)]
    assert sorted(tar) == ["in.zip", "o.txt"]


def test_one_member_that_goes_whole_leaves_nothing_of_its_archives() -> None:
    assert find("a.zip", zipped([("b.tar.gz", gzip.compress(tarred([("c.txt", LETTER)])))])).whole


def test_unzip_and_tar_read_what_is_left(tmp_path) -> None:
    path = tmp_path / "a.zip"
    path.write_bytes(redacted("a.zip", zipped([(name, before) for name, before, _ in CONTENTS])))
    subprocess.run(["unzip", "-tqq", path], check=True)
    path.write_bytes(redacted("a.tar", tarred([(name, before) for name, before, _ in CONTENTS])))
    subprocess.run(["tar", "tf", path], check=True, stdout=subprocess.DEVNULL)


def test_a_streamed_zip_with_descriptors_is_rewritten(tmp_path) -> None:
    class Pipe(io.RawIOBase):
        def __init__(self):
            self.data = b""

        def writable(self):
            return True

        def write(self, piece):
            self.data += bytes(piece)
            return len(piece)

    pipe = Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, before, _ in CONTENTS:
            archive.writestr(name, before)
    after = redacted("a.zip", pipe.data)
    assert unzipped(after) == [(name, left) for name, _, left in CONTENTS if left is not None]
    (tmp_path / "a.zip").write_bytes(after)
    subprocess.run(["unzip", "-tqq", tmp_path / "a.zip"], check=True)


def test_comments_and_hard_links_are_searched() -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        info = zipfile.ZipInfo("a.txt")
        info.comment = b"van jan@example.nl"
        archive.writestr(info, OTHER)
        archive.writestr("b.txt", OTHER)
        archive.comment = b"voor jan@example.nl"
    after = redacted("a.zip", out.getvalue())
    assert unzipped(after) == [("b.txt", OTHER)]
    assert b"jan@" not in after
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, kind, target, content in (
            ("brief.txt", tarfile.REGTYPE, "", LETTER),
            ("ook", tarfile.LNKTYPE, "brief.txt", b""),
            ("wijst", tarfile.SYMTYPE, "map/jan@example.nl", b""),
            ("o.txt", tarfile.REGTYPE, "", OTHER),
        ):
            member = tarfile.TarInfo(name)
            member.type, member.linkname, member.size = kind, target, len(content)
            archive.addfile(member, io.BytesIO(content))
    with tarfile.open(fileobj=io.BytesIO(redacted("a.tar", out.getvalue()))) as archive:
        assert archive.getnames() == ["o.txt"]


def test_members_that_cannot_be_read_are_told_and_stay() -> None:
    data = bytearray(
        zipped([("geheim.csv", TABLE), ("a.csv", TABLE), ("x.bin", b"\0\1"), ("d.docx", docx())])
    )
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(signature) + offset] |= 1
    findings = find("a.zip", bytes(data))
    assert list(findings.unsearched) == [
        "part 1: it is encrypted",
        "part 3: it holds control characters, as binary files do",
        "part 4: it is an office document or book, whose text is not searched",
    ]
    after = b"".join(findings.rest())
    with zipfile.ZipFile(io.BytesIO(after)) as archive:
        assert archive.namelist() == ["geheim.csv", "a.csv", "x.bin", "d.docx"]
        assert archive.read("a.csv") == TABLE_AFTER
        assert archive.infolist()[0].flag_bits & 1


def docx() -> bytes:
    return zipped([("[Content_Types].xml", "<Types/>"), ("word/document.xml", "<a/>")])


def test_method_and_sizes_are_not_believed() -> None:
    for offset, value in ((22, 10), (22, 10**6), (14, 1), (18, 5)):
        data = bytearray(zipped([("a.csv", TABLE), ("b.txt", OTHER)]))
        central = data.index(b"PK\x01\x02")
        struct.pack_into("<L", data, offset, value)
        struct.pack_into("<L", data, central + offset + 2, value)
        try:
            findings = find("a.zip", bytes(data))
        except UnsearchableError:
            continue
        assert findings.unsearched, (offset, value)
        assert not findings.locators


def overlapping() -> bytes:
    """Two directory entries that share one member, as bombs do that do not need nesting."""
    data = zipped([("a", b"x" * 1000), ("b", b"x" * 1000)])
    start = data.index(b"PK\x01\x02")
    second = data.index(b"PK\x01\x02", start + 4)
    end = data.index(b"PK\x05\x06")
    first = data[start:second]
    directory = first + first
    return (
        data[:start] + directory + data[end : end + 12] + struct.pack("<2L", len(directory), start) + b"\0\0"
    )


def lying_inside() -> bytes:
    """A directory entry that points into another member's stored data, where a local header lies."""
    inner = zipped([("b", b"x" * 1000)])
    stored = zipfile.ZipInfo("a")
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr(stored, inner)
    data = out.getvalue()
    start = data.rindex(b"PK\x01\x02")
    record = bytearray(inner[inner.index(b"PK\x01\x02") : inner.index(b"PK\x05\x06")])
    struct.pack_into("<L", record, 42, data.index(b"PK\x03\x04", 4))
    directory = data[start : data.rindex(b"PK\x05\x06")] + bytes(record)
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 2, 2, len(directory), start, 0)
    return data[:start] + directory + end


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("a.zip", zipped([("a", bytes(5 << 20))]), "times its size"),
        ("a.gz", gzip.compress(bytes(5 << 20)), "times its size"),
        ("a.zip", zipped([("b.gz", gzip.compress(bytes(5 << 20))), ("a.csv", TABLE)]), "times its size"),
        ("a.zip", overlapping(), "overlap"),
        ("a.zip", lying_inside(), "overlap"),
        ("a.zip", b"stub" + zipped([("a.csv", TABLE)]), "before its first member"),
        ("a.zip", zipped([("a.csv", TABLE)]) + b"more", "belong to none"),
        ("a.zip", zipped([("a.csv", TABLE)])[:-30], "damaged"),
        ("a.zip", zipped([("a.csv", TABLE)])[:40], "damaged"),
        ("a.tar", tarred([("a.csv", TABLE)])[:700], "before its end|damaged"),
        ("a.tar", tarred([("a.csv", TABLE)]) + b"more", "after its last member"),
        ("a.tar", b"x" * 600, "damaged"),
        ("a.gz", gzip.compress(TABLE)[:-1], "before its end"),
        ("a.gz", gzip.compress(TABLE)[:-9], "before its end"),
        ("a.gz", gzip.compress(TABLE) + b"more bytes", "after its end"),
        ("a.gz", gzip.compress(TABLE)[:-6] + b"xxxxxx", "damaged"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_bombs_and_damaged_archives_are_unsearchable(name: str, data: bytes, reason: str) -> None:
    if name == "a.zip" and not data.startswith(b"PK"):
        data = data.replace(b"stub", b"PK\3\4", 1)
    with pytest.raises(UnsearchableError, match=reason):
        find(name, data)


def test_what_unpacks_to_too_much_or_too_many_is_refused(monkeypatch) -> None:
    noise = random.Random(1).randbytes
    monkeypatch.setattr(model, "UNPACKED_LIMIT", 100_000)
    fits = [(f"{number}", noise(45_000)) for number in range(2)]
    find("a.zip", zipped(fits))
    for parts in (zipped([*fits, ("x", noise(45_000))]), zipped([("in.zip", zipped(fits)), ("x", b"x")])):
        with pytest.raises(UnsearchableError, match="unpacks to more than 100000 bytes"):
            find("a.zip", parts)
    monkeypatch.setattr(model, "PARTS_LIMIT", 5)
    find("a.tar", tarred([(f"{number}", b"") for number in range(5)]))
    with pytest.raises(UnsearchableError, match="more than 5 parts"):
        find("a.tar", tarred([("in.tar", tarred([(f"{number}", b"") for number in range(5)]))]))
    monkeypatch.setattr(model, "PART_LIMIT", 1000)
    for name, data in (("a.gz", gzip.compress(noise(2000))), ("a.tar", tarred([("x", noise(2000))]))):
        with pytest.raises(UnsearchableError, match="more than 1000 bytes"):
            find(name, data)


def test_nesting_ends_at_its_limit_and_says_so() -> None:
    data = TABLE
    for depth in itertools.count(1):
        data = gzip.compress(data)
        findings = find("a.csv" + ".gz" * depth, data)
        if depth > model.NESTING_LIMIT:
            break
        assert len(findings.locators) == 1
    assert findings.locators == []
    assert "nested deeper than 6 levels" in findings.unsearched[0]


def test_a_quine_ends_at_the_limit_of_nesting(tmp_path) -> None:
    """An archive that holds a member of its own kind at each level; a true quine differs in being endless."""
    data = zipped([("leeg.txt", b"")])
    for _ in range(10):
        data = zipped([("q.zip", data), ("r.zip", data)])
    findings = find("a.zip", data)
    assert findings.locators == []
    assert all("nested deeper" in reason for reason in findings.unsearched)


@pytest.mark.parametrize(("name", "quine"), [("r.zip", zip_quine()), ("q.gz", gzip_quine())])
def test_an_endless_archive_ends_at_the_limit_of_nesting(name: str, quine: bytes) -> None:
    inner = gzip.decompress(quine) if name == "q.gz" else next(content for _, content in unzipped(quine))
    assert inner == quine
    findings = find(name, quine)
    assert findings.locators == []
    assert [reason for reason in findings.unsearched if "nested deeper than 6 levels" in reason]
    beside = zipped([(name, quine), ("a.csv", TABLE)])
    found = find("a.zip", beside)
    assert found.locators == ["a.csv: record 2"]
    assert (dict(unzipped(b"".join(found.rest())))[name], len(found.unsearched)) == (quine, 1)


@settings(max_examples=300)
@given(
    st.sampled_from(
        [zipped([(n, c) for n, c, _ in CONTENTS]), tarred([("a.csv", TABLE)]), gzip.compress(TABLE)]
    ),
    st.lists(st.tuples(st.integers(0, 2000), st.binary(min_size=1, max_size=4)), min_size=1, max_size=4),
    st.none() | st.integers(0, 2000),
)
def test_no_bytes_raise_anything_else_or_outlive_redaction(data: bytes, writes, end) -> None:
    for position, new in writes:
        place = position % len(data)
        data = data[:place] + new + data[place + len(new) :]
    data = data[:end]
    for name in ("a.zip", "a.tar", "a.gz"):
        try:
            findings = find(name, data)
        except UnsearchableError:
            continue
        if not findings.whole:
            after = b"".join(findings.rest())
            assert find(name, after).locators == []


def test_paths_that_climb_are_only_names(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    for make, name in ((zipped, "a.zip"), (tarred, "a.tar")):
        data = make([("../../x.csv", TABLE), ("/etc/y.csv", TABLE)])
        assert len(find(name, data).locators) == 2
        redacted(name, data)
    assert os.listdir(tmp_path) == []


def test_the_checksum_of_a_member_is_checked() -> None:
    data = zipped([("a.csv", TABLE)], compress_type=zipfile.ZIP_STORED)
    wrong = data.replace(b"piet", b"pier")
    assert zlib.crc32(TABLE) != zlib.crc32(TABLE.replace(b"piet", b"pier"))
    assert "checksum" in find("a.zip", wrong).unsearched[0]


@pytest.mark.parametrize(
    "name", ["jan@example.nl.1.csv", "in/jan@example.nl.1.csv.gz", "jan@example.nl.1/x.csv"]
)
def test_a_member_is_known_by_what_it_was_called_before_something_was_added(name):
    after = redacted("a.zip", zipped([(name, OTHER), ("piet@example.nl.1.csv", OTHER)]))
    assert zipfile.ZipFile(io.BytesIO(after)).namelist() == ["piet@example.nl.1.csv"]
