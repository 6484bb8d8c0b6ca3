"""JSON as it is indexed: of its values only those have labels that may be customer or employee numbers.

What is told whatever it stands under is taken before, from the text as it is. Numbers are told by keys, or by
a text that has a word for them; where such a text is beside a value, it is what that value is called.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NoReturn, Protocol, cast

from sftpd.erasure.formats.beside import Beside, role
from sftpd.erasure.formats.json_container import below
from sftpd.erasure.gathering import Numbers, TakesNumbers
from sftpd.erasure.identifiers import fold, readings

_REMEMBERED = 10_000
"""Keys of which is remembered what stands under them."""

_Member = tuple[str, "_Value"]
_Array = list["_Value"]
_Object = tuple[_Member, ...]
"""With its members in order, of which some may have the same name."""
_Value = str | bool | None | _Array | _Object


class Takes(TakesNumbers, Protocol):
    """Takes what identifies somebody."""

    def take_name(self, name: str) -> None:
        """Take the name of a member by itself."""
        ...

    def telling_lines(self, text: str) -> Iterable[str]:
        """The lines of a folded text that may tell of numbers."""
        ...


class Members:
    """Takes values by what they stand under."""

    def __init__(self, taker: Takes) -> None:
        self._taker = taker
        self._numbers = Numbers(taker)
        self._under: dict[str, dict[str, str]] = {}
        """The label of what stands under each key, by the label that this stands under."""
        self._remembered = 0

    def take(self, text: str, label: str) -> bool:
        """Take a JSON array or object that stands under `label`.

        Returns False where it is neither, or must be read closely: it has rows, and texts that may be the
        heads of these.
        """
        try:
            value = cast("_Array | _Object", _decode(text))
            said: list[str] = []
            self._walk(value, label, said)
            taken = not self._numbers.are_told_in("\n".join(said)) or self._walk_closely(
                value, label, self._telling(said)
            )
        except (ValueError, RecursionError):
            return False
        self._numbers.ease()
        return taken

    def take_lines(self, text: str) -> bool:
        """Take lines that are each JSON, or blank; as `take`."""
        documents = (line for line in text.split("\n") if line and not line.isspace())
        return self.take(f"[{','.join(documents)}]", "")

    def flush(self) -> None:
        """Have taken what is held back."""
        self._numbers.flush()

    def _walk(self, value: _Array | _Object, label: str, said: list[str]) -> None:
        """Keep what stands under labels that tell of numbers, and add each text to `said`."""
        for _, under, each in self._elements(value, label):
            if isinstance(each, str):
                said.append(each)
                if self._numbers.tells(under):
                    self._numbers.keep(each, under)
            elif isinstance(each, (list, tuple)):
                self._walk(each, under, said)
            elif self._numbers.tells(under):
                self._numbers.keep("", under)

    def _walk_closely(self, value: _Array | _Object, label: str, telling: Callable[[str], bool]) -> bool:
        """Keep what a `telling` text says, itself or of what is beside it. Returns False for rows."""
        beside: Beside | None = None
        for key, under, each in self._elements(value, label):
            if isinstance(each, str):
                if telling(each):
                    self._numbers.keep(each, under)
                if isinstance(value, list) or (part := role(key)) is None:
                    continue
                beside = beside or Beside()
                for name, text, _ in beside.take(part, each):
                    if self._numbers.tells(name):
                        self._numbers.keep(text, name)
            elif isinstance(each, (list, tuple)):
                is_row = isinstance(value, list) and isinstance(each, list)
                if is_row or not self._walk_closely(each, under, telling):
                    return False
        return True

    def _elements(self, value: _Array | _Object, label: str) -> Iterator[tuple[str, str, _Value]]:
        """Each element or member: its key if it has one, what it stands under, and what it is."""
        if isinstance(value, list):
            for each in value:
                yield "", label, each
            return
        known = self._under.setdefault(label, {})
        first = value[0][0] if value else ""
        for key, each in value:
            under = known.get(key)
            if under is None or first == "0":
                under = self._remember(label, first, key)
            yield key, under, each

    def _remember(self, label: str, first: str, key: str) -> str:
        """The label of what stands under a key."""
        if self._remembered >= _REMEMBERED:
            self._under.clear()
            self._remembered = 0
        self._taker.take_name(key)
        under = below(label, first, key)
        if first != "0":
            self._under.setdefault(label, {})[key] = under
            self._remembered += 1
        return under

    def _telling(self, texts: Sequence[str]) -> Callable[[str], bool]:
        """What says of each of some texts whether it has a word for numbers in it."""
        together = "\n".join(texts)
        folded = fold(together)
        if together.count("\n") >= len(texts) or len(readings(folded)) > 1:
            return self._numbers.are_told_in
        lines = set(self._taker.telling_lines(folded))
        return lambda text: fold(text) in lines


def _refuse(constant: str) -> NoReturn:
    raise ValueError(constant)


_decode = json.JSONDecoder(
    object_pairs_hook=tuple, parse_int=str, parse_float=str, parse_constant=_refuse
).decode
