"""Looking for a person in every file of a link's folders; links are not followed."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import NamedTuple

from msgspec import structs

from sftpd.erasure.contents import ContentError, Contents, Searchable, cannot_open
from sftpd.erasure.file_names import file_name_carries, file_name_may_carry
from sftpd.erasure.identifiers import Identifier
from sftpd.erasure.index import Lookup
from sftpd.erasure.messages import Finding as Answer
from sftpd.erasure.messages import Found, Search, Unsearchable
from sftpd.erasure.plan import Finding, Parts, Possible, Searched, Unsearched
from sftpd.erasure.readers import SIZE, Readers
from sftpd.errors import ContainmentError

NAME_FORMAT = "name"
"""The format of a finding whose file name itself carries the identifier."""
NAME_PLACE = "file name"
"""Where the person is in it."""

AHEAD = 1000
"""Files that are asked about before the answer on the first is had: of a million, each takes a kilobyte."""

RECEIVED = "inbound"
"""The folder whose files are indexed."""

_FOUND_IN_NAME = Found(NAME_FORMAT, 1, (NAME_PLACE,), whole=True)
_LOOKED_UP = Found("index", 0)
"""What is found in a file that the index clears."""


class _Looked(NamedTuple):
    """The answer on a file, and the mark of the content that it is about, if that could be opened."""

    answer: Answer | None
    mark: str = ""


@dataclass(slots=True)
class _Notes:
    findings: list[Finding] = field(default_factory=list)
    unsearched: list[Unsearched] = field(default_factory=list)
    files: dict[str, int] = field(default_factory=dict)
    looked_up: int = 0


def search(
    folders: Sequence[Searchable],
    identifiers: Sequence[Identifier],
    readers: Readers,
    lookup: Lookup | None = None,
) -> Searched:
    """Look into every file of the folders, but for received files that `lookup` clears.

    A file that vanishes meanwhile counts as not there. Raises ProcessError when no reader can be started.
    """
    notes = _Notes()
    with ThreadPoolExecutor(SIZE, thread_name_prefix="sftpd-erasure") as workers:
        for folder in folders:
            notes.files[folder.name] = 0
            try:
                contents = folder.open()
            except OSError as fault:
                notes.unsearched.append(Unsearched(folder.name, (), cannot_open(fault)))
                continue
            with contents:
                known = lookup if folder.name == RECEIVED else None
                _search_folder(folder.name, contents, identifiers, readers, workers, notes, known)
    return Searched(tuple(notes.findings), tuple(notes.unsearched), notes.files, notes.looked_up)


def look(
    contents: Contents,
    path: Parts,
    identifiers: Sequence[Identifier],
    readers: Readers,
    lookup: Lookup | None = None,
) -> Answer | None:
    """Look into one file, its name included; None when it is not there. What `lookup` clears is not read."""
    return _look(contents, path, identifiers, readers, lookup).answer


def _look(
    contents: Contents,
    path: Parts,
    identifiers: Sequence[Identifier],
    readers: Readers,
    lookup: Lookup | None,
) -> "_Looked":
    try:
        fd, mark = contents.open(path)
    except (FileNotFoundError, NotADirectoryError):
        return _Looked(None)
    except ContentError as fault:
        return _Looked(Unsearchable(fault.what))
    except (OSError, ContainmentError) as fault:
        return _Looked(Unsearchable(cannot_open(fault)))
    try:
        if lookup is not None and lookup.clears(RECEIVED, path, mark):
            return _Looked(_by_name(path[-1], identifiers, lambda: _LOOKED_UP), mark)
        return _Looked(look_into(fd, path[-1], identifiers, readers), mark)
    finally:
        os.close(fd)


def look_into(fd: int, name: bytes, identifiers: Sequence[Identifier], readers: Readers) -> Answer:
    """Look into an open file that is called `name`."""
    plain = tuple(identifier.plain() for identifier in identifiers)
    return _by_name(name, identifiers, lambda: readers.ask(Search(name, plain), [fd]))


def _by_name(name: bytes, identifiers: Sequence[Identifier], content: Callable[[], Answer]) -> Answer:
    """The answer on a file by its name, and where that does not decide by its content too."""
    if file_name_carries(identifiers, name):
        return _FOUND_IN_NAME
    why = file_name_may_carry(identifiers, name)
    return content() if why is None else _with_name(content(), why)


def _with_name(answer: Answer, why: str) -> Answer:
    """The answer on a file whose name may be the person's."""
    if isinstance(answer, Unsearchable):
        answer = Found(NAME_FORMAT, 0, unsearched=(answer.reason,))
    if answer.whole:
        return answer
    # The name is as good a mark of its own as a content is.
    possible = (Possible(NAME_PLACE, why, whole=True), *answer.possible)
    return structs.replace(answer, possible=possible, mark=answer.mark or NAME_FORMAT)


def _search_folder(
    folder: str,
    contents: Contents,
    identifiers: Sequence[Identifier],
    readers: Readers,
    workers: ThreadPoolExecutor,
    notes: _Notes,
    lookup: Lookup | None,
) -> None:
    def answer_on(path: Parts) -> _Looked:
        return _look(contents, path, identifiers, readers, lookup)

    for path, (answer, mark) in _in_turn(workers, answer_on, contents.paths(identifiers, notes.unsearched)):
        notes.files[folder] += answer is not None
        notes.looked_up += answer is _LOOKED_UP
        if isinstance(answer, Unsearchable):
            notes.unsearched.append(Unsearched(folder, path, answer.reason, mark))
        elif answer is not None:
            _note_found(folder, path, answer, mark, notes)


def _in_turn(
    workers: ThreadPoolExecutor, answer_on: Callable[[Parts], _Looked], paths: Iterable[Parts]
) -> Iterator[tuple[Parts, _Looked]]:
    """Each path with the answer on it, in their order: not all are asked about at once."""
    ahead: deque[tuple[Parts, Future[_Looked]]] = deque()
    try:
        for path in paths:
            ahead.append((path, workers.submit(answer_on, path)))
            if len(ahead) > AHEAD:
                yield _first(ahead)
        while ahead:
            yield _first(ahead)
    finally:
        for _, unanswered in ahead:
            unanswered.cancel()


def _first(ahead: "deque[tuple[Parts, Future[_Looked]]]") -> tuple[Parts, _Looked]:
    path, answered = ahead.popleft()
    return path, answered.result()


def _note_found(folder: str, path: Parts, found: Found, mark: str, notes: _Notes) -> None:
    if found.records or found.possible:
        records = (found.records, found.whole, found.locators)
        finding = Finding(folder, path, found.format, *records, found.possible, found.mark)
        notes.findings.append(finding)
    if found.unsearched and not found.whole:
        reason = f"parts of it were not searched: {'; '.join(found.unsearched)}"
        notes.unsearched.append(Unsearched(folder, path, reason, mark))
