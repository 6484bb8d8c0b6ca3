"""Faults of the configuration: one line each, with file, line, key, what was found and what is allowed."""

import difflib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, get_args

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from sftpd.config.model import Section, sections_in
from sftpd.config.positions import KeyPath
from sftpd.config.refusal import show
from sftpd.config.values import PATTERNS

_ALLOWED = {
    "string_type": "a text in quotes",
    "string_too_short": "a text that is not empty",
    "string_too_long": "at most {max_length} characters",
    "int_type": "a whole number",
    "bool_type": "true or false",
    "tuple_type": "a list in brackets",
    "model_type": "a table",
    "model_attributes_type": "a table",
    "greater_than": "more than {gt:g}",
    "greater_than_equal": "{ge:g} or more",
    "less_than_equal": "{le:g} or less",
}
"""What is allowed, by the type of pydantic's error; the names in braces are of the error's context."""
_COMPOUND = ("tuple_type", "model_type", "model_attributes_type")
"""The errors where a text may be a secret that stands where a list of secrets should."""
_SIMILAR = 0.7
_CHOICES = {"literal_error": "expected", "enum": "expected", "union_tag_invalid": "expected_tags"}


@dataclass(frozen=True, slots=True)
class Finding:
    """A fault whose place is not known yet: `path` is shown, `at` or what is around it gives the line."""

    at: KeyPath
    path: KeyPath
    text: str


@dataclass(frozen=True, slots=True, order=True)
class Fault:
    """One fault as one line: `file` seen from the root; `line` from 1, 0 for the whole file; `key` dotted."""

    file: str
    line: int
    key: str
    text: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        line = ": ".join(part for part in (place, self.key, self.text) if part)
        return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in line)


def dotted(path: KeyPath) -> str:
    """A key path as operators write it: `account[0].permissions[2]`."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).removeprefix(".")


def translate(error: ValidationError, model: type[Section]) -> Iterator[Finding]:
    """The findings in `error`, which validating `model` raised; none carries pydantic's own text.

    A missing key for which a misspelt one was found is not reported twice.
    """
    meant: set[KeyPath] = set()
    missing: list[KeyPath] = []
    for detail in error.errors(include_url=False):
        path, sections = _resolve(model, detail["loc"])
        table = path[:-1]
        if detail["type"] == "missing":
            missing.append(path)
        elif detail["type"] == "extra_forbidden":
            guess = difflib.get_close_matches(str(path[-1]), _keys(sections), 1, _SIMILAR)
            meant |= {(*table, key) for key in guess}
            hint = f'; did you mean "{guess[0]}"?' if guess else f", allowed: {', '.join(_keys(sections))}"
            yield Finding(path, table, f'unknown key "{path[-1]}"{hint}')
        else:
            yield _wrong_value(path, detail)
    for path in missing:
        if path not in meant:
            yield Finding(path[:-1], path[:-1], f'required key "{path[-1]}" is missing')


def _wrong_value(path: KeyPath, detail: ErrorDetails) -> Finding:
    kind, context, found = detail["type"], detail.get("ctx", {}), detail["input"]
    if kind == "fault":
        return Finding(path, path, context["text"])
    if kind == "union_tag_not_found":
        return Finding(
            path, path, f"required key {context['discriminator'].replace(chr(39), chr(34))} is missing"
        )
    if kind == "union_tag_invalid":
        key = context["discriminator"].strip("'")
        path, found = (*path, key), found[key]
    if kind in _CHOICES:
        allowed = ", ".join(re.findall(r"'([^']*)'", context[_CHOICES[kind]]))
    elif kind == "string_pattern_mismatch":
        allowed = PATTERNS[context["pattern"]]
    else:
        allowed = _ALLOWED.get(kind, "another kind of value").format(**context)
    shown = "a text" if kind in _COMPOUND and isinstance(found, str) else show(found)
    return Finding(path, path, f"found {shown}, allowed: {allowed}")


def _resolve(model: type[Section], loc: tuple[int | str, ...]) -> tuple[KeyPath, list[type[Section]]]:
    """The key path of pydantic's `loc`, and the sections that the last key's table can be.

    Where a table can be one of several sections, pydantic puts the tag of the chosen one into `loc`.
    """
    path: KeyPath = ()
    around, inside = [model], [model]
    for part in loc:
        if isinstance(part, str) and len(inside) > 1:
            inside = [section for section in inside if part in _tags(section)]
            continue
        path = (*path, part)
        if isinstance(part, str):
            around, inside = inside, _inside(inside, part)
    return path, around


def _tags(section: type[Section]) -> tuple[Any, ...]:
    """The values of `direction` that choose this section."""
    return get_args(section.model_fields["direction"].annotation)


def _keys(sections: list[type[Section]]) -> list[str]:
    return [field.alias or name for section in sections for name, field in section.model_fields.items()]


def _inside(sections: list[type[Section]], key: str) -> list[type[Section]]:
    """The sections that the value of `key` can be or hold."""
    fields = (
        field
        for section in sections
        for name, field in section.model_fields.items()
        if key == (field.alias or name)
    )
    return [section for field in fields for section in sections_in(field.annotation)]
