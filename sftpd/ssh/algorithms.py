"""Which algorithms are offered: strict key exchange, authenticated encryption, no SHA-1."""

from typing import Any

KEY_EXCHANGES = (
    "mlkem768x25519-sha256",
    "curve25519-sha256@libssh.org",
    "ecdh-sha2-nistp256",
    "ecdh-sha2-nistp384",
    "ecdh-sha2-nistp521",
    "diffie-hellman-group16-sha512",
)
CIPHERS = ("aes128-gcm@openssh.com", "aes256-gcm@openssh.com")
MACS = ("hmac-sha2-256-etm@openssh.com", "hmac-sha2-512-etm@openssh.com")
"""Never used with the ciphers above, which authenticate by themselves, but a list must not be empty."""
SIGNATURES = (
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "rsa-sha2-512",
    "rsa-sha2-256",
)
"""For host keys and for logins alike."""


def restrict(options: Any) -> None:
    """Set the algorithms on paramiko's `SecurityOptions` of a transport."""
    options.kex = KEY_EXCHANGES
    options.ciphers = CIPHERS
    options.digests = MACS
