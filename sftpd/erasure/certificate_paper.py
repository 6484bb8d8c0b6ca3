"""A certificate on one page for people, from what is signed alone (pure).

However many files it is about, the page sums them up by folder, format and reason; the signed file lists
them.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Protocol

import msgspec

from sftpd.documents.model import Block, Document, Heading, Paragraph, Table
from sftpd.erasure.certificate import Certificate, FileEntry, Physical
from sftpd.erasure.certificate_text import SIGNED, TEXTS, Language
from sftpd.erasure.grounds import is_exception
from sftpd.erasure.medium import Way, kind_of

_MOST = 4
"""Rows that a table has at most, beside the one for all others."""
_LONGEST = 100
"""Letters of a reason, or of a list of names."""
_FIGURES = ("searched", "found", "deleted", "redacted", "records", "kept", "unsearchable")
"""What is counted of a folder."""
_NUMBER = re.compile(r"\d+")
_PARTS = "parts of it were not searched: "


class _Say(Protocol):
    def __call__(self, text: str, **values: object) -> str: ...


def document(signed: Certificate, digest: str, key: str, language: Language) -> Document:
    """The page; `digest` is the SHA-256 of the signed file, and `key` the verifier key of who signed it."""
    say: _Say = partial(_say, language)
    about = say(
        "about",
        issuer=key.partition("+")[0],
        link=signed.link,
        request=signed.request,
        issued=_shown(signed.issued),
    )
    blocks = (
        *_asked(signed, say),
        *_done(signed, say),
        *_left(signed, say),
        *_complete(signed, say),
        *_remains(signed, say),
        *_told(signed, say),
        Heading(say("limits")),
        Paragraph(" ".join(SIGNED[text].say(language) if text in SIGNED else text for text in signed.limits)),
        Heading(say("verify")),
        Paragraph(say("how", digest=digest, key=key)),
    )
    return Document(say("title"), about, blocks, language=language, one_page=True)


def _say(language: Language, text: str, **values: object) -> str:
    return TEXTS[text].say(language, **values)


def _asked(signed: Certificate, say: _Say) -> Iterator[Block]:
    yield Heading(say("asked"))
    yield Paragraph(say("asked_when", received=_shown(signed.received), due=_shown(signed.due)))
    rows = [(known.type, known.digest) for known in signed.identifiers[:_MOST]]
    if (more := len(signed.identifiers) - _MOST) > 0:
        rows.append((say("others", count=more), ""))
    yield Table((say("type"), say("digest")), rows)


def _done(signed: Certificate, say: _Say) -> Iterator[Block]:
    yield Heading(say("done"))
    yield Table([say(column) for column in ("folder", *_FIGURES)], list(_folders(signed, say)))
    files = Counter(entry.format for entry in signed.removed)
    records: Counter[str | None] = Counter()
    for entry in signed.removed:
        records[entry.format] += entry.records
    told = [
        say("format", name=name or say("unnamed"), files=count, records=records[name])
        for name, count in files.most_common(_MOST)
    ]
    if (more := len(files) - _MOST) > 0:
        told.append(say("others", count=more))
    second = signed.second_search
    looked = sum(count.files for count in second.searched)
    searched = say("second", at=_shown(second.at), files=looked, remaining=second.remaining, held=second.held)
    yield Paragraph(" ".join([*([say("formats", formats=", ".join(told))] if told else []), searched]))


def _folders(signed: Certificate, say: _Say) -> Iterator[Sequence[str]]:
    """A row for each of the folders that most was found in, one for the others together, and one for all."""
    figures: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for count in signed.searched:
        figures[count.folder]["searched"] += count.files
    for entry in signed.removed:
        way = "deleted" if entry.action == "delete" else "redacted"
        figures[entry.folder].update({"found": 1, way: 1, "records": entry.records})
    for entry in signed.held:
        figures[entry.folder].update(("found", "kept"))
    for entry in signed.unsearchable:
        figures[entry.folder]["unsearchable"] += 1
    ordered = sorted(figures, key=lambda name: (-figures[name]["found"], -figures[name]["searched"], name))
    for folder in ordered[:_MOST]:
        yield _row(_short(folder), [figures[folder]])
    if rest := ordered[_MOST:]:
        yield _row(say("others", count=len(rest)), [figures[folder] for folder in rest])
    yield _row(say("all"), figures.values())


def _row(name: str, figures: Iterable[Counter[str]]) -> Sequence[str]:
    total: Counter[str] = Counter()
    for one in figures:
        total.update(one)
    return (name, *(str(total[figure]) for figure in _FIGURES))


def _left(signed: Certificate, say: _Say) -> Iterator[Block]:
    for heading, entries, empty in (
        ("why_kept", signed.held, "nothing_kept"),
        ("not_searched", signed.unsearchable, "nothing_unsearched"),
    ):
        yield Heading(say(heading))
        yield Table((say("reason"), say("files")), list(_reasons(entries, say)), say(empty))


def _reasons(entries: Iterable[FileEntry], say: _Say) -> Iterator[tuple[str, str]]:
    """The most frequent reasons; those that differ in numbers alone count as one, shown by the first."""
    shown: dict[str, str] = {}
    counts: Counter[str] = Counter()
    for entry in entries:
        reason = entry.reason or say("unnamed")
        if reason.startswith(_PARTS):
            reason = say("parts")
        kind = _NUMBER.sub("#", reason)
        shown.setdefault(kind, reason)
        counts[kind] += 1
    for kind, count in counts.most_common(_MOST):
        yield _short(shown[kind]), str(count)
    rest = counts.most_common()[_MOST:]
    if rest:
        yield say("others", count=len(rest)), str(sum(count for _, count in rest))


def _complete(signed: Certificate, say: _Say) -> Iterator[Block]:
    completion = signed.completion
    if isinstance(completion, msgspec.UnsetType):
        return
    yield Heading(say("complete"))
    ways: dict[tuple[str, str], list[Physical]] = {}
    for one in completion.physical:
        text = one.way if one.way == Way.KEY_DESTROYED else kind_of(one.file_system)
        ways.setdefault((text, one.file_system or say("unnamed")), []).append(one)
    sentences = [say("logical", at=_shown(completion.logical))]
    for (text, file_system), folders in list(ways.items())[:_MOST]:
        names = _short(", ".join(one.folder for one in folders))
        sentences.append(say(text, folders=names, file_system=file_system))
    yield Paragraph(" ".join(sentences))


def _remains(signed: Certificate, say: _Say) -> Iterator[Block]:
    excepted = {is_exception(entry.reason) for entry in signed.held}
    texts = ((False, "until_released"), (True, "until_ended"))
    sentences = [say(text) for kind, text in texts if kind in excepted]
    if isinstance(signed.kept_until, str):
        sentences.append(say("certificate_until", until=_shown(signed.kept_until)))
    if signed.recipients:
        until = max(one.until for one in signed.recipients)
        sentences.append(say("notices_until", until=_shown(until)))
    yield Heading(say("remains"))
    yield Paragraph(" ".join(sentences) or say("nothing_kept"))


def _told(signed: Certificate, say: _Say) -> Iterator[Block]:
    told = signed.recipients
    if isinstance(told, msgspec.UnsetType):
        return
    rows = [(_short(one.recipient), one.notice, str(one.files)) for one in told[:_MOST]]
    if rest := told[_MOST:]:
        rows.append((say("others", count=len(rest)), "", str(sum(one.files for one in rest))))
    yield Heading(say("told"))
    yield Table((say("recipient"), say("notice"), say("files")), rows, say("nobody"))


def _shown(instant: str) -> str:
    """An instant of a certificate, to the minute: `2026-02-03 10:00 UTC`."""
    return f"{instant[:10]} {instant[11:16]} UTC"


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
