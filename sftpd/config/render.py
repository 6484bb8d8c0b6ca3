"""What is written from the model: the commented samples and JSON schemas in `etc/`, and the reference.

`python -m sftpd.config.render` in the repository's folder writes them anew.
"""

import json
import textwrap
import types
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, time
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin
from zoneinfo import ZoneInfo

from pydantic.fields import FieldInfo
from pydantic.json_schema import GenerateJsonSchema

from sftpd.config import meanings
from sftpd.config.address import Address
from sftpd.config.link_model import LinkFile
from sftpd.config.model import InstanceFile, Section, sections_in
from sftpd.config.rules_values import Trigger
from sftpd.config.values import InSample, Kind, Then

_WIDTH = 100
meanings.attach(InstanceFile, LinkFile)
_REFERENCE_INTRO = """\
# Configuration

`sftpd.toml` describes the instance, and each file in `links.d/` beside it one link. Both are TOML. Relative
paths start at the folder of `sftpd.toml`. `sftpd check` reports every fault with its file, line and key; an
unknown key is a fault. `etc/` has a sample of both files, and JSON schemas for editors.

Durations are a number of seconds or an ISO 8601 duration such as `"PT2M"`. Retention periods are ISO 8601
too, and count civil days: `"P90D"` ends with the ninetieth day. Patterns are those of shell file names.

A secret is never written into a file of the configuration but referred to: `"file:PATH"`, a file that its
owner alone may read; `"credential:NAME"`, a systemd credential of the service; `"env:NAME"`, an environment
variable.
"""


@dataclass(frozen=True, slots=True)
class _Table:
    """A table of a configuration file, such as `route.policy`; `optional` if it has no default."""

    name: str
    section: type[Section]
    meaning: str
    repeated: bool
    optional: bool

    @property
    def header(self) -> str:
        return f"[[{self.name}]]" if self.repeated else f"[{self.name}]"

    def values(self) -> Iterator[tuple[str, FieldInfo]]:
        """The keys that are no tables, those of the section itself before those it inherits."""
        own = self.section.__annotations__
        fields = sorted(self.section.model_fields.items(), key=lambda item: item[0] not in own)
        return ((f.alias or name, f) for name, f in fields if not any(sections_in(f.annotation)))


def _tables(section: type[Section], prefix: str = "") -> Iterator[_Table]:
    """The tables in `section`, each before those in it."""
    for name, field in section.model_fields.items():
        for inner in sections_in(field.annotation):
            path = f"{prefix}{field.alias or name}"
            meaning = field.description or (inner.__doc__ or "").partition("\n")[0]
            repeated = get_origin(field.annotation) is tuple
            optional = not field.is_required() and field.default is None
            yield _Table(path, inner, meaning, repeated, optional)
            yield from _tables(inner, f"{path}.")


def rendered() -> dict[str, str]:
    """Every rendered file: its path in the repository and its text."""
    return {
        "etc/sftpd.toml": sample(InstanceFile),
        "etc/links.d/example.toml": sample(LinkFile),
        "etc/schema/sftpd.json": _schema(InstanceFile),
        "etc/schema/link.json": _schema(LinkFile),
        "docs/configuration.md": _reference(),
    }


def sample(model: type[Section], *, complete: bool = False) -> str:
    """A commented sample of a file, in which optional keys are commented out unless `complete`."""
    lines = [f"# {_first_line(model)}", "# Keys that are commented out show their default, or an example."]
    for table in _tables(model):
        off = "# " if table.optional and not complete else ""
        lines += ["", *_comment(table.meaning), off + table.header]
        for key, field in table.values():
            given = field.is_required() or complete or any(isinstance(m, InSample) for m in field.metadata)
            value = _toml(_example(field))
            lines += [*_comment(field.description or ""), f"{off or ('' if given else '# ')}{key} = {value}"]
    return "\n".join(lines) + "\n"


def _first_line(section: type[Section]) -> str:
    return (section.__doc__ or "").partition("\n")[0]


def _comment(text: str) -> list[str]:
    return textwrap.wrap(text, _WIDTH, initial_indent="# ", subsequent_indent="# ")


def _example(field: FieldInfo) -> Any:
    """The first example of a key, or else its default."""
    return field.examples[0] if field.examples else _plain(field.default)


def _plain(value: Any) -> Any:
    """A value of the model as it stands in TOML."""
    match value:
        case ZoneInfo() | Address() | Path():
            return str(value)
        case Then():
            return value.action
        case Trigger():
            return value.kind
        case time():
            return value.isoformat("minutes")
        case Enum():
            return value.value
        case tuple():
            return [_plain(item) for item in value]
        case float() if value.is_integer():
            return int(value)
        case Section():
            return {}
    return value


def _toml(value: object) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_toml, value))}]"
    return value.isoformat() if isinstance(value, date) else json.dumps(value, default=str)


def _reference() -> str:
    lines = [_REFERENCE_INTRO]
    for title, model in (("`sftpd.toml`", InstanceFile), ("`links.d/NAME.toml`", LinkFile)):
        lines += [f"## {title}", ""]
        seen = set()
        for table in _tables(model):
            if (table.name, table.section) not in seen:
                seen.add((table.name, table.section))
                lines += _reference_table(table)
    return "\n".join(lines).rstrip() + "\n"


def _reference_table(table: _Table) -> list[str]:
    lines = [
        f"### `{table.header}`",
        "",
        table.meaning,
        "",
        "| key | value | default | meaning |",
        "|---|---|---|---|",
    ]
    for key, field in table.values():
        kind = _kind(field.annotation, field.metadata).replace("|", "\\|")
        meaning = " ".join((field.description or "").split())
        lines.append(f"| `{key}` | {kind} | {_default(field)} | {meaning} |")
    return [*lines, ""]


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    return "" if field.default is None else f"`{_toml(_plain(field.default))}`"


def _kind(annotation: Any, metadata: list[Any] | tuple[Any, ...] = ()) -> str:
    """What a value of this annotation is, in words."""
    for mark in reversed(metadata):
        if isinstance(mark, Kind):
            return mark.text
    arguments = get_args(annotation)
    if get_origin(annotation) is Annotated:
        return _kind(arguments[0], annotation.__metadata__)
    if get_origin(annotation) is Literal:
        return ", ".join(f'`"{choice}"`' for choice in arguments)
    if get_origin(annotation) is tuple:
        return f"list of: {_kind(arguments[0])}"
    if get_origin(annotation) in (Union, types.UnionType):
        return _kind(arguments[0])
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return ", ".join(f'`"{choice.value}"`' for choice in annotation)
    return "text"


class _Schema(GenerateJsonSchema):
    """JSON schema with defaults as TOML writes them."""

    def encode_default(self, dft: Any) -> Any:
        return _plain(dft)


def _schema(model: type[Section]) -> str:
    return json.dumps(model.model_json_schema(schema_generator=_Schema), indent=2, default=str) + "\n"


def main() -> None:
    """Write the rendered files below the current folder."""
    for name, text in rendered().items():
        path = Path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


if __name__ == "__main__":
    main()
