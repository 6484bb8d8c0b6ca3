"""Which algorithms are offered: strict key exchange, authenticated encryption, no SHA-1.

What old partners need besides has a name each, is off unless a listener allows it, and is logged at each use.
"""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

SIGNATURES = (
    "ssh-ed25519",
    "sk-ssh-ed25519@openssh.com",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "rsa-sha2-512",
    "rsa-sha2-256",
)
"""For logins; a host key's are those of its type."""


class Offer(NamedTuple):
    """Key exchanges, ciphers and MACs, each the best first."""

    key_exchanges: tuple[str, ...] = ()
    ciphers: tuple[str, ...] = ()
    macs: tuple[str, ...] = ()


STANDARD = Offer(
    ("mlkem768x25519-sha256", "curve25519-sha256", "curve25519-sha256@libssh.org"),
    ("aes128-gcm@openssh.com", "aes256-gcm@openssh.com"),
    # Never used with the ciphers above, which authenticate by themselves, but a list must not be empty.
    ("hmac-sha2-256-etm@openssh.com", "hmac-sha2-512-etm@openssh.com"),
)
"""What every listener offers."""

COMPAT: Mapping[str, Offer] = MappingProxyType(
    {
        "aes-ctr": Offer(
            ciphers=("aes128-ctr", "aes192-ctr", "aes256-ctr"), macs=("hmac-sha2-256", "hmac-sha2-512")
        ),
        "dh-group14": Offer(("diffie-hellman-group14-sha256",)),
        "dh-group16": Offer(("diffie-hellman-group16-sha512",)),
        "ecdh-nist": Offer(("ecdh-sha2-nistp256", "ecdh-sha2-nistp384", "ecdh-sha2-nistp521")),
    }
)
"""What may be allowed besides, by name. SHA-1, CBC, RC4, 3DES and DSA have none: partners must do without."""


def offer(compat: Iterable[str]) -> Offer:
    """The standard, and behind it what `compat` names."""
    return _joined(STANDARD, *(COMPAT[name] for name in compat))


REMOTE_COMPAT: Mapping[str, Offer] = MappingProxyType(
    {
        "aes-cbc": Offer(ciphers=("aes256-cbc", "aes192-cbc", "aes128-cbc")),
        "dh-group-exchange": Offer(("diffie-hellman-group-exchange-sha256",)),
        "hmac-sha1": Offer(macs=("hmac-sha1",)),
    }
)
"""What may be offered to a remote besides, by name: what only old servers need."""


def offer_to_remote(compat: Iterable[str]) -> Offer:
    """The standard, behind it all of COMPAT, and last what `compat` names of REMOTE_COMPAT.

    A client's order decides (RFC 4253 §7.1): a remote that has better never gets the latter.
    """
    return _joined(offer(COMPAT), *(REMOTE_COMPAT[name] for name in compat))


def legacy(used: Iterable[str]) -> list[str]:
    """Those of the algorithms in use that are no standard."""
    standard = {name for names in STANDARD for name in names}
    return sorted(set(used) - standard)


def restrict(options: Any, offered: Offer) -> None:
    """Set the algorithms on paramiko's `SecurityOptions` of a transport."""
    options.kex, options.ciphers, options.digests = offered


def _joined(*sets: Offer) -> Offer:
    return Offer(*(tuple(name for names in kind for name in names) for kind in zip(*sets, strict=True)))
