"""XML as it is indexed: all that its elements, attributes and remarks say, wherever they stand."""

from collections.abc import Iterable
from typing import Protocol

from sftpd.erasure.formats.beside import VALUES, Beside, role
from sftpd.erasure.formats.model import Data, Findings, Inquiry, cut
from sftpd.erasure.formats.xml import Passage, embeds, is_name
from sftpd.erasure.formats.xml_events import handle, paired, require_depth
from sftpd.erasure.gathering import TakesTexts, Texts

_REMEMBERED = 10_000
"""Names of elements and attributes that are known to be taken."""


class Takes(TakesTexts, Protocol):
    """Takes what identifies somebody."""

    def take_name(self, name: str) -> None:
        """Take the name of an element or attribute by itself."""
        ...


class Elements:
    """One XML document."""

    def __init__(self, taker: Takes) -> None:
        self._taker = taker

    def find(self, data: Data, _inquiry: Inquiry) -> Findings:
        """Find nobody, and have the tokens taken. Raises UnsearchableError."""
        walk = _Walk(self._taker)
        handle(data, walk)
        walk.flush()
        return cut("xml", data, [], walk.unsearched)


class _Open(Passage):
    """An open element."""

    __slots__ = ("beside", "has_elements", "label", "names")

    def __init__(self, label: str) -> None:
        super().__init__()
        self.label = label
        self.names: list[str] = []
        """What it is called by attributes."""
        self.has_elements = False
        self.beside: Beside | None = None


class _Walk:
    """The walk through a document."""

    def __init__(self, taker: Takes) -> None:
        self.unsearched: list[str] = []
        self._taker = taker
        self._said = Texts(taker)
        self._names: set[str] = set()
        self._open: list[_Open] = []

    def start(self, name: str, attributes: list[str]) -> None:
        """Take the start of an element."""
        require_depth(len(self._open))
        if self._open:
            self._open[-1].has_elements = True
        element = _Open(self._named(name))
        self._open.append(element)
        if attributes:
            self._take_attributes(element, paired(attributes))

    def end(self, _name: str) -> None:
        """Take what an element says."""
        element = self._open.pop()
        text = element.text
        is_leaf = not element.has_elements
        around = self._open[-1] if self._open else None
        if element.has_text or is_leaf:
            self._said.add(text, element.label if around is None else f"{around.label}.{element.label}")
            for name in element.names:
                self._said.add_number(text, name)
        if is_leaf and not self.unsearched and embeds(element.label, text):
            self.unsearched.append("what is embedded in an element")
        if around is None:
            return
        around.add(text)
        if is_leaf and (part := role(element.label)) is not None:
            around.beside = around.beside or Beside()
            for name, said, _ in around.beside.take(part, text):
                self._said.add_number(said, name)

    def text(self, said: str) -> None:
        """Take text of an element."""
        element = self._open[-1]
        element.has_text = element.has_text or not said.isspace()
        element.add(said)

    def remark(self, said: str) -> None:
        """Take a comment or processing instruction."""
        self._said.add(said, "")

    def flush(self) -> None:
        """Have taken what is held back."""
        self._said.flush()

    def _take_attributes(self, element: _Open, told: Iterable[tuple[str, str]]) -> None:
        beside = Beside()
        for key, value in told:
            local = self._named(key)
            self._said.add(value, f"{element.label}.{key}")
            if is_name(key):
                element.names.append(value)
            if (part := role(local)) is not None:
                for name, said, _ in beside.take(part, value):
                    self._said.add_number(said, name)
            if local.lower() in VALUES:
                self._said.add_number(value, element.label)

    def _named(self, name: str) -> str:
        """A name without its prefix, which is taken."""
        local = name.rpartition(":")[2]
        if name not in self._names:
            if len(self._names) >= _REMEMBERED:
                self._names.clear()
            self._names.add(name)
            self._taker.take_name(name)
            self._taker.take_name(local)
        return local
