"""Looking for a person in every file of a link's folders; links are not followed."""

import os
import re
import stat
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from sftpd.erasure.identifiers import Identifier, name_carries
from sftpd.erasure.messages import Finding as Answer
from sftpd.erasure.messages import Found, Search, Unsearchable
from sftpd.erasure.plan import Finding, Parts, Searched, Unsearched
from sftpd.erasure.readers import SIZE, Readers
from sftpd.errors import ContainmentError
from sftpd.files.beneath import Root

NAME_FORMAT = "name"
"""The format of a finding whose file name itself carries the identifier."""

_RECEIPT = re.compile(rb"\.[0-9a-z]{26}\.[0-9]+\.(received|blocked|delivered)\.json(\.sig)?\Z")
"""What the name of a receipt, and of its signature, has behind the name of the file it is of."""


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder to search: its name in findings and reports, and where it is."""

    name: str
    path: Path


@dataclass(slots=True)
class _Notes:
    findings: list[Finding] = field(default_factory=list)
    unsearched: list[Unsearched] = field(default_factory=list)
    files: dict[str, int] = field(default_factory=dict)


def search(folders: Sequence[Folder], identifiers: Sequence[Identifier], readers: Readers) -> Searched:
    """Look into every file of the folders.

    A file that vanishes meanwhile counts as not there. Raises ProcessError when no reader can be started.
    """
    notes = _Notes()
    with ThreadPoolExecutor(SIZE, thread_name_prefix="sftpd-erasure") as workers:
        for folder in folders:
            notes.files[folder.name] = 0
            try:
                root = Root.at(folder.path)
            except OSError as fault:
                notes.unsearched.append(Unsearched(folder.name, (), _cannot_open(fault)))
                continue
            with root:
                _search_folder(folder.name, root, identifiers, readers, workers, notes)
    return Searched(tuple(notes.findings), tuple(notes.unsearched), notes.files)


def look(root: Root, path: Parts, identifiers: Sequence[Identifier], readers: Readers) -> Answer | None:
    """Look into one file, its name included; None when it is not there."""
    try:
        fd = root.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ContainmentError) as fault:
        return Unsearchable(_cannot_open(fault))
    try:
        return look_into(fd, path[-1], identifiers, readers)
    finally:
        os.close(fd)


def look_into(fd: int, name: bytes, identifiers: Sequence[Identifier], readers: Readers) -> Answer:
    """Look into an open file that is called `name`."""
    if _name_carries(name, identifiers):
        return Found(NAME_FORMAT, 1, ("file name",), whole=True)
    return readers.ask(Search(name, tuple(identifier.plain() for identifier in identifiers)), [fd])


def _search_folder(
    folder: str,
    root: Root,
    identifiers: Sequence[Identifier],
    readers: Readers,
    workers: ThreadPoolExecutor,
    notes: _Notes,
) -> None:
    places = list(_walk(folder, root, identifiers, notes))
    answers = workers.map(lambda path: look(root, path, identifiers, readers), places)
    for path, answer in zip(places, answers, strict=True):
        notes.files[folder] += answer is not None
        if isinstance(answer, Unsearchable):
            notes.unsearched.append(Unsearched(folder, path, answer.reason))
        elif answer is not None:
            _note_found(folder, path, answer, notes)


def _note_found(folder: str, path: Parts, found: Found, notes: _Notes) -> None:
    if found.records:
        finding = Finding(folder, path, found.format, found.records, found.whole, found.locators)
        notes.findings.append(finding)
    if found.unsearched and not found.whole:
        reason = f"parts of it were not searched: {'; '.join(found.unsearched)}"
        notes.unsearched.append(Unsearched(folder, path, reason))


def _walk(folder: str, root: Root, identifiers: Sequence[Identifier], notes: _Notes) -> Iterator[Parts]:
    """Yield the regular files of a folder and note the directories in which one cannot look."""
    directories: list[Parts] = [()]
    while directories:
        directory = directories.pop()
        if directory and _name_carries(directory[-1], identifiers):
            reason = "the name of this directory carries the identifier: rename or remove it by hand"
            notes.unsearched.append(Unsearched(folder, directory, reason))
        try:
            with root.scan(directory) as listing:
                entries = sorted(listing)
        except FileNotFoundError:
            continue
        except (OSError, ContainmentError) as fault:
            notes.unsearched.append(Unsearched(folder, directory, _cannot_open(fault)))
            continue
        for name, attributes in entries:
            if stat.S_ISDIR(attributes.st_mode):
                directories.append((*directory, name))
            elif stat.S_ISREG(attributes.st_mode):
                yield (*directory, name)


def _name_carries(name: bytes, identifiers: Sequence[Identifier]) -> bool:
    """Whether the name of a file, or of a receipt the name of the file it is of, carries an identifier."""
    return name_carries(identifiers, _RECEIPT.sub(b"", name).decode("utf-8", "replace"))


def _cannot_open(fault: Exception) -> str:
    reason = fault.strerror if isinstance(fault, OSError) else "it leads out of its folder"
    return f"it cannot be opened: {reason}"
