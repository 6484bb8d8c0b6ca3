"""Where the daemon of an instance is reached, whatever else its configuration says by now."""

import re
import tomllib
from contextlib import suppress
from pathlib import Path
from typing import Any

SOCKET_NAME = "control.sock"
"""What the control socket is called in the state folder."""

STATE_FOLDER = "state"
"""The state folder of an instance that names none, beside its `sftpd.toml`."""

_TABLE = re.compile(r"\s*\[([^\[\]]*)\]")


def control_socket(config: Path) -> Path | None:
    """The control socket that `config` names, or None where that cannot be read.

    Nothing else of it need be right, nor TOML: the daemon has read another. Raises nothing.
    """
    try:
        text = config.read_bytes().decode()
    except (OSError, UnicodeDecodeError):
        return None
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        tables = _line_by_line(text)
    root = config.absolute().parent
    match tables:
        case {"control": {"socket": str(socket)}}:
            return root / socket
        case {"instance": {"state": str(state)}}:
            return root / state / SOCKET_NAME
        case _:
            return root / STATE_FOLDER / SOCKET_NAME


def _line_by_line(text: str) -> dict[str, dict[str, Any]]:
    """What can be read of a text that is not TOML: the lines that are, by table."""
    tables: dict[str, dict[str, Any]] = {}
    table: dict[str, Any] = {}
    for line in text.splitlines():
        if head := _TABLE.match(line):
            table = tables.setdefault(head[1].strip(), {})
        with suppress(tomllib.TOMLDecodeError):
            table.update(tomllib.loads(line))
    return tables
