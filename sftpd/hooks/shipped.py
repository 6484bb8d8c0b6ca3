"""Where the hooks that come with sftpd lie."""

import sysconfig
from pathlib import Path


def shipped_hooks() -> Path:
    """The folder of the hooks that come with sftpd: beside the sources, or where it is installed."""
    beside = Path(__file__).parents[2] / "hooks"
    return beside if beside.is_dir() else Path(sysconfig.get_path("data")) / "share" / "sftpd" / "hooks"
