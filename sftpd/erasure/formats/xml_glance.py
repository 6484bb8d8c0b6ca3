"""Whether an XML document can say anything of a person, seen at a glance: most say nothing."""

import codecs
import html
import re
from collections.abc import Iterator, Sequence

from sftpd.erasure.formats.decoding import may_carry
from sftpd.erasure.formats.model import Data, span
from sftpd.erasure.formats.xml_events import check
from sftpd.erasure.identifiers import Identifier
from sftpd.erasure.revealing import quick_bytes

_OVERLAP = 1024
"""Characters that are looked at again with what follows: more than an identifier has."""
_LONGEST = 4 << 20
"""Characters of a text between tags, or of a tag."""
_PROLOG = re.compile(rb"(?:\xef\xbb\xbf)?(?:\s*+(?:<\?[^?>]*+\?>|<!--(?:[^-]|-[^-])*+-->))*+")
_ENCODING = re.compile(rb"""(?:\xef\xbb\xbf)?<\?xml\s[^?>]*?encoding\s*+=\s*+["']([^"']*+)""")
_ENCODINGS = {
    b"utf-8": "utf-8",
    b"us-ascii": "utf-8",
    b"ascii": "utf-8",
    b"iso-8859-1": "latin-1",
    b"windows-1252": "cp1252",
}
"""Those in which markup is plain ASCII, as documents declare them."""
_MARKS = (b"\xff\xfe", b"\xfe\xff")
"""The byte order marks of UTF-16."""
_TAG = re.compile(r"""<[^>"']*+(?:(?:"[^"]*+"|'[^']*+')[^>"']*+)*+>""")
_BROKEN_BY = ("<!", "<?")
"""What begins comments, CDATA sections and instructions, which no plain pattern of tags tells apart."""
_RUN = b"a" * 512
_AS_RUN = bytes(
    ord("a") if byte > 0x7F or chr(byte).isalnum() or chr(byte).isspace() or byte in b"+/" else ord(" ")
    for byte in range(256)
)
"""What may be in Base64 becomes an `a`, with any white space; no sign of ASCII does."""


def certainly_without(data: Data, identifiers: Sequence[Identifier]) -> bool:
    """Whether a document is well-formed, says nothing of the person and embeds no other document.

    False is not certain. Raises UnsearchableError as `events` does.
    """
    beginning = data[:_OVERLAP]
    encoding = encoding_of(beginning)
    if encoding is None:
        return False
    start = len(prolog[0]) if (prolog := _PROLOG.match(beginning)) else 0
    check(data)
    tags = texts = data[:start].decode(encoding, "replace")
    for piece in _pieces(data, start, encoding):
        if len(piece) > _LONGEST or any(mark in piece for mark in _BROKEN_BY):
            return False
        tags, texts = tags[-_OVERLAP:] + piece, texts[-_OVERLAP:] + "".join(_TAG.split(piece))
        # Text goes on over tags, and what is in tags is looked at too.
        if may_embed(tags) or may_carry(f"{texts}\n{tags}", identifiers, html.unescape):
            return False
    return True


def encoding_of(beginning: bytes) -> str | None:
    """How a document is encoded; None where that is not as in ASCII."""
    if beginning.startswith(_MARKS) or b"\0" in beginning[:4]:
        return None
    told = _ENCODING.match(beginning)
    return "utf-8" if told is None else _ENCODINGS.get(told[1].lower())


def _pieces(data: Data, start: int, encoding: str) -> Iterator[str]:
    """The text and markup, in pieces that end where a tag begins."""
    decoder = codecs.getincrementaldecoder(encoding)("replace")
    held = ""
    for raw in span(data, start, len(data)):
        text = (held + decoder.decode(raw)).replace("\r\n", "\n")
        end = text.rfind("<")
        if end > 0:
            yield text[:end]
        held = text[max(end, 0) :]
        if len(held) > _LONGEST:
            break
    yield held


def may_embed(tags: str) -> bool:
    """Whether there is a text between tags, or in one, that may be a document in Base64."""
    return _RUN in quick_bytes(html.unescape(tags)).translate(_AS_RUN)
