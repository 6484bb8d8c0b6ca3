"""Names as they come out of a wrong encoding: `BjÃ¶rn` for Björn, also where the letter is lost (`Bj?rn`)."""

import re
import unicodedata

_ENCODINGS = ("utf-8", "cp850", "cp437", "mac_roman")
_LOST = ("?", "\ufffd")
"""What stands for a letter that an encoding did not have."""


class Misread:
    """What a folded name is where other encodings were taken for Windows-1252."""

    def __init__(self, name: str) -> None:
        words = [word for word in name.split() if not word.isascii() and len(word) > 1]
        self._words = [(re.compile("".join(map(_letter, word))), word) for word in words]

    def may_be_in(self, text: str) -> bool:
        """Whether a folded text has one of the words so."""
        return any(pattern.search(text) for pattern, _ in self._words)

    def corrected(self, text: str) -> str:
        """The text with the words as they are meant."""
        for pattern, word in self._words:
            text = pattern.sub(word, text)
        return text


def _letter(letter: str) -> str:
    if letter.isascii():
        return re.escape(letter)
    read = {_misread(each, encoding) for each in (letter, letter.upper()) for encoding in _ENCODINGS}
    forms = sorted({letter, *read, *_LOST} - {""}, key=len, reverse=True)
    return f"(?:{'|'.join(map(re.escape, forms))})"


def _misread(letter: str, encoding: str) -> str:
    try:
        read = letter.encode(encoding).decode("cp1252")
    except UnicodeError:
        return ""
    return unicodedata.normalize("NFKC", read).casefold()
