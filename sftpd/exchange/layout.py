"""Where the files of a watched folder go at the destination, and under which names until then: pure."""

import os
from collections.abc import Callable, Mapping
from typing import Literal

from sftpd.files import naming
from sftpd.files.beneath import Parts
from sftpd.names import TransferId

_NAME_LIMIT = 255

Layout = Literal["keep", "flatten"]


def keep(path: Parts) -> Parts:
    """The same path."""
    return path


def flatten(path: Parts) -> Parts:
    """One name for the path: `2026/march/a.csv` goes to `2026+march+a.csv`."""
    return (naming.flatten(path),)


def returned(path: Parts) -> Parts:
    """Where a received file goes that is brought back, by its path in the link's folder.

    `inbound/march/a.csv` goes to `returned/march/a.csv`, and what lies in another folder to one of that name.
    """
    folder = next(at for at, part in enumerate(path) if not part.startswith(b"."))
    own = path[folder + 1 :] if path[folder] == b"inbound" else path[folder:]
    return (b"returned", *own)


def temporary_name(pattern: str | None, transfer: TransferId, name: bytes) -> bytes:
    """The temporary name of a file after a pattern; the file's own is cut to what a name may hold."""
    if pattern is None:
        return name
    made = os.fsencode(pattern).replace(b"{id}", transfer.encode())
    room = _NAME_LIMIT - len(made.replace(b"{name}", b""))
    return made.replace(b"{name}", name[:room])


LAYOUTS: Mapping[Layout, Callable[[Parts], Parts]] = {"keep": keep, "flatten": flatten}
