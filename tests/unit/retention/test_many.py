"""Files that a hold may cover, of many at a time, beside what it covers of each."""

import random
from dataclasses import replace
from datetime import timedelta

import pytest
import random_retention
from random_retention import row_of

from sftpd.link import aside
from sftpd.retention.hold import Hold
from sftpd.retention.many import coverable
from sftpd.retention.scope import OfLink, OfQuery, OfSubject

MOMENTS = [timedelta(microseconds=step) for step in (-1, 0, 1)]


def near(scope, pick, moment):
    """A scope of the same kind with its bounds next to a moment."""
    match scope:
        case OfQuery():
            since, before = (random_retention.maybe(pick, [moment + pick(MOMENTS)]) for _ in range(2))
            return OfQuery(scope.folder, scope.glob, scope.account, since, before)
        case OfSubject(searched_at=at) if at is not None:
            return OfSubject(scope.types, scope.tokens, moment + pick(MOMENTS), scope.places)
        case _:
            return scope


def some_files(pick, folder):
    for number in range(12):
        file = random_retention.kept(pick)
        path = aside.place_of(f"f{number}", file.folder, (file.path,)) if folder == aside.FOLDER else None
        yield replace(
            file,
            id=f"f{number}",
            link="one",
            folder=folder,
            path=file.path if path is None else b"/".join(path),
            returned=None,
            transfer=None,
        )


@pytest.mark.parametrize("folder", ["inbound", "sent", aside.FOLDER])
def test_what_is_covered_may_be_and_of_the_others_some_may_not(folder):
    pick = random.Random(folder).choice
    told, covered = 0, 0
    for number in range(3000):
        files = list(some_files(pick, folder))
        scope = near(random_retention.scope(pick), pick, files[0].received_at)
        if scope.names is not None:
            continue
        hold = Hold("h", "one", scope, "why", "jan", files[0].received_at)
        may_be = coverable(scope, folder, [row_of(file) for file in files])
        those = [file.id for file in files if hold.covers(file)]
        assert set(those) <= {row[0] for row in may_be}, (number, scope)
        if folder != aside.FOLDER and not isinstance(scope, OfLink):
            told, covered = told + len(may_be), covered + len(those)
    assert told == covered
