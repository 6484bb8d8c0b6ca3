"""What each key of a section means: the text under it in the source.

Read when it is to be rendered, because to read it at each start takes longer than to read the configuration.
"""

import ast
import inspect
import textwrap
from collections.abc import Iterator
from itertools import pairwise

from sftpd.config.model import Section, sections_in


def attach(*files: type[Section]) -> None:
    """Give the fields of these sections, and of all in them, their descriptions, for their schemas too."""
    for section in dict.fromkeys(inner for file in files for inner in _from_within(file)):
        for base in reversed(section.__mro__):
            if issubclass(base, Section):
                for name, text in _texts(base):
                    section.model_fields[name].description = text
        section.model_rebuild(force=True)


def _from_within(section: type[Section]) -> Iterator[type[Section]]:
    """A section after those in it, of which its schema is made."""
    for field in section.model_fields.values():
        for inner in sections_in(field.annotation):
            yield from _from_within(inner)
    yield section


def _texts(section: type[Section]) -> Iterator[tuple[str, str]]:
    (written,) = ast.parse(textwrap.dedent(inspect.getsource(section))).body
    assert isinstance(written, ast.ClassDef)
    for statement, below in pairwise(written.body):
        match statement, below:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                yield name, inspect.cleandoc(text)
