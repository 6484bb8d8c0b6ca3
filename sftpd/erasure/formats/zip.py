"""ZIP: members are searched each by its own format; the archive is written anew around those that change."""

from functools import partial

from sftpd.erasure.formats.model import Data, Findings, Inquiry, UnsearchableError, whole_file
from sftpd.erasure.formats.parts import Change, Parts
from sftpd.erasure.formats.zip_archive import Archive
from sftpd.erasure.identifiers import carries

_DOCUMENTS = {"[Content_Types].xml", "mimetype"}
"""Members of documents whose words may be spread over elements, where a search of the parts misses them."""


class Zip:
    """An archive of files."""

    name = "zip"

    def find(self, data: Data, inquiry: Inquiry) -> Findings:
        """Return what goes of the members, or whole members; an archive that loses all goes whole."""
        archive = Archive(data)
        if any(member.name in _DOCUMENTS for member in archive.members):
            raise UnsearchableError("it is an office document or book, whose text is not searched")
        parts = Parts(inquiry)
        changes: dict[int, Change] = {}
        for number, member in enumerate(archive.members):
            load = None if member.info.is_dir() else partial(archive.read, member)
            remark = member.info.comment.decode("utf-8", "replace")
            change = parts.look(member.name, load, remark)
            if change is not None:
                changes[number] = change
        if parts.nothing_is_left:
            return whole_file(self.name, "all members")
        comment = archive.comment
        if carries(inquiry.identifiers, comment.decode("utf-8", "replace")):
            parts.locators.append("comment")
            comment = b""
        return Findings(
            self.name,
            parts.locators,
            lambda: archive.rewritten(changes, comment),
            unsearched=parts.unsearched,
        )
