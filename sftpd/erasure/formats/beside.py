"""What values are called where a member or attribute beside them says so, in JSON and XML alike.

As in `{"name": "klantnummer", "value": 1234}`.
"""

from collections import deque
from collections.abc import Iterator
from functools import lru_cache

NAMING = {
    *("name", "naam", "key", "field", "fieldname", "column", "label", "code", "attribute", "attr"),
    *("property", "prop", "veld", "veldnaam", "kolom", "kenmerk", "header", "title", "id", "type"),
    *("kind", "soort", "system"),
}
"""Members, and attributes of XML, that say what the one beside them is."""
_KINDS = {"type", "kind", "soort", "system"}
"""Those of them that say it of more than one thing in a list."""
VALUES = {
    *("value", "val", "v", "values", "waarde", "content", "inhoud", "data", "text", "t", "", "string"),
    *("stringvalue", "intvalue", "integervalue", "numbervalue", "antwoord", "answer"),
}
"""Members, and attributes of XML, that are what the one beside them says."""
_NUMBERS = {"id", "nummer", "number", "nr", "no", "code"}
"""Members that are numbers of what `type` says."""
_NEAR = 16
"""Members of these kinds that may stand between a value and what it is called."""
_LONGEST_NAME = 300
"""Characters of what a member says that another is called."""


@lru_cache(4096)
def role(key: str) -> str | None:
    """What a member of this name is to those beside it: the name without marks; None where it is nothing."""
    key = key.strip("@#$_").lower()
    return key if key in NAMING or key in VALUES or key in _NUMBERS else None


class Beside:
    """The last members of an object that say what others are called, or may be called so."""

    def __init__(self) -> None:
        self._last: deque[tuple[str, str]] = deque(maxlen=_NEAR)

    def take(self, key: str, text: str) -> list[tuple[str, str, bool]]:
        """Values behind what they are called, of which one or the other is a member with this `role`.

        Each says whether that names one thing of several, as `name` does and `type` does not.
        """
        found: list[tuple[str, str, bool]] = []
        for other, said in self._last:
            found += _named(key, text, other, said)
            found += _named(other, said, key, text)
        self._last.append((key, text))
        return found


def _named(naming: str, said: str, key: str, text: str) -> Iterator[tuple[str, str, bool]]:
    """A value behind what one beside it says, where that says what it is called."""
    if naming in NAMING and len(said) <= _LONGEST_NAME:
        if key in VALUES:
            yield said, text, naming not in _KINDS
        elif naming in _KINDS and key in _NUMBERS:
            yield f"{said} {key}", text, False
