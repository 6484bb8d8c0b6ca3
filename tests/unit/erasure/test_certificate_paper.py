"""A certificate on paper: one page in each language, whatever it is about, and what was signed."""

import json
import re
import string
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from test_erasure_certificate import CERTIFICATE, KEY

from sftpd.documents import html, pdf
from sftpd.documents.model import Paragraph, Table
from sftpd.erasure.certificate import (
    LIMITS,
    Certificate,
    Completion,
    FileEntry,
    FolderCount,
    IdentifierDigest,
    Physical,
    Recipient,
    sign,
    verify,
)
from sftpd.erasure.certificate_paper import document
from sftpd.erasure.certificate_text import SIGNED, TEXTS, Language
from sftpd.erasure.medium import Kind, Way, file_system, kind_of

MADE = datetime(2026, 2, 3, tzinfo=UTC)
DIGEST, VERIFIER = "ab" * 32, str(KEY.verifier)
LARGE = msgspec.structs.replace(
    CERTIFICATE,
    identifiers=tuple(IdentifierDigest("customer", f"{n:064x}") for n in range(50)),
    searched=tuple(FolderCount(f"/srv/{'deep/' * 60}{n}", 1000) for n in range(40)),
    removed=tuple(
        FileEntry(
            f"{n:032x}", f"/srv/{'deep/' * 60}{n % 40}", ("redact", "delete")[n % 2], f"f{n % 30}", 3, None
        )
        for n in range(5000)
    ),
    held=tuple(FileEntry(f"{n}", "inbound", "keep", "csv", 1, chr(65 + n) * 400) for n in range(20)),
    unsearchable=tuple(
        FileEntry(f"{n}", "inbound", "unsearchable", None, 0, f"{chr(97 + n % 20) * 300} {n}")
        for n in range(3000)
    ),
    remains_until="the legal hold on each file listed as held is released",
    completion=Completion(
        "2026-02-03T10:00:00Z",
        tuple(Physical(f"/srv/{'deep/' * 60}{n}", Way.UNLINKED, f"fs{n % 9}") for n in range(40)),
    ),
    recipients=tuple(
        Recipient(f"demo/{'r' * 60}{n}", f"{n:026}", 2, "2026-03-03T23:00:00Z") for n in range(30)
    ),
    kept_until="2031-02-03T23:00:00Z",
)


@pytest.mark.parametrize("text", [*TEXTS.values(), *SIGNED.values()])
def test_a_text_is_there_in_both_languages_with_the_same_values(text):
    fields = [{name for _, name, _, _ in string.Formatter().parse(said) if name} for said in text]
    assert all(said.strip() for said in text)
    assert fields[0] == fields[1]
    assert [*Language] == [*text._fields]


def test_every_limit_is_translated():
    assert set(LIMITS) == set(SIGNED)
    assert {kind.value for kind in Kind} <= set(TEXTS)


@pytest.mark.parametrize("language", Language)
@pytest.mark.parametrize("signed", [CERTIFICATE, LARGE], ids=["small", "large"])
def test_it_is_one_page_with_what_tells_it_from_any_other(tmp_path: Path, signed, language):
    made = document(signed, DIGEST, VERIFIER, language)
    file = tmp_path / "certificate.pdf"
    file.write_bytes(pdf.pages(made, MADE))
    told = subprocess.run(["pdfinfo", file], capture_output=True, check=True, text=True).stdout
    assert re.search(r"^Pages: +1$", told, re.MULTILINE), told
    said = subprocess.run(
        ["pdftotext", "-layout", file, "-"], capture_output=True, check=True, text=True
    ).stdout
    assert TEXTS["title"].say(language) in said
    assert TEXTS["verify"].say(language) in said
    together = "".join(said.split())
    for wanted in (signed.request, DIGEST, "".join(VERIFIER.split())):
        assert wanted in together
    page = html.page(made)
    assert f'<html lang="{language}">' in page
    assert DIGEST in page


def test_its_figures_are_the_sums_of_what_was_signed():
    made = document(LARGE, DIGEST, VERIFIER, Language.EN)
    table = next(block for block in made.blocks if isinstance(block, Table) and block.columns[0] == "folder")
    figures = [[int(cell) for cell in row[1:]] for row in table.rows]
    assert figures[-1] == [40_000, 5020, 2500, 2500, 15_000, 20, 3000]
    assert [sum(column) for column in zip(*figures[:-1], strict=True)] == figures[-1]
    assert table.rows[-2][0] == "37 others"


def test_reasons_that_differ_in_numbers_alone_count_as_one():
    entries = [
        FileEntry("1", "vault", "unsearchable", None, 0, "it is a sealed copy of 10 bytes"),
        FileEntry("2", "vault", "unsearchable", None, 0, "it is a sealed copy of 22 bytes"),
        FileEntry("3", "inbound", "unsearchable", None, 0, "parts of it were not searched: part 2: binary"),
        FileEntry(
            "4", "inbound", "unsearchable", None, 0, "parts of it were not searched: part 7: encrypted"
        ),
    ]
    signed = msgspec.structs.replace(CERTIFICATE, unsearchable=tuple(entries))
    made = document(signed, DIGEST, VERIFIER, Language.EN)
    rows = [row for block in made.blocks if isinstance(block, Table) for row in block.rows]
    assert ("it is a sealed copy of 10 bytes", "2") in rows
    assert ("parts of these files; the rest of each was searched", "2") in rows


def test_it_tells_how_the_bytes_went_apart_from_when_they_were_out_of_reach():
    physical = (Physical("inbound", Way.UNLINKED, "btrfs"), Physical("vault", Way.KEY_DESTROYED, None))
    signed = msgspec.structs.replace(CERTIFICATE, completion=Completion("2026-02-03T10:00:00Z", physical))
    made = document(signed, DIGEST, VERIFIER, Language.EN)
    said = " ".join(block.text for block in made.blocks if isinstance(block, Paragraph))
    assert "on 2026-02-03 10:00 UTC no content" in said
    assert "in inbound (btrfs): unlinked. The file system never writes in place" in said
    assert "in vault: the key of each was destroyed (cryptographic erase" in said


def test_a_certificate_of_the_first_version_still_verifies_and_can_be_printed():
    old = json.loads(sign(CERTIFICATE, KEY))
    assert not {"completion", "recipients", "kept_until"} & old["certificate"].keys()
    read: Certificate = verify(sign(CERTIFICATE, KEY), KEY.verifier)
    assert document(read, DIGEST, VERIFIER, Language.NL).title == "Verklaring van verwijdering"
    assert verify(sign(LARGE, KEY), KEY.verifier) == LARGE


def test_the_file_system_of_a_folder_is_known_by_its_mount():
    assert file_system(Path("/proc/self")) == "proc"
    assert kind_of(file_system(Path("/dev/shm"))) is Kind.MEMORY
    assert [kind_of(name) for name in ("ext4", "zfs", "fuse.sshfs", "nfs4", None)] == [
        Kind.IN_PLACE, Kind.COPY_ON_WRITE, Kind.NETWORK, Kind.NETWORK, Kind.UNKNOWN,
    ]  # fmt: skip
