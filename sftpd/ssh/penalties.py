"""How long a source of offences is refused: pure, told who offended at what time.

As OpenSSH's PerSourcePenalties (sshd_config(5)): each offence adds its price in seconds to what is left of
the source's penalty, and a penalty that has grown above a threshold is enforced until it has run off.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from ipaddress import IPv4Network, IPv6Network
from types import MappingProxyType

Network = IPv4Network | IPv6Network

THRESHOLD = 15.0
"""Seconds that a penalty must exceed before it is enforced: an ordinary mistake costs nothing."""

LONGEST = 600.0
"""Seconds that no penalty exceeds."""

TABLE_LIMIT = 16_384
"""Penalties that are kept; the lowest are dropped for more."""

_DROPPED_AT_ONCE = TABLE_LIMIT // 8


class Offence(Enum):
    """What a connection did wrong before anybody logged in."""

    NO_TRY = "no-try"
    """It ended without a try to log in; garbage instead of SSH is that too."""
    FAILED_LOGIN = "failed-login"
    """It ended after tries of which none was right."""
    GRACE_EXCEEDED = "grace-exceeded"
    """It had not logged in when the time for that was over."""
    CRASH = "crash"
    """Its session process crashed."""


PRICES: Mapping[Offence, float] = MappingProxyType(
    {
        Offence.NO_TRY: 1.0,
        Offence.FAILED_LOGIN: 5.0,
        Offence.GRACE_EXCEEDED: 10.0,
        Offence.CRASH: 90.0,
    }
)
"""Seconds that an offence adds."""


@dataclass(slots=True)
class _Penalty:
    until: float
    enforced: bool = False


class Penalties:
    """The penalties of all sources; times are monotonic seconds."""

    def __init__(self) -> None:
        self._penalties: dict[Network, _Penalty] = {}

    def __len__(self) -> int:
        return len(self._penalties)

    def add(self, source: Network, offence: Offence, now: float) -> bool:
        """Add the price of an offence; returns whether the penalty begins to be enforced with this."""
        penalty = self._penalties.get(source)
        if penalty is None or penalty.until <= now:
            penalty = self._penalties[source] = _Penalty(now)
        penalty.until = min(penalty.until + PRICES[offence], now + LONGEST)
        begins = not penalty.enforced and penalty.until - now > THRESHOLD
        penalty.enforced |= begins
        if len(self._penalties) > TABLE_LIMIT:
            self._shrink(now)
        return begins

    def left(self, source: Network, now: float) -> float:
        """For how many more seconds the source is refused; 0 when it is not."""
        penalty = self._penalties.get(source)
        return max(0.0, penalty.until - now) if penalty is not None and penalty.enforced else 0.0

    def count(self, now: float) -> int:
        """How many have not run off."""
        return sum(penalty.until > now for penalty in self._penalties.values())

    def _shrink(self, now: float) -> None:
        """Forget what has run off, and if that is not enough the lowest penalties."""
        lasting = [item for item in self._penalties.items() if item[1].until > now]
        if len(lasting) > TABLE_LIMIT:
            lasting.sort(key=lambda item: item[1].until)
            del lasting[:_DROPPED_AT_ONCE]
        self._penalties = dict(lasting)
