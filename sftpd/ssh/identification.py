"""How sftpd names itself on the wire, as server and as client (RFC 4253 §4.2)."""

from sftpd import __version__

IDENTIFICATION = f"SSH-2.0-sftpd_{__version__}"
"""The SSH identification string, without the line's end."""
