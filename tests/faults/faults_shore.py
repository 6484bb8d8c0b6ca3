"""Where files arrive: everything that is ever visible there is hashed, and taken away if it is to be."""

import contextlib
import hashlib
import os
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

_PAUSE = 0.005


class Shore:
    """Watches a folder and all below it, as whoever gets the files does; hidden names are not seen.

    `taking`: each file is read and removed as soon as it is seen, so that one that comes twice counts twice.
    """

    def __init__(self, folder: Path, *, taking: bool) -> None:
        self.folder = folder
        self._taking = taking
        self._known: dict[str, tuple[int, ...]] = {}
        self.taken: defaultdict[str, list[str]] = defaultdict(list)
        """Path below the folder → the SHA-256 of each file that was taken from there."""
        self.seen: defaultdict[str, set[str]] = defaultdict(set)
        """The same of each content that was ever visible."""
        self._alone = threading.Lock()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> "Shore":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()

    def look(self) -> None:
        """See all that is visible."""
        with self._alone:
            for path in visible(self.folder):
                if self._taking:
                    self._take(path)
                else:
                    self._see(path)

    def take_all(self) -> None:
        """Take what is visible, whether or not files are taken at once."""
        with self._alone:
            for path in visible(self.folder):
                self._take(path)

    def _run(self) -> None:
        took = 0.0
        while not self._stopping.wait(max(_PAUSE, took)):  # to look at many folders takes long
            begun = time.monotonic()
            with contextlib.suppress(OSError):  # a disk may fail here too
                self.look()
            took = time.monotonic() - begun

    def _take(self, path: Path) -> None:
        name, digest = self._name(path), sha256_of(path)
        self.seen[name].add(digest)
        path.unlink()
        self.taken[name].append(digest)

    def _see(self, path: Path) -> None:
        found = path.stat()
        marks = found.st_ino, found.st_size, found.st_mtime_ns
        if self._known.get(str(path)) != marks:
            self.seen[self._name(path)].add(sha256_of(path))
            self._known[str(path)] = marks

    def _name(self, path: Path) -> str:
        return str(path.relative_to(self.folder))


def visible(folder: Path) -> Iterator[Path]:
    """The regular files below a folder that are not hidden."""
    with os.scandir(folder) as entries:
        listed = list(entries)
    for entry in listed:
        if entry.name.startswith("."):
            continue
        if entry.is_dir(follow_symlinks=False):
            yield from visible(Path(entry.path))
        elif entry.is_file(follow_symlinks=False):
            yield Path(entry.path)


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
