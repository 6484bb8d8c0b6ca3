"""Where the hooks of an instance lie."""

import sysconfig
from pathlib import Path

from sftpd.config.load import Config


def hooks_folder(config: Config) -> Path:
    """The instance's own folder of hooks, or that of those that come with sftpd."""
    return config.instance.about.hooks or _shipped()


def _shipped() -> Path:
    """Beside the sources, or where it is installed."""
    beside = Path(__file__).parents[2] / "hooks"
    return beside if beside.is_dir() else Path(sysconfig.get_path("data")) / "share" / "sftpd" / "hooks"
