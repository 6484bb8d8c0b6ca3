"""What finds an identifier in a text, and why a form of one only may be the person."""

import re
from collections.abc import Callable, Sequence
from enum import StrEnum

Finder = Callable[[str, str], bool]
"""Says whether a folded text, under a folded label (its column or key), carries one identifier."""

Field = tuple[str, str]
"""The folded label and the folded text of a field."""

RecordFinder = Callable[[Sequence[Field]], bool]
"""Says whether the fields of a record carry one identifier between them."""

LONGEST_FIELD = 300
"""Characters of a field that is looked at together with others."""
BLANK_LINE = re.compile(r"\n\s*\n")
"""What parts paragraphs."""

Hint = Callable[[str], bool]
"""Says, and fast, whether any part of a folded text may carry one identifier."""


class Why(StrEnum):
    """What makes a written form a possible one; of several the first is told."""

    LINES = "separate lines"
    SURNAME = "double surname"
    TITLE = "title"
    COMPOUND = "compound"
    ORDER = "order"
    PREFIX = "prefix"
    MIDDLE = "middle name"
    INITIALS = "initials"
    SPELLING = "spelling"
    ADDRESS = "e-mail address"
    NUMBER = "telephone number"
    ZEROS = "leading zeros"
    APART = "apart from its name"
    FIELDS = "separate fields"
    HOUSE = "house number"
    ADDED = "added to a name"
