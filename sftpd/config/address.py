"""Addresses to listen on, as the configuration and the command line have them."""

import re
from dataclasses import dataclass
from ipaddress import IPv6Address

from sftpd.config.refusal import not_allowed

PORT_MAX = 65535
_HOST = r"(?=.{1,253}:)[\w-]{1,63}(?:\.[\w-]{1,63})*"


@dataclass(frozen=True, slots=True)
class Address:
    """A host, as name or address, and a TCP port; port 0 lets the system choose."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_address(raw: object) -> Address:
    """Read `HOST:PORT` or `[IPV6]:PORT`.

    Raises PydanticCustomError, which is a ValueError.
    """
    match = re.fullmatch(rf"(?:\[([0-9a-fA-F:.]+)\]|({_HOST})):(\d{{1,5}})", str(raw), re.ASCII)
    if match is None or int(match[3]) > PORT_MAX or (match[1] and not _is_ipv6(match[1])):
        raise not_allowed(raw, 'an address such as "127.0.0.1:2222" or "[::]:2222"')
    return Address(match[1] or match[2], int(match[3]))


def _is_ipv6(text: str) -> bool:
    try:
        IPv6Address(text)
    except ValueError:
        return False
    return True
