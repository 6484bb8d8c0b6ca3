"""Plain text has no records: a file that carries the identifier goes as a whole."""

from collections.abc import Iterator, Sequence, Set

from sftpd.erasure.finder import Why
from sftpd.erasure.formats.decoding import OVERLAP, Traces, decode, traces
from sftpd.erasure.formats.lines import lines, placed
from sftpd.erasure.formats.model import Data, Findings, Inquiry, cut, whole_file
from sftpd.erasure.identifiers import RECALLED, Identifier, carries, fold
from sftpd.erasure.number_words import APART, kinds_named, numbers_apart

_WHOLE = "whole file"
_WRAPPED = ("email", "iban", "name", "any", RECALLED)
"""Kinds that are looked for over the end of a line: so long that no others come together so by chance."""
_APART = ("any", "possible", Why.APART)
"""What is looked for among numbers that do not stand beside what they are called."""


class Text:
    """Text without a structure we know."""

    name = "text"

    def find(self, data: Data, inquiry: Inquiry) -> Findings:
        """Return the whole file or nothing."""
        if inquiry.places:
            if inquiry.noted is not None:
                inquiry.note(decode(data).text)
            return whole_file(self.name, _WHOLE)
        where = traces(data, inquiry.identifiers, _with_joined)
        if where and any(text_carries(inquiry.identifiers, text) for text in _passages(data, where)):
            return whole_file(self.name, _WHOLE)
        return cut(self.name, data, [], where.unsearched)


def text_carries(identifiers: Sequence[Identifier], text: str, named: Set[str] = frozenset()) -> bool:
    """Whether a text carries an identifier, also where the end of a line parts what is one word.

    `named`: kinds of numbers that were named before it.
    """
    long = [each for each in identifiers if each.kind in _WRAPPED]
    if carries(identifiers, text) or any(carries(long, joined) for joined in _joined(text)):
        return True
    apart = [each for each in identifiers if each.kind in _APART]
    kinds = named | kinds_named(folded := fold(text)) if apart else frozenset()
    return bool(kinds) and carries(apart, numbers_apart(folded, kinds), APART)


def _joined(text: str) -> tuple[str, ...]:
    """A text without the ends of its lines, and without hyphens before them."""
    lines = text.replace("\r\n", "\n")
    if "\n" not in lines:
        return ()
    return (
        lines.replace("\n", ""),
        *([lines.replace("-\n", "").replace("\n", "")] if "-\n" in lines else []),
    )


def _with_joined(text: str) -> str:
    return "\n".join((text, *_joined(text)))


def _passages(data: Data, where: Traces) -> Iterator[str]:
    """What may hold the person: whole lines, since what says whose an identifier is does not reach over one.

    An identifier itself may, so each passage begins with lines of the one before.
    """
    before = ""
    for part, end in placed(lines(data, where), len(data)):
        passage = before + part.text
        if where.touch(part.start, end):
            yield passage
        before = passage[passage.rfind("\n", 0, max(0, len(passage) - OVERLAP)) + 1 :]
