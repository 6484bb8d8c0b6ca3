"""Where held files lie that their partner removed or replaced: out of its sight, under their id (pure)."""

FOLDER = "held"
"""The folder of the link, by the name that the ledger and reports use."""

Parts = tuple[bytes, ...]


def place_of(file: str, folder: str, path: Parts) -> Parts:
    """Where in `FOLDER` a file is put that lay at a path of another folder."""
    return (file.encode(), folder.encode(), *path)


def origin(path: bytes) -> tuple[str, bytes] | None:
    """Where the file at a path in `FOLDER` lay: folder and path. None for what sftpd did not put there."""
    parts = path.split(b"/", 2)
    return (parts[1].decode("utf-8", "backslashreplace"), parts[2]) if len(parts) == 3 else None
