"""Where in the folders of a link contents lie that the erasure ledger tells of."""

import os
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import ExitStack

import sqlalchemy as sa

from sftpd.erasure.contents import Contents, Searchable, cannot_open
from sftpd.erasure.erased import FileErased, FileExcepted
from sftpd.erasure.erasures import Digests
from sftpd.erasure.plan import Parts, Place, Unsearched
from sftpd.erasure.search import NAME_FORMAT
from sftpd.errors import ContainmentError
from sftpd.files.fingerprint import Fingerprint, fingerprint
from sftpd.ledger import tables
from sftpd.ledger.ledger import Ledger
from sftpd.link import vaulted

_file = tables.kept_file.c


class Whereabouts:
    """The folders of one link, open, and the contents in them that are as large as one that is to go."""

    def __init__(self, link: str, ledger: Ledger, digests: Digests) -> None:
        self.link = link
        self.contents: dict[str, Contents] = {}
        """The folders, by name."""
        self.closed: list[Unsearched] = []
        """Folders that cannot be opened."""
        self.unsearched: list[Unsearched] = []
        """What in the others cannot be."""
        self._ledger = ledger
        self._digests = digests
        self._by_content: dict[str, list[Place]] = {}
        self._by_place: dict[str, Place] = {}
        self._by_name: dict[str, list[Place]] = {}
        """The places of files that were excepted, or are called so."""
        self._names: dict[Place, str] = {}
        """The digests of last names."""

    def look(
        self,
        folders: Sequence[Searchable],
        sizes: Collection[int],
        excepted: Collection[FileExcepted],
        opened: ExitStack,
    ) -> None:
        """Open the folders, find the contents of these sizes, and what was excepted.

        A folder that is not there has none.
        """
        places = {exception.place for exception in excepted}
        names = {name for exception in excepted for name in exception.names}
        for folder in folders:
            try:
                self.contents[folder.name] = opened.enter_context(folder.open())
            except FileNotFoundError:
                continue
            except OSError as fault:
                self.closed.append(Unsearched(folder.name, (), cannot_open(fault)))
                continue
            for path, content in self._found(folder.name, sizes):
                place = (folder.name, path)
                at = self._digests.place(self.link, *place)
                if content is not None or at in places:
                    self._by_place[at] = place
                if content is None and not names:
                    continue
                name = self._digests.name(self.link, path[-1])
                if name in names:
                    self._by_name.setdefault(name, []).append(place)
                if content is not None:
                    self._by_content.setdefault(content, []).append(place)
                    self._names[place] = name

    def own(self, entry: FileErased | FileExcepted) -> Place | None:
        """Where this state has the file that an entry names; None where it knows of none."""
        query = sa.select(_file.folder, _file.path).where(_file.id == entry.file, _file.state == "present")
        with self._ledger.read() as conn:
            row = conn.execute(query).one_or_none()
        if row is not None and row.folder in self.contents:
            return row.folder, tuple(row.path.split(b"/"))
        return self._by_place.get(entry.place)

    def of(self, entry: FileErased, later: Iterable[FileErased]) -> list[Place]:
        """Where the content of an entry lies; of one for a single file where that is, wherever it lay then.

        A decision was on one file: one of the same name and content may have been decided on otherwise. So
        what a `later` entry names, which had that content still, is not taken for this one.
        """
        places = self._by_content.get(entry.content, [])
        if not entry.only_here:
            theirs = {self.own(other) for other in later if other.content == entry.content}
            return [place for place in places if place not in theirs or place == self.own(entry)]
        own = self.own(entry)
        if own in places and entry.format != NAME_FORMAT:
            return [own]
        return [place for place in places if place == own or self._is_named(entry, place)]

    def alike(self, entry: FileErased, found: Collection[Place]) -> list[Place]:
        """Where a content lies that may be that of a single file, which was `found` there or nowhere.

        Where it was found, what has another name is no concern.
        """
        if not entry.only_here:
            return []
        others = [place for place in self._by_content.get(entry.content, []) if place not in found]
        return [place for place in others if not found or self._is_named(entry, place)]

    def became(self, entry: FileErased, place: Place, new: Fingerprint | None) -> None:
        """Note that the content of an entry is gone from a place, or is another one there."""
        self._by_content[entry.content].remove(place)
        if new is not None:
            self._by_content.setdefault(self._digests.content(new.sha256), []).append(place)

    def excepted(
        self, entry: FileErased, place: Place, exceptions: Iterable[FileExcepted]
    ) -> FileExcepted | None:
        """By what a place is that of a file which the request of an entry left, or may be it.

        That is one by the name of a file that is not where it lay then. What the entry itself names went
        before it was excepted, or after its hold had ended.
        """
        if place == self.own(entry):
            return None
        for exception in exceptions:
            own = self.own(exception)
            if own == place or (own is None and self._is_named(exception, place)):
                return exception
        return None

    def places(self, exception: FileExcepted) -> list[Place]:
        """Where a file is that a request left; by its name, which others may have, if it lay elsewhere."""
        if (own := self.own(exception)) is not None:
            return [own]
        return [place for name in exception.names for place in self._by_name.get(name, ())]

    def _is_named(self, entry: FileErased | FileExcepted, place: Place) -> bool:
        return self._names[place] in (entry.names or ())

    def _found(self, folder: str, sizes: Collection[int]) -> Iterator[tuple[Parts, str | None]]:
        """The paths of files, each with the digest of its content where that has one of these sizes."""
        if folder == vaulted.FOLDER:
            # To decrypt every copy would take long, and the ledger knows what they are.
            for path, size, sha256 in self._sealed():
                if size in sizes and sha256:
                    yield path, self._digests.content(bytes.fromhex(sha256))
            return
        contents = self.contents[folder]
        for path in contents.paths((), self.unsearched):
            try:
                fd, _ = contents.open(path)
            except (FileNotFoundError, NotADirectoryError):
                continue
            except (OSError, ContainmentError) as fault:
                self.unsearched.append(Unsearched(folder, path, cannot_open(fault)))
                continue
            try:
                is_sized = os.fstat(fd).st_size in sizes
                yield path, self._digests.content(fingerprint(fd).sha256) if is_sized else None
            finally:
                os.close(fd)

    def _sealed(self) -> list[tuple[Parts, int, str]]:
        here = (_file.link == self.link, _file.folder == vaulted.FOLDER, _file.state == "present")
        query = sa.select(_file.path, _file.size, _file.sha256).where(*here)
        with self._ledger.read() as conn:
            return [(tuple(path.split(b"/")), size, sha256) for path, size, sha256 in conn.execute(query)]
