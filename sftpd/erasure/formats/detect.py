"""Which format a file has, by its name and its content."""

from sftpd.erasure.formats.csv import Csv, layout
from sftpd.erasure.formats.decoding import decode
from sftpd.erasure.formats.json import Json
from sftpd.erasure.formats.json_tokens import tokens
from sftpd.erasure.formats.model import Format, UnsearchableError
from sftpd.erasure.formats.ndjson import Ndjson
from sftpd.erasure.formats.text import Text

_BY_SUFFIX: dict[bytes, Format] = {
    b"csv": Csv(),
    b"tsv": Csv(),
    b"ndjson": Ndjson(),
    b"jsonl": Ndjson(),
}
_ENCODED_SUFFIXES = {b"xml", b"html", b"htm", b"eml", b"mbox", b"rtf", b"svg", b"vcf", b"ics"}
_ENCODED_STARTS = ("<?xml", "<!doctype", "<html", "{\\rtf", "%pdf")


def detect(name: bytes, data: bytes) -> Format:
    """Return the format of a file.

    Raises UnsearchableError for binary files and for text that hides characters behind an encoding of its
    own (XML, e-mail, RTF), in which a plain search would find too little.
    """
    text = decode(data).text
    start = text[:64].lstrip()
    suffix = name.rpartition(b".")[2].lower()
    if suffix in _ENCODED_SUFFIXES or start.lower().startswith(_ENCODED_STARTS):
        raise UnsearchableError("its format is not one that is searched")
    if not start.strip():
        return Text() if not text.strip() else _BY_SUFFIX.get(suffix, Text())
    if suffix in _BY_SUFFIX:
        return _BY_SUFFIX[suffix]
    if suffix == b"json" or start[0] in "{[":
        return Ndjson() if _first_line_is_json(text) else Json()
    return Csv() if _is_table(text) else Text()


def _first_line_is_json(text: str) -> bool:
    """Whether a JSON document ends with the first line while more follows."""
    text = text.strip()
    end = text.find("\n")
    if end < 0:
        return False
    try:
        for _ in tokens(text, 0, end):
            pass
    except UnsearchableError:
        return False
    return True


def _is_table(text: str) -> bool:
    """Whether text of no telling name is a table: three columns or more in two records or more."""
    try:
        reading = layout(text)
    except UnsearchableError:
        return False
    return reading.columns >= 3 and len(reading.starts) >= 2
