"""Where the keys and values of a TOML document stand, which `tomllib` does not tell."""

import re
import tomllib
from bisect import bisect_left

KeyPath = tuple[str | int, ...]
"""The way to a value: keys, and the indices of array elements and of `[[tables]]`."""

_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_KEY = re.compile(r"""[ \t]*([A-Za-z0-9_-]+|"(?:[^"\\]|\\.)*"|'[^']*')[ \t]*""")
_STRING = re.compile(r'''"""(?:[^\\]|\\[\s\S])*?"{3,5}|'{3}[\s\S]*?'{3,5}|"(?:[^"\\]|\\.)*"|'[^']*\'''')
_ATOM = re.compile(r"[^,\]}#\r\n]+")


def locate(text: str) -> dict[KeyPath, int]:
    """The line, from 1, of every table, key and array element of `text`, which `tomllib` has accepted."""
    return _Locator(text).document()


def line_of(lines: dict[KeyPath, int], path: KeyPath) -> int:
    """The line of `path`, or of the nearest table around it; 1 for the document itself."""
    while path and path not in lines:
        path = path[:-1]
    return lines.get(path, 1)


class _Locator:
    """Reads the document from `_at` on; knows where things stand, not what they mean."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._newlines = [match.start() for match in re.finditer("\n", text)]
        self._lines: dict[KeyPath, int] = {}
        self._counts: dict[KeyPath, int] = {}

    def document(self) -> dict[KeyPath, int]:
        table: KeyPath = ()
        while self._more():
            if self._peek("["):
                table = self._header()
            else:
                self._pair(table)
        return self._lines

    def _more(self) -> bool:
        self._skip_blank()
        return self._at < len(self._text)

    def _skip_blank(self) -> None:
        match = _BLANK.match(self._text, self._at)
        assert match is not None  # it matches the empty string
        self._at = match.end()

    def _peek(self, token: str) -> bool:
        return self._text.startswith(token, self._at)

    def _line(self) -> int:
        return bisect_left(self._newlines, self._at) + 1

    def _take(self, pattern: re.Pattern[str]) -> str:
        match = pattern.match(self._text, self._at)
        assert match is not None, "tomllib accepted what the locator does not know"
        self._at = match.end()
        return match[match.lastindex or 0]

    def _keys(self) -> list[str]:
        """The parts of a dotted key."""
        parts = [_unquoted(self._take(_KEY))]
        while self._peek("."):
            self._at += 1
            parts.append(_unquoted(self._take(_KEY)))
        return parts

    def _header(self) -> KeyPath:
        """Read `[a.b]` or `[[a.b]]`; a part that names an array of tables stands for its last element."""
        line, double = self._line(), self._peek("[[")
        self._at += 2 if double else 1
        path: KeyPath = ()
        *parents, last = self._keys()
        self._at += 2 if double else 1
        for part in parents:
            path = (*path, part)
            self._lines.setdefault(path, line)
            if path in self._counts:
                path = (*path, self._counts[path] - 1)
        path = (*path, last)
        if double:
            self._lines.setdefault(path, line)
            self._counts[path] = self._counts.get(path, 0) + 1
            path = (*path, self._counts[path] - 1)
        self._lines[path] = line
        return path

    def _pair(self, table: KeyPath) -> None:
        line, path = self._line(), table
        for part in self._keys():
            path = (*path, part)
            self._lines.setdefault(path, line)
        self._at += 1  # the equals sign
        self._value(path)

    def _value(self, path: KeyPath) -> None:
        self._skip_blank()
        if self._peek("["):
            self._items(path, "]")
        elif self._peek("{"):
            self._items(path, "}")
        else:
            self._take(_STRING if self._peek('"') or self._peek("'") else _ATOM)

    def _items(self, path: KeyPath, close: str) -> None:
        """Read the elements of an array, or the pairs of an inline table, up to `close`."""
        self._at += 1
        index = 0
        while self._more() and not self._peek(close):
            if close == "}":
                self._pair(path)
            else:
                self._lines[(*path, index)] = self._line()
                self._value((*path, index))
            index += 1
            self._skip_blank()
            if self._peek(","):
                self._at += 1
        self._at += 1


def _unquoted(key: str) -> str:
    return str(tomllib.loads(f"key = {key}")["key"]) if key[0] in "\"'" else key
