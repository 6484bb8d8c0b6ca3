"""The forms in which people write a name: which are the person for certain, and which only may be.

It is certain where all its words stand, in their order or with the surname before, but for case, diacritics,
hyphens and apostrophes. What leaves a word out, shortens, adds or misspells one is possible.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations, permutations

from sftpd.erasure.finder import Finder, Hint, Why
from sftpd.erasure.misreading import Misread
from sftpd.erasure.spelling import is_one_error, plain, spelled_around, traces_of

_PREFIXES = (
    *("van", "vander", "vanden", "vande", "vd", "v", "d", "de", "der", "den", "het", "t", "ter", "ten", "te"),
    *(
        "op",
        "in",
        "aan",
        "bij",
        "uit",
        "voor",
        "tot",
        "la",
        "le",
        "les",
        "du",
        "des",
        "di",
        "da",
        "do",
        "dos",
    ),
    *("del", "della", "von", "vom", "zu", "zum", "zur", "af", "el", "al", "bin", "ben", "ibn"),
)
_TITLES = frozenset(
    (
        *("dhr", "heer", "meneer", "mevr", "mevrouw", "miss", "mr", "mrs", "ms", "mw", "sir"),
        *("dr", "drs", "ing", "ir", "prof"),
    )
)
_DEGREES = frozenset(("bsc", "jr", "mba", "msc", "phd", "sr"))
_TOKEN = re.compile(r"[^\W_]+(?:'[^\W_]+)*|(?<=[^\W_])\s*-\s*(?=[^\W_])")
_LONG_WORD = re.compile(r"(?<= )[^\W\d_]{4,}(?= )")
_SMALLEST = 5
"""Letters that a word must have for an error in it to be looked for."""
_MOST = 5
"""Words of a name of which every order is looked for, and given names of which every choice is."""

_SOFT = rf"(?:{'|'.join(_PREFIXES)})\.?"
_LOOSE = rf"(?:{_SOFT} ){{0,3}}"
"""Any prefix of a surname, or none."""
_TAIL = rf"(?: {_SOFT}){{0,3}}(?= [|,])"
"""What may follow given names that stand behind the surname."""
_JOIN = r" (?:- )?"
_GLUE = r"(?: (?:- )?)?"
_COMMA = r"(?: ,)? "
_LETTER = r"[^\W\d_]\.?"
_CONSONANT = "[b-df-hj-np-tv-xz]"
"""What is an initial right behind another, and not the second letter of a short name."""
_WORD = r"[^\W\d_]+"
_EXTRA = rf"(?: (?:- )?(?!(?:{_SOFT}|en|and|und|et|of|or) )[^\W\d_]{{2,}}){{1,2}}"
"""One or two words that are neither a prefix nor part two names."""


@dataclass(frozen=True, slots=True)
class _Part:
    """A surname, or one of two: its prefix and its other words."""

    prefix: tuple[str, ...]
    core: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Name:
    """A name taken apart; its words keep their apostrophes, and `parts` are joined by hyphens."""

    words: tuple[str, ...]
    given: tuple[str, ...]
    parts: tuple[_Part, ...]
    has_title: bool

    @property
    def prefix(self) -> tuple[str, ...]:
        return self.parts[0].prefix

    @property
    def surname(self) -> tuple[str, ...]:
        return tuple(word for part in self.parts for word in (*part.prefix, *part.core))

    @property
    def bare(self) -> tuple[str, ...]:
        """The surname without the prefix before it."""
        return self.surname[len(self.prefix) :]


def certain_name(value: str) -> tuple[Finder, Hint]:
    """The finder of a folded name."""
    name = _parse(value)
    words = r"\s+".join(map(re.escape, value.split()))
    literal = re.compile(rf"(?<!\w)(?<!\w-){words}(?!-?\w)")
    forms = re.compile("|".join(_certain_forms(name)))
    anchors = sorted(map(_anchor, name.words), key=len, reverse=True)
    rarest, others = anchors[0], anchors[1:]

    def may(text: str) -> bool:
        text = plain(text)
        return rarest in text and all(anchor in text for anchor in others)

    def found(text: str, _label: str) -> bool:
        if not may(text):
            return False
        lines = plain(text).replace("\n", "|")
        return literal.search(text) is not None or any(
            forms.search(each) for each in spelled_around(lines, [rarest])
        )

    return found, may


def words_of(value: str) -> tuple[str, ...]:
    """The words of a folded name, which keep their apostrophes."""
    return _parse(value).words


def _parse(value: str) -> _Name:
    surname, _, given = plain(value).partition(",")
    tokens = [token.strip() for half in (given, surname) for token in _TOKEN.findall(half)]
    words = _without_hyphens(tokens)
    first, last = 0, len(tokens)
    while first < last - 1 and (tokens[first] in _TITLES or tokens[first : first + 2] == ["de", "heer"]):
        first += 1
    while first < last - 1 and tokens[last - 1] in _DEGREES:
        last -= 1
    kept = tokens[first:last]
    start = _surname_start(kept)
    return _Name(words, _without_hyphens(kept[:start]), _parts(kept[start:]), len(kept) < len(tokens))


def _without_hyphens(tokens: Iterable[str]) -> tuple[str, ...]:
    return tuple(token for token in tokens if token.isalnum() or "'" in token)


def _surname_start(tokens: Sequence[str]) -> int:
    """Where the surname starts: at its prefix, else at the last word and what hyphens join to it."""
    prefixes = (at for at, token in enumerate(tokens) if at and token in _PREFIXES)
    start = next(prefixes, len(tokens) - 1)
    while start > 1 and tokens[start - 1] == "-":
        start -= 2
    return start


def _parts(tokens: Sequence[str]) -> tuple[_Part, ...]:
    parts = []
    for words in " ".join(tokens).split(" - "):
        each = words.split()
        start = next((at for at, word in enumerate(each) if word not in _PREFIXES), 0)
        parts.append(_Part(tuple(each[:start]), tuple(each[start:])))
    return tuple(parts)


def _anchor(word: str) -> str:
    """A piece of a word that stands in every plain text with that word."""
    return "" if word in ("t", "het") else max(word.split("'"), key=len)


def _word(word: str) -> str:
    if word in ("t", "het"):
        return "(?:het|t)"
    dot = r"\.?" if len(word) == 1 or word in _TITLES | _DEGREES else ""
    return re.escape(word.replace("'", "")) + dot


def _said(words: Iterable[str], join: str = _JOIN) -> str:
    return join.join(map(_word, words))


def _certain_forms(name: _Name) -> Iterator[str]:
    """The forms that are the name for certain: in their order, or the surname first in a text of its own."""
    yield rf"(?<= )(?<! - ){_said(name.words)}(?= )(?! -)"
    if name.given and not name.has_title:
        given, bare = _said(name.given), _said(name.bare)
        for surname, prefix in {(_said(name.surname), ""), (bare, _said(name.prefix))}:
            tail = f" {prefix}" if prefix else ""
            yield rf"(?<=\| ){surname}{_COMMA}{given}{tail}(?= \|)"
        if name.prefix:
            yield rf"(?<=\| ){bare} {_said(name.prefix)}{_COMMA}{given}(?= \|)"


def possible_names(value: str) -> Mapping[Why, tuple[Finder, Hint]]:
    """The finders of the forms of a folded name that may be the person; they find certain forms too."""
    name = _parse(value)
    misread = Misread(value)
    hint = _name_hint(name)
    may = lru_cache(maxsize=2)(lambda text: hint(text) or misread.may_be_in(text))
    whole = {word.replace("'", "") for word in name.words}
    long_words = [word for word in sorted(whole) if len(word) >= _SMALLEST]
    right = whole.union(*(word.split("'") for word in name.words))
    anchors = [*_cores(name), *map(_anchor, _longest(name.given))]

    def marked(found: re.Match[str]) -> str:
        word = found[0]
        meant = () if word in right else (each for each in long_words if is_one_error(word, each))
        return next((f"~{each}" for each in meant), word)

    @lru_cache(maxsize=2)
    def spellings(text: str) -> list[str]:
        return [_LONG_WORD.sub(marked, each) for each in spelled_around(plain(text), anchors)]

    def finder(patterns: Iterable[str]) -> Finder:
        form = re.compile("|".join(rf"(?<= ){pattern}(?= )" for pattern in patterns))
        return lambda text, _label: (
            may(text)
            and any(found[0].count("~") <= 1 for each in spellings(text) for found in form.finditer(each))
        )

    found = {why: (finder(patterns), may) for why, form in _FORMS.items() if (patterns := list(form(name)))}
    certain, _ = certain_name(value)
    as_it_is = found[Why.SPELLING][0]
    found[Why.SPELLING] = (
        lambda text, label: as_it_is(text, label) or certain(misread.corrected(text), label),
        may,
    )
    return found


def _cores(name: _Name) -> list[str]:
    """A piece of each surname that stands in every form in which the surname is right."""
    return [max(map(_anchor, part.core), key=len) for part in name.parts]


def _longest(words: Sequence[str]) -> Sequence[str]:
    return [max(words, key=len)] if words else []


def _name_hint(name: _Name) -> Hint:
    """The surname is there, or all given names and what one error leaves of it."""
    core, *others = _cores(name)
    given = [_anchor(word) for word in name.given]
    first = max(given, key=len, default="")
    traces = [trace for each in (core, *others) if len(each) >= _SMALLEST for trace in traces_of(each)]

    def may(text: str) -> bool:
        text = plain(text)
        if core in text or (others and any(other in text for other in others)):
            return True
        return (
            first in text and all(word in text for word in given) and any(trace in text for trace in traces)
        )

    return may


def _either_order(name: _Name, given: str, surname: str | None = None) -> Iterator[str]:
    """Given names before a surname with any prefix, and behind it."""
    surname = surname or _loose(name.parts)
    yield f"{given} {surname}"
    yield f"{surname}{_COMMA}{given}{_TAIL}"


def _loose(parts: Iterable[_Part], said: Callable[[Iterable[str]], str] = _said) -> str:
    return _JOIN.join(f"{_LOOSE}{said(part.core)}" for part in parts)


def _title(name: _Name) -> Iterator[str]:
    if name.has_title and name.given:
        yield from _either_order(name, _said(name.given), _said(name.surname))


def _double(name: _Name) -> Iterator[str]:
    """One of two surnames, both the other way round, or one that has another beside it."""
    if not name.given:
        return
    given = f"(?:{_said(name.given)}|{_initials(name)}|{_word(name.given[0])})"
    if len(name.parts) > 1:
        for part in name.parts:
            yield from _either_order(name, given, _loose([part]))
        yield from _either_order(name, given, _loose(reversed(name.parts)))
        return
    (part,) = name.parts
    for surname in (f"{_LOOSE}{_WORD} - {_loose([part])}", f"{_loose([part])} - {_LOOSE}{_WORD}"):
        yield from _either_order(name, given, surname)


def _order(name: _Name) -> Iterator[str]:
    words = name.given + name.surname
    if name.given and len(words) <= _MOST:
        for order in sorted(set(permutations(words))):
            yield _said(order, _COMMA)


def _compound(name: _Name) -> Iterator[str]:
    if name.given:
        yield rf"(?<= - ){_said((*name.given, *name.surname))}"


def _prefix(name: _Name) -> Iterator[str]:
    if name.given:
        yield from _either_order(name, _said(name.given))


def _middle(name: _Name) -> Iterator[str]:
    """Given names of which some are left out, or that have others behind them."""
    if not name.given:
        return
    given = name.given[:_MOST]
    for count in range(len(given) - 1, 0, -1):
        for some in combinations(given, count):
            yield from _either_order(name, _said(some))
    yield from _either_order(name, f"{_said(name.given)}{_EXTRA}")


def _initials_form(name: _Name) -> Iterator[str]:
    if name.given:
        first, *others = _either_order(name, _initials(name))
        yield rf"(?<! [^\W\d_] )(?<! [^\W\d_]\. ){first}"
        yield from others


def _initials(name: _Name) -> str:
    """Initials for all given names or the first of them, and such as the name does not tell."""
    first, *others = (word.replace("'", "") for word in name.given)
    further = rf"(?: (?:- )?{_LETTER}){{0,3}}"
    for other in reversed(others):
        further = rf"(?: (?:- )?{other[0]}\.?{further})?"
    short = [rf"{re.escape(first[:length])}\." for length in (2, 3) if length < len(first)]
    start = "|".join([rf"{first[0]}\.?", *(["ij\\.?"] if first.startswith("ij") else []), *short])
    forms = [rf"(?:{start}){further}", rf"{re.escape(first)}(?: (?:- )?{_LETTER}){{1,3}}"]
    glued = "".join(word[0] for word in (first, *others)) if others else first[0] + _CONSONANT
    forms += [glued, *([rf"{first[0]}\.? {_said(name.given[1:])}"] if others else [])]
    return f"(?:{'|'.join(forms)})"


def _spelling(name: _Name) -> Iterator[str]:
    """One error in all words, or words written as one; a single word without a surname needs the error."""

    def said(words: Iterable[str]) -> str:
        return _GLUE.join(f"~?{_GLUE.join(map(_word, word.split(chr(39))))}" for word in words)

    surname = _GLUE.join(said((*part.prefix, *part.core)) for part in name.parts)
    if name.given:
        yield f"{said(name.given)}{_GLUE}{surname}"
        yield from _either_order(name, said(name.given), _loose(name.parts, said))
    else:
        yield surname
    if len(name.words) > 1:
        # With a dot, the mark of a quotation or the end of a line between them.
        yield r" (?:[-|] )?".join(rf"{_word(word)}\.?" for word in name.words)


_FORMS: Mapping[Why, Callable[[_Name], Iterator[str]]] = {
    Why.SURNAME: _double,
    Why.TITLE: _title,
    Why.COMPOUND: _compound,
    Why.ORDER: _order,
    Why.PREFIX: _prefix,
    Why.MIDDLE: _middle,
    Why.INITIALS: _initials_form,
    Why.SPELLING: _spelling,
}
