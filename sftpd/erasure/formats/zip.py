"""ZIP: members are searched each by its own format; the archive is written anew around those that change."""

import struct
from collections.abc import Iterator, Mapping
from functools import partial

from sftpd.erasure.formats.model import Data, Findings, Format, Inquiry, UnsearchableError, whole_file
from sftpd.erasure.formats.ods import Ods
from sftpd.erasure.formats.parts import Change, Parts
from sftpd.erasure.formats.xlsx import Xlsx
from sftpd.erasure.formats.zip_archive import Archive, Member
from sftpd.erasure.identifiers import carries

_SPREADSHEET = b"application/vnd.oasis.opendocument.spreadsheet"
_FIELD = struct.Struct("<2H")
_UNICODE, _UNICODE_TEXT = (0x7075, 0x6375), 5
"""Extra fields with a text in Unicode, and where in them it begins."""
_ALL = "all members"
_COMMENT = "comment"


class Zip:
    """An archive of files."""

    name = "zip"

    def __init__(self, workbook: Format | None = None) -> None:
        """`workbook` is how one that the archive is gets read, if not as XLSX is."""
        self._workbook = workbook or Xlsx()

    def find(self, data: Data, inquiry: Inquiry) -> Findings:
        """Return what goes of the members, or whole members; an archive that loses all goes whole."""
        archive = Archive(data)
        document = self._document({member.name: member for member in archive.members}, archive, inquiry)
        if document is not None:
            return document.find(data, inquiry)
        parts = Parts(inquiry)
        changes: dict[int, Change] = {}
        for number, member in enumerate(archive.members):
            load = None if member.info.is_dir() else partial(archive.read, member)
            remark = member.info.comment.decode("utf-8", "replace")
            change = parts.look(member.name, load, remark, *_extra_texts(member.info.extra))
            if change is not None:
                changes[number] = change
        if (parts.nothing_is_left and not inquiry.apart) or _ALL in inquiry.places:
            return whole_file(self.name, _ALL)
        comment = archive.comment
        if _COMMENT in inquiry.places or carries(inquiry.identifiers, comment.decode("utf-8", "replace")):
            parts.locators.append(_COMMENT)
            inquiry.note(comment.decode("utf-8", "replace"))
            comment = b""
        return Findings(
            self.name,
            parts.locators,
            lambda: archive.rewritten(changes, comment),
            unsearched=parts.unsearched,
        )

    def _document(self, members: Mapping[str, Member], archive: Archive, inquiry: Inquiry) -> Format | None:
        """The format of the document that an archive is; None where it is a mere archive of files."""
        if "[Content_Types].xml" in members:
            if "xl/workbook.xml" in members:
                return self._workbook
        elif "mimetype" in members:
            if archive.read(members["mimetype"], inquiry.budget).startswith(_SPREADSHEET):
                return Ods()
        else:
            return None
        # Its words may be spread over elements, where a search of the parts misses them.
        raise UnsearchableError("it is an office document or book, whose text is not searched")


def _extra_texts(extra: bytes) -> Iterator[str]:
    """The name and the comment that an extra field has in Unicode (APPNOTE 4.6.8, 4.6.9)."""
    while len(extra) >= _FIELD.size:
        kind, size = _FIELD.unpack_from(extra)
        if kind in _UNICODE:
            text = extra[_FIELD.size + _UNICODE_TEXT : _FIELD.size + size].decode("utf-8", "replace")
            yield from (text, text.rpartition(".")[0])
        extra = extra[_FIELD.size + size :]
