"""A person known by name and date of birth, together in one line, paragraph or record.

Known as `jan de vries 1980-05-17`. The name is certain in the forms in which it is by itself; its words may
stand in fields beside each other. A form of the name that only may be the person is one here too.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence

from sftpd.erasure.dates import has_one, hint_of, pattern_of, taken_from
from sftpd.erasure.finder import BLANK_LINE, LONGEST_FIELD, Field, Finder, Hint, RecordFinder, Why
from sftpd.erasure.names import certain_name, possible_names, words_of
from sftpd.erasure.spelling import plain

_REACH = 300
"""Characters between a name and a date that belong together."""
_MOST_FIELDS = 5
"""Fields beside each other over which a name is spread."""
_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)*")
_REMARKS = re.compile(r"(?:\b(?:geb(?:oren)?|born|dob|op|on)\b\.?|[\s,;:*()])+\Z")

Names = Callable[[str], bool]
"""Says whether a text has a name."""


def birth(value: str) -> tuple[str, str] | None:
    """The name and the date of a folded value; None where it has not one of each."""
    taken = taken_from(value)
    if taken is None:
        return None
    date, rest = taken
    return " ".join(_REMARKS.sub("", rest.strip()).split()), date


def date_of_birth(value: str) -> str:
    """The date in a normal form."""
    return value.rpartition(" ")[2]


def certain_birth(value: str) -> tuple[Finder, Hint, RecordFinder]:
    """The finder of a name and date in their normal form."""
    name, _, date = value.rpartition(" ")
    pattern = pattern_of(date)
    hint = hint_of(date, pattern)  # of the name there may be nothing in what is looked at together
    find, may = certain_name(name)

    def named(text: str) -> bool:
        return find(text, "")

    def found(text: str, _label: str) -> bool:
        return any(named(around) for around in _certainly_around(pattern, text))

    def found_in_record(fields: Sequence[Field]) -> bool:
        texts = _told(pattern, fields)
        return (
            bool(texts)
            and may("\n".join(texts))
            and (any(map(named, texts)) or any(map(named, _joined(texts))))
        )

    return found, hint, found_in_record


def possible_births(value: str) -> Mapping[Why, tuple[Finder, Hint, RecordFinder]]:
    """The finders of what only may be the person: a possible form of the name, or a date further off."""
    name, _, date = value.rpartition(" ")
    pattern = pattern_of(date)
    hint = hint_of(date, pattern)
    find, _ = certain_name(name)
    words = {word.replace("'", "") for word in words_of(name)}

    def in_fields(texts: Sequence[str]) -> bool:
        said = {word.replace("'", "") for text in texts for word in _WORD.findall(plain(text))}
        return words <= said

    def finders(has: Names, also: Callable[[Sequence[str]], bool]) -> tuple[Finder, Hint, RecordFinder]:
        def found(text: str, _label: str) -> bool:
            return any(has(around) for around in _around(pattern, text))

        def found_in_record(fields: Sequence[Field]) -> bool:
            texts = _told(pattern, fields)
            return bool(texts) and also(texts)

        return found, hint, found_in_record

    def form_of(form: Finder) -> tuple[Finder, Hint, RecordFinder]:
        def has(text: str) -> bool:
            return form(text, "")

        return finders(has, lambda texts: any(map(has, texts)) or has(" ".join(texts)))

    return {
        Why.LINES: finders(lambda text: find(text, ""), lambda _texts: False),
        **{why: form_of(form) for why, (form, _) in possible_names(name).items()},
        Why.FIELDS: finders(lambda _text: False, in_fields),
    }


def _told(pattern: re.Pattern[str], fields: Sequence[Field]) -> list[str]:
    """The texts of a record that has the date, as far as they are short; none of one that has not."""
    texts = [stripped for _, text in fields if (stripped := text.strip()) and len(stripped) <= LONGEST_FIELD]
    return texts if any(map(pattern.search, texts)) else []


def _joined(texts: Sequence[str]) -> Iterator[str]:
    """The texts of fields beside each other as one text."""
    for count in range(2, _MOST_FIELDS + 1):
        for at in range(len(texts) - count + 1):
            yield " ".join(texts[at : at + count])


def _certainly_around(pattern: re.Pattern[str], text: str) -> Iterator[str]:
    """The line of each date; and its paragraph where there is no other date in that."""
    for around, line in _paragraphs(pattern, text):
        yield line
        if "\n" in around and has_one(around):
            yield around


def _around(pattern: re.Pattern[str], text: str) -> Iterator[str]:
    return (around for around, _ in _paragraphs(pattern, text))


def _paragraphs(pattern: re.Pattern[str], text: str) -> Iterator[tuple[str, str]]:
    """Of each date what stands around it in its paragraph, and in its line."""
    for found in pattern.finditer(text):
        start, end = max(0, found.start() - _REACH), min(len(text), found.end() + _REACH)
        before, after = text[start : found.start()], text[found.end() : end]
        if start and (cut := re.search(r"\s", before)):
            # What is cut off counts as a word.
            before = f"…a {before[cut.end() :]}"
        if end < len(text) and (cut := re.search(r"\s\S*\Z", after)):
            after = f"{after[: cut.start()]} a…"
        before, after = BLANK_LINE.split(before)[-1], BLANK_LINE.split(after)[0]
        said = found[0]
        yield before + said + after, before.rpartition("\n")[2] + said + after.partition("\n")[0]
