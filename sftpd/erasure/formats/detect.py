"""Which format a file has, by its name and its content."""

import re
from collections.abc import Sequence

from sftpd.erasure.formats.csv import Csv
from sftpd.erasure.formats.csv_layout import is_table
from sftpd.erasure.formats.decoding import Traces, beginning, texts, traces
from sftpd.erasure.formats.eml import Eml, Mbox
from sftpd.erasure.formats.fixed_width import FixedLines
from sftpd.erasure.formats.gzip import Gzip
from sftpd.erasure.formats.html import Html
from sftpd.erasure.formats.json import Json
from sftpd.erasure.formats.json_tokens import check
from sftpd.erasure.formats.lines import lines
from sftpd.erasure.formats.model import Data, Format, UnsearchableError
from sftpd.erasure.formats.ndjson import Ndjson
from sftpd.erasure.formats.pdf import Pdf
from sftpd.erasure.formats.tar import Tar
from sftpd.erasure.formats.text import Text
from sftpd.erasure.formats.xml import Xml
from sftpd.erasure.formats.zip import Zip
from sftpd.erasure.layouts import FixedWidth, Layout

_BY_SUFFIX: dict[bytes, Format] = {
    b"csv": Csv(),
    b"tsv": Csv(),
    b"ndjson": Ndjson(),
    b"jsonl": Ndjson(),
    b"xml": Xml(),
    b"svg": Xml(),
    b"tar": Tar(),
    b"eml": Eml(),
    b"mbox": Mbox(),
}
_BY_MAGIC: tuple[tuple[bytes, Format], ...] = (
    (b"%PDF-", Pdf()),
    (b"PK\x03\x04", Zip()),
    (b"PK\x05\x06", Zip()),
    (b"\x1f\x8b", Gzip()),
)
_BY_START: tuple[tuple[re.Pattern[str], Format], ...] = (
    (re.compile(r"<!doctype html|<html", re.IGNORECASE), Html()),
    (re.compile(r"<(?:\?xml\s|!--|[^\W\d][\w.:-]*[\s/>])"), Xml()),
    (re.compile(r"From \S+ +(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)\b"), Mbox()),
    (re.compile(r"(?ism)[a-z0-9-]+:(?:(?!\n\r?\n).)*^(?:mime-version|content-type|subject):"), Eml()),
)
_ENCODED_SUFFIXES = {b"rtf", b"vcf", b"ics"}
_ENCODED_STARTS = ("{\\rtf", "begin:v")


def detect(name: bytes, data: Data, layouts: Sequence[Layout] = ()) -> Format:
    """Return the format of a file; text has the first of `layouts` that fits its name.

    Raises UnsearchableError for other binary files and for text that hides characters behind an encoding of
    its own (RTF, cards and calendars), in which a plain search would find too little.
    """
    for magic, form in _BY_MAGIC:
        if data[: len(magic)] == magic:
            return form
    if data[257:262] == b"ustar":
        return Tar()
    for layout in layouts:
        if isinstance(layout, FixedWidth) and layout.fits(name):
            return FixedLines(layout)
    start = beginning(data)
    suffix = name.rpartition(b".")[2].lower()
    if suffix in _ENCODED_SUFFIXES or start.lower().startswith(_ENCODED_STARTS):
        raise UnsearchableError("its format is not one that is searched")
    if suffix in (b"html", b"htm"):
        return Html()
    for pattern, form in _BY_START:
        if pattern.match(start):
            return form
    if suffix in _BY_SUFFIX and start:
        return _BY_SUFFIX[suffix]
    return _by_content(suffix, data)


def _by_content(suffix: bytes, data: Data) -> Format:
    where = traces(data, ())
    start = next((text.lstrip()[0] for _, text in texts(data, where) if not text.isspace()), "")
    if not start:
        return Text()
    if suffix in _BY_SUFFIX:
        return _BY_SUFFIX[suffix]
    if suffix == b"json" or start in "{[":
        return Ndjson() if _first_line_is_json(data, where) else Json()
    return Csv() if is_table(data, where) else Text()


def _first_line_is_json(data: Data, where: Traces) -> bool:
    """Whether a JSON document ends with the first line that is not blank while more follows."""
    first = ""
    try:
        for part in lines(data, where):
            text = part.text
            if not first:
                first, _, text = text.lstrip().partition("\n")
            if first and text.strip():
                check(first)
                return True
    except UnsearchableError:
        pass
    return False
