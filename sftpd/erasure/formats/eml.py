"""E-mail: a message that carries the identifier in its headers or text is about the person and goes whole.

Otherwise its attachments are searched each by its own format, and encoded anew where they lose something; one
that goes whole is cut out with its delimiter. A signed message with any match goes whole. In a mailbox of the
mbox family a line `From SENDER WEEKDAY…` after a blank one begins a message.
"""

import re
from collections.abc import Callable, Iterator
from email.message import Message
from functools import partial

from sftpd.erasure.formats.decoding import TEXT_LIMIT
from sftpd.erasure.formats.mime import Entity, Taken, hidden_in, take_apart, texts
from sftpd.erasure.formats.model import (
    Budget,
    Data,
    Edit,
    Findings,
    Inquiry,
    Pieces,
    UnsearchableError,
    span,
    whole_file,
)
from sftpd.erasure.formats.parts import Change, Parts
from sftpd.erasure.formats.text import text_carries
from sftpd.erasure.formats.xml_edit import with_edits
from sftpd.erasure.identifiers import carries

_SUFFIX = {
    "message/rfc822": "eml",
    "text/plain": "txt",
    "text/calendar": "ics",
    "text/vcard": "vcf",
    "text/x-vcard": "vcf",
}
_WHOLE = frozenset({"headers", "text", "attachments"})
"""Places of a message that take all of it."""
_ALL = "all messages"
_FROM = re.compile(rb"From \S+ +(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)\b")
_STATED_LENGTH = re.compile(rb"^Content-Length:[ \t]*([0-9]+)", re.MULTILINE | re.IGNORECASE)


class Eml:
    """One message."""

    name = "eml"

    def find(self, data: Data, inquiry: Inquiry) -> Findings:
        """Return what goes of the attachments, or the whole message."""
        return _look(self.name, data[: TEXT_LIMIT + 1], inquiry)


class Mbox:
    """Messages one after another."""

    name = "mbox"

    def find(self, data: Data, inquiry: Inquiry) -> Findings:
        """Return the messages that go, and what goes of the attachments of others."""
        locators: list[str] = []
        unsearched: list[str] = []
        changes: dict[int, Change] = {}
        messages = _messages(data)
        for number, (start, body, end) in enumerate(messages):
            inquiry.budget.enter()
            line = data[start:body].decode("utf-8", "replace")
            place = f"message {number + 1}"
            inside = inquiry.within(f"{place}: ")
            try:
                findings = _look("eml", data[body:end], inside)
            except UnsearchableError as fault:
                unsearched.append(f"{place}: {fault.what}")
                findings = Findings("eml", (), tuple)
            if findings.whole or place in inquiry.places or carries(inquiry.identifiers, line):
                changes[number] = Change()
                locators.append(place)
                if place in inquiry.places:
                    inquiry.note(data[start:end].decode("utf-8", "replace"))
                continue
            unsearched += (f"{place}, {reason}" for reason in findings.unsearched)
            if findings.locators:
                changes[number] = Change(partial(_rest, data, body, end, inside.again))
                locators += (f"{place}: {locator}" for locator in findings.locators)
        gone = sum(change.rest is None for change in changes.values())
        if (gone == len(messages) and not inquiry.apart) or _ALL in inquiry.places:
            return whole_file(self.name, _ALL)
        return Findings(
            self.name, locators, lambda: _rewritten(data, messages, changes), unsearched=unsearched
        )


