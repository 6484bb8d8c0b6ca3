"""Under which path the ledger knows a copy in the vault: its id, and the path of its file (pure)."""

FOLDER = "vault"
"""The folder of the link, by the name that the ledger and reports use."""

Parts = tuple[bytes, ...]


def place_of(copy: str, path: Parts) -> Parts:
    """The path of the copy of a file, which no other copy has."""
    return (copy.encode(), *path)


def origin(path: bytes) -> bytes:
    """The path that the file crossed under."""
    return path.partition(b"/")[2]
