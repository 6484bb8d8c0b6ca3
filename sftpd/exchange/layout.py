"""Where the files of a watched folder's subfolders go at the destination: pure."""

import hashlib
from collections.abc import Callable, Mapping
from typing import Literal

from sftpd.files.beneath import Parts

Layout = Literal["keep", "flatten"]

_NAME_LIMIT = 255
_DIGEST = 16


def keep(path: Parts) -> Parts:
    """The same path."""
    return path


def flatten(path: Parts) -> Parts:
    """One name for a path, and never the same for two: `2026/march/a.csv` goes to `2026+march+a.csv`.

    A plus sign in a name becomes `+.`; no folder or file that is sent has a name that begins with a dot. A
    name that would be too long has the hash of the path in place of the folders.
    """
    name = b"+".join(part.replace(b"+", b"+.") for part in path)
    if len(name) <= _NAME_LIMIT:
        return (name,)
    digest = hashlib.sha256(b"/".join(path)).hexdigest()[:_DIGEST].encode() + b"+"
    return (digest + path[-1][-(_NAME_LIMIT - len(digest)) :],)


def returned(path: Parts) -> Parts:
    """Where a received file goes that is brought back, by its path in the link's folder.

    `inbound/march/a.csv` goes to `returned/march/a.csv`, and what lies in another folder to one of that name.
    """
    folder = next(at for at, part in enumerate(path) if not part.startswith(b"."))
    own = path[folder + 1 :] if path[folder] == b"inbound" else path[folder:]
    return (b"returned", *own)


LAYOUTS: Mapping[Layout, Callable[[Parts], Parts]] = {"keep": keep, "flatten": flatten}
