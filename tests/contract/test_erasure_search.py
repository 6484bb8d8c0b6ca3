"""A search of very many files asks about few of them at a time, and about all in their order."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, cast

from sftpd.erasure.contents import Contents, Files, Folder
from sftpd.erasure.identifiers import Identifier, parse_identifier
from sftpd.erasure.index import Lookup
from sftpd.erasure.plan import Parts, Unsearched
from sftpd.erasure.readers import SIZE, Readers
from sftpd.erasure.search import AHEAD, search
from sftpd.files.beneath import Root

FILES = 2 * AHEAD + 7


class Counted(Files):
    """Files that count how many were told of before so many of them were opened."""

    listed = opened = ahead = 0

    def paths(self, identifiers: Sequence[Identifier], unsearched: list[Unsearched]) -> Iterator[Parts]:
        for path in super().paths(identifiers, unsearched):
            self.listed += 1
            yield path

    def open(self, path: Parts) -> tuple[int, str]:
        self.opened += 1
        self.ahead = max(self.ahead, self.listed - self.opened)
        return super().open(path)


class Clears:
    """What an index knows that was asked about a person who is in no file."""

    def clears(self, *_: object) -> bool:
        return True


def test_a_file_is_asked_about_when_its_turn_is_near(tmp_path: Path) -> None:
    for number in range(FILES):
        os.close(os.open(tmp_path / f"{number:05}", os.O_CREAT | os.O_WRONLY))
    (tmp_path / "00003 jan@example.org").touch()
    counted = Counted("inbound", Root.at(tmp_path), frozenset())

    class Counting(Folder):
        def open(self) -> Contents:
            return counted

    person = [parse_identifier("email=jan@example.org")]
    found = search(
        [Counting("inbound", tmp_path)], person, cast("Readers", None), cast("Lookup", cast("Any", Clears()))
    )
    assert found.files == {"inbound": FILES + 1}
    assert found.looked_up == FILES
    assert [finding.path for finding in found.findings] == [(b"00003 jan@example.org",)]
    assert counted.ahead <= AHEAD + SIZE
