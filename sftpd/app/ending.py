"""What of a link is still with us, and what to do until it can be ended."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from sftpd.erasure.request import TRANSITIONS
from sftpd.errors import RefusedError
from sftpd.exchange.transfer import FINAL
from sftpd.ledger import tables
from sftpd.link.lifecycle import LinkState

_IN_OUR_CARE = ("present", "withdrawing", "renaming", "moving_aside")
_ENDED = sorted(state for state, steps in TRANSITIONS.items() if not steps)
"""The states in which a deletion request is at its end."""
_file, _transfer, _request = tables.kept_file.c, tables.transfer.c, tables.erasure_request.c


@dataclass(frozen=True, slots=True)
class Remainder:
    """What a link cannot be ended with: its files in our care, by folder, and what is not at its end."""

    link: str
    folders: dict[str, int]
    transfers: int
    """Those that are unfinished."""
    requests: int
    """Deletion requests that are open: without the link they could not go on."""

    def __bool__(self) -> bool:
        return bool(self.files or self.transfers or self.requests)

    @property
    def files(self) -> int:
        """How many files there are in all folders."""
        return sum(self.folders.values())

    @property
    def commands(self) -> list[str]:
        """What leads to the end, in order."""
        of_link = f"--link {self.link}"
        steps = (
            (f"sftpd transfer list {of_link}", self.transfers),
            ("sftpd transfer cancel ID --reason TEXT", self.transfers),
            (f"sftpd erasure list {of_link}", self.requests),
            (f"sftpd retention plan {of_link}", self.files),
            ("sftpd retention run --plan HASH", self.files),
            (f"sftpd link finish {self.link} --reason TEXT", True),
        )
        return [command for command, needed in steps if needed]

    def as_json(self) -> dict[str, Any]:
        """The remainder as `sftpd link close --json` prints it."""
        return {
            "files": self.files,
            "folders": self.folders,
            "transfers": self.transfers,
            "requests": self.requests,
            "next": self.commands,
        }

    def require_nothing(self) -> None:
        """Pass if nothing remains. Raises RefusedError `LINK_NOT_EMPTY`, which counts what does."""
        if not self:
            return
        others = {"unfinished transfers": self.transfers, "open deletion requests": self.requests}
        counts = [*self.folders.items(), *((name, count) for name, count in others.items() if count)]
        raise RefusedError(
            "of the link remain " + ", ".join(f"{name}: {count}" for name, count in counts),
            reason="LINK_NOT_EMPTY",
            where=f"link {self.link}",
            remedy=f"{'; '.join(self.commands[:-1])}; what no rule ends needs a retention rule, and what is "
            "held a release",
        )


def left_behind(conn: sa.Connection, configured: Collection[str]) -> list[Remainder]:
    """What remains of each link whose file was taken out of the configuration: nothing here sees to it.

    Of a closed link that is a deletion request that came after its end.
    """
    states = {row.name: row.state for row in conn.execute(sa.select(tables.link.c.name, tables.link.c.state))}
    found = []
    for name in sorted(states.keys() - set(configured)):
        left = remainder(conn, name)
        if left.requests or (states[name] != LinkState.CLOSED and (left.files or left.transfers)):
            found.append(left)
    return found


def remainder(conn: sa.Connection, link: str) -> Remainder:
    """What remains of a link now."""
    files = (
        sa.select(_file.folder, sa.func.count())
        .where(_file.link == link, _file.state.in_(_IN_OUR_CARE))
        .group_by(_file.folder)
        .order_by(_file.folder)
    )
    under_way = sa.select(sa.func.count()).where(
        _transfer.link == link, _transfer.state.not_in(sorted(FINAL))
    )
    requests = sa.select(sa.func.count()).where(_request.link == link, _request.state.not_in(_ENDED))
    return Remainder(
        link,
        folders={row[0]: row[1] for row in conn.execute(files)},
        transfers=conn.scalar(under_way) or 0,
        requests=conn.scalar(requests) or 0,
    )