def _look(name: str, data: bytes, inquiry: Inquiry) -> Findings:
    if len(data) > TEXT_LIMIT:
        raise UnsearchableError(f"it has more than the {TEXT_LIMIT} bytes that are searched")
    taken = take_apart(data)
    parts = Parts(inquiry)
    if told := _WHOLE & inquiry.places:
        inquiry.note(data.decode("utf-8", "replace"))
        return whole_file(name, min(told))
    if _tells(inquiry, taken.head) or any(carries(inquiry.identifiers, text) for text in taken.beside):
        return whole_file(name, "headers")
    changes: list[tuple[Entity, Change]] = []
    for entity in taken.entities:
        if not (entity.is_body or taken.is_encrypted):
            load = partial(_content, entity, data)
            remarks = [value for _, value in texts(entity.head)]
            change = parts.look(_file_name(entity), load, *remarks)
            if change is not None:
                changes.append((entity, change))
        elif _tells(inquiry, entity.head) or _body_tells(entity, data, taken, parts, inquiry):
            return whole_file(name, "text")
    if (parts.nothing_is_left and not inquiry.apart) or (changes and taken.is_signed):
        return whole_file(name, "attachments")
    return Findings(name, parts.locators, lambda: [_edited(data, changes)], unsearched=parts.unsearched)


def _tells(inquiry: Inquiry, head: Message) -> bool:
    return any(carries(inquiry.identifiers, value, header) for header, value in texts(head))


def _body_tells(entity: Entity, data: bytes, taken: Taken, parts: Parts, inquiry: Inquiry) -> bool:
    parts.kept += 1
    try:
        if taken.is_encrypted:
            raise UnsearchableError("it is encrypted")
        text = entity.text(data)
        if text_carries(inquiry.identifiers, text):
            return True
        if (what := hidden_in(text)) is not None:
            raise UnsearchableError(what)
        return False
    except UnsearchableError as fault:
        parts.unsearched.append(f"text: {fault.what}")
        return False


def _content(entity: Entity, data: bytes, budget: Budget) -> bytes:
    content = entity.content(data)
    budget.charge(len(content))
    return content


def _file_name(entity: Entity) -> str:
    kind = entity.head.get_content_type()
    if kind == "message/rfc822" and not entity.filename.lower().endswith(".eml"):
        return f"{entity.filename or 'content'}.eml"
    return entity.filename or f"content.{_SUFFIX.get(kind, kind.rpartition('/')[2])}"


def _edited(data: bytes, changes: list[tuple[Entity, Change]]) -> bytes:
    """The message with its attachments changed, and the length of its body where a header states it."""
    edits = []
    for entity, change in changes:
        if change.rest is not None:
            edits.append(Edit(entity.body, entity.end, entity.encoded(data, b"".join(change.rest()))))
        elif entity.cut is not None:
            edits.append(Edit(*entity.cut))
    grown = sum(len(edit.new) - (edit.end - edit.start) for edit in edits)
    stated = _STATED_LENGTH.search(data, 0, min((edit.start for edit in edits), default=0))
    if stated:
        edits.append(Edit(*stated.span(1), b"%d" % (int(stated[1]) + grown)))
    return with_edits(data, edits)


def _messages(data: Data) -> list[tuple[int, int, int]]:
    """Where each message starts, where its headers do, and where it ends."""
    starts: list[tuple[int, int]] = []
    position = 0
    while position >= 0:
        end = data.find(b"\n", position) + 1 or len(data)
        if _FROM.match(data[position:end]) and _is_after_blank(data, position):
            starts.append((position, end))
        newline = data.find(b"\nFrom ", position)
        position = newline + 1 if newline >= 0 else -1
    if not starts or starts[0][0] != 0:
        raise UnsearchableError("it is not a mailbox of the mbox family")
    ends = [start for start, _ in starts[1:]] + [len(data)]
    return [(start, body, end) for (start, body), end in zip(starts, ends, strict=True)]


def _is_after_blank(data: Data, position: int) -> bool:
    before = data[max(0, position - 3) : position]
    return position == 0 or before.endswith((b"\n\n", b"\n\r\n"))


def _rest(data: Data, start: int, end: int, again: Callable[[], Inquiry]) -> Pieces:
    return _look("eml", data[start:end], again()).rest()


def _rewritten(
    data: Data, messages: list[tuple[int, int, int]], changes: dict[int, Change]
) -> Iterator[bytes]:
    for number, (start, body, end) in enumerate(messages):
        change = changes.get(number)
        if change is None:
            yield from span(data, start, end)
        elif change.rest is not None:
            yield data[start:body]
            yield from change.rest()
