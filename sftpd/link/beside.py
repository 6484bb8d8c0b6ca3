"""Folders beside those of a link that its files need too, called by their paths (pure)."""

FOLDER = "beside"
"""What the log of the link calls each of them: whoever reads it is told no path of ours."""


def is_beside(folder: str) -> bool:
    """Whether a folder is called by its path."""
    return folder.startswith("/")


def told(folder: str) -> str:
    """What the log of the link calls a folder."""
    return FOLDER if is_beside(folder) else folder
