"""Numbers of customers and employees: they look like any other, and count only beside a word that says whose.

Such a word may be whole, as in `klant 1234`, or short, and then counts only before a term for a number, as in
`kl.nr. 1234`.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from itertools import chain

from sftpd.erasure.finder import Finder, Hint, Why

NUMBER_WORDS: Mapping[str, tuple[str, ...]] = {
    "customer": ("klant", "customer", "client", "cliënt", "debiteur", "debtor"),
    "employee": ("medewerker", "werknemer", "personeels", "employee", "staff"),
}
"""Whose number it is, by the whole words for it."""
_SHORT: Mapping[str, tuple[str, ...]] = {"customer": ("kl", "klt", "rel"), "employee": ("pers",)}
"""Words that are others too where no `nr`, `nummer` or `no.` follows."""
_LONGER: Mapping[str, tuple[str, ...]] = {
    "customer": ("cust", "deb", "relatie", "afnemer", "afnemers"),
    "employee": ("emp", "medew", "mdw", "werkn", "personeel", "personnel"),
}
"""Words before which any term tells of a number."""
_HINTS = (
    *("klant", "cust", "client", "cliënt", "debiteur", "debtor"),
    *("medewerker", "werknemer", "employee", "staff", "personeels"),
)
"""One of these is in every text with a whole word, or with `cust`."""

_SIGNS = r" \t\r\n_.:(\-"
_VALUE = r"(?:\.(?:(?:value|waarde|val|#?text)(?![^\W_])|[$_](?!\w))|\.?+)"
"""The end of a term: a dot, or what the value of a member is called that is an object."""
_TERM = rf"(?:(?>nummer|number|num|nbr|code|id|nr)s?+|key|no|n°|#){_VALUE}"
_NUMBER_TERM = rf"(?:en|['’]?s)?+[{_SIGNS}]*+(?:(?:met|with)\s++(?:(?:het|the)\s++)?+)?+{_TERM}"
NUMBER_WORD = f"(?:{_NUMBER_TERM})?"
TERM_BEGINS = "num|nbr|nr|no|code|id|key"
"""How terms begin of which a number may be part of the same word, as in `nr12`."""
FRACTION = r"[.,](?!0(?![0-9]))"
"""What makes an amount of a number before a digit; programs that keep whole numbers as others write `.0`."""
_GAP = r"[\s:#=\"']*+"
_MARKS = r"[\s:#=\"'(\[>|;.–-]*+"
NUMBER_GAP = rf"{_MARKS}(?:(?:is|was|luidt)[\s:=]++{_MARKS})?"
"""What may stand between words that tell of a number and the number."""
SHORT_WORDS: Mapping[str, str] = {
    kind: rf"(?<![^\W_])(?:(?:{'|'.join(_SHORT[kind])})[{_SIGNS}]{{0,3}}+"
    rf"(?:(?>nummer|number|num|nr)s?+{_VALUE}|no\.)"
    rf"|(?:{'|'.join(_LONGER[kind])})[{_SIGNS}]{{0,3}}+{_TERM})"
    for kind in NUMBER_WORDS
}
"""How short words are written with the terms behind them, as expressions."""
SHORT_WORD_END = rf"(?<![^\W_])(?:{'|'.join(chain(*_SHORT.values(), *_LONGER.values()))})[{_SIGNS}]?+"
"""The end of a label of which the term may stand in the field."""

APART = "\0apart"
"""The label of what `numbers_apart` tells: no column or member is called so."""
_NAMES = {
    kind: re.compile(
        rf"(?<![^\W_])(?:{'|'.join(words)}){_NUMBER_TERM}(?![^\W_])|{SHORT_WORDS[kind]}(?![^\W_])"
    )
    for kind, words in NUMBER_WORDS.items()
}
"""What numbers of a kind are called: a word for whose they are, with a term."""
_PARTS = re.compile(r"[\s|;]+")
_AROUND = "().,:'\"<>[]"
_LEAST = 4
"""Characters of a number that stands by itself: shorter ones are all sorts of things."""

_PARTING = " \t\r\n_.:(-\"'=[{"
"""What may stand between a short word and its term, one of which may be the name of a member."""
_BEFORE, _TERMS = tuple(chain.from_iterable(_SHORT.values())), ("nr", "num", "no.")
_AHEAD = tuple(word for word in chain.from_iterable(_LONGER.values()) if word not in _HINTS)
_STEMS = {
    stem: tuple([word for word in words if word.startswith(stem)] for words in (_HINTS, _AHEAD))
    for stem in (
        *("klant", "cust", "client", "cliënt", "deb", "relatie", "afnemer"),
        *("medew", "mdw", "werkn", "emp", "staff", "person"),
    )
}
"""What all of these begin with, to look for fewer."""
_BEHIND = ("no", "nr", "num", "nbr", "id", "code", "key", "n°", "#")
_REACH = 12
"""Characters from a term to the beginning of the short word before it, or the other way round."""


def names_numbers(text: str) -> bool:
    """Whether a folded text may have words that tell of customer or employee numbers; False is certain."""
    for stem, (hints, ahead) in _STEMS.items():
        if stem in text and (any(map(text.__contains__, hints)) or _has(_before_terms(text, ahead))):
            return True
    return _has(_behind_words(text))


def lines_that_name_numbers(text: str, others: Sequence[str]) -> Iterator[str]:
    """The lines of a folded text that may have such words, or have one of some others."""
    places = chain(_short_words(text), *(_places(text, word) for word in (*_HINTS, *others)))
    for at in places:
        end = text.find("\n", at)
        yield text[text.rfind("\n", 0, at) + 1 : len(text) if end < 0 else end]


def has_short_words(text: str) -> bool:
    """Whether a folded text may have short words and their terms; False is certain."""
    return "cust" in text or _has(_short_words(text))


def _has(places: Iterator[int]) -> bool:
    return next(places, None) is not None


def _short_words(text: str) -> Iterator[int]:
    return chain(_behind_words(text), _before_terms(text, _AHEAD))


def _behind_words(text: str) -> Iterator[int]:
    for term in _TERMS:
        for at in _places(text, term):
            if text[max(0, at - _REACH) : at].rstrip(_PARTING).endswith(_BEFORE):
                yield at


def _before_terms(text: str, words: Sequence[str]) -> Iterator[int]:
    for word in words:
        for at in _places(text, word):
            behind = at + len(word)
            if text[behind : behind + _REACH].lstrip(_PARTING).startswith(_BEHIND):
                yield at


def _places(text: str, word: str) -> Iterator[int]:
    at = text.find(word)
    while at >= 0:
        yield at
        at = text.find(word, at + 1)


def number(value: str) -> str | None:
    """A folded customer or employee number; None for what cannot be one."""
    return value if re.fullmatch(r"\w[\w./-]*", value) and any(map(str.isdigit, value)) else None


def is_padded(number: str) -> bool:
    """Whether a number may have other leading zeros elsewhere."""
    return number.isdecimal() and number.isascii()


def number_key(number: str) -> str:
    """What the ways to write a number have in common."""
    return number.lstrip("0") if is_padded(number) else number


def number_keys(numbers: Set[str]) -> set[str]:
    """The same of many."""
    decimal = set(filter(str.isdecimal, numbers))
    return {*numbers - decimal, *map(number_key, decimal)}


def kinds_named(text: str) -> frozenset[str]:
    """The kinds of numbers that a folded text names."""
    if not names_numbers(text):
        return frozenset()
    return frozenset(kind for kind, name in _NAMES.items() if name.search(text))


def numbers_apart(text: str, kinds: Iterable[str]) -> str:
    """What stands by itself in a folded text and may be a number of these kinds: lines `kind‖0x00‖value`.

    Of a table of which only the text is left, a number is not beside what its column is called.
    """
    words = {word.strip(_AROUND) for word in _PARTS.split(text)}
    numbers = sorted(word for word in words if len(word) >= _LEAST and number(word))
    return "\n".join(f"{kind}\0{word}" for kind in sorted(kinds) for word in numbers)


def keyed(entries: Iterable[str]) -> set[str]:
    """Such entries without what only some ways to write a number have."""
    parted = (entry.partition("\0") for entry in entries)
    return {f"{kind}\0{number_key(value)}" for kind, _, value in parted}


def certain_number(kind: str) -> Callable[[str], tuple[Finder, Hint]]:
    """What finds numbers of a kind beside a word for it."""

    def build(value: str) -> tuple[Finder, Hint]:
        return _beside_words(kind, re.escape(value), value)

    return build


def possible_numbers(kind: str) -> Callable[[str], Mapping[Why, tuple[Finder, Hint]]]:
    """What finds numbers of a kind with other leading zeros, which programs add or lose, or by themselves."""

    def build(value: str) -> Mapping[Why, tuple[Finder, Hint]]:
        digits = number_key(value)
        if not is_padded(value):
            return {Why.APART: _apart(kind, re.escape(value), value)}
        other = rf"(?!{value}(?!\w))0*+{digits}"
        return {
            Why.ZEROS: _beside_words(kind, other, digits),
            Why.APART: _apart(kind, f"0*+{digits}", digits),
        }

    return build


def _apart(kind: str, core: str, hint: str) -> tuple[Finder, Hint]:
    pattern = re.compile(rf"(?m)^{kind}\x00{core}$")

    def found(text: str, label: str) -> bool:
        return label == APART and pattern.search(text) is not None

    return found, lambda text: hint in text


def _beside_words(kind: str, core: str, hint: str) -> tuple[Finder, Hint]:
    words = rf"(?<![^\W_])(?:{'|'.join(NUMBER_WORDS[kind])})(?:{_NUMBER_TERM}{NUMBER_GAP}|{_GAP})"
    pattern = re.compile(rf"(?:{words}|{SHORT_WORDS[kind]}{NUMBER_GAP}){core}(?!-?\w)(?!{FRACTION}\d)")

    def found(text: str, label: str) -> bool:
        return hint in text and pattern.search(f"{label}: {text}") is not None

    return found, lambda text: hint in text
