"""What is told by hand of files that do not tell it themselves: which columns there are, what they hold."""

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase

import msgspec


class Column(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A field of each line: its name, its first character counted from 1, and how many it has."""

    name: str
    start: int
    width: int


class FixedWidth(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag=True):
    """Files whose names match `glob` have columns of a fixed width, and lines that are no records."""

    glob: str
    columns: tuple[Column, ...]
    header: int = 0
    """Lines before the records; blank ones are not counted here or elsewhere."""
    trailer: int = 0
    """Lines after them."""
    count: Column | None = None
    """Where the last line counts the records, without header and trailer or with them."""

    def fits(self, name: bytes) -> bool:
        """Whether a file with this name, folders aside, has this layout."""
        return fnmatchcase(name.rpartition(b"/")[2].decode("utf-8", "surrogateescape"), self.glob)


class Numbers(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag=True):
    """Columns and keys of this name hold numbers of a kind of people, `customer` or `employee`."""

    column: str
    kind: str


Layout = FixedWidth | Numbers


def kinds_by_label(layouts: Iterable[Layout]) -> Mapping[str, str]:
    """Whose numbers stand under a label, which is not folded."""
    return {each.column: each.kind for each in layouts if isinstance(each, Numbers)}
