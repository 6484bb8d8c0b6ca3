"""An SFTP exchange daemon with compliance built in."""

from importlib.metadata import version

__version__ = version("sftpd-exchange")
