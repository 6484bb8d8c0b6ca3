"""Which connections are let in: pure, told who comes, logs in and leaves at what time.

Who has not logged in yet is a guest: guests are limited in number for each address, each network and in
all, so that silent connections cannot keep honest clients out. Who has logged in is never ended for another.
"""

import itertools
from collections import Counter, OrderedDict
from dataclasses import dataclass
from enum import Enum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Self

from sftpd.ssh.bucket import Bucket
from sftpd.ssh.penalties import Network, Offence, Penalties

_NETWORKS = 16_384
"""Networks whose starts are counted."""


def plain(address: str) -> IPv4Address | IPv6Address:
    """The address of a peer; a socket for both families gives those of IPv4 mapped (RFC 4291 §2.5.5)."""
    ip = ip_address(address)
    return (isinstance(ip, IPv6Address) and ip.ipv4_mapped) or ip


@dataclass(frozen=True, slots=True)
class Source:
    """Where a connection comes from."""

    ip: IPv4Address | IPv6Address
    address: Network
    """What counts as one address: an IPv4 address, or an IPv6 /64, all of which one host may use."""
    network: Network
    """What counts as one network: an IPv4 /24 or an IPv6 /48."""

    @classmethod
    def parse(cls, address: str) -> Self:
        """From the text of an address, as a socket gives it."""
        ip = plain(address)
        if isinstance(ip, IPv4Address):
            return cls(ip, IPv4Network((int(ip), 32)), IPv4Network((int(ip), 24), strict=False))
        site = IPv6Network((int(ip), 48), strict=False)
        return cls(ip, IPv6Network((int(ip), 64), strict=False), site)


@dataclass(frozen=True, slots=True)
class Rules:
    """How many may be connected at once, and who is penalised."""

    sessions: int
    """In all; guests take at most half of them."""
    guests: int
    guests_per_address: int
    guests_per_network: int
    penalties: bool
    exempt: tuple[Network, ...]
    """Networks that are never penalised, and may start as often as they like."""
    starts_per_network: int
    """Connections a second."""

    @property
    def most_guests(self) -> int:
        """How many guests there may be in all."""
        return min(self.guests, max(1, self.sessions // 2))


class Reason(Enum):
    """Why a connection is refused."""

    PENALTY = "PENALTY"
    ADDRESS_LIMIT = "ADDRESS_LIMIT"
    NETWORK_LIMIT = "NETWORK_LIMIT"
    SESSION_LIMIT = "SESSION_LIMIT"
    START_LIMIT = "START_LIMIT"


@dataclass(frozen=True, slots=True)
class Admitted:
    """The connection is let in under a number of its own; to make room, that of `displaced` must end."""

    number: int
    displaced: int | None


@dataclass(frozen=True, slots=True)
class Refused:
    """The connection is not let in."""

    reason: Reason


class Admission:
    """What is known of the connections there are, and of the offences of those that were."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._penalties = Penalties()
        self._numbers = itertools.count(1)
        self._guests: dict[int, Source] = {}
        self._members: set[int] = set()
        self._displaced: dict[int, Source] = {}
        self._starts: OrderedDict[Network, Bucket] = OrderedDict()

    def knock(self, source: Source, now: float) -> Admitted | Refused:
        """Decide on a new connection at the monotonic time `now`."""
        reason = self._objection(source, now)
        if reason is not None:
            return Refused(reason)
        displaced = None
        if len(self._guests) >= self._rules.most_guests or self._count() >= self._rules.sessions:
            if not self._guests:
                return Refused(Reason.SESSION_LIMIT)
            displaced = self._displace()
        self._started(source, now).spend(1, now)
        number = next(self._numbers)
        self._guests[number] = source
        return Admitted(number, displaced)

    def log_in(self, number: int) -> bool:
        """Whether this guest may log in: not when it was displaced. From then on it cannot be."""
        if self._guests.pop(number, None) is None:
            return False
        self._members.add(number)
        return True

    def leave(self, number: int, offence: Offence | None, now: float) -> Source | None:
        """A connection has ended, with an offence or without; who has logged in commits none.

        Returns its source when that begins to be refused with this.
        """
        self._members.discard(number)
        source = self._guests.pop(number, None) or self._displaced.pop(number, None)
        if source is None or offence is None or not self._is_penalised(source):
            return None
        return source if self._penalties.add(source.address, offence, now) else None

    def penalties(self, now: float) -> int:
        """How many sources have a penalty, enforced or not."""
        return self._penalties.count(now)

    def _objection(self, source: Source, now: float) -> Reason | None:
        if self._is_penalised(source) and self._penalties.left(source.address, now):
            return Reason.PENALTY
        guests = self._guests.values()
        if sum(g.address == source.address for g in guests) >= self._rules.guests_per_address:
            return Reason.ADDRESS_LIMIT
        if sum(g.network == source.network for g in guests) >= self._rules.guests_per_network:
            return Reason.NETWORK_LIMIT
        # A key exchange costs us more than who starts it (CVE-2002-20001): few at once can be many a second.
        if not self._is_exempt(source) and self._started(source, now).spend(0, now):
            return Reason.START_LIMIT
        return None

    def _started(self, source: Source, now: float) -> Bucket:
        """The starts of the source's network; the one longest without any is forgotten for another."""
        bucket = self._starts.pop(source.network, None) or Bucket.full(self._rules.starts_per_network, now)
        self._starts[source.network] = bucket
        if len(self._starts) > _NETWORKS:
            self._starts.popitem(last=False)
        return bucket

    def _is_exempt(self, source: Source) -> bool:
        return any(source.ip in network for network in self._rules.exempt)

    def _is_penalised(self, source: Source) -> bool:
        return self._rules.penalties and not self._is_exempt(source)

    def _count(self) -> int:
        return len(self._guests) + len(self._members)

    def _displace(self) -> int:
        """Take the oldest guest of the most crowded source from among the guests.

        Addresses and networks compare by how much of their limit they use.
        """
        addresses = Counter(guest.address for guest in self._guests.values())
        networks = Counter(guest.network for guest in self._guests.values())

        def crowding(number: int) -> tuple[float, int]:
            address, network = self._guests[number].address, self._guests[number].network
            of_address = addresses[address] / self._rules.guests_per_address
            of_network = networks[network] / self._rules.guests_per_network
            return max(of_address, of_network), addresses[address]

        number = max(self._guests, key=crowding)  # the oldest of equals: they are in order of arrival
        self._displaced[number] = self._guests.pop(number)
        return number
