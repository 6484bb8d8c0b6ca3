"""Files that are due and stayed: what was told of them, and whether another try would tell anything else."""

from collections import Counter
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import datetime

import sqlalchemy as sa

from sftpd.files.beneath import Root
from sftpd.ledger import tables
from sftpd.ledger.database import in_parts
from sftpd.ledger.ledger import Ledger
from sftpd.link import vaulted
from sftpd.retention.disposal import REMOVED, Result
from sftpd.retention.in_care import kept_files
from sftpd.retention.removal import Target
from sftpd.retention.roots import Place, Roots
from sftpd.retention.rule import Kept
from sftpd.retention.schedule import Schedule, is_step

LEFT = (Result.CHANGED, Result.IN_USE, Result.COVERED, Result.FAILED)
"""The results after which a file is due as before."""

_disposal, _file = tables.disposal.c, tables.kept_file.c


@dataclass(frozen=True, slots=True)
class Left:
    """A file in our care that the last try left in its place."""

    link: str
    result: Result
    rule: str
    rule_version: int
    since: datetime
    """When it first came to this result under this rule, no other between."""
    tried: datetime
    """When it was last tried."""


def left(conn: sa.Connection) -> dict[str, Left]:
    """The files of all links that the last try left in their places, by their ids."""
    columns = (_disposal.link, _disposal.result, _disposal.rule, _disposal.rule_version)
    query = (
        sa.select(_disposal.file, _disposal.done_at, *columns)
        .join_from(tables.disposal, tables.kept_file, _file.id == _disposal.file)
        .where(_file.state == "present", _disposal.result.not_in([result.value for result in REMOVED]))
        .order_by(_disposal.done_at)
    )
    found: dict[str, Left] = {}
    for file, tried, link, result, rule, version in conn.execute(query):
        one = Left(link, Result(result), rule, version, tried, tried)
        last = found.pop(file, None)
        if last is not None and one == replace(last, since=tried, tried=tried):
            one = replace(last, tried=tried)
        if one.result in LEFT:
            found[file] = one
    return found


def counted(conn: sa.Connection, link: str | None = None) -> dict[str, int]:
    """How many files were left of one link, or of each, and with each result, by both in words."""
    of_link = (one for one in left(conn).values() if link in (None, one.link))
    return dict(sorted(Counter(f"{one.link} {one.result.value}" for one in of_link).items()))


def as_told(ledger: Ledger, roots: Roots, schedule: Schedule, known: Mapping[str, Left]) -> set[str]:
    """The ids of those files of which another try by `schedule` would tell nothing new, or is to wait.

    They are looked at and not touched. One that failed may be mended in ways that cannot be seen: it waits
    until as much time has passed since it was last tried as it had failed for by then.
    """
    with ledger.read() as conn:
        files = [
            file
            for some in in_parts(list(known))
            for file in kept_files(conn, _file.id.in_(some), with_peers=schedule.by_peer)
        ]
    due = [file for file in files if _is_due(file, schedule, known[file.id])]
    with ExitStack() as opened:
        lying = {file.id: file.where_it_lies for file in due}
        opened_roots, _ = roots.open({_folder(file) for file in lying.values()}, opened)
        return {file for file, at in lying.items() if _stays(at, known[file], opened_roots, schedule.now)}


def _is_due(file: Kept, schedule: Schedule, one: Left) -> bool:
    """Whether a run would try it, under the rule that it was tried under."""
    decision = schedule.decide(file)
    rule = decision.rule
    return (
        rule is not None
        and (rule.id, rule.version) == (one.rule, one.rule_version)
        and is_step(decision.action, file.folder)
    )


def _stays(file: Kept, one: Left, roots: Mapping[Place, Root], now: datetime) -> bool:
    if one.result is Result.FAILED:
        return now - one.tried < one.tried - one.since
    root = roots.get(_folder(file))
    return root is not None and file.folder != vaulted.FOLDER and Target(file, root).against() is one.result


def _folder(file: Kept) -> Place:
    return file.link, file.folder
