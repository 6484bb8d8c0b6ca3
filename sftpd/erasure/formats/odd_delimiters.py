"""Delimiters that tables are seldom parted by, such as `^`, `::` or wide space, told from first lines."""

import re
from collections.abc import Iterator, Sequence

from sftpd.erasure.formats.heads import heads

WIDE_SPACE = "  "
"""Stands for two spaces or more, which keep columns apart for the eye."""
IN_ADDRESSES = "&~"
"""Signs that may also be part of an e-mail address."""
_USUAL = re.compile(r",+|;+|\t+|\|+|[@<>=%]")
_SIGNS = re.compile(r"[^\w\s\"'()\[\]{}.+/-]{1,4}")
_WIDE = re.compile(" {2,}")
_LONGEST_HEAD = 60
"""Characters of what a column is called."""


def odd_delimiters(lines: Sequence[str]) -> Iterator[tuple[str, list[list[str]]]]:
    """The odd delimiters that may part some first lines, and the rows of each that say what the columns are.

    Such a row has words in all its columns, and half of the rows or more have as many.
    """
    met = [sign for line in lines for sign in dict.fromkeys(_SIGNS.findall(line))]
    met += [WIDE_SPACE for line in lines if _WIDE.search(line.strip())]
    for sign in dict.fromkeys(met):
        if met.count(sign) > 1 and not _USUAL.fullmatch(sign):
            rows = [parted(line, sign) for line in lines]
            rows = [row for row in rows if len(row) > 1]
            told = [list(head.values()) for head in heads([dict(enumerate(row)) for row in rows])]
            named = [head for head in told if _names_columns(head)]
            if any(sum(len(row) == len(head) for row in rows) * 2 >= len(rows) > 1 for head in named):
                yield sign, named


def parted(line: str, sign: str) -> list[str]:
    """The fields of a line that a delimiter parts."""
    fields = _WIDE.split(line.rstrip()) if sign == WIDE_SPACE else line.split(sign)
    return [_bare(field) for field in fields]


def _bare(field: str) -> str:
    field = field.strip()
    is_quoted = len(field) > 1 and field[0] == field[-1] == '"'
    return field[1:-1].replace('""', '"') if is_quoted else field


def _names_columns(head: Sequence[str]) -> bool:
    words = all(any(map(str.isalpha, each)) and len(each) <= _LONGEST_HEAD for each in head)
    return words and len(set(head)) == len(head) > 1
