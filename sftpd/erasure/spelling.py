"""Texts as names are compared in: one spelling for what people write in many, word by word.

A text is *plain* without case, diacritics and ligatures. It is *spelled* as its plain words with one space
between them and marks for what parts them: `-` in a compound, `,`, and `|` for all else and at both ends.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache

_LETTERS = {
    "ß": "ss",
    "ø": "o",
    "æ": "ae",
    "œ": "oe",
    "đ": "d",
    "ð": "d",
    "þ": "th",
    "ł": "l",
    "ı": "i",
    "ÿ": "ij",
    **dict.fromkeys("’‘`´ʼ", "'"),
    **dict.fromkeys("‐‑–", "-"),
}
_MARKS = re.compile(r"[\u0300-\u036f]+")
_TOKEN = re.compile(
    r"(?P<of>\bv/d\b)"
    r"|(?P<short>(?<![^\W_])[^\W\d_]{1,3}\.)(?=[\s-]*[^\W\d_])"
    r"|(?P<word>[^\W_]+(?:'[^\W_]+)*)"
    r"|(?P<hyphen>(?<=[^\W_])-|-(?=[^\W_]))"
    r"|(?P<comma>,)"
    r"|(?P<space>[\s_]+|'(?=t\b))"
    r"|(?P<rest>[^\w\s,'-]+|.)"
)
_MARK = {"of": "v d", "hyphen": "-", "comma": ",", "rest": "|"}
_PIECE = 2 << 20
"""Characters of a text that is kept in memory twice."""
_WINDOW = 300
"""Characters around an anchor in which a name lies."""
_AT_ONCE = 2000
"""Characters of a text that is spelled as a whole."""


def plain(text: str) -> str:
    """Return a folded text without diacritics: `é` is `e`, `ø` is `o`, `ß` is `ss`, `ÿ` is `ij`."""
    if text.isascii():
        return text.replace("`", "'")
    return _plain_piece(text) if len(text) <= _PIECE else _plain(text)


@lru_cache(maxsize=2)
def _plain_piece(text: str) -> str:
    """The same of a text that is looked at for several names in turn."""
    return _plain(text)


def _plain(text: str) -> str:
    """Latin-1 character by character; anything else line by line, over the end of which nothing reaches."""
    try:
        raw = text.encode("latin-1")
    except UnicodeEncodeError:
        lines = text.split("\n")
        return "\n".join(plain(line) if line.isascii() else _decomposed(line) for line in lines)
    text = raw.translate(_PLAIN).decode("latin-1")
    for letter, letters in _LONGER.items():
        if letter in text:
            text = text.replace(letter, letters)
    return text


def _decomposed(text: str) -> str:
    for letter, letters in _LETTERS.items():
        if letter in text:
            text = text.replace(letter, letters)
    return _MARKS.sub("", unicodedata.normalize("NFKD", text))


_LATIN_1 = {chr(code): _decomposed(chr(code)) for code in range(256)}
_LONGER = {letter: letters for letter, letters in _LATIN_1.items() if len(letters) != 1 or letters > "\u00ff"}
"""What is several characters, or one beyond Latin-1, of a letter of Latin-1."""
_PLAIN = bytes(ord(letter if letter in _LONGER else letters) for letter, letters in _LATIN_1.items())


def spelled(text: str) -> str:
    """Spell a plain text; an abbreviation of up to three letters keeps its dot, a word no apostrophe."""
    tokens = (_spell(token) for token in _TOKEN.finditer(text))
    return f"| {' '.join(token for token in tokens if token)} |"


def _spell(token: re.Match[str]) -> str:
    kind = token.lastgroup or ""
    return _MARK.get(kind, "" if kind == "space" else token[0].replace("'", ""))


def spelled_around(text: str, anchors: Iterable[str]) -> Iterator[str]:
    """Spell what lies around the anchors in a plain text; what is cut off counts as a word."""
    if len(text) <= _AT_ONCE:
        yield spelled(text)
        return
    for start, end in _windows(text, anchors):
        before, after = "…a " if start else "", " a…" if end < len(text) else ""
        yield spelled(f"{before}{text[start:end]}{after}")


def _windows(text: str, anchors: Iterable[str]) -> Iterator[tuple[int, int]]:
    """Spans around the anchors, in order and without overlap."""
    pattern = re.compile("|".join(map(re.escape, anchors)))
    start = end = 0
    for found in pattern.finditer(text):
        if found.start() - _WINDOW > end:
            if end:
                yield start, end
            start = found.start() - _WINDOW
        end = min(len(text), found.end() + _WINDOW)
    if end:
        yield max(0, start), end


def is_one_error(one: str, other: str) -> bool:
    """Whether a letter more, less or other, or two exchanged, makes one word of another.

    That is a Damerau-Levenshtein distance of 1; `y` for `ij` counts as one letter.
    """
    if one == other or abs(len(one) - len(other)) > 1:
        return False
    if one.replace("ij", "y") == other.replace("ij", "y"):
        return True
    least = min(len(one), len(other))
    start = next((at for at in range(least) if one[at] != other[at]), least)
    left, right = one[start:], other[start:]
    exchanged = left[:2] == right[1::-1] and left[2:] == right[2:]
    return exchanged or left[1:] in (right, right[1:]) or left == right[1:]


def traces_of(word: str) -> Sequence[str]:
    """Strings of which a text has one wherever it has the word with one error."""
    half = len(word) // 2
    exchanged = word[: half - 1] + word[half] + word[half - 1] + word[half + 1 :]
    return word[:half], word[half:], exchanged, word.replace("ij", "y"), word.replace("y", "ij")
