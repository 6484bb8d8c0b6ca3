"""Texts that identify somebody, or may do so by what they stand under, taken many at a time."""

from collections.abc import Collection, Sequence, Set
from typing import Protocol

from sftpd.erasure.identifiers import fold, readings

_AT_ONCE = 20_000
"""Texts that are taken together under labels, about."""
_CHARACTERS = 1 << 16
"""Characters of others that are taken together, about."""
_REMEMBERED = 10_000
"""Labels of which is remembered whether they tell of numbers."""


class TakesNumbers(Protocol):
    """Takes what identifies somebody by what it stands under."""

    def take_numbers(self, texts: Collection[str], label: str) -> None:
        """Take texts under a folded label."""
        ...

    def labels_of(self, label: str) -> Sequence[str]:
        """The folded labels that tell of numbers for which a folded label stands."""
        ...

    def tells(self, text: str) -> bool:
        """Whether a folded text or label may tell of numbers; False is certain."""
        ...


class Numbers:
    """The texts, by their labels."""

    def __init__(self, taker: TakesNumbers) -> None:
        self._taker = taker
        self._telling: dict[str, bool] = {}
        self._texts: dict[str, set[str]] = {}
        self._held = 0

    def tells(self, label: str) -> bool:
        """Whether what stands under a label may be a number for that."""
        tells = self._telling.get(label)
        if tells is None:
            if len(self._telling) >= _REMEMBERED:
                self._telling.clear()
            folded = fold(label)
            tells = self._telling[label] = self._taker.tells(folded) or bool(self._taker.labels_of(folded))
        return tells

    def are_told_in(self, text: str) -> bool:
        """Whether a text has a word for numbers in it, as it stands or as it is seen."""
        return any(map(self._taker.tells, readings(fold(text))))

    def keep(self, text: str, label: str) -> None:
        """Gather a text."""
        self._texts.setdefault(label, set()).add(text)
        self._held += 1

    def ease(self) -> None:
        """Have taken what is gathered where that is much."""
        if self._held >= _AT_ONCE:
            self.flush()

    def flush(self) -> None:
        """Have taken what is gathered."""
        gathered, self._texts, self._held = self._texts, {}, 0
        for label, texts in gathered.items():
            folded = fold(label)
            for told in dict.fromkeys((folded, *self._taker.labels_of(folded))):
                self._taker.take_numbers(texts, told)


class TakesTexts(TakesNumbers, Protocol):
    """Takes what identifies somebody."""

    def take_fields(self, fields: Set[str]) -> None:
        """Take folded texts, as they stand and as they are seen, whatever they stand under."""
        ...


class Texts:
    """Texts whatever they stand under, and those that may be numbers."""

    def __init__(self, taker: TakesTexts) -> None:
        self._taker = taker
        self._numbers = Numbers(taker)
        self._texts: set[str] = set()
        self._size = 0

    def add(self, text: str, label: str) -> None:
        """Gather a text that stands under a label."""
        if not text or text.isspace():
            return
        self._texts.add(text)
        self._size += len(text)
        self.add_number(text, label)
        if self._size >= _CHARACTERS:
            self._take_texts()

    def add_number(self, text: str, label: str) -> None:
        """Gather a text that is gathered already under another label."""
        if self._numbers.tells(label):
            self._numbers.keep(text, label)
            self._numbers.ease()

    def flush(self) -> None:
        """Have taken what is gathered."""
        self._take_texts()
        self._numbers.flush()

    def _take_texts(self) -> None:
        self._taker.take_fields(set(map(fold, self._texts)))
        self._texts.clear()
        self._size = 0
